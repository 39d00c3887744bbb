"""Files of others: what they state beside a vocabulary, where they contradict each other, and hostile ones."""

import json

import pytest
import tokenizers
from absl import logging

from bert_jax.errors import TokenizerError
from bert_jax.tokenization import WordPieceTokenizer, from_files
from bert_jax.tokenization.json_tokenizer import JsonTokenizer
from tests.quickness import at_once
from tests.tokenization.samples import FIVE, byte_level_json, sentence_piece, unigram_json

PIECES = ("<p>", "<u>", "<c>", "<e>", "<m>", "a", "##b", "c")
NAMES = {
    "pad_token": "<p>",
    "unk_token": "<u>",
    "cls_token": "<c>",
    "sep_token": {"content": "<e>"},
    "mask_token": "<m>",
}
CONFIG, MAP, ADDED = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"


@pytest.fixture
def said(monkeypatch):
    messages = []
    monkeypatch.setattr(logging, "warning", lambda text, *args: messages.append(text % args))
    return messages


def vocabulary(pieces=PIECES, **files):
    """Files beside a `vocab.txt`; `__` stands for the dot in a name."""
    given = {name.replace("__", "."): value for name, value in files.items()}
    given = {CONFIG: {"do_lower_case": False}} | given
    beside = {name: value if isinstance(value, bytes) else json.dumps(value).encode() for name, value in given.items()}
    return {"vocab.txt": "\n".join(pieces).encode()} | beside


def roberta(**changes):
    """`vocab.json` and `merges.txt`, and files beside them."""
    model = json.loads(byte_level_json())["model"]
    merges = [" ".join(pair) if isinstance(pair, list) else pair for pair in model["merges"]]
    files = {"vocab__json": model["vocab"], "merges__txt": "\n".join(["#version: 0.2", *merges, ""]).encode()} | changes
    return {
        name.replace("__", "."): value if isinstance(value, bytes) else json.dumps(value).encode()
        for name, value in files.items()
    }


def five(tokenizer):
    ids = (tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id)
    return [tokenizer.vocabulary[i] for i in ids]


@pytest.mark.parametrize("files", [{CONFIG: NAMES | {"do_lower_case": False}}, {MAP: NAMES}])
def test_names_of_special_tokens_are_stated(files):
    tokenizer = from_files(vocabulary(**files))
    assert isinstance(tokenizer, WordPieceTokenizer)
    assert five(tokenizer) == list(PIECES[:5])
    assert tokenizer.encode("ab <m> zz") == [5, 6, 1, 1, 1, 1]
    again = from_files(tokenizer.files())
    assert again.sha256 == tokenizer.sha256
    assert five(again) == five(tokenizer)


def test_unusual_names_of_a_tokenizer_json_are_kept():
    document = json.loads(byte_level_json())
    names = {"tokenizer_config.json": json.dumps({"mask_token": "Ġthe"}).encode()}
    tokenizer = from_files({"tokenizer.json": json.dumps(document).encode()} | names)
    assert tokenizer.vocabulary[tokenizer.mask_id] == "Ġthe"
    again = from_files(tokenizer.files())
    assert (again.mask_id, again.sha256) == (tokenizer.mask_id, tokenizer.sha256)
    assert set(from_files({"tokenizer.json": byte_level_json()}).files()) == {"tokenizer.json"}


def test_usual_bert_has_the_hash_that_it_had():
    """Old corpora and runs know their tokenizer by it."""
    tokenizer = WordPieceTokenizer((*FIVE, "a"), lowercase=True)
    assert json.loads(tokenizer.files()[CONFIG]).keys() == {
        "tokenizer_class", "do_lower_case", "strip_accents", "tokenize_chinese_chars", "additional_special_tokens"
    }  # fmt: skip


