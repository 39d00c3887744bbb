import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.errors import ConfigError
from bert_jax.objectives.candidates import Candidates, candidate_scores
from bert_jax.tasks.pretraining import Pretraining, pretrain
from bert_jax.training.run import check_config

GROUP, GROUPS, WIDTH = 4, 3, 8


def objective(temperature=1.0):
    return Candidates(group_size=GROUP, temperature=temperature)


@pytest.fixture(scope="module")
def pooled():
    return jax.random.normal(jax.random.key(0), (GROUP * GROUPS, 2, WIDTH))


@pytest.fixture(scope="module")
def batch():
    """Rows 1 and 2 are of one document; rows 4 and 5 have its number in two sources; row 6 has no second sequence."""
    documents, sources = np.arange(GROUP * GROUPS, dtype=np.int32), np.zeros((GROUP * GROUPS, 2), np.int32)
    documents[2], documents[5], sources[5] = documents[1], documents[4], 1
    weights = np.ones((GROUP * GROUPS, 2), np.float32)
    weights[6] = 0
    return {
        "document_ids": np.stack([documents, documents], axis=1),
        "source_ids": sources,
        "pair_weights": weights,
    }


def test_losses_are_those_of_the_formula(pooled, batch):
    """A plain loop in float64 over rows and their candidates."""
    vectors = np.asarray(pooled, np.float64)
    total = hits = count = 0
    for i in range(GROUP * GROUPS):
        if batch["pair_weights"][i, 0] == 0:
            continue
        rivals = []
        for j in range(i // GROUP * GROUP, i // GROUP * GROUP + GROUP):
            same = all(batch[name][i, 0] == batch[name][j, 0] for name in ("document_ids", "source_ids"))
            if j == i or (not same and batch["pair_weights"][j, 0] > 0):
                rivals.append((j, vectors[i, 0] @ vectors[j, 1] / 2.0))
        scores = np.array([score for _, score in rivals])
        own = next(score for j, score in rivals if j == i)
        total += np.log(np.exp(scores).sum()) - own
        hits += own == scores.max()
        count += 1
    outcome = objective(temperature=2.0).outcome(pooled, batch)
    loss, accuracy = outcome.losses["candidates_loss"].sum, outcome.metrics["candidates_accuracy"]
    assert loss.weight == accuracy.weight == count
    np.testing.assert_allclose(loss.total, total, rtol=1e-5)
    assert accuracy.total == hits


def test_chance_counts_the_candidates_that_a_row_has(batch):
    """In the groups of four: rows 1 and 2 miss one; rows 4, 5 and 7 miss row 6, which does not count."""
    sizes = [4, 3, 3, 4, 3, 3, 3, *[4] * 4]
    chance = objective().baselines(batch)["candidates_chance"]
    assert chance == pytest.approx(np.mean([1 / size for size in sizes]))
    alone = batch | {"document_ids": np.zeros_like(batch["document_ids"]), "source_ids": batch["source_ids"] * 0}
    assert objective().baselines(alone) == {"candidates_chance": 1.0}
    assert objective().baselines(batch | {"pair_weights": np.zeros_like(batch["pair_weights"])}) == {}


def test_groups_do_not_see_each_other(pooled, batch):
    changed = pooled.at[GROUP:].add(1.0)
    before, after = (candidate_scores(x, batch, GROUP, 1.0) for x in (pooled, changed))
    np.testing.assert_array_equal(before[0], after[0])
    assert (before[1] != after[1]).any()


def test_equal_vectors_score_as_chance(batch):
    rows = GROUP * GROUPS
    even = {**batch, "document_ids": np.arange(rows)[:, None].repeat(2, 1), "pair_weights": np.ones((rows, 2))}
    outcome = objective().outcome(jnp.ones((rows, 2, WIDTH)), even)
    np.testing.assert_allclose(outcome.means["candidates_loss"], np.log(GROUP), rtol=1e-6)
    assert outcome.means["candidates_accuracy"] == 1 / GROUP


def candidates(config):
    config.data.examples, config.data.nsp_group_size, config.data.nsp_temperature = "candidates", 4, 6.0
    config.model.pooling, config.model.positions = "max", "sinusoidal"


def test_it_is_learnt_above_chance(config, tmp_path):
    candidates(config)
    config.model.hidden_size, config.model.initializer_range = 64, 0.1
    config.model.dropout = config.model.attention_dropout = 0.0
    config.train.num_steps = config.eval.every = 450
    config.train.log_every = config.train.checkpoint_every = 100
    config.optimizer.learning_rate, config.optimizer.warmup_ratio = 2e-3, 0.1
    scores = pretrain(config, tmp_path / "run")
    assert 0.25 < scores["eval/candidates_chance"] < 0.4  # among four, but some rows of a group share a document
    assert scores["eval/candidates_accuracy"] > max(0.5, scores["eval/candidates_chance"] + 0.15)


def test_a_batch_that_would_divide_a_group_is_refused(config):
    candidates(config)
    config.train.batch_size = 6
    with pytest.raises(ConfigError, match="nsp_group_size=4"):
        check_config(Pretraining(), config)
