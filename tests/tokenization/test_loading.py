"""Where a tokenizer is looked for, what is believed about it, and what is said when it cannot be read."""

import json

import pytest
from absl import logging

from bert_jax.errors import TokenizerError
from bert_jax.tokenization import SentencePieceTokenizer, WordPieceTokenizer, from_files, load_tokenizer
from tests.tokenization.samples import FIVE, byte_level_json, sentence_piece, wordpiece

PIECES = (*FIVE, "<S>", "[unused1]", "paris", "##s", "月", "ℝ")


def write_vocabulary(folder, pieces=PIECES, end="\n", name="vocab.txt"):
    (folder / name).write_bytes((end.join(pieces) + end).encode())
    return folder / name


@pytest.fixture
def said(monkeypatch):
    messages = []
    monkeypatch.setattr(logging, "warning", lambda text, *args: messages.append(text % args))
    return messages


def test_case_of_a_bare_vocabulary_is_judged_by_its_pieces_and_said(tmp_path, said):
    for pieces, lowercase in ((PIECES, True), ((*PIECES, "Paris"), False), ((*PIECES, "##É"), False)):
        assert load_tokenizer(write_vocabulary(tmp_path, pieces)).lowercase is lowercase
    assert ["as uncased" in text for text in said] == [True, False, False]
    assert all("tokenizer_config.json" in text for text in said)


def test_the_config_beside_a_vocabulary_is_believed(tmp_path, said):
    write_vocabulary(tmp_path)
    config = {
        "do_lower_case": False,
        "strip_accents": True,
        "tokenize_chinese_chars": False,
        "additional_special_tokens": [{"content": "<S>"}, "ℝ"],
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    for path in (tmp_path, str(tmp_path / "vocab.txt")):
        tokenizer = load_tokenizer(path)
        assert (tokenizer.lowercase, tokenizer.strip_accents, tokenizer.split_cjk) == (False, True, False)
        assert tokenizer.extra_special_tokens == ("<S>", "ℝ")
    assert not said


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_ends_and_odd_separators_are_no_pieces(tmp_path, end):
    pieces = (*PIECES, "a\x0cb", "\u2028", "c\x85d", "", "e")
    tokenizer = load_tokenizer(write_vocabulary(tmp_path, pieces, end))
    assert tokenizer.vocab_size == len(pieces)
    assert tokenizer.encode("e") == [len(pieces) - 1]
    assert from_files(tokenizer.files()).vocabulary == tokenizer.vocabulary


def test_a_mark_of_byte_order_is_no_part_of_a_piece(tmp_path):
    (tmp_path / "vocab.txt").write_bytes(b"\xef\xbb\xbf" + "\n".join(PIECES).encode())
    assert load_tokenizer(tmp_path).vocabulary == PIECES


def test_precedence_in_a_folder(tmp_path):
    model, document = sentence_piece().files()["tokenizer.model"], byte_level_json()
    added = [wordpiece().files(), {"spiece.model": model}, {"tokenizer.json": document}]
    expected = wordpiece(), sentence_piece(), from_files({"tokenizer.json": document})
    for files, tokenizer in zip(added, expected, strict=True):
        for name, content in files.items():
            (tmp_path / name).write_bytes(content)
        (tmp_path / "tokenizer_config.json").unlink(missing_ok=True)
        assert type(load_tokenizer(tmp_path)) is type(tokenizer)
    assert load_tokenizer(tmp_path).sha256 == expected[-1].sha256
    assert load_tokenizer(tmp_path / "vocab.txt").vocabulary == wordpiece().vocabulary
    assert load_tokenizer(tmp_path / "spiece.model").sha256 == sentence_piece().sha256


def test_the_class_decides_among_the_files_of_a_folder(tmp_path):
    write_vocabulary(tmp_path)
    (tmp_path / "tokenizer.model").write_bytes(sentence_piece().files()["tokenizer.model"])
    for name, config, kind in (
        ("config.json", {}, SentencePieceTokenizer),
        ("config.json", {"model_type": "bert"}, WordPieceTokenizer),
        ("tokenizer_config.json", {"tokenizer_class": "AlbertTokenizer"}, SentencePieceTokenizer),
        ("tokenizer_config.json", {"tokenizer_class": "BertTokenizerFast"}, WordPieceTokenizer),
    ):
        (tmp_path / name).write_text(json.dumps(config))
        assert isinstance(load_tokenizer(tmp_path), kind)


def test_what_decides_the_ids_decides_the_hash():
    hashes = {
        WordPieceTokenizer(vocabulary, lowercase, strip_accents, split_cjk, extra).sha256
        for vocabulary in (PIECES, (*PIECES, "a"))
        for lowercase in (True, False)
        for strip_accents in (True, False)
        for split_cjk in (True, False)
        for extra in ((), ("<S>",))
    }
    assert len(hashes) == 32


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("vocab.txt", b"", "empty"),
        ("vocab.txt", b" \n\n", "empty"),
        ("vocab.txt", b"[PAD]\n\xff\xfe\n", "not UTF-8"),
        ("vocab.txt", b"a\nb\n", r"lacks '\[PAD\]'"),
        ("my.txt", b"", "my.txt: "),
        ("tokenizer.model", b"\0\1\2", "SentencePiece"),
        ("tokenizer.json", b"\0\1\2", "not JSON"),
        ("vocab.bin", b"a", "does not end in .txt"),
    ],
)
def test_damaged_files_are_said(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TokenizerError, match=message):
        load_tokenizer(tmp_path / name)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (b"{", "not JSON"), (b"\xff", "not JSON"), (b"[]", "not a JSON object"),
        (b'{"do_lower_case": "no"}', "do_lower_case"), (b'{"do_lower_case": []}', "do_lower_case"),
        (b'{"strip_accents": 3}', "strip_accents"), (b'{"tokenize_chinese_chars": null}', "tokenize_chinese_chars"),
        (b'{"additional_special_tokens": [3]}', "additional_special_tokens"),
        (b'{"additional_special_tokens": 3}', "additional_special_tokens"),
        (b'{"additional_special_tokens": [{}]}', "additional_special_tokens"),
        (b'{"additional_special_tokens": ["<nowhere>"]}', "lacks '<nowhere>'"),
    ],
)  # fmt: skip
def test_damaged_configs_are_said(tmp_path, config, message):
    write_vocabulary(tmp_path)
    (tmp_path / "tokenizer_config.json").write_bytes(config)
    with pytest.raises(TokenizerError, match=message):
        load_tokenizer(tmp_path)


