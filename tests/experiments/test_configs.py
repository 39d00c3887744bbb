import pathlib

import pytest

from bert_jax.tasks.pretraining import PretrainingConfig, check_config, pretrain
from experiments import config_flags
from tests.tasks.test_pretraining import results, shrink

CONFIGS = sorted(pathlib.Path("experiments/configs").glob("*.py"))
SIZES = {"tiny": (2, 128, 2), "mini": (4, 256, 4), "small": (4, 512, 8), "medium": (8, 512, 8)}
SIZES |= {"base": (12, 768, 12), "large": (24, 1024, 16)}


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_every_config_runs_a_step_when_shrunk(file, corpus, corpus_path, tmp_path):
    config = config_flags.load(str(file), PretrainingConfig)
    assert isinstance(config, PretrainingConfig)
    if file.stem in SIZES:
        assert (config.model.num_layers, config.model.hidden_size, config.model.num_heads) == SIZES[file.stem]
    assert f"--config=experiments/configs/{file.name}" in file.read_text()
    shrink(config, corpus_path)
    config.train.num_steps = 1
    assert pretrain(config, tmp_path / "run")["step"] == 1


def test_all_promised_configs_are_there():
    recipes = {"bert_base", "bert_large", "bert_large_lamb", "roberta_base", "sinusoidal_max_pool", "quickstart"}
    assert {file.stem for file in CONFIGS} == {*SIZES, *recipes}


def test_every_config_is_without_problems_as_it_is():
    for file in CONFIGS:
        config = config_flags.load(str(file), PretrainingConfig)
        config.data.corpus = "somewhere"
        check_config(config)


def test_large_batches_go_through_their_phases_and_resume_across_them(corpus_path, tmp_path):
    """`bert_large_lamb` with its 8,601 steps shrunk to 9, in parts, stopped before, at and behind the change."""

    def shrunk(stop_after):
        config = config_flags.load("experiments/configs/bert_large_lamb.py", PretrainingConfig)
        phases, schedule = config.data.phases, config.optimizer.phases
        shrink(config, corpus_path)
        config.data.sequence_length, config.data.max_predictions, config.data.max_examples = 32, 5, 1
        config.train.batch_size, config.train.accumulation, config.train.num_steps = 16, 4, 9
        config.data.phases = phases.replace("7038", "5").replace("512", "64").replace("80", "12").replace("32768", "8")
        config.optimizer.phases = schedule.replace("7038", "5")
        config.train.stop_after = stop_after
        return config

    pretrain(shrunk(None), tmp_path / "straight")
    for stop in (4, 5, 7, None):
        pretrain(shrunk(stop), tmp_path / "stopped")
    assert results(tmp_path / "stopped") == results(tmp_path / "straight")
    rates = {
        row["step"]: row["train/learning_rate"] for row in results(tmp_path / "straight")[0] if "train/loss" in row
    }
    assert rates[6] == 0  # the second phase warms up again
    assert max(rates.values()) <= 6e-3
    assert max(rate for step, rate in rates.items() if step > 5) == pytest.approx(4e-3, rel=0.5)
