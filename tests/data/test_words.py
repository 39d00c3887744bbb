"""Words of plain text, where they are, and that their pieces are those of the whole text."""

import unicodedata

import numpy as np
import pytest

from bert_jax.data.words import split_words
from bert_jax.tokenization.wordpiece import WordPieceTokenizer


def words(text):
    return [text[word.start : word.end] for word in split_words(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("EU rejects German call.", ["EU", "rejects", "German", "call", "."]),
        ("  don't\tstop\r\n", ["don", "'", "t", "stop"]),
        ("R2-D2 costs 5€", ["R2", "-", "D2", "costs", "5€"]),
        ("北京 is 東京", ["北", "京", "is", "東", "京"]),
        ("カナとかな", list("カナとかな")),
        ("ภาษาไทย", ["ภ", "า", "ษ", "า", "ไ", "ท", "ย"]),
        ("กี่", ["กี่"]),  # a letter with two marks
        ("Cafe\u0301s Ça", ["Cafe\u0301s", "Ça"]),
        ("हिन्दी भाषा।", ["हिन्दी", "भाषा", "।"]),
        ("서울에서", ["서울에서"]),
        ("zero\u200bwidth\u200b \u200b x\x00y", ["zero\u200bwidth", "x\x00y"]),
        ("", []),
        (" \u200b\n", []),
    ],
)
def test_words(text, expected):
    assert words(text) == expected


def texts():
    """Of letters, digits, signs, Chinese characters, marks, and characters that are not seen; without kana and Thai."""
    letters = [*"aBcÉïßжד한9_-.,'@€ \t\n\u3000北京\u200b\u200d\x00\xad。—", "e\u0301", "न\u0903"]
    rng = np.random.default_rng(0)
    return ["".join(rng.choice(letters, rng.integers(0, 40))) for _ in range(500)]


def test_words_are_in_order_and_leave_out_only_what_is_not_seen():
    for text in texts():
        end = 0
        for word in split_words(text):
            assert end <= word.start < word.end <= len(text)
            between, end = text[end : word.start], word.end
            assert all(c.isspace() or unicodedata.category(c) in ("Cc", "Cf") for c in between), repr(between)


@pytest.mark.parametrize("lowercase", [True, False])
def test_the_pieces_of_the_words_are_those_of_the_text(lowercase):
    known = {c for text in texts() for form in (text, text.lower()) for c in unicodedata.normalize("NFD", form) + form}
    letters = sorted(c for c in known if not c.isspace() and c not in "\ufffd\x00")
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    tokenizer = WordPieceTokenizer(pieces, lowercase)
    for text in texts():
        found = [id_ for ids in tokenizer.encode_batch(words(text)) for id_ in ids]
        assert found == tokenizer.encode(text), repr(text)
