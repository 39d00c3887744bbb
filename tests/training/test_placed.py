import dataclasses
import types

import jax
import numpy as np
import pytest
from flax import linen as nn

from bert_jax import sharding
from bert_jax.errors import CorpusError
from bert_jax.scores import Score
from bert_jax.tasks.pretraining import Pretraining
from bert_jax.training.placed import PlacedTask, held_out_batch_size
from bert_jax.training.run import prepare


@pytest.mark.parametrize(
    ("rows", "microbatch", "unit", "expected"),
    [
        (100, 256, 1, 100),  # less than a microbatch
        (100, 256, 8, 104),
        (1000, 256, 8, 256),
        (1000, 300, 1, 250),  # four of 250, not three of 300 and a rest
        (3, 256, 32, 32),  # a group on each of four devices
        (257, 256, 32, 160),
        (2000, 8, 8, 8),
    ],
)
def test_batches_are_as_equal_as_can_be(rows, microbatch, unit, expected):
    assert held_out_batch_size(rows, microbatch, unit) == expected


def placed_of(config, batch_size, microbatches):
    config.train.batch_size, config.train.grad_accumulation_steps = batch_size, microbatches
    return prepare(Pretraining(), config)


@pytest.mark.parametrize("examples", ["balanced", "candidates"])
def test_scores_do_not_depend_on_how_the_set_is_cut(config, examples):
    config.data.examples, config.data.nsp_group_size, config.model.num_layers = examples, 4, 1
    params, found, sizes = None, [], []
    for batch_size, microbatches in ((64, 1), (64, 4), (2048, 128), (8, 2)):
        placed = placed_of(config, batch_size, microbatches)
        with jax.set_mesh(placed.mesh), sharding.rules():
            program = placed.program(10)
            params = params or nn.meta.unbox(program.make_state({}).params)
            found.append(placed.evaluate(program, params, 0))
            batches = list(placed.held_out_batches())
        sizes.append(len(batches[0]["token_ids"]))
        assert {len(batch["token_ids"]) for batch in batches} == {sizes[-1]}
        assert sizes[-1] <= batch_size // microbatches
        rows = placed.task.held_out["token_ids"]
        np.testing.assert_array_equal(np.concatenate([b["token_ids"] for b in batches])[: len(rows)], rows)
    assert len(set(sizes)) > 2
    for other in found[1:]:
        assert other.keys() == found[0].keys()
        assert other == pytest.approx(found[0], rel=2e-6)


SCORE, LOSS = Score("hits", "hits", False, "chance", "chance"), Score("loss", "loss", True, "zero", "the mean")


def check(scores, baselines):
    learner = types.SimpleNamespace(scores=scores, baselines=lambda held_out: baselines)
    task = types.SimpleNamespace(learner=learner, held_out={})
    PlacedTask(task, None, None).check_scores()


@pytest.mark.parametrize(
    ("score", "level", "text"), [(SCORE, 1.0, "chance has 1 already"), (LOSS, 0.0, "the mean has 0 already")]
)
def test_a_score_whose_baseline_is_perfect_is_refused(score, level, text):
    with pytest.raises(CorpusError, match=text):
        check([score], {score.baseline: level})
    check([score], {score.baseline: 0.5})
    check([score], {})
    check([dataclasses.replace(score, name=f"{score.name}/en")], {score.baseline: level})  # of one source
