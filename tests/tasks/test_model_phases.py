"""A run in which the base of rotary positions changes."""

import dataclasses

import numpy as np
import pytest

from bert_jax import load
from bert_jax.model.config import ModelConfig
from bert_jax.tasks.pretraining import PretrainingConfig, pretrain
from bert_jax.tasks.starting_point import DECIDED, INHERITED, OWN, read_starting_point
from bert_jax.training.workdir.metrics import read_metrics
from tests.tasks.test_pretraining import results, shrink


@pytest.fixture(scope="module")
def config(corpus_path):
    config = PretrainingConfig()
    shrink(config, corpus_path)
    config.model.positions, config.model.phases = "rotary", "2: rotary_base=20"
    config.train.num_steps, config.train.checkpoint_every, config.eval.every = 3, 1, 1
    return config


def run(config, workdir, phases="2: rotary_base=20", stop_after=None):
    model = dataclasses.replace(config.model, phases=phases)
    train = dataclasses.replace(config.train, stop_after=stop_after)
    pretrain(dataclasses.replace(config, model=model, train=train), workdir)
    losses = {key: [row[key] for row in read_metrics(workdir) if key in row] for key in ("train/loss", "eval/mlm_loss")}
    return losses.values()


def test_steps_scores_and_loaded_models_have_the_base_of_their_step(config, tmp_path):
    losses, scores = run(config, tmp_path / "straight")
    before, scores_before = run(config, tmp_path / "without", phases="")
    assert losses[:2] == before[:2]
    assert losses[2] != before[2]
    assert scores[:2] == scores_before[:2]  # that of step 2 is of a model that was trained with the old base
    assert scores[2] != scores_before[2]
    old, new = (load(tmp_path / "straight", step=step) for step in (2, 3))
    assert (old.config.rotary_base, new.config.rotary_base) == (10_000, 20)
    assert old.config.phases == new.config.phases == ""
    assert read_starting_point(tmp_path / "straight").model.rotary_base == 20
    changed = dataclasses.replace(new, config=dataclasses.replace(new.config, rotary_base=10_000.0))
    assert np.abs(new.embed(["one two three four"]) - changed.embed(["one two three four"])).max() > 1e-6
    for stop in (1, 2):
        run(config, tmp_path / "parts", stop_after=stop)
    run(config, tmp_path / "parts")
    assert results(tmp_path / "parts") == results(tmp_path / "straight")


def test_a_new_run_knows_what_to_do_with_every_field_of_a_model():
    names = [field.name for field in dataclasses.fields(ModelConfig)]
    assert sorted([*DECIDED, *INHERITED, *OWN]) == sorted(names)
