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
    a_token = training_flops(config, 3, length, predictions) / (3 * length)
    assert a_token / 1e6 == pytest.approx(millions_a_token, abs=1)
