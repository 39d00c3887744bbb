import inspect
import pathlib
import re
import typing

import jax
import pytest

from bert_jax.objectives.learner import Learner
from bert_jax.tasks.pretraining import PretrainingConfig, make_objectives, pretrain
from bert_jax.tasks.registry import TASKS
from bert_jax.training.run import check_config
from experiments import config_flags
from experiments.configs import ettin, sizes
from tests.tasks.test_pretraining import results, shrink

SIZES = {"tiny": (2, 128, 2), "mini": (4, 256, 4), "small": (4, 512, 8), "medium": (8, 512, 8)}
SIZES |= {"base": (12, 768, 12), "large": (24, 1024, 16)}
RECIPES = ("bert_base", "bert_large", "bert_large_lamb", "roberta_base", "sinusoidal_max_pool", "quickstart")
RECIPES += ("continue_pretraining", "bert_24h", "cramming", "mosaicbert_base", "nomic_bert")
PHASED = ("modernbert_base.py", "modernbert_large.py", "ettin.py:17m", "neobert.py")
FILES = sorted(pathlib.Path("experiments/configs").glob("*.py"))
for shared in ("finetuning", "modernbert_family", "two_cores"):  # what recipes share
    FILES.remove(pathlib.Path(f"experiments/configs/{shared}.py"))
PRETRAINING = [f"sizes.py:{size}" for size in SIZES] + [f"{recipe}.py" for recipe in RECIPES] + [*PHASED]
PRETRAINING += [f"ettin.py:{size}" for size in ettin.SIZES if size != "17m"]
TINY = [f"{spec.partition(':')[0]}:tiny" for spec in (*PHASED, *(f"{recipe}.py" for recipe in RECIPES[-4:]))]
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
    for spec in (*PRETRAINING, *TINY, *FINE_TUNING, *BENCHMARKS):
        config = load(spec, *(kind.config_class for kind in TASKS.values()))
        (kind,) = (kind for kind in TASKS.values() if kind.config_class is type(config))
        if spec in PRETRAINING or spec in TINY:
            config.data.corpus = "somewhere"
            if spec not in TINY:  # as the command in the file says
                text = pathlib.Path("experiments/configs", spec.partition(":")[0]).read_text()
                for parts in re.findall(r"--config\.train\.grad_accumulation_steps=(\d+)", text):
                    config.train.grad_accumulation_steps = int(parts)
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


def shrink_phases(config, corpus_path):
    """Shrinks a recipe to phases of two steps, which change what they changed before; after a ramp of two."""
    sections = (config.data, config.model, config.optimizer)
    texts = [section.phases for section in sections]
    starts = sorted({int(start) for text in texts for start in re.findall(r"(\d+):", text)})
    ramps = config.data.ramp_from is not None
    shrink(config, corpus_path)
    for section, text in zip(sections, texts, strict=True):
        text = re.sub(r"(\d+):", lambda match: f"{4 + 2 * starts.index(int(match[1]))}:", text)
        section.phases = text.replace("=8192", "=128").replace("=4096", "=128").replace("=576", "=4")
        section.phases = re.sub(r"batch_size=\d+", "batch_size=4", section.phases)
    config.model.local_window = 16 if config.model.local_window else None
    if ramps:
        config.data.ramp_from, config.data.ramp_increment, config.data.ramp_steps = 4, 4, 2
    config.optimizer.warmup_steps = 1
    config.train.num_steps = 4 + 2 * len(starts)
    return config.train.num_steps


@pytest.mark.parametrize("spec", PHASED)
def test_recipes_with_phases_resume_in_the_ramp_and_across_each_change(spec, corpus_path, tmp_path):
    def shrunk(stop_after=None):
        config = load(spec, PretrainingConfig)
        config.model.vocab_size = None
        shrink_phases(config, corpus_path)
        config.train.stop_after = stop_after
        return config

    steps = pretrain(shrunk(), tmp_path / "straight")["step"]
    assert steps == shrunk().train.num_steps
    # In the ramp, and where the second phase begins; other recipes stop where their next phase begins.
    for stop in (1, 4) if spec == PHASED[0] else ():
        pretrain(shrunk(stop), tmp_path / "parts")
    if spec == PHASED[0]:
        pretrain(shrunk(), tmp_path / "parts")
        assert results(tmp_path / "parts") == results(tmp_path / "straight")


def test_models_of_today_have_the_published_numbers_of_parameters():
    def count(spec):
        config = load(spec, PretrainingConfig)
        config.model.vocab_size = config.model.vocab_size or 30_522
        shapes = jax.eval_shape(Learner(config.model, make_objectives(config.data)).init, jax.random.key(0))
        return [sum(leaf.size for leaf in jax.tree.leaves(tree)) for tree in (shapes["bert"], shapes)]

    # Of `ModernBertForMaskedLM` in `transformers`, to the last one.
    assert count("modernbert_base.py")[1] == 149_655_232
    assert count("modernbert_large.py")[1] == 395_881_664
    for size, millions in {"17m": 17, "32m": 32, "68m": 68, "150m": 149, "400m": 395, "1b": 1028}.items():
        assert round(count(f"ettin.py:{size}")[0] / 1e6) == millions
    assert round(count("neobert.py")[0] / 1e6) == 222
    assert round(count("nomic_bert.py")[0] / 1e6) == 137
