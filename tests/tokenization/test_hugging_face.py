"""Foreign `tokenizer.json` files."""

import json

import pytest
import tokenizers
from absl import logging

from bert_jax.errors import TokenizerError
from bert_jax.tokenization import WordPieceTokenizer, from_files
from bert_jax.tokenization.json_tokenizer import JsonTokenizer
from tests.tokenization.samples import FIVE, byte_level_json, unigram_json


def opened(content: bytes):
    return from_files({"tokenizer.json": content})


def bert_json(**normalizer) -> dict:
    pieces = (*FIVE, "a", "##a", "u", "ü", "Ü", "[", "]", "mask", "月")
    backend = tokenizers.Tokenizer(tokenizers.models.WordPiece({p: i for i, p in enumerate(pieces)}, unk_token="[UNK]"))
    backend.normalizer = tokenizers.normalizers.BertNormalizer(**normalizer)
    backend.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    backend.add_special_tokens(list(FIVE))
    return json.loads(backend.to_str())


@pytest.mark.parametrize(
    ("normalizer", "text", "expected"),
    [({"lowercase": True}, "Ü", "u"), ({"lowercase": False}, "Ü", "Ü"),
     ({"lowercase": True, "strip_accents": False}, "Ü", "ü")],
)  # fmt: skip
def test_berts_own_becomes_wordpiece(normalizer, text, expected):
    tokenizer = opened(json.dumps(bert_json(**normalizer)).encode())
    assert isinstance(tokenizer, WordPieceTokenizer)
    assert [tokenizer.vocabulary[i] for i in tokenizer.encode(text)] == [expected]
    assert tokenizer.vocabulary[: len(FIVE)] == FIVE
    assert len(tokenizer.encode("a" * 200)) == 200  # the library's own limit of 100 is not BERT's


def test_added_special_tokens_of_bert_are_special():
    document = bert_json()
    added = document["added_tokens"][0] | {"id": len(document["model"]["vocab"]), "content": "<spk>"}
    document["added_tokens"].append(added)
    tokenizer = opened(json.dumps(document).encode())
    assert tokenizer.vocabulary[added["id"]] == "<spk>"
    assert added["id"] in tokenizer.special_ids


@pytest.mark.parametrize("make", [byte_level_json, unigram_json])
def test_ids_are_the_librarys_where_text_spells_no_special_token(make):
    library = tokenizers.Tokenizer.from_str(make().decode())
    tokenizer = opened(make())
    assert isinstance(tokenizer, JsonTokenizer)
    for text in ("the cat at a moon", "月 the!", "  a  b", "asks"):
        assert tokenizer.encode(text) == library.encode(text, add_special_tokens=False).ids
    for piece, i in library.get_vocab().items():
        assert tokenizer.vocabulary[i] == piece


def test_the_library_alone_would_take_text_for_special_tokens():
    """What the renaming is for: the library's own option does not close a model's pieces to text."""
    for make in (byte_level_json, unigram_json):
        library = tokenizers.Tokenizer.from_str(make().decode())
        library.encode_special_tokens = True
        assert library.token_to_id("<mask>") in library.encode("<mask>", add_special_tokens=False).ids
        assert opened(make()).mask_id not in opened(make()).encode("<mask>")


@pytest.mark.parametrize("make", [byte_level_json, unigram_json, lambda: json.dumps(bert_json()).encode()])
def test_old_files_do_not_name_the_kind_of_their_model(make):
    document = json.loads(make())
    del document["model"]["type"]
    old = opened(json.dumps(document).encode())
    assert type(old) is type(opened(make()))
    assert old.encode("the cat") == opened(make()).encode("the cat")


def test_truncation_and_padding_of_the_file_do_not_apply():
    cut = {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
    pad = {"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 1, "pad_type_id": 0,
           "pad_token": "<pad>"}  # fmt: skip
    foreign = opened(byte_level_json(truncation=cut, padding=pad))
    for text in ("a", "the cat the cat"):
        assert foreign.encode(text) == opened(byte_level_json()).encode(text)
        assert foreign.encode_batch(["a", text])[1] == foreign.encode(text)
    saved = json.loads(foreign.files()["tokenizer.json"])
    assert saved["truncation"] is saved["padding"] is None


def test_missing_special_tokens_are_appended_and_said(monkeypatch):
    said = []
    monkeypatch.setattr(logging, "warning", lambda *args: said.append(args))
    document = json.loads(byte_level_json())
    document["model"]["vocab"]["Ġnew"] = document["model"]["vocab"].pop("<pad>")
    tokenizer = opened(json.dumps(document).encode())
    assert tokenizer.pad_id == tokenizer.vocab_size - 1
    assert tokenizer.vocabulary[-1] == "[PAD]"
    assert tokenizer.pad_id not in tokenizer.encode("[PAD]")
    assert len(said) == 1
    assert from_files(tokenizer.files()).sha256 == tokenizer.sha256
    assert len(said) == 1


def test_a_character_outside_unicode_text_is_no_way_in():
    tokenizer = opened(unigram_json())
    assert not set(tokenizer.frame_ids) & set(tokenizer.encode("\U0010ffff<mask>"))


def damage(**changes):
    return json.dumps(json.loads(byte_level_json()) | changes).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\xff\xfe", b"{", b"[]", b"{}", b"3", b"null", b"[" * 100_000, byte_level_json()[:-20],
        damage(model=None), damage(model={"type": "BPE", "vocab": {}, "merges": []}), damage(added_tokens=[{}]),
        damage(model={"type": "BPE", "vocab": {"a": 10**12}, "merges": []}), damage(added_tokens=3),
        damage(model={"type": "BPE", "vocab": {"a": -1}, "merges": []}), damage(normalizer={"type": "Nothing"}),
        damage(model={"type": "Unigram", "vocab": [["a", 0.0]], "unk_id": 7}), damage(pre_tokenizer=4),
        damage(model={"type": "BPE", "vocab": {"a": "0"}, "merges": []}),
        damage(model={"type": "BPE", "vocab": {"a": 0}, "merges": ["a z"]}),
    ],
)  # fmt: skip
def test_damaged_files_are_said(content):
    with pytest.raises(TokenizerError, match=r"tokenizer\.json"):
        opened(content)
