"""How `--config` finds its file, and how flags and recipes go together."""

import pytest

from bert_jax import configuration
from bert_jax.errors import ConfigError
from bert_jax.tasks.pretraining import PretrainingConfig
from experiments import config_flags


@pytest.mark.parametrize(
    "spec",
    ["mini", "sizes:mini", "experiments/configs/sizes.py:mini", "quickstart", "experiments/configs/quickstart.py"],
)
def test_recipes_are_found_by_name_from_any_folder(spec, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = config_flags.load(spec, PretrainingConfig)
    assert config.model.num_layers == (4 if "mini" in spec else 2)


def test_the_users_own_file_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = "from bert_jax.tasks.pretraining import PretrainingConfig as C\n\n\ndef get_config():\n    return C()\n"
    (tmp_path / "mini").mkdir()
    (tmp_path / "own.py").write_text(own)
    assert config_flags.load("own.py", PretrainingConfig).model.num_layers == 12
    assert config_flags.load("mini", PretrainingConfig).model.num_layers == 4


@pytest.mark.parametrize(
    ("spec", "advice"),
    [
        ("tinny", "Did you mean sizes:tiny?"),
        ("bert_bas", "Did you mean experiments/configs/bert_base.py?"),
        ("nothing_like_it", "In experiments/configs there are bert_24h.py, bert_base.py"),
        ("sizes:minni", "Did you mean mini?"),
        ("quickstart:mini", "has no variants"),
    ],
)
def test_a_wrong_name_is_answered_with_near_ones(spec, advice):
    with pytest.raises(ConfigError) as caught:
        config_flags.load(spec, PretrainingConfig)
    assert advice in str(caught.value)


def test_a_given_length_replaces_that_of_the_recipe():
    config = config_flags.load("mini", PretrainingConfig)
    config.train.time_budget = 60.0
    configuration.clear_alternatives(config, ["train.time_budget", "data.corpus"])
    assert (config.train.num_steps, config.train.time_budget) == (None, 60.0)
    config.train.num_steps = 5
    configuration.clear_alternatives(config, ["train.time_budget", "train.num_steps"])
    assert "not num_steps and time_budget" in config.train.problems()[0]
