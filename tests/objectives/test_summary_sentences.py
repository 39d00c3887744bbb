"""Sentences with scores of their own, and documents put together again from packed windows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.batch import on_device
from bert_jax.data.documents import make_windows
from bert_jax.data.labelled import Rows
from bert_jax.objectives.extracts import Document
from bert_jax.objectives.summary_sentences import SummarySentences, documents_of
from tests.objectives import small


def rows(seed=0):
    """Sentences that begin at every third token; garbage at the others."""
    batch = small.core(seed)
    real = batch["example_ids"] > 0
    labels = np.random.default_rng(seed).integers(0, 2, real.shape).astype(np.float32)
    weights = (real & (batch["position_ids"] % 3 == 0)).astype(np.float32)
    return batch | {"summary_labels": labels, "summary_weights": weights}


def test_the_loss_is_that_of_the_sentences_alone():
    batch = rows()
    logits = np.random.default_rng(1).normal(size=(*batch["summary_weights"].shape, 1)) * 5
    outcome = SummarySentences(coefficient=0.5).outcome(jnp.asarray(logits, jnp.float32), batch)
    p = 1 / (1 + np.exp(-logits[..., 0]))
    values = -np.where(batch["summary_labels"] > 0, np.log(p), np.log(1 - p))
    loss, counted = outcome.losses["summary_loss"], batch["summary_weights"] > 0
    np.testing.assert_allclose(loss.sum.total, values[counted].sum(), rtol=1e-5)
    assert (loss.coefficient, loss.sum.weight) == (0.5, counted.sum())


def test_packing_changes_nothing():
    small.assert_packing_changes_nothing(rows(), SummarySentences())


def test_bfloat16_is_near_float32():
    small.assert_bfloat16_is_near_float32(rows(), SummarySentences())


SENTENCES = [["the end.", "and the.", "end and the.", "the and the."], ["end."], ["and the end."] * 3 + ["the."] * 9]
REFERENCES = [("and the. the end.",), ("end.", "the."), ("the.",)]
LABELS = [(0, 1, 0, 0), (1,), (0,) * 11 + (1,)]
DOCUMENTS = [Document(tuple(s), r, label) for s, r, label in zip(SENTENCES, REFERENCES, LABELS, strict=True)]


@pytest.fixture
def held_out(corpus):
    windows = make_windows(SENTENCES, corpus.tokenizer, 24, 10)
    labelled = windows.labelled(np.array([label for one in LABELS for label in one]))
    documents = {"summary_documents": windows.at_first(DOCUMENTS)}
    labelled = type(labelled)(labelled.texts, documents, labelled.token_columns, is_framed=True)
    return Rows(labelled, corpus.tokenizer, 32, 3, (0,)).all()


def test_documents_come_back_from_their_windows(held_out):
    found = list(documents_of(held_out, held_out["summary_labels"]))
    assert [document for document, _ in found] == DOCUMENTS
    for (_, labels), expected in zip(found, LABELS, strict=True):
        assert tuple(labels) == expected
    assert len(held_out["example_keys"].nonzero()[0]) > 3
    assert "summary_documents" not in on_device(held_out)


def test_scores_are_those_of_the_highest_sentences(held_out):
    """Beside those of the first ones and of the labelled ones, document by document."""
    objective = SummarySentences(num_sentences=2)
    scores = np.random.default_rng(0).normal(size=held_out["summary_labels"].shape).astype(np.float32)
    found = objective.judge({"scores": scores}, held_out) | objective.baselines(held_out)
    own = [values for _, values in documents_of(held_out, scores)]
    tops = [sorted(np.argsort(-values)[:2]) for values in own]
    labelled = [np.flatnonzero(label) for label in LABELS]
    for name, chosen in (("", tops), ("lead_", [(0, 1), (0,), (0, 1)]), ("oracle_", labelled)):
        for kind in ("rouge1", "rouge2", "rougeL", "rougeLsum"):
            each = [one.rouge(indices)[kind] for one, indices in zip(DOCUMENTS, chosen, strict=True)]
            assert found[f"summary_{name}{kind}"] == pytest.approx(np.mean(each))
    share = np.mean([label for one in LABELS for label in one])
    assert found["summary_share_loss"] == pytest.approx(-share * np.log(share) - (1 - share) * np.log(1 - share))


def test_blocking_counts_in_the_scores(held_out):
    """The third document has the same three words three times."""
    scores = -held_out["summary_places"].astype(np.float32)
    plain, blocked = (
        SummarySentences(num_sentences=3, block_trigrams=block).judge({"scores": scores}, held_out)
        for block in (False, True)
    )
    assert plain != blocked


def test_every_score_has_its_number(held_out):
    objective = SummarySentences()
    learner = small.learner_of(objective, vocab_size=300, max_positions=64)
    batch = on_device(held_out)
    params = jax.tree.map(jnp.asarray, small.random_params(learner.model, batch))
    outcome, decoded = jax.device_get(small.eval_of(learner, batch, params))
    found, baselines = learner.score(outcome, decoded, held_out), learner.baselines(held_out)
    assert {score.name for score in learner.scores} == found.keys()
    assert {score.baseline for score in learner.scores} == baselines.keys()
