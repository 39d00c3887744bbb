import inspect
import pathlib
import typing

import pytest

from bert_jax.tasks.pretraining import PretrainingConfig, pretrain
from bert_jax.tasks.registry import TASKS
from bert_jax.training.run import check_config
from experiments import config_flags
from experiments.configs import sizes
from tests.tasks.test_pretraining import results, shrink

SIZES = {"tiny": (2, 128, 2), "mini": (4, 256, 4), "small": (4, 512, 8), "medium": (8, 512, 8)}
SIZES |= {"base": (12, 768, 12), "large": (24, 1024, 16)}
RECIPES = ("bert_base", "bert_large", "bert_large_lamb", "roberta_base", "sinusoidal_max_pool", "quickstart")
RECIPES += ("continue_pretraining",)
FILES = sorted(pathlib.Path("experiments/configs").glob("*.py"))
FILES.remove(pathlib.Path("experiments/configs/finetuning.py"))  # what recipes share
PRETRAINING = [f"sizes.py:{size}" for size in SIZES] + [f"{recipe}.py" for recipe in RECIPES]
FINE_TUNING = [file.name for file in FILES if file.name.startswith("finetune_")]
BENCHMARKS = ["glue.py:mrpc", "glue.py:stsb", "super_glue.py:copa"]  # all: tests/data/test_benchmarks.py


def load(spec, *classes):
    return config_flags.load(f"experiments/configs/{spec}", *classes)


@pytest.mark.parametrize("spec", ["sizes.py:tiny", *(f"{recipe}.py" for recipe in RECIPES)])  # shrunk, sizes are one
def test_every_config_runs_a_step_when_shrunk(spec, corpus, corpus_path, tmp_path):
    config = load(spec, PretrainingConfig)
    shrink(config, corpus_path)
    config.train.num_steps = 1
    assert pretrain(config, tmp_path / "run")["step"] == 1


def test_all_promised_configs_are_there_and_say_how_they_are_used():
    assert {file.name for file in FILES} == {
        spec.partition(":")[0] for spec in (*PRETRAINING, *FINE_TUNING, *BENCHMARKS)
    }
    for file in FILES:
        assert f"--config=experiments/configs/{file.name}" in file.read_text()


def test_the_sizes_are_those_of_the_released_models():
    (size,) = inspect.signature(sizes.get_config).parameters.values()
    assert typing.get_args(size.annotation) == tuple(SIZES)  # what a wrong variant is told
    for name, expected in SIZES.items():
        model = load(f"sizes.py:{name}", PretrainingConfig).model
        assert (model.num_layers, model.hidden_size, model.num_heads) == expected


def test_each_task_has_a_config_to_begin_with():
    classes = [kind.config_class for kind in TASKS.values()]
    found = {type(load(spec, *classes)) for spec in (*PRETRAINING, *FINE_TUNING)}
    assert found == set(classes)


def test_every_config_is_without_problems_as_it_is():
    for spec in (*PRETRAINING, *FINE_TUNING, *BENCHMARKS):
        config = load(spec, *(kind.config_class for kind in TASKS.values()))
        (kind,) = (kind for kind in TASKS.values() if kind.config_class is type(config))
        if spec in PRETRAINING:
            config.data.corpus = "somewhere"
        else:  # what `experiments.finetune` has short flags for
            config.data.train, config.data.validation = "train.jsonl", "validation.jsonl"
            config.train.init_from = "runs/somewhere"
        check_config(kind, config)


def test_large_batches_go_through_their_phases_and_resume_across_them(corpus_path, tmp_path):
    """`bert_large_lamb` with its 8,601 steps shrunk to 9, in parts, stopped before, at and behind the change."""

    def shrunk(stop_after):
        config = config_flags.load("experiments/configs/bert_large_lamb.py", PretrainingConfig)
        phases, schedule = config.data.phases, config.optimizer.phases
        shrink(config, corpus_path)
        config.data.sequence_length, config.data.max_predictions, config.data.max_examples = 32, 5, 1
        config.train.batch_size, config.train.grad_accumulation_steps, config.train.num_steps = 16, 4, 9
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
