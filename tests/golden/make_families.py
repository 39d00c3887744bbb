"""Writes what ModernBERT, NomicBERT and EuroBERT of Hugging Face on PyTorch make of four examples.

    pip install torch transformers
    python -m tests.golden.make_families

It writes `modernbert.npz`, `nomic_bert.npz` and `eurobert.npz`, for `tests/interop/test_family_golden.py`. They were
written with torch 2.13.0 and transformers 5.23.0 on a CPU. Write them again only when this script changes; never
because a test of ours fails.
"""

import json
import pathlib

import numpy as np

from bert_jax.interop.hugging_face_config import write_config
from bert_jax.interop.parameters import named_tensors
from tests.interop.family_configs import EUROBERT, MODERNBERT, NOMIC_BERT, changed

FOLDER = pathlib.Path(__file__).parent
SMALL = {"vocab_size": 23, "num_heads": 2, "intermediate_size": 6}
CONFIGS = {
    "modernbert": changed(MODERNBERT, **SMALL, hidden_size=8, local_window=4),
    "nomic_bert": changed(NOMIC_BERT, **SMALL, hidden_size=8),
    "eurobert": changed(EUROBERT, **SMALL | {"num_heads": 4}, hidden_size=8),
}
LENGTHS = [12, 3, 7, 9]  # beyond the window of 2 tokens on either side


def tensors(params, config) -> dict[str, np.ndarray]:
    """Parameters, or gradients, under the names of files."""
    infos, makers = named_tensors(params, config)
    return {name: make() for name, make in zip(infos, makers, strict=True)}


def flat(tree, config) -> np.ndarray:
    """Parameters, or gradients, as one vector, in the order of the names of their tensors."""
    named = tensors(tree, config)
    return np.concatenate([named[name].ravel() for name in sorted(named)])


def main() -> None:
    """Writes the files."""
    from tests.interop import family_peer, family_rows, rows  # the only import that needs PyTorch

    for name, config in CONFIGS.items():
        padded, _ = family_rows.padded_and_packed(config, LENGTHS)
        params = family_rows.parameters(config, padded)
        found = family_peer.observe(family_peer.loaded(config, params, "eager"), config, padded, rows.RATES[:1])
        *_, moved = found
        arrays = {"gradient": flat(found.pop("gradients"), config), "moved": flat(found.pop(moved), config)}
        arrays |= {f"tensor/{key}": value for key, value in tensors(params, config).items()}
        arrays |= {f"output/{key}": np.array(value, np.float32) for key, value in found.items()}
        arrays["config"] = np.frombuffer(json.dumps(write_config(config)).encode(), np.uint8)
        file = FOLDER / f"{name}.npz"
        np.savez_compressed(file, **arrays)
        print(f"{file}: {file.stat().st_size / 1024:.0f} KB")


if __name__ == "__main__":
    main()
