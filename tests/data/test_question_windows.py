"""Windows of passages: no token is left out, and each question is there."""

import numpy as np
import pytest

from bert_jax.data.question_windows import cut_questions, tokens_of, window_begins
from bert_jax.data.texts import packed_batches
from bert_jax.objectives.answer_windows import Asked
from bert_jax.tokenization import WordPieceTokenizer, from_files
from tests.tokenization.samples import FIVE, byte_level_json

WORDS = [f"w{i}" for i in range(300)]


def tokenizer():
    return WordPieceTokenizer((*FIVE, *WORDS, "q"), lowercase=True)


@pytest.mark.parametrize(
    ("count", "room", "stride"),
    [(200, 100, 150), (150, 100, 200), (100, 100, 50), (101, 100, 50), (0, 5, 3), (1, 1, 1), (7, 1, 9), (300, 64, 32)],
)
def test_every_token_is_in_a_window_whatever_the_stride(count, room, stride):
    begins = window_begins(count, room, stride)
    covered = {token for begin in begins for token in range(begin, min(begin + room, count))}
    assert covered == set(range(count))
    # Of windows that advance by the stride, the last is the first that reaches the end.
    assert begins[-1] + room >= count
    assert len(begins) == 1 or begins[-2] + room < count
    assert begins[0] == 0


def tokens(windows, tokenizer, width):
    """The pieces of each example, as they are in rows."""
    found = {}
    for packed in packed_batches(windows.texts, tokenizer, width):
        for i, row, first in zip(packed.index, packed.row, packed.first, strict=True):
            length = int(windows.texts.segments.length[i])
            ids = packed.batch["token_ids"][row, first : first + length]
            types = packed.batch["token_type_ids"][row, first : first + length]
            found[int(i)] = ([tokenizer.vocabulary[id_] for id_ in ids], types.tolist())
    return [found[i] for i in range(len(found))]


@pytest.mark.parametrize("stride", [1, 5, 40])
def test_examples_are_pairs_and_each_token_can_be_cut_from_the_passage(stride):
    context = "  ".join(WORDS[:40])
    asked = [Asked(0, context), Asked(1, "w1 w2"), Asked(2, context)]
    windows = cut_questions(asked, ["q w7", "q", "q w9 w9"], tokenizer(), 16, 8, stride)
    assert len(windows.texts.token_ids) == 2 + 1 + 3 + 40 + 2  # equal passages are there once
    seen = [set() for _ in asked]
    for (pieces, types), window, begin in zip(
        tokens(windows, tokenizer(), 16), windows.windows, windows.begins.tolist(), strict=True
    ):
        first = window.first
        assert len(pieces) <= 16
        assert (pieces[0], pieces[first - 1], pieces[-1]) == ("[CLS]", "[SEP]", "[SEP]")
        assert types == [0] * first + [1] * (len(pieces) - first)
        for position in range(first, len(pieces) - 1):
            assert window.cut(position, position) == pieces[position]
            seen[window.asked.number].add(begin + position - first)
    assert seen == [set(range(40)), {0, 1}, set(range(40))]
    assert windows.num_cut == 0
    np.testing.assert_array_equal(windows.firsts, [window.first for window in windows.windows])


def test_a_question_that_fills_a_row_is_cut_so_that_its_passage_has_room():
    windows = cut_questions([Asked(0, " ".join(WORDS[:50]))], [" ".join(["q"] * 40)], tokenizer(), 32, 64, 16)
    assert windows.num_cut == 1
    assert len(windows.windows) == 50  # a token each
    assert all(len(pieces) == 32 for pieces, _ in tokens(windows, tokenizer(), 32))
    windows = cut_questions([Asked(0, " ".join(WORDS[:50]))], [" ".join(["q"] * 40)], tokenizer(), 32, 16, 16)
    assert {len(window.offsets) for window in windows.windows} <= {13, 11}


def test_robertas_pairs_have_two_separators_and_one_type():
    from bert_jax.tokenization.frames import template

    document = byte_level_json(post_processor=template("<s>", 0, "</s>", 2, 2))
    roberta = from_files({"tokenizer.json": document})
    windows = cut_questions([Asked(0, "the cat the")], ["cat"], roberta, 9, 4, 2)
    rows = tokens(windows, roberta, 16)
    for (pieces, types), window in zip(rows, windows.windows, strict=True):
        assert pieces[0] == "<s>"
        assert pieces[window.first - 2 : window.first] == ["</s>"] * 2
        assert pieces[-1] == "</s>"
        assert set(types) == {0}
        assert window.cut(window.first, len(pieces) - 2) in "the cat the"


def test_a_passage_without_tokens_has_one_empty_window():
    windows = cut_questions([Asked(0, "\u200b")], ["q"], tokenizer(), 16, 8, 4)
    assert [pieces for pieces, _ in tokens(windows, tokenizer(), 16)] == [["[CLS]", "q", "[SEP]"]]
    assert windows.windows[0].cut(3, 5) == ""
    empty = cut_questions([], [], tokenizer(), 16, 8, 4)
    assert (empty.windows, len(empty.texts.segments), len(empty.firsts)) == ([], 0, 0)


def test_the_tokens_of_a_span_hold_any_of_its_characters():
    offsets = np.array([[0, 3], [3, 5], [6, 6], [7, 9]])
    assert tokens_of((1, 4), offsets) == (0, 1)
    assert tokens_of((3, 9), offsets) == (1, 3)
    assert tokens_of((5, 7), offsets) is None  # white space
    assert tokens_of((8, 100), offsets) == (3, 3)
    assert tokens_of((0, 1), offsets[:0]) is None
