import re

import numpy as np
import pytest

from bert_jax.data.config import DataConfig
from bert_jax.data.phases import PhasedBatches, plan_phases
from bert_jax.reporting.batch_text import batch_text


@pytest.fixture(scope="module", params=["bert", "sentence_order", "full_sentences"])
def batches(corpus, request):
    config = DataConfig(
        sequence_length=64, corpus="here", examples=request.param, max_examples=4, short_probability=0.5
    )
    return PhasedBatches(plan_phases(config, 8), {"here": corpus}, seed=0)


def test_it_shows_the_very_batch(batches, corpus):
    """Every prediction of the batch stands in the text, and the text around it is that of the corpus."""
    batch = batches.batch(6)
    text = batch_text(batches, step=7)
    shown = re.findall(r"\{(.*?): (.*?)\}", text)
    vocabulary = corpus.tokenizer.vocabulary
    expected = []
    for row in range(8):
        used = batch["masked_weights"][row] > 0
        order = np.argsort(batch["masked_positions"][row, used])
        places, targets = batch["masked_positions"][row, used][order], batch["masked_targets"][row, used][order]
        expected += [
            (vocabulary[batch["token_ids"][row, p]], vocabulary[t]) for p, t in zip(places, targets, strict=True)
        ]
    assert shown == expected
    assert text.count("document ") == (batch["example_ids"].max(1)).sum()
    assert len(re.findall(r"^ +B  ", text, re.M)) == sum(
        (batch["token_type_ids"][row][batch["example_ids"][row] == s + 1].any())
        for row in range(8)
        for s in range(batch["example_ids"][row].max())
    )


def test_rows_are_chosen(batches):
    text = batch_text(batches, step=1, rows=range(2, 4))
    assert re.findall(r"^row (\d+)", text, re.M) == ["2", "3"]


def test_labels_are_told(batches):
    text = batch_text(batches, step=1)
    kind = batches.phases[0].config.examples
    for word in {"bert": ("is next", "random"), "sentence_order": ("in order", "swapped")}.get(kind, ("one segment",)):
        assert word in text
