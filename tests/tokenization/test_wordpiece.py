"""WordPiece gives google-research/bert's ids, which `reference.py` states in plain steps."""

import random
import string
import unicodedata

import pytest

from bert_jax.errors import TokenizerError
from bert_jax.tokenization import WordPieceTokenizer, from_files, wordpiece
from tests.tokenization.reference import reference_ids
from tests.tokenization.samples import FIVE

EVERY = [chr(code) for code in range(0x110000)]


@pytest.fixture(scope="module")
def vocabulary():
    """Every other letter and sign of each script, as a first and as a later piece, and some longer ones."""
    characters = [c for c in EVERY if unicodedata.category(c)[0] in "LMNPS" and ord(c) % 2 and not c.isspace()]
    letters = string.ascii_lowercase + "σςß"
    longer = ["un", "##able", "ab", "##ab", "a" * 150, "##" + "a" * 150]
    pieces = dict.fromkeys([*FIVE, *letters, *("##" + c for c in letters), *longer, *characters])
    return list(pieces | dict.fromkeys("##" + c for c in characters))


@pytest.fixture(params=[True, False], ids=["uncased", "cased"])
def lowercase(request):
    return request.param


@pytest.fixture(scope="module")
def opened(vocabulary):
    return {lowercase: WordPieceTokenizer(vocabulary, lowercase) for lowercase in (True, False)}


def assert_equal_ids(texts, tokenizer):
    ids = {piece: i for i, piece in enumerate(tokenizer.vocabulary)}
    for text, row in zip(texts, tokenizer.encode_batch(texts), strict=True):
        assert row == reference_ids(text, ids, tokenizer.lowercase), ascii(text)


def test_every_code_point_alone_and_inside_a_word(opened, lowercase):
    # The 960,000 without a meaning yet are much alike: inside is enough for them.
    shown = [f"a{c}" if unicodedata.category(c) in ("Cn", "Co") else f"{c} a{c}b" for c in EVERY]
    texts = [" ".join(shown[i : i + 64]) for i in range(0, len(shown), 64)]
    assert_equal_ids(texts, opened[lowercase])


def test_mixed_scripts(opened, lowercase):
    """Where neighbours matter too: final sigmas, marks that are sorted, dropped controls between letters."""
    rng = random.Random(0)
    marks = [c for c in EVERY if unicodedata.combining(c)]
    sortable = [c for c in marks if unicodedata.category(c) != "Mn"]
    cased = [c for c in EVERY if c.lower() != c or c.upper() != c]
    odd = [c for c in EVERY if unicodedata.category(c) in ("Cc", "Cf", "Zs", "Zl", "Zp")] + list("\0\ufffd\ud800")
    signs = [c for c in EVERY if unicodedata.category(c)[0] in "PS"]
    pools = [list("ΑΣας σΣ.'\u00ad\0\u0301İß"), marks, sortable, cased, odd, signs, list(string.printable), EVERY]
    texts = ["".join(rng.choice(rng.choice(pools)) for _ in range(rng.randint(1, 30))) for _ in range(6000)]
    texts += ["".join(rng.choice(pools[0] + sortable) for _ in range(rng.randint(1, 12))) for _ in range(6000)]
    assert_equal_ids(texts, opened[lowercase])


def test_words_of_up_to_200_characters_are_split(opened, lowercase):
    texts = [letter * n + tail for letter in "aÀ月" for n in range(99, 203) for tail in ("", "!", " b")]
    assert_equal_ids(texts, opened[lowercase])
    tokenizer = opened[lowercase]
    assert tokenizer.unk_id not in tokenizer.encode("a" * 200)
    assert tokenizer.encode("a" * 201) == [tokenizer.unk_id]


def test_longest_match_first():
    tokenizer = WordPieceTokenizer((*FIVE, "un", "##able", "a", ".", "##a", "##ab"), lowercase=True)
    ids = tokenizer.encode("Unable a. xyz")
    assert [tokenizer.vocabulary[i] for i in ids] == ["un", "##able", "a", ".", "[UNK]"]


def test_the_cache_is_bounded_and_changes_nothing(monkeypatch, opened):
    texts = ["ab ba aab bab"] * 2
    expected = opened[True].encode_batch(texts)
    monkeypatch.setattr(wordpiece, "CACHED_WORDS", 2)
    tokenizer = WordPieceTokenizer(opened[True].vocabulary, True)
    assert tokenizer.encode_batch(texts) == expected
    assert len(tokenizer._cut.__self__) == 2


def test_accents_and_chinese_characters_may_be_kept():
    pieces = (*FIVE, "ü", "u", "Ü", "U", "月月", "月")
    for options, text, expected in (
        ({"lowercase": True}, "Ü", "u"),
        ({"lowercase": True, "strip_accents": False}, "Ü", "ü"),
        ({"lowercase": False}, "Ü", "Ü"),
        ({"lowercase": False, "strip_accents": True}, "Ü", "U"),
        ({"lowercase": True, "split_cjk": False}, "月月", "月月"),
    ):
        tokenizer = WordPieceTokenizer(pieces, **options)
        assert tokenizer.encode(text) == [pieces.index(expected)], options
        assert from_files(tokenizer.files()).encode(text) == tokenizer.encode(text)


def test_a_special_token_spelt_like_a_word_is_not_found_in_text():
    tokenizer = WordPieceTokenizer((*FIVE, "spk", "s", "##p", "##k"), True, extra_special_tokens=["spk"])
    assert [tokenizer.vocabulary[i] for i in tokenizer.encode("spk")] == ["s", "##p", "##k"]


def test_of_equal_pieces_the_last_counts():
    tokenizer = WordPieceTokenizer((*FIVE, "a", "b", "a"), True)
    assert tokenizer.encode("a b") == [7, 6]
    assert from_files(tokenizer.files()).vocabulary == tokenizer.vocabulary


def test_errors_name_the_culprit():
    with pytest.raises(TokenizerError, match=r"lacks '\[MASK\]'"):
        WordPieceTokenizer((*FIVE[:4], "a"), True)
    with pytest.raises(TokenizerError, match="lacks '<spk>'"):
        WordPieceTokenizer(FIVE, True, extra_special_tokens=["<spk>"])
    with pytest.raises(TokenizerError, match="line break"):
        WordPieceTokenizer((*FIVE, "a\nb"), True)
