"""Summaries that a loaded model makes of documents, by choosing sentences."""

from collections.abc import Callable, Sequence

import numpy as np

from bert_jax.answers import Summary
from bert_jax.batch import Batch, cut
from bert_jax.data.documents import make_windows
from bert_jax.data.labelled import Rows
from bert_jax.objectives.extracts import Document
from bert_jax.objectives.summary_sentences import SummarySentences
from bert_jax.tokenization import Tokenizer

TOKENS_AT_ONCE = 4096  # in a batch
SHORTEST_ROW = 64  # tokens
TOKENS_PER_EXAMPLE = 16  # a row has a slot for each window of at least this length


def summarize(
    documents: Sequence[Sequence[str]],
    objective: SummarySentences,
    predict: Callable[[Batch], np.ndarray],
    tokenizer: Tokenizer,
    longest: int,
    overlap: int,
) -> list[Summary]:
    """Returns a summary of each document.

    Args:
      documents: the sentences of each.
      objective: says how many sentences to choose, and how.
      predict: maps a batch to the scores of its tokens, float32 [B, S, 1].
      tokenizer: makes the tokens.
      longest: the most tokens in a window.
      overlap: how many tokens a window shares with the one before it, at most.
    """
    counts = [len(sentences) for sentences in documents]
    scores = np.zeros(sum(counts), np.float32)
    if len(scores):
        windows = make_windows(documents, tokenizer, longest, overlap)
        # Few widths, each of which is compiled once.
        needed = max(SHORTEST_ROW, int(windows.texts.segments.length.max()))
        width = min(max(longest, needed), 1 << (needed - 1).bit_length())
        labelled = windows.labelled(np.zeros(len(scores)))
        rows = Rows(labelled, tokenizer, width, max(1, width // TOKENS_PER_EXAMPLE), (0, 0)).all()
        for batch in cut(rows, max(1, TOKENS_AT_ONCE // width)):
            counted = batch["summary_weights"] > 0
            scores[batch["summary_places"][counted]] = predict(batch)[..., 0][counted]
    parts = np.split(scores, np.cumsum(counts)[:-1])
    return [_summary(sentences, part, objective) for sentences, part in zip(documents, parts, strict=True)]


def _summary(sentences: Sequence[str], scores: np.ndarray, objective: SummarySentences) -> Summary:
    chosen = Document(tuple(sentences)).top(scores, objective.num_sentences, objective.block_trigrams)
    return Summary(tuple(sentences[i] for i in chosen), chosen, 1 / (1 + np.exp(-scores)))