def test_an_added_tokens_decoder_makes_the_other_files_void(said):
    decoder = {str(i): {"content": name, "special": True} for i, name in enumerate(PIECES[:5])}
    decoder |= {"8": {"content": "c a", "normalized": False}, "9": {"content": "<spk>", "special": True}}
    config = NAMES | {"do_lower_case": False, "added_tokens_decoder": decoder}
    tokenizer = from_files(vocabulary(**{CONFIG: config, MAP: {"mask_token": "c"}, ADDED: {"zz": 8}}))
    assert five(tokenizer) == list(PIECES[:5])
    assert tokenizer.vocabulary[8:] == ("c a", "<spk>")
    assert tokenizer.encode("a c a<spk>")[:2] == [5, 8]
    assert 9 in tokenizer.special_ids
    assert 9 not in tokenizer.encode("<spk>")
    assert [text.split()[0] for text in said] == [MAP, ADDED]


def test_the_map_wins_where_there_is_no_decoder_and_says_so(said):
    tokenizer = from_files(vocabulary(**{CONFIG: NAMES | {"do_lower_case": False, "mask_token": "c"}, MAP: NAMES}))
    assert five(tokenizer)[-1] == "<m>"
    assert said == [f"{CONFIG} names 'c' where {MAP} names '<m>': the latter is used."]


def bert_json(pieces=FIVE, lowercase=True):
    ids = {piece: i for i, piece in enumerate((*pieces, "a", "A"))}
    backend = tokenizers.Tokenizer(tokenizers.models.WordPiece(ids, unk_token="[UNK]"))
    backend.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=lowercase)
    backend.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    return backend.to_str().encode()


def test_a_vocabulary_that_disagrees_with_the_tokenizer_json_is_said(said):
    files = {"tokenizer.json": bert_json(), "vocab.txt": "\n".join([*FIVE, "a", "b"]).encode()}
    assert from_files(files).vocabulary == (*FIVE, "a", "A")
    assert said == [
        "vocab.txt and tokenizer.json differ in 2 pieces, for example in 'A': tokenizer.json is used, as in"
        " transformers."
    ]
    from_files(files | {"vocab.txt": "\n".join([*FIVE, "a", "A"]).encode()})
    assert len(said) == 1


@pytest.mark.parametrize(("kind", "expected"), [("BertTokenizer", "A"), ("PreTrainedTokenizerFast", "a")])
def test_a_case_that_disagrees_is_said(said, kind, expected):
    config = json.dumps({"tokenizer_class": kind, "do_lower_case": False}).encode()
    tokenizer = from_files({"tokenizer.json": bert_json(), CONFIG: config})
    assert [tokenizer.vocabulary[i] for i in tokenizer.encode("A")] == [expected]
    used = "former" if expected == "A" else "latter"
    assert said == [
        f"{CONFIG} has do_lower_case=false, but tokenizer.json has lowercase=true: the {used} is used, as in"
        " transformers."
    ]


def test_a_class_that_reads_a_file_in_its_own_way_is_refused():
    for kind in ("BertJapaneseTokenizer", "BertweetTokenizer", "x\x1b" * 1000):
        with pytest.raises(TokenizerError, match=r"reads vocab\.txt in a way of its own") as error:
            from_files(vocabulary(FIVE, **{CONFIG: {"tokenizer_class": kind}}))
        assert str(error.value).isprintable()


def test_robertas_files_are_read():
    tokenizer = from_files(roberta())
    assert isinstance(tokenizer, JsonTokenizer)
    assert tokenizer.separators_between == 2
    assert from_files({"tokenizer.json": byte_level_json()}).encode("the cat") == tokenizer.encode("the cat")
    assert from_files(tokenizer.files()).separators_between == 2
    spaced = from_files(roberta(**{CONFIG: {"add_prefix_space": True}}))
    assert spaced.encode("cat") == tokenizer.encode(" cat") != tokenizer.encode("cat")


