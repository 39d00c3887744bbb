import dataclasses
import shlex

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


def test_every_field_says_what_it_means():
    meanings = configuration.meanings(PretrainingConfig)
    assert list(meanings) == list(configuration.fields(PretrainingConfig()))
    assert [name for name, text in meanings.items() if len(text.split()) < 2 and text != "seconds"] == []
    assert meanings["model.vocab_size"].startswith("V; none: ")
    kinds = ("bert", "balanced", "sentence_order", "full_sentences", "candidates")  # on several lines above the field
    assert all(f"{kind}: " in meanings["data.examples"] for kind in kinds)
    assert meanings["optimizer.learning_rate"] == "the peak, at the end of the warm-up"  # of a base class


def test_what_is_printed_can_be_given_back():
    config = PretrainingConfig()
    config.data.corpus = "a folder/with 'quotes'"
    config.data.phases = "9: sequence_length=512  batch_size=64; 12: mask_rate=0.1 " * 3
    config.train.time_budget, config.model.remat = 1e-7, True
    printed = configuration.lines(config)
    assert all(len(line) <= 116 for line in printed if "phases" not in line)
    again, section = PretrainingConfig(), ""
    for line in printed:
        section = line[:14].strip() or section
        for part in shlex.split(line[14:]):
            name, _, value = part.partition("=")
            dotted = f"{section}.{name}"
            configuration.replace(again, dotted, configuration.parse(again, dotted, value))
    assert again == config


def test_a_config_of_wrong_parts_is_told_in_full():
    config = PretrainingConfig()
    config.train.num_stps = 3
    config.train.batch_size = 2.5
    config.optimizer.learning_rate = 1
    config.mesh = config.eval
    with pytest.raises(ConfigError) as refused:
        configuration.check_types(config)
    assert str(refused.value).split("\n") == [
        "There is no config field 'train.num_stps'. Did you mean num_steps?",
        "train.batch_size=2.5 must be int.",
        f"mesh={config.eval!r} must be a MeshConfig.",
    ]
    assert type(config.optimizer.learning_rate) is float
