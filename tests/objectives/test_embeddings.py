"""Losses and scores of embeddings against plain loops, in any layout, on one device and on eight."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.objectives import agreement
from bert_jax.objectives.contrastive import Contrastive
from bert_jax.objectives.embeddings import FIRST, NEGATIVE, SECOND
from bert_jax.objectives.similarity import Similarity
from tests.interop.rows import random_params
from tests.model.unpacking import unpack
from tests.objectives import small

# In reading order of the used slots: group, role, text, partner.
TEXTS = [(4, FIRST, 1, 2), (9, SECOND, 3, 5), (4, SECOND, 2, 1), (9, FIRST, 5, 3), (4, NEGATIVE, 6, -1), (9, 2, 7, -1)]


def columns_of(texts, numbers=None):
    """Columns [1, N] of texts given as (group, role, text, partner); `numbers` are those of groups."""
    group, role, text, partner = (np.array([column], np.int32) for column in zip(*texts, strict=True))
    numbers = numbers or {}
    return {
        "text_groups": group,
        "text_roles": role,
        "text_ids": text,
        "partner_ids": partner,
        "group_weights": np.array([[g not in numbers for g in group[0]]], np.float32),
        "similarities": np.array([[numbers.get(g, 0) for g in group[0].tolist()]], np.float32),
        "similarity_weights": np.array([[g in numbers for g in group[0].tolist()]], np.float32),
    }


def rows(seed=0, texts=TEXTS, numbers=None):
    """The tiny rows, with these texts in their used slots and garbage of weight 0 in the others."""
    batch, used = small.core(seed), small.used_slots() > 0
    for name, value in columns_of(texts, numbers).items():
        batch[name] = np.full(used.shape, 0 if "weight" in name else 1, value.dtype)
        batch[name][used] = value[0]
    return batch


def by_hand(vectors, batch, temperature, symmetric=False):
    """Loss and accuracy of each group, in float64."""
    counted = batch["group_weights"].ravel() > 0
    groups, roles, ids, partners = (
        batch[name].ravel() for name in ("text_groups", "text_roles", "text_ids", "partner_ids")
    )
    vectors = vectors.reshape(-1, vectors.shape[-1]).astype(np.float64)
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    losses, hits = [], []
    for mine, theirs in [(FIRST, (SECOND, NEGATIVE))] + [(SECOND, (FIRST,))] * symmetric:
        for i in np.flatnonzero(counted & (roles == mine)):
            scores = []
            for j in np.flatnonzero(counted & np.isin(roles, theirs)):
                if groups[j] == groups[i] and roles[j] != NEGATIVE:
                    own = vectors[i] @ vectors[j] / temperature
                elif ids[j] != partners[i] and ids[j] != ids[i] and partners[j] != ids[i]:
                    scores.append(vectors[i] @ vectors[j] / temperature)
            losses.append(np.log(np.exp(np.array([own, *scores])).sum()) - own)
            if mine == FIRST:
                hits.append(own > max(scores, default=-np.inf))
    return losses, hits


def contrastive(batch, vectors, **options):
    outcome = Contrastive(**options).outcome(jnp.asarray(vectors), batch)
    return outcome.losses["embedding_loss"].sum, outcome.metrics["embedding_accuracy"]


def made_up(seed, count=24, texts=9):
    """Groups of two and three texts, some of which occur several times, in random order."""
    rng = np.random.default_rng(seed)
    found = []
    for group in range(count):
        first, second, third = rng.choice(texts * 2, 3, replace=False)
        found += [(group, FIRST, first, second), (group, SECOND, second, first)]
        found += [(group, NEGATIVE, third, -1)] * (group % 3 == 0)
    return [found[i] for i in rng.permutation(len(found))]


@pytest.mark.parametrize("symmetric", [False, True])
def test_the_loss_is_that_of_a_plain_loop(symmetric):
    for seed in range(4):
        batch = columns_of(made_up(seed))
        vectors = np.random.default_rng(seed).normal(size=(*batch["text_ids"].shape, 8)).astype(np.float32)
        loss, accuracy = contrastive(batch, vectors, temperature=0.2, symmetric=symmetric)
        values, hits = by_hand(vectors, batch, 0.2, symmetric)
        assert (loss.weight, accuracy.weight) == (24, 24)
        np.testing.assert_allclose(loss.total, np.sum(values) / (1 + symmetric), rtol=1e-5)
        assert accuracy.total == sum(hits)


def loss_of(texts, vectors):
    return float(contrastive(columns_of(texts), np.array([vectors], np.float32), temperature=1.0)[0].total)


def test_a_text_that_belongs_is_no_negative():
    """The partner again, another partner of the same text, and the text itself, each in a second group."""
    alone = [(0, FIRST, 1, 2), (0, SECOND, 2, 1)]
    vectors = [[1.0, 0.2], [1.0, 0.3]]
    assert loss_of(alone, vectors) == pytest.approx(0, abs=1e-6)
    for text, partner in ((2, 7), (8, 1), (1, 7)):
        # The second group's first text has no candidate but its own partner either: so nothing is lost.
        both = [*alone, (3, SECOND, text, partner)]
        assert loss_of(both, [*vectors, [1.0, 0.25]]) == pytest.approx(0, abs=1e-6)
    stranger = [*alone, (3, SECOND, 8, 7)]
    assert loss_of(stranger, [*vectors, [1.0, 0.25]]) == pytest.approx(np.log(2), abs=0.01)
    negative = [*alone, (3, NEGATIVE, 8, -1)]
    assert loss_of(negative, [*vectors, [1.0, 0.25]]) == pytest.approx(np.log(2), abs=0.01)


def test_a_group_that_is_twice_in_a_batch_competes_once():
    """As at the end of an epoch, when the next one begins in the same batch."""
    vectors = np.random.default_rng(0).normal(size=(6, 4))
    texts = [(0, FIRST, 1, 2), (0, SECOND, 2, 1), (1, FIRST, 3, 4), (1, SECOND, 4, 3)]
    once = loss_of(texts, vectors[:4])
    twice = loss_of([*texts, *texts[:2]], vectors[[0, 1, 2, 3, 0, 1]])
    first, second = by_hand(vectors[:4], columns_of(texts), 1.0)[0]
    assert once == pytest.approx(first + second, rel=1e-5)
    # The copies of group 0 cost the same again; for group 1 there is another copy of a stranger.
    third = loss_of([*texts, (7, SECOND, 2, 1)], vectors[[0, 1, 2, 3, 1]]) - first
    assert twice == pytest.approx(2 * first + third, rel=1e-5)


def test_equal_vectors_guess():
    batch = rows()
    loss, accuracy = contrastive(batch, np.ones((*batch["text_ids"].shape, 4), np.float32))
    assert loss.mean == pytest.approx(np.log(4), abs=1e-5)
    assert accuracy.mean == pytest.approx(1 / 4)


def test_matryoshka_is_the_mean_over_sizes():
    batch = rows()
    vectors = np.random.default_rng(1).normal(size=(*batch["text_ids"].shape, 8)).astype(np.float32)
    loss, accuracy = contrastive(batch, vectors, matryoshka_sizes=(2, 4))
    parts = [contrastive(batch, vectors[..., :size])[0].mean for size in (8, 2, 4)]
    np.testing.assert_allclose(loss.mean, np.mean(parts), rtol=1e-5)
    assert accuracy.mean == contrastive(batch, vectors)[1].mean


def test_similarity_is_the_squared_error_of_the_cosine():
    numbers = {4: 4.0, 9: 1.0}
    batch = rows(texts=[*TEXTS[:4], (5, FIRST, 6, 7), (5, SECOND, 7, 6)], numbers=numbers)
    vectors = np.random.default_rng(2).normal(size=(*batch["text_ids"].shape, 8)).astype(np.float32)
    loss = Similarity(lowest=0, highest=5).outcome(jnp.asarray(vectors), batch).losses["embedding_loss"].sum
    flat = vectors[small.used_slots() > 0].astype(np.float64)
    unit = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    expected = (unit[0] @ unit[2] - 4 / 5) ** 2 + (unit[3] @ unit[1] - 1 / 5) ** 2
    assert loss.weight == 2
    np.testing.assert_allclose(loss.total, expected, rtol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "max", "cls"])
def test_packing_changes_nothing(pooling, monkeypatch):
    monkeypatch.setattr(small, "CONFIG", small.dataclasses.replace(small.CONFIG, pooling=pooling))
    small.assert_packing_changes_nothing(rows(), Contrastive(symmetric=True, matryoshka_sizes=(4,)))


def test_packing_changes_no_similarity():
    small.assert_packing_changes_nothing(rows(numbers={4: 1.0, 9: 0.3}), Similarity())


def test_bfloat16_is_near_float32():
    small.assert_bfloat16_is_near_float32(rows(), Contrastive(temperature=1.0))


def test_the_same_text_twice_has_two_draws_of_dropout():
    """SimCSE: equal tokens, other keys. Without dropout, the two vectors are equal."""
    batch = rows(texts=[(i // 2, i % 2, i // 2, i // 2) for i in range(6)])
    single = {name: value[2:3] for name, value in batch.items()}  # a row of one text, twice
    for name in ("text_groups", "text_ids", "partner_ids"):
        single[name] = np.zeros_like(single[name])
    twice = {name: np.concatenate([value, value]) for name, value in single.items()}
    twice["text_roles"][1, 0] = SECOND
    twice["group_weights"][:, 0] = 1
    twice["example_keys"][1, 0] += 1
    learner = small.learner_of(Contrastive())
    params = random_params(learner.model, batch)

    def vectors(dropout):
        found = small.eval_of(learner, twice, params, dropout)[1]["embedding"]["vectors"][:, 0]
        return np.asarray(found)

    np.testing.assert_array_equal(*vectors(False))
    assert np.abs(np.subtract(*vectors(True))).max() > 0.05


def test_what_does_not_count_changes_nothing_and_leaves_gradients_finite():
    batch = rows()
    nothing = batch | {"group_weights": np.zeros_like(batch["group_weights"])}
    learner = small.learner_of(Contrastive(), Similarity(name="similarity"))
    params = random_params(learner.model, batch)
    outcome, gradient = small.outcome_and_gradient(learner, nothing, params)
    assert outcome.losses["embedding_loss"].sum.weight == 0
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(gradient))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(small.outcome_and_gradient(learner, batch, params)))
    # What was not counted has no mean: a loss of 0 would look perfect.
    found = learner.score(outcome, jax.device_get(small.eval_of(learner, nothing, params)[1]), nothing)
    assert not found


def test_scores_have_their_numbers():
    pairs = [(i // 2, i % 2, i, i ^ 1) for i in range(6)]
    held_out = [rows(0), rows(1, texts=pairs), rows(2, texts=pairs, numbers={0: 1.0, 1: 0.3, 2: 0.5})]
    for i, batch in enumerate(held_out):
        batch["text_groups"] = batch["text_groups"] + 100 * i
        batch["text_ids"] = batch["text_ids"] + 100 * i
    found, baselines = small.assert_scores_are_told(held_out, Contrastive(matryoshka_sizes=(4,)))
    assert found["embedding_ndcg_10"] != baselines["embedding_random_ndcg_10"]


def test_the_correlation_is_that_of_cosines():
    rng = np.random.default_rng(0)
    numbers = {group: float(rng.integers(6)) for group in range(20)}
    texts = [(g, role, 2 * g + role, -1) for g in numbers for role in (FIRST, SECOND)]
    batch = columns_of([texts[i] for i in rng.permutation(len(texts))], numbers)
    by_text = rng.normal(size=(40, 6)).astype(np.float32)
    vectors = by_text[batch["text_ids"]]
    unit = by_text / np.linalg.norm(by_text, axis=1, keepdims=True)
    expected = agreement.spearman(np.array(list(numbers.values())), (unit[::2] * unit[1::2]).sum(1))
    found = Contrastive(matryoshka_sizes=(2,)).judge({"vectors": vectors}, batch)
    assert found["embedding_spearman"] == pytest.approx(expected, abs=1e-6)
    assert found.keys() == {"embedding_spearman", "embedding_spearman/2"}
    assert Contrastive().judge({"vectors": np.ones_like(vectors)}, batch) == {}  # constant: undefined


def test_retrieval_is_over_all_distinct_texts_of_the_held_out_set():
    """Two questions of one passage, a negative, and a question that is a passage, too."""
    texts = [(0, FIRST, 1, 10), (0, SECOND, 10, 1), (1, FIRST, 2, 10), (1, SECOND, 10, 2), (1, NEGATIVE, 11, -1)]
    texts += [(2, FIRST, 3, 12), (2, SECOND, 12, 3), (3, FIRST, 12, 13), (3, SECOND, 13, 12)]
    batch = columns_of(texts)
    angles = {1: 0, 10: 30, 11: 10, 2: 31, 3: 100, 12: 80, 13: 90}
    turn = np.radians([[angles[t] for _, _, t, _ in texts]])
    vectors = np.stack([np.cos(turn), np.sin(turn)], axis=-1).astype(np.float32)
    found = Contrastive().judge({"vectors": vectors}, batch)
    # Documents 10, 11, 12, 13 of the queries 1, 2, 3, 12: the ranks are 2, 1, 2 and 1, as 12 is not asked for itself.
    assert found["embedding_mrr"] == pytest.approx((1 / 2 + 1 + 1 / 2 + 1) / 4)
    assert found["embedding_recall_1"] == pytest.approx(2 / 4)
    assert found["embedding_ndcg_10"] == pytest.approx((2 / np.log2(3) + 2) / 4)
    baselines = Contrastive().baselines(batch)
    assert baselines["embedding_random_recall_1"] == pytest.approx(1 / 4)


def test_the_order_of_slots_and_rows_does_not_matter():
    batch = rows()
    learner = small.learner_of(Contrastive())
    params = random_params(learner.model, batch)
    alone = unpack(batch, small.S, learner.columns)
    order = np.random.default_rng(0).permutation(len(alone["token_ids"]))
    left = small.outcome_and_gradient(learner, alone, params)
    right = small.outcome_and_gradient(learner, {name: value[order] for name, value in alone.items()}, params)
    small.assert_close(left, right)


ON_EIGHT = """
import json, sys
import jax, numpy as np
jax.config.update("jax_num_cpu_devices", 8)
from bert_jax import sharding
from bert_jax.sharding import MeshConfig
from bert_jax.objectives.contrastive import Contrastive
from tests.interop.rows import random_params
from tests.objectives import small
from tests.objectives.test_embeddings import eight_rows

