import dataclasses

import numpy as np
import pytest

from bert_jax.corpus.store import Split
from bert_jax.data import blocks


def make_split(document_lengths, sentence_length=10):
    sentences = [max(1, n // sentence_length) for n in document_lengths]
    sentence_starts = np.arange(sum(sentences) + 1) * sentence_length
    return Split(
        token_ids=np.zeros(sentence_starts[-1], np.uint16),
        sentence_starts=sentence_starts,
        document_starts=np.concatenate([[0], np.cumsum(sentences)]),
        document_sources=np.zeros(len(sentences), np.int32),
        vocab_size=1,
    )


@pytest.mark.parametrize("lengths", [[50] * 3000, [200_000, 30, 90_000, 10], [10], [400_000]])
def test_every_sentence_is_in_one_piece_of_one_block(lengths, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_TOKENS", 40_000)
    split = make_split(lengths)
    cut = blocks.Blocks(split, seed=0)
    seen = np.zeros(len(split.sentence_starts) - 1, int)
    owner = np.repeat(np.arange(split.num_documents), np.diff(split.document_starts))
    for block in range(len(cut)):
        pieces = cut.pieces(block)
        tokens = 0
        for begin, end, document in zip(pieces.begin, pieces.end, pieces.document, strict=True):
            assert begin < end
            assert (owner[begin:end] == document).all()
            seen[begin:end] += 1
            tokens += split.sentence_starts[end] - split.sentence_starts[begin]
        assert tokens == cut.tokens[block]
    assert (seen == 1).all()
    assert cut.tokens.sum() == split.num_tokens


def test_pieces_of_long_documents_are_bounded():
    split = make_split([500_000])
    pieces, _ = blocks.cut(split)
    lengths = split.sentence_starts[pieces.end] - split.sentence_starts[pieces.begin]
    assert lengths.max() <= blocks.RUN_TOKENS + 10


def test_sentences_longer_than_a_piece_are_cut_and_nothing_is_lost():
    lengths = np.array([5, 3 * blocks.RUN_TOKENS + 1, 7, blocks.RUN_TOKENS, 20_000, 2])
    starts = np.append(0, np.cumsum(lengths))
    split = Split(np.zeros(starts[-1], np.uint16), starts, np.array([0, 3, 5, 6]), np.zeros(3, np.int32), 1)
    pieces, cut = blocks.cut(split)
    assert np.isin(starts, cut).all()
    assert np.diff(cut).max() <= blocks.RUN_TOKENS
    assert cut[pieces.begin[0]] == 0
    np.testing.assert_array_equal(pieces.begin[1:], pieces.end[:-1])
    assert cut[pieces.end[-1]] == starts[-1]
    document = np.searchsorted(starts[split.document_starts], cut[pieces.begin], side="right") - 1
    np.testing.assert_array_equal(pieces.document, document)
    # The documents of one source alone: the same, as a view.
    alone, cut = blocks.cut(dataclasses.replace(split, document_starts=np.array([3, 5])))
    assert (cut[alone.begin[0]], cut[alone.end[-1]]) == (starts[3], starts[5])


@pytest.mark.parametrize(("longest", "parts"), [(125, 16), (62, 16), (5, 5), (7, 1)])
def test_units_are_even_and_fill_rows(longest, parts):
    lengths = np.array([1, longest, longest + 1, 10 * longest, 3])
    text, offset = blocks.divide(lengths, longest, parts)
    start = (np.cumsum(lengths) - lengths)[text] + offset
    sizes = np.diff(np.append(start, lengths.sum()))
    assert sizes.min() >= 1
    np.testing.assert_array_equal(np.bincount(text, sizes), lengths)
    assert len(text[text == 1]) == 1
    assert sizes[text == 2].max() <= -(-longest // parts)
    assert (sizes[text == 3].reshape(10, parts).sum(axis=1) == longest).all()


def test_blocks_are_equal_and_mixed(monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_TOKENS", 100_000)
    split = make_split([50] * 20_000)
    cut = blocks.Blocks(split, seed=0)
    assert len(cut) == 10
    assert cut.tokens.max() - cut.tokens.min() <= 2 * blocks.RUN_TOKENS
    # A block's documents come from all over the corpus, not from one end of it.
    middles = [cut.pieces(block).document.mean() for block in range(10)]
    assert abs(np.array(middles) - 10_000).max() < 5000
