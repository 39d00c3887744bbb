"""Refuses text whose pairs of segments teach nothing: a question with one answer, candidates without rivals."""

import numpy as np

from bert_jax.data.batches import Batches
from bert_jax.data.kinds import Kind
from bert_jax.data.rows import SourceRows
from bert_jax.errors import CorpusError

# How often to make the examples of a block before nothing is expected of it: lengths are drawn, and a few documents may
# all be cut into single sentences.
EPOCHS = 16


def check_pairs(batches: Batches, which: str, mend: str) -> None:
    """Checks that some source gives pairs to learn from, or to be scored on, in its first block.

    Does nothing if the kind of examples has no pairs.

    Args:
      batches: the batches to be made.
      which: the documents that they are made of, such as `training`.
      mend: how to get better ones, for the message.

    Raises:
      CorpusError: no source does.
    """
    config = batches.config
    if not (config.kind.question or config.kind.is_split):
        return
    causes = []
    for source in np.argsort(-batches.shares, kind="stable"):
        if batches.shares[source] > 0:
            cause = _problem(batches.rows[source], config.kind)
            if not cause:
                return
            causes.append(cause)
    raise CorpusError(
        f"The {which} documents ({batches.split.num_documents:,}) give no pairs of segments to tell apart: {causes[0]}."
        f" {mend}, or use data.examples=full_sentences."
    )


def _problem(rows: SourceRows, kind: Kind) -> str:
    """Says why the pairs of a source teach nothing; empty if they may teach something."""
    needs_others = kind.is_split or kind.question == "next sentence"
    documents, paired = set(), set()
    for epoch in range(EPOCHS):
        examples = rows.plan(epoch, 0).examples
        documents.update(examples.document.tolist())
        paired.update(examples.document[examples.is_free].tolist())
        if len(documents) > needs_others and len(paired) > kind.is_split:
            return ""
    if len(documents) <= needs_others:
        return "there is one document, and each pair is compared with others (text without blank lines is one document)"
    if not paired:
        return "no example has two sentences: documents have one each, or sentences are as long as a row"
    return "only one document has two sentences or more, so that its pairs have no rivals"
