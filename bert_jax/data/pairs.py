"""Refuses text whose pairs of segments teach nothing: a question with one answer, candidates without rivals."""

import numpy as np

from bert_jax.data.batches import Batches
from bert_jax.data.examples import Examples
from bert_jax.data.kinds import Kind
from bert_jax.errors import CorpusError


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
            cause = _problem(batches.rows[source].plan(0, 0).examples, config.kind)
            if not cause:
                return
            causes.append(cause)
    raise CorpusError(
        f"The {batches.split.num_documents:,} {which} documents have no use for data.examples={config.examples}:"
        f" {causes[0]}. {mend}, or use data.examples=full_sentences."
    )


def _problem(examples: Examples, kind: Kind) -> str:
    """Says why the pairs of one source teach nothing; empty if they may teach something."""
    needs_others = kind.is_split or kind.question == "next sentence"
    if needs_others and len(np.unique(examples.document)) < 2:
        return "there is one document, and each pair is compared with others (text without blank lines is one document)"
    if not examples.is_free.any():
        return "no example has two sentences: documents have one each, or sentences are as long as a row"
    if kind.is_split and len(np.unique(examples.document[examples.is_free])) < 2:
        return "only one document has two sentences or more, so that its pairs have no rivals"
    return ""
