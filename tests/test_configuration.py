import dataclasses

import pytest

from bert_jax import configuration
from bert_jax.errors import ConfigError
from bert_jax.tasks.pretraining import PretrainingConfig


def test_a_config_survives_json():
    config = PretrainingConfig()
    config.model.vocab_size = 77
    config.optimizer.learning_rate = 3e-4
    assert configuration.from_dict(PretrainingConfig, dataclasses.asdict(config)) == config


def test_fields_are_dotted():
    fields = configuration.fields(PretrainingConfig())
    assert fields["model.num_layers"] == 12
    assert fields["mesh.tensor"] == 1
    assert configuration.field_type(PretrainingConfig(), "model.vocab_size") == (int, True)
    assert configuration.field_type(PretrainingConfig(), "data.mask_rate") == (float, False)


def test_wrong_fields_and_types_are_refused():
    config = PretrainingConfig()
    with pytest.raises(ConfigError, match=r"Did you mean model\.num_layers"):
        configuration.replace(config, "model.num_layer", 3)
    for value in (3.5, "3", None, True):
        with pytest.raises(ConfigError, match="must be int"):
            configuration.replace(config, "model.num_layers", value)
    configuration.replace(config, "optimizer.learning_rate", 1)
    assert config.optimizer.learning_rate == 1.0
    with pytest.raises(ConfigError, match="no config field"):
        configuration.from_dict(PretrainingConfig, {"model": {"depth": 3}})
