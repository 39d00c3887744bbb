import collections

import pytest

from bert_jax.tokenization.accents import Marks


def count(text):
    return Marks.count(collections.Counter(text))


@pytest.mark.parametrize(
    ("text", "are_letters"),
    [
        ("Größe, élan, Tiếng Việt, Ёлка, Ώρα", False),
        ("e\u0301lan 👍️ 1\u20e3", False),
        ("The cat sat on the mat.", False),
        ("今天天气很好", False),
        ("मैं किताब पढ़ता हूँ", True),
        ("ที่นี่", True),
        ("ភាសាខ្មែរ", True),
        ("မြန်မာ", True),
        ("שָׁלוֹם", True),
        ("مُحَمَّد", True),
        ("آثار مؤسسة", True),
        ("がぎぐ", True),
        ("한국어", True),
        ("שלום", False),
    ],
)
def test_marks_are_letters_outside_of_the_alphabets_of_europe(text, are_letters):
    assert count(text).are_letters == are_letters


def test_letters_are_counted():
    assert count("ab, éü 7") == Marks(letters=4, accented=2, changed=0)
    assert count("e\u0301") == Marks(letters=1, accented=1, changed=0)
    assert count("कि") == Marks(letters=1, accented=0, changed=0)  # this vowel sign is no mark that BERT removes
    assert count("कु한") == Marks(letters=3, accented=0, changed=2)


def test_a_few_foreign_names_decide_nothing():
    assert not count("word " * 1000 + "कु").are_letters
    assert count("word " * 100 + "कु").are_letters
