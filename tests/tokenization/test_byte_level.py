"""Byte-level BPE that is trained here: it spells any text, and its shortcut is the library's result."""

import random
import unicodedata

import pytest
import tokenizers

from bert_jax.errors import TokenizerError
from bert_jax.tokenization import from_files
from bert_jax.tokenization.byte_level import begins_word, bytes_of
from bert_jax.tokenization.chunks import cuts_at_spaces
from bert_jax.tokenization.training import train_byte_level
from tests.tokenization.modern import KINDS, NASTY
from tests.tokenization.samples import FIVE, sentences, trained_bytes

TRAINED = train_byte_level([*NASTY * 5, *sentences(100)], 900)
BLANKS = (" ", "  ", "   ", "\t", "\n", "\r\n", "\u00a0", "\u180e", "\u200b", "\u2028", "\u3000", "\x1c", "\x85")
# Marks that compose with their neighbours, signs that begin contractions, letters that grow when lower-cased, ….
PARTS = (
    *"abcé,.'()-12月の👩<हिन्दीΣİßKÅѐё",
    "\u200d",
    "\u0301",
    "\ufe0f",
    "\u0338",
    "\x00",
    "\U0010ffff",
    "'s",
    "don't",
    "'ll",
    "the cat",
)


def texts(count, seed):
    rng = random.Random(seed)
    everything = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    for i in range(count):
        if i % 4:
            parts = (
                rng.choice(PARTS) if rng.random() < 0.7 else rng.choice([" ", rng.choice(BLANKS)]) for _ in range(15)
            )
            yield "".join(parts)
        else:
            yield "".join(map(chr, rng.choices(everything, k=rng.randrange(1, 20))))
    yield from NASTY


def test_any_text_is_spelt_byte_by_byte():
    for text in texts(3000, 0):
        ids = TRAINED.encode(text)
        assert not set(ids) & set(TRAINED.special_ids)
        normal = unicodedata.normalize("NFC", text)
        spaced = normal if normal[:1] in ("", " ") else f" {normal}"
        assert b"".join(bytes_of(TRAINED.vocabulary[i]) for i in ids).decode() == spaced
        assert TRAINED.decode(ids) == normal.strip()


@pytest.mark.parametrize("kind", ["trained", "uncased", "modern_bert"])
def test_ids_by_chunks_are_those_of_the_whole_text(kind):
    made = {"trained": lambda: TRAINED, "uncased": lambda: train_byte_level(NASTY, 600, lowercase=True)}
    tokenizer = made[kind]() if kind in made else from_files(KINDS[kind]())
    library = tokenizers.Tokenizer.from_str(tokenizer.files()["tokenizer.json"].decode())
    library.encode_special_tokens = True
    shortcuts = 0
    for text in texts(3000, 1):
        assert tokenizer.encode(text) == library.encode(text, add_special_tokens=False).ids, ascii(text)
        shortcuts += tokenizer._cut(text) is not None
    assert shortcuts > 900


@pytest.mark.parametrize(
    "changes",
    [
        {"added": [{"content": "two words"}]}, {"added": [{"content": "a,b"}]}, {"added": [{"content": " "}]},
        {"added": [{"content": "x", "lstrip": True}]}, {"added": [{"content": "x", "single_word": True}]},
        {"normalizer": {"type": "Strip"}}, {"pre_tokenizer": {"type": "Whitespace"}}, {"pre_tokenizer": None},
    ],
)  # fmt: skip
def test_the_shortcut_is_taken_where_nothing_crosses_a_space(changes):
    flags = dict.fromkeys(("lstrip", "rstrip", "single_word"), False)
    split = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True, "trim_offsets": True}
    document = {"normalizer": {"type": "NFC"}, "pre_tokenizer": split}
    usual = [flags | {"content": content} for content in ("    ", "|||IP|||", "word", "[unused0]")]
    assert cuts_at_spaces(document, usual)
    assert not cuts_at_spaces(document | changes, [flags | one for one in changes.get("added", [])])


def test_the_head_of_the_vocabulary_and_its_size():
    tokenizer = train_byte_level(sentences(), 300, special_tokens=["<spk>", "the"], reserved_slots=3)
    head = (*FIVE, "<spk>", "the", "[unused0]", "[unused1]", "[unused2]")
    assert tokenizer.vocabulary[: len(head)] == head
    assert tokenizer.special_ids == tuple(range(7))
    assert len(set(tokenizer.vocabulary)) == tokenizer.vocab_size <= 300
    ids = tokenizer.encode("<spk> the other [unused1] [MASK] cat")
    assert min(ids) >= len(head)
    assert min(tokenizer.ordinary_ids) == len(head)


