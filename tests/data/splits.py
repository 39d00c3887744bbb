"""Splits made by hand, where it matters how many documents and sentences there are."""

import numpy as np

from bert_jax.corpus.store import Split

V = 300


def split_of(documents, seed=0, sources=None, words=None):
    """A split of these documents, each a list of sentence lengths.

    Its tokens are random ordinary ones, or of `words`; `sources` are the documents' sources, all 0 by default.
    """
    lengths = [length for document in documents for length in document]
    starts = np.cumsum([0, *lengths])
    tokens = np.random.default_rng(seed).choice(range(100, V) if words is None else words, starts[-1])
    return Split(
        token_ids=tokens.astype(np.uint16),
        sentence_starts=starts.astype(np.int64),
        document_starts=np.cumsum([0, *map(len, documents)]).astype(np.int64),
        document_sources=np.array(sources or [0] * len(documents), np.int32),
        vocab_size=V,
    )


MANY = [[5] * 20] * 8  # eight documents of twenty short sentences
ONE_DOCUMENT = [[5] * 200]
ONE_SENTENCE_EACH = [[9]] * 100
ONE_OF_SEVERAL_SENTENCES = [[5] * 20, *[[9]] * 50]
