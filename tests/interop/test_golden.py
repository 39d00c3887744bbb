"""Numbers that Hugging Face's BERT on PyTorch wrote down once: `test_parity` without either of them."""

import json

import jax
import numpy as np
import pytest

from bert_jax.interop.hugging_face_config import read_config
from tests.golden.make_golden import FILE
from tests.interop import rows
from tests.interop.state_dicts import from_state_dict, to_state_dict

TOLERANCE = 1e-5
ADVICE = (
    "our numbers left those of an independent implementation. Look for the change in bert_jax/model, losses.py or"
    " bert_jax/optim that did it; tests/interop/test_parity.py, with torch and transformers installed, tells where it"
    " begins. Only when tests/golden/make_golden.py itself has changed (another model, other rows) is the file to be"
    " written again: python -m tests.golden.make_golden."
)


@pytest.fixture(scope="module")
def golden():
    with np.load(FILE, allow_pickle=False) as file:
        return dict(file)


def group(golden, name):
    return {key.removeprefix(f"{name}/"): value for key, value in golden.items() if key.startswith(f"{name}/")}


@pytest.fixture(scope="module")
def setting(golden):
    config = read_config(json.loads(golden["config"].tobytes())).model
    return config, group(golden, "batch"), from_state_dict(group(golden, "tensor"), config)


@pytest.fixture(scope="module")
def observed(setting):
    config, batch, params = setting
    return rows.observe(config, params, batch)


def assert_near(found, expected, what):
    assert rows.deviation(found, expected) <= TOLERANCE, f"{what}: {ADVICE}"


def test_outputs_are_those_written_down(golden, observed):
    expected = group(golden, "output")
    assert len(expected) == 8
    for name, value in expected.items():
        assert_near(np.array(observed[name]), value, name)


def test_gradients_are_those_written_down(golden, setting, observed):
    found = to_state_dict(observed["gradients"], setting[0])
    norms = np.array([np.linalg.norm(found[name]) for name in sorted(found)])
    assert_near(norms, golden["gradient_norms"], "gradient norms")
    for name, value in group(golden, "gradient").items():
        assert_near(found[name], value, f"gradient of {name}")


def test_a_step_of_the_optimiser_is_that_written_down(golden, setting):
    config, batch, params = setting
    found = to_state_dict(rows.train(config, params, batch, rows.RATES[:1]), config)
    before = to_state_dict(params, config)
    for name, value in group(golden, "moved").items():
        assert_near(found[name], value, f"{name} after a step")
        assert np.abs(before[name] - value).max() > 50 * TOLERANCE * np.abs(value).max()


def test_the_file_is_small_and_holds_plain_numbers(golden):
    assert FILE.stat().st_size < 40_000
    assert {value.dtype.kind for value in golden.values()} <= set("fiu")
    assert jax.tree.all(jax.tree.map(lambda x: bool(np.isfinite(x).all()), golden))