LONG = "x\x1b\u202e" * 50_000
DAMAGED = {
    "names": [
        vocabulary(**{CONFIG: {"mask_token": value}}) for value in (3, [], "", "\ud800", {"content": None}, {}, LONG)
    ],
    "decoder": [
        vocabulary(**{CONFIG: NAMES | {"added_tokens_decoder": value}})
        for value in (
            [], 3, {"a": {}}, {"-1": {"content": "z"}}, {"99999999999999": {"content": "z"}}, {"8": "z"},
            {"10": {"content": "z"}}, {"8": {"content": "a"}}, {"8": {"content": "\ud800"}},
            {"8": {"content": LONG}, "9": {"content": LONG}},
            {"8": {"content": "z", "lstrip": LONG}}, {"8": {"content": ""}}, {LONG: {"content": "z"}},
        )
    ],
    "added": [
        vocabulary(**{CONFIG: NAMES, ADDED: value})
        for value in (
            {"z": -1}, {"z": 8, "y": 8}, {"z": 9}, {"z": 10**30}, {"z": "8"}, {"z": True}, {LONG: 3}, {"\ud800": 8}, [],
            b"{",
        )
    ],
    "map": [
        vocabulary(**{MAP: value})
        for value in ([], b"[" * 100_000, {"mask_token": 4}, {"additional_special_tokens": "x"})
    ],
    "vocab.json": [
        roberta(vocab__json=value)
        for value in (
            [], {}, {"a": 1, "b": 1}, {"a": -1}, {"a": 2**40}, {"a": 4_999_999}, {"a": "0"}, {"a": None}, {LONG: True},
            {"\ud800": 0}, [["a", 0]], b"\xff", {"a": 10**400},
        )
    ],
    "merges": [
        roberta(merges__txt=value)
        for value in (b"\xff", b"a", b"a b c", b"z\x1bz y", LONG.encode(), b"a b\n" * 20_000_000, b"\n" * 50_000_000)
    ] + [{name: value for name, value in roberta().items() if name != "merges.txt"}],
    "fairseq": [
        {"sentencepiece.bpe.model": value}
        for value in (b"", b"\0\1\2", b"\xff" * 1_000_000, sentence_piece().files()["tokenizer.model"])
    ],
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGED)
def test_hostile_files_are_refused_at_once(kind):
    for files in DAMAGED[kind]:
        with at_once(), pytest.raises(TokenizerError) as error:
            from_files(files)
        assert str(error.value).isprintable(), error.value
        assert len(str(error.value)) < 400


def damaged_json(content, **changes):
    document = json.loads(content)
    for path, value in changes.items():
        *outer, last = path.split("__")
        place = document
        for name in outer:
            place = place[name]
        place[last] = value
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    "content",
    [
        damaged_json(byte_level_json(), model__vocab={"a": 0, "b": 0}),
        damaged_json(byte_level_json(), model__vocab={LONG: -1}),
        damaged_json(byte_level_json(), model__vocab={"a": 4_999_999}),
        damaged_json(byte_level_json(), model__vocab={"\ud800": 0}),
        damaged_json(byte_level_json(), model__merges=[LONG]),
        damaged_json(byte_level_json(), model__merges=[["x\x1b", "y"]] * 100_000),
        damaged_json(byte_level_json(), added_tokens=[{"id": 10**9, "content": LONG, "special": True}]),
        damaged_json(byte_level_json(), post_processor={"type": "TemplateProcessing", "pair": 3}),
        damaged_json(byte_level_json(), post_processor=[]),
        damaged_json(byte_level_json(), normalizer={"type": LONG}),
        damaged_json(unigram_json(), model__vocab=[["a", float("nan")]]),
        damaged_json(unigram_json(), model__vocab=[["a"]] * 5),
        damaged_json(unigram_json(), model__unk_id=10**30),
        damaged_json(unigram_json(), model__unk_id=-1),
        damaged_json(unigram_json(), normalizer={"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
        damaged_json(unigram_json(), normalizer={"type": "Precompiled", "precompiled_charsmap": "/////w=="}),
    ],
)
def test_a_hostile_tokenizer_json_is_refused_at_once(content):
    with at_once(), pytest.raises(TokenizerError) as error:
        from_files({"tokenizer.json": content})
    assert str(error.value).isprintable(), error.value
    assert len(str(error.value)) < 400