def test_no_merge_leads_to_a_special_token_for_any_reader_of_the_files():
    tokenizer = train_byte_level(["bathe lathe scythe"] * 50, 300, special_tokens=["the"])
    library = tokenizers.Tokenizer.from_str(tokenizer.files()["tokenizer.json"].decode())
    library.encode_special_tokens = True
    ids = library.encode("bathe xthe", add_special_tokens=False).ids
    assert ids == tokenizer.encode("bathe xthe")
    assert tokenizer.vocabulary.index("the") not in ids
    assert tokenizer.decode(ids) == "bathe xthe"


def test_order_does_not_matter_and_rare_merges_are_not_learnt():
    lines = sentences(100)
    assert train_byte_level(lines, 400).sha256 == train_byte_level(lines[::-1], 400).sha256
    few = train_byte_level(["free " * 20, "quiz"], 1000)
    assert "Ġfree" in few.vocabulary
    assert not any("qu" in piece for piece in few.vocabulary)
    assert few.vocab_size < 300


def test_words_keep_their_marks_and_numbers_are_short():
    tokenizer = train_byte_level(["हिन्दी 1234567 it's" for _ in range(20)], 600)
    assert tokenizer.spell_words("हिन्दी") == [tokenizer.vocabulary[i] for i in tokenizer.encode("हिन्दी")]
    assert [tokenizer.decode([i]) for i in tokenizer.encode("1234567 it's")] == ["123", "456", "7", "it", "'s"]


def test_the_first_word_is_a_word_like_any_other():
    tokenizer = trained_bytes()
    assert tokenizer.encode("the cat") == tokenizer.encode(" the cat")
    assert tokenizer.encode("the the")[0] == tokenizer.encode("the the")[1]
    assert tokenizer.word_starts[tokenizer.encode("the")[0]]
    assert tokenizer.encode("the") + tokenizer.encode_continuation("cat") == tokenizer.encode("thecat")
    masked = tokenizer.encode_masked("the [MASK]cat")
    assert masked == [*tokenizer.encode("the"), tokenizer.mask_id, *tokenizer.encode_continuation("cat")]


def test_cased_by_default_and_composed():
    assert TRAINED.encode("PARIS") != TRAINED.encode("paris")
    assert TRAINED.encode("e\u0301") == TRAINED.encode("é")
    uncased = train_byte_level(sentences(50), 300, lowercase=True)
    assert uncased.encode("THE CAT É") == uncased.encode("the cat e\u0301")


def test_names_of_pieces_can_be_read():
    tokenizer = train_byte_level(["Привет 月"] * 9, 300)
    names = [tokenizer.name(i) for i in tokenizer.encode("Привет 月")]
    assert names[0] == "ĠПривет"
    assert tokenizer.name(tokenizer.mask_id) == "[MASK]"
    first = tokenizer.vocabulary.index("æ")  # the first byte of a character
    assert tokenizer.name(first) == "æ"


@pytest.mark.parametrize(
    ("content", "begins"),
    [
        (b" cat", True), (b"cat", False), (b",", True), ("é".encode(), False), ("月".encode(), True), (b"7", False),
        (b"\xe6", True), (b"\xe6\x9c", True), (b"\x9c\x88", False), (b"\x88 cat", False), (b"\xf0\x9f", True),
        (b"\xd0", False), (b"\xe0\xb8", True), (b"\xe0\xa4", False), (b"", False), (b"\xff", False), (b"\xc0", False),
        (b"\n", True), ("\u3000".encode(), True),
    ],
)  # fmt: skip
def test_where_words_begin_in_bytes(content, begins):
    assert begins_word(content) is begins


def test_errors_say_what_to_do():
    for nothing in ([], [""], [" \n"]):
        with pytest.raises(TokenizerError, match="no text"):
            train_byte_level(nothing, 300)
    with pytest.raises(TokenizerError, match="use at least 262"):
        train_byte_level(sentences(5), 261, reserved_slots=1)
    with pytest.raises(TokenizerError, match="The special token a is a letter that a text needs"):
        train_byte_level(sentences(5), 300, special_tokens=["a"])
    with pytest.raises(TokenizerError, match="already"):
        train_byte_level(sentences(5), 300, special_tokens=["[MASK]"])