batch = eight_rows()
learner = small.learner_of(Contrastive(symmetric=True))
params = random_params(learner.model, batch)
alone = small.outcome_and_gradient(learner, batch, params)
worst = []
for mesh in (MeshConfig(data=8), MeshConfig(data=2, fsdp=2, tensor=2)):
    mesh = sharding.make_mesh(mesh)
    with jax.set_mesh(mesh), sharding.rules():
        learner.check(batch)
        placed = sharding.place_batch(batch, mesh)
        def total(params):
            outcome = learner.loss_fn(params, None, placed, small.Randomness(np.uint32(3), np.int32(5), True))
            return outcome.losses["embedding_loss"].sum.mean, outcome
        (_, outcome), gradient = jax.jit(jax.value_and_grad(total, has_aux=True))(params)
    small.assert_close(jax.device_get((outcome, gradient)), jax.device_get(alone))
    worst.append(float(outcome.losses["embedding_loss"].sum.mean - alone[0].losses["embedding_loss"].sum.mean))
print(json.dumps(worst))
"""


def eight_rows():
    """Rows whose groups are spread over all rows, so over all devices."""
    batches = [rows(seed) for seed in range(8)]
    batch = {name: value[:8] for name, value in small.joined(batches).items()}
    texts = [one for one in made_up(5, 10, 20) if one[1] != NEGATIVE]
    slots = np.argwhere(batch["example_ids"].max(1)[:, None] > np.arange(small.N))
    texts = texts[: len(slots)]
    batch["group_weights"][:] = 0
    for (row, slot), values in zip(slots, texts, strict=False):
        batch["group_weights"][row, slot] = 1
        for name, value in zip(("text_groups", "text_roles", "text_ids", "partner_ids"), values, strict=True):
            batch[name][row, slot] = value
    return batch


def test_eight_devices_choose_among_the_texts_of_all():
    done = subprocess.run(
        [sys.executable, "-c", ON_EIGHT], capture_output=True, text=True, env=os.environ | {"JAX_PLATFORMS": "cpu"}
    )
    assert done.returncode == 0, done.stderr
    assert max(map(abs, json.loads(done.stdout))) < 1e-5


def test_microbatches_do_not_see_each_other():
    """As the docstring says: the loss of two halves is not that of the whole."""
    batch = columns_of(made_up(0))
    vectors = np.random.default_rng(0).normal(size=(*batch["text_ids"].shape, 8)).astype(np.float32)
    whole = contrastive(batch, vectors)[0].total
    halves = 0.0
    for part in (0, 1):
        inside = batch["text_groups"] % 2 == part
        some = batch | {"group_weights": batch["group_weights"] * inside}
        halves += contrastive(some, vectors)[0].total
    assert halves < whole
