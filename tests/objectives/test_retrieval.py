"""Retrieval scores against a loop over all orders of what is tied."""

import itertools

import numpy as np
import pytest

from bert_jax.objectives.retrieval import random_order_scores, retrieval_scores


def ranked(values, relevant):
    """(nDCG@10, reciprocal rank, recall@1, recall@10), the mean over every order in which none is out of place."""
    found = []
    for order in itertools.permutations(range(len(values))):
        if all(values[a] >= values[b] for a, b in itertools.pairwise(order)):
            ranks = sorted(order.index(one) + 1 for one in relevant)
            gain = sum(1 / np.log2(rank + 1) for rank in ranks if rank <= 10)
            best = sum(1 / np.log2(rank + 1) for rank in range(1, min(10, len(ranks)) + 1))
            recall = [sum(rank <= depth for rank in ranks) / len(ranks) for depth in (1, 10)]
            found.append((gain / best, 1 / ranks[0], *recall))
    return np.mean(found, axis=0)


def names(values):
    return dict(zip(("ndcg_10", "mrr", "recall_1", "recall_10"), values, strict=True))


def on_a_line(values):
    """Vectors of length 1 whose cosine with (1, 0) is the value."""
    return np.stack([values, np.sqrt(1 - np.square(values))], axis=1)


@pytest.mark.parametrize("seed", range(6))
def test_ties_stand_in_any_order(seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 3, 6) / 4
    relevant = rng.choice(6, rng.integers(1, 4), replace=False)
    pairs = np.stack([np.zeros_like(relevant), relevant], axis=1)
    found = retrieval_scores(np.array([[1.0, 0.0]]), on_a_line(values).astype(np.float32), pairs)
    assert found == pytest.approx(names(ranked(values, relevant)), rel=1e-9)
    constant = retrieval_scores(np.array([[1.0, 0.0]]), on_a_line(np.full(6, 0.5)), pairs)
    assert constant == pytest.approx(random_order_scores(6, pairs))


def test_several_queries_without_ties_are_ranked_as_by_sorting():
    rng = np.random.default_rng(0)
    queries, documents = (rng.normal(size=(n, 5)) for n in (700, 40))
    queries, documents = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (queries, documents))
    relevant = np.unique(rng.integers(0, (700, 40), (1500, 2)), axis=0)
    relevant = np.concatenate([relevant, [[q, 0] for q in range(700) if q not in relevant[:, 0]]])[::-1]
    scores = {name: [] for name in ("ndcg_10", "mrr", "recall_1", "recall_10")}
    for query in range(700):
        right = relevant[relevant[:, 0] == query, 1]
        hits = np.isin(np.argsort(-(documents @ queries[query])), right)
        best = (1 / np.log2(np.arange(2, 12)))[: len(right)].sum()
        scores["ndcg_10"].append((hits[:10] / np.log2(np.arange(2, 12))).sum() / best)
        scores["mrr"].append(1 / (hits.argmax() + 1))
        scores["recall_1"].append(hits[0] / len(right))
        scores["recall_10"].append(hits[:10].sum() / len(right))
    found = retrieval_scores(queries, documents, relevant)
    assert found == pytest.approx({name: np.mean(values) for name, values in scores.items()})


def test_ndcg_is_that_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics", reason="the extra parity has scikit-learn")
    rng = np.random.default_rng(1)
    values = rng.integers(0, 12, (50, 30)) / 16
    gold = rng.random((50, 30)) < 0.1
    gold[:, 0] |= ~gold.any(1)
    # Each query is an axis of its own, and documents have its value there.
    documents = np.concatenate([values.T, np.zeros((30, 1))], axis=1)
    found = [
        retrieval_scores(np.eye(51)[[q]], documents, np.stack([np.zeros(len(d), int), d], axis=1))["ndcg_10"]
        for q, d in enumerate(map(np.flatnonzero, gold))
    ]
    assert np.mean(found) == pytest.approx(metrics.ndcg_score(gold, values, k=10))


def test_what_is_left_out_takes_no_place():
    documents = on_a_line(np.array([1.0, 0.9, 0.8, 0.1]))
    query = np.array([[1.0, 0.0]])
    found = retrieval_scores(query, documents, np.array([[0, 2]]), np.array([[0, 0]]))
    assert found["mrr"] == 1 / 2
    assert retrieval_scores(query[:0], documents, np.zeros((0, 2), int)) == {}
    assert random_order_scores(4, np.zeros((0, 2), int)) == {}


def test_a_random_order_of_many_documents():
    """The closed forms: one relevant document of 1,000."""
    found = random_order_scores(1000, np.array([[0, 5], [1, 7]]))
    assert found["recall_1"] == pytest.approx(1 / 1000)
    assert found["recall_10"] == pytest.approx(10 / 1000)
    assert found["mrr"] == pytest.approx((1 / np.arange(1, 1001)).mean())