def test_nothing_there_is_said(tmp_path):
    with pytest.raises(TokenizerError, match=r"No tokenizer in .*: it should hold one of"):
        load_tokenizer(tmp_path)
    with pytest.raises(TokenizerError, match="No vocabulary at"):
        load_tokenizer(tmp_path / "vocab.txt")
    with pytest.raises(TokenizerError, match="restore the tokenizer"):
        from_files({"other": b""})


def test_added_tokens_have_their_ids(tmp_path):
    write_vocabulary(tmp_path)
    (tmp_path / "added_tokens.json").write_text(json.dumps({"zz new": 12, "newword": 11, "<S>": 5}))
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.encode("Paris newword pariss newparis") == [7, 11, 7, 8, 1]
    assert tokenizer.vocabulary == (*PIECES, "newword", "zz new")
    assert from_files(tokenizer.files()).encode("newword") == [11]
    assert tokenizer.mask_id not in tokenizer.encode("[MASK]")


def test_wrong_ids_of_added_tokens_are_refused(tmp_path):
    write_vocabulary(tmp_path)
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<S>": 5}))
    assert load_tokenizer(tmp_path).vocabulary == PIECES
    for added in ({"new\x1bword" * 10_000: 12}, {"paris": 5}, {"new": 10**30}, {"new": "11"}, {"new": -1}):
        (tmp_path / "added_tokens.json").write_text(json.dumps(added))
        with pytest.raises(TokenizerError, match=r"added_tokens\.json gives .*restore the file") as error:
            load_tokenizer(tmp_path)
        assert str(error.value).isprintable()
        assert len(str(error.value).removeprefix(str(tmp_path))) < 300
    for content in ("[]", "{", "[" * 100_000):
        (tmp_path / "added_tokens.json").write_text(content)
        with pytest.raises(TokenizerError, match=r"added_tokens\.json is not"):
            load_tokenizer(tmp_path)


@pytest.mark.parametrize("name", ["vocab.txt", "tokenizer.json", "tokenizer.model", "sentencepiece.bpe.model"])
def test_pointers_of_git_lfs_are_named(tmp_path, name):
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 90868376\n")
    with pytest.raises(TokenizerError, match="Git LFS pointer"):
        load_tokenizer(tmp_path)
