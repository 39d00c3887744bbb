"""Numbers that ModernBERT, NomicBERT and EuroBERT of Hugging Face wrote once: `test_family_parity` without PyTorch."""

import json

import jax
import numpy as np
import pytest

from bert_jax.interop.hugging_face_config import read_config
from tests.golden.make_families import CONFIGS, FOLDER, LENGTHS
from tests.interop import family_rows, rows
from tests.interop.state_dicts import from_state_dict

TOLERANCE = 1e-5
ADVICE = (
    "our numbers left those of an independent implementation. Look for the change in bert_jax/model or"
    " bert_jax/interop/families that did it; tests/interop/test_family_parity.py, with torch and transformers"
    " installed, tells where it begins. Only when tests/golden/make_families.py itself has changed are the files to be"
    " written again: python -m tests.golden.make_families."
)


def unflattened(vector, like):
    """The inverse of `make_families.flat`."""
    names = sorted(like)
    parts = np.split(vector, np.cumsum([like[name].size for name in names])[:-1])
    return {name: part.reshape(like[name].shape) for name, part in zip(names, parts, strict=True)}


@pytest.mark.parametrize("name", CONFIGS)
def test_padded_and_packed_rows_give_the_numbers_written_down(name):
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as file:
        golden = dict(file)

    def group(kind):
        return {key.removeprefix(f"{kind}/"): value for key, value in golden.items() if key.startswith(f"{kind}/")}

    config = read_config(json.loads(golden["config"].tobytes())).model
    assert config == CONFIGS[name]
    params = from_state_dict(group("tensor"), config, None)
    layouts = family_rows.padded_and_packed(config, LENGTHS)
    for found in family_rows.observe(config, params, layouts, rows.RATES[:1]):
        outputs = group("output")
        assert len(outputs) == 4
        for key, value in outputs.items():
            assert rows.deviation(np.array(found[key]), value) <= TOLERANCE, f"{key}: {ADVICE}"
        *_, moved = found
        for kind, tree in (("gradient", found["gradients"]), ("moved", found[moved])):
            expected = from_state_dict(unflattened(golden[kind], group("tensor")), config, None)
            assert rows.deviation(tree, expected) <= TOLERANCE, f"{kind}: {ADVICE}"


@pytest.mark.parametrize("name", CONFIGS)
def test_the_files_are_small_and_hold_plain_numbers(name):
    file = FOLDER / f"{name}.npz"
    assert file.stat().st_size < 40_000
    with np.load(file, allow_pickle=False) as golden:
        assert {value.dtype.kind for value in golden.values()} <= set("fiu")
        assert jax.tree.all(jax.tree.map(lambda x: bool(np.isfinite(x).all()), dict(golden)))
