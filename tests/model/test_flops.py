import numpy as np
import pytest

from bert_jax.model.config import ModelConfig
from bert_jax.model.flops import training_flops

BASE = ModelConfig(vocab_size=30_522)
LARGE = ModelConfig(vocab_size=30_522, num_layers=24, hidden_size=1024, num_heads=16)


@pytest.mark.parametrize(
    ("config", "length", "predictions", "millions_a_token"),
    [(BASE, 128, 20, 546), (BASE, 512, 76, 588), (LARGE, 128, 20, 1880), (LARGE, 512, 76, 1992), (BASE, 128, 128, 668)],
)
def test_known_models(config, length, predictions, millions_a_token):
    batch = {
        "sequence_ids": np.ones((3, length), np.int32),
        "summary_positions": np.zeros((3, 1), np.int32),
        "masked_weights": np.ones((3, predictions), np.float32),
    }
    assert training_flops(config, batch) / (3 * length) / 1e6 == pytest.approx(millions_a_token, abs=1)


def test_padding_is_no_work_and_examples_do_not_span_each_other():
    apart = {
        "sequence_ids": np.array([[1] * 5 + [0] * 3, [1] * 3 + [0] * 5], np.int32),
        "summary_positions": np.zeros((2, 1), np.int32),
        "masked_weights": np.array([[1, 0], [1, 1]], np.float32),
    }
    packed = {
        "sequence_ids": np.array([[1] * 5 + [2] * 3], np.int32),
        "summary_positions": np.zeros((1, 2), np.int32),
        "masked_weights": np.ones((1, 3), np.float32),
    }
    assert training_flops(BASE, apart) == training_flops(BASE, packed)
