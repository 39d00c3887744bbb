"""Our ModernBERT, NomicBERT and EuroBERT against those of `transformers` on PyTorch, padded and packed.

Each quantity may deviate by 1e-5 of its largest number: float32 products in another order. `test_family_golden` holds
without PyTorch.
"""

import itertools

import pytest

WHY = "the parity tests compare with PyTorch: pip install torch transformers"
pytest.importorskip("torch", reason=WHY)
pytest.importorskip("transformers", reason=WHY)

from tests.interop import family_peer  # noqa: E402

TOLERANCE = 1e-5


@pytest.mark.parametrize("case", family_peer.CASES)
def test_outputs_gradients_and_training_agree(case):
    found = family_peer.deviations(case)
    assert {key: len(values) for key, values in found.items()} == dict.fromkeys(
        itertools.product(("eager", "sdpa"), ("padded", "packed")), 6
    )
    assert not {(*key, name): x for key, values in found.items() for name, x in values.items() if not x <= TOLERANCE}
