"""Opens tokenizers from files: our own, Google's and Hugging Face's."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from absl import logging
from etils import epath

from bert_jax.errors import TokenizerError, quoted
from bert_jax.foreign_files import parse_json, read_small
from bert_jax.tokenization.byte_level import MERGES_FILE, PIECES_FILE, byte_level_document
from bert_jax.tokenization.fairseq import FAIRSEQ_FILE, fairseq_document
from bert_jax.tokenization.hugging_face import (
    model_pieces,
    open_document,
    parse_tokenizer_json,
    spelling,
    with_added,
)
from bert_jax.tokenization.json_tokenizer import JSON_FILE
from bert_jax.tokenization.sentence_piece import MODEL_FILE, SentencePieceTokenizer
from bert_jax.tokenization.stated import (
    ADDED_FILE,
    CAMEMBERT,
    GENERIC,
    ROBERTA,
    SIDE_FILES,
    XLM_ROBERTA,
    Stated,
    read_stated,
)
from bert_jax.tokenization.tokenizer import SPECIAL_TOKENS, Tokenizer
from bert_jax.tokenization.wordpiece import (
    CONFIG_FILE,
    MAX_WORD_CHARACTERS,
    PREFIX,
    VOCABULARY_FILE,
    WordPieceTokenizer,
)

MODEL_NAMES = (MODEL_FILE, "spiece.model", "spm.model")
# The first of these files in a folder is opened, unless the class of the tokenizer has another one.
PRECEDENCE = (JSON_FILE, *MODEL_NAMES, VOCABULARY_FILE, PIECES_FILE, FAIRSEQ_FILE)
# The classes of `transformers` that read a file as this package does.
READ_BY = {
    VOCABULARY_FILE: (
        "BertTokenizer",
        "DistilBertTokenizer",
        "ElectraTokenizer",
        "MobileBertTokenizer",
        "ConvBertTokenizer",
        "SqueezeBertTokenizer",
    ),
    PIECES_FILE: (ROBERTA,),
    FAIRSEQ_FILE: (XLM_ROBERTA, CAMEMBERT),
}
MAX_FILE_BYTES, MAX_SIDE_BYTES = 1 << 27, 1 << 24


def load_tokenizer(path: epath.PathLike) -> Tokenizer:
    """Opens a folder with a tokenizer, or one of its files.

    Args:
      path: local or `gs://`; a folder, or a `vocab.txt`, a `tokenizer.json`, a `vocab.json` beside its `merges.txt`, a
        `sentencepiece.bpe.model` of XLM-R or CamemBERT, or another SentencePiece `.model`. In a folder, the first file
        of `PRECEDENCE` is opened. The files beside it give names of special tokens, added tokens and options; without
        them, the pieces of a `vocab.txt` decide its case (see `from_files`).

    Raises:
      TokenizerError: there is no such file, or it is not a tokenizer.
    """
    path = epath.Path(path).expanduser()
    if path.is_dir():
        # The last name of a kind that is written stays: hence from the last to the first.
        there = [name for name in reversed(PRECEDENCE) if (path / name).exists()]
        folder, names = path, {MODEL_FILE if name in MODEL_NAMES else name: name for name in there}
        if not names:
            raise TokenizerError(f"No tokenizer in {path}: it should hold one of {', '.join(PRECEDENCE)}.")
        if JSON_FILE in names:  # others are not needed, except to see whether they agree
            names = {name: name for name in names if name in (JSON_FILE, VOCABULARY_FILE, PIECES_FILE)}
    elif not path.exists():
        raise TokenizerError(f"No vocabulary at {path}: give a vocab.txt, tokenizer.json, .model, or their folder.")
    else:
        kinds = {".txt": VOCABULARY_FILE, ".json": JSON_FILE, ".model": MODEL_FILE}
        if path.suffix not in kinds:
            raise TokenizerError(f"{path} does not end in .txt, .json or .model: give such a file, or a folder.")
        known = path.name if path.name in (PIECES_FILE, FAIRSEQ_FILE) else kinds[path.suffix]
        folder, names = path.parent, {known: path.name}
    beside = (*SIDE_FILES, MERGES_FILE) if PIECES_FILE in names else SIDE_FILES
    try:
        files = {known: read_small(folder / name, MAX_FILE_BYTES, TokenizerError) for known, name in names.items()}
        files |= {
            name: read_small(folder / name, MAX_FILE_BYTES if name == MERGES_FILE else MAX_SIDE_BYTES, TokenizerError)
            for name in beside
            if (folder / name).exists()
        }
        return from_files(files)
    except TokenizerError as error:
        raise TokenizerError(f"{path}: {error}") from None


def from_files(files: Mapping[str, bytes]) -> Tokenizer:
    """Makes a tokenizer from the content of its files by name, as `Tokenizer.files` returns them.

    If no `tokenizer_config.json` gives the case of a `vocab.txt` (`do_lower_case`), it is taken as uncased if
    lower-casing changes none of its ordinary pieces, and a warning says so.

    Raises:
      TokenizerError: no file has a known name, or the content is damaged.
    """
    found = [name for name in PRECEDENCE if name in files]
    if not found:
        raise TokenizerError(f"There is none of {', '.join(PRECEDENCE)}: restore the tokenizer.")
    stated = read_stated(files)
    own = next((name for name in found if stated.kind in READ_BY.get(name, ())), found[0])
    chosen = found[0] if found[0] == JSON_FILE else own
    if chosen in READ_BY and stated.is_named and stated.kind not in (*GENERIC, *READ_BY[chosen]):
        raise TokenizerError(
            f"The tokenizer is of the class {quoted(stated.kind)}, which reads {chosen} in a way of its own: save it"
            f" with a {JSON_FILE}."
        )
    return READERS[chosen](files, stated)


def looks_uncased(vocabulary: tuple[str, ...]) -> bool:
    """Whether lower-casing changes no piece, except for bracketed ones such as `[CLS]` and `<S>`."""
    return not any(piece.lower() != piece for piece in vocabulary if piece[:1] not in ("[", "<"))


def _from_json(files: Mapping[str, bytes], stated: Stated) -> Tokenizer:
    document = parse_tokenizer_json(files[JSON_FILE])
    if PIECES_FILE in files:
        _agree(PIECES_FILE, parse_json(PIECES_FILE, files[PIECES_FILE], TokenizerError), document)
    if VOCABULARY_FILE in files:
        pieces = {piece: i for i, piece in enumerate(_lines(files[VOCABULARY_FILE]))}
        if _agree(VOCABULARY_FILE, pieces, document) and stated.exact_file == VOCABULARY_FILE:
            return _from_vocabulary(files, stated)
    return open_document(document, stated)


def _agree(name: str, pieces: Mapping[str, Any], document: Any) -> bool:
    """Whether a vocabulary is that of the `tokenizer.json` beside it. If not, says so."""
    try:
        theirs = {piece.strip(): i for i, piece in enumerate(model_pieces(document)) if piece.strip()}
        added = {token["content"].strip() for token in document["added_tokens"]}
    except (AttributeError, KeyError, TypeError, ValueError, IndexError):
        return False  # the file is damaged, as will be said when it is opened
    differ = {piece for piece, i in pieces.items() if piece and theirs.get(piece) != i}
    differ |= {piece for piece in theirs if piece not in pieces} - added
    if differ:
        logging.warning(
            "%s and %s differ in %d pieces, for example in %s: %s is used, as in transformers.",
            *(name, JSON_FILE, len(differ), quoted(min(differ)), JSON_FILE),
        )
    return not differ


def _from_byte_level(files: Mapping[str, bytes], stated: Stated) -> Tokenizer:
    if MERGES_FILE not in files:
        raise TokenizerError(f"There is a {PIECES_FILE}, but no {MERGES_FILE}: fetch it, too.")
    document = byte_level_document(files[PIECES_FILE], files[MERGES_FILE], stated)
    return open_document(document, _of_kind(stated, ROBERTA), PIECES_FILE)


def _from_fairseq(files: Mapping[str, bytes], stated: Stated) -> Tokenizer:
    return open_document(fairseq_document(files[FAIRSEQ_FILE], stated), _of_kind(stated, XLM_ROBERTA), FAIRSEQ_FILE)


def _of_kind(stated: Stated, usual: str) -> Stated:
    """The same, of the usual class of a file if the stated one does not read it."""
    reads = next(classes for classes in READ_BY.values() if usual in classes)
    return stated if stated.kind in reads else dataclasses.replace(stated, kind=usual)


def _lines(content: bytes) -> list[str]:
    """The pieces of a `vocab.txt`."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise TokenizerError("The vocabulary is not UTF-8 text: give a file with one piece per line.") from None
    if not text.strip():
        raise TokenizerError("The vocabulary is empty: give a file with one piece per line.")
    # Not splitlines(), which also splits at separators that may be pieces.
    return [line.strip() for line in text.removesuffix("\n").split("\n")]


def _from_vocabulary(files: Mapping[str, bytes], stated: Stated) -> Tokenizer:
    vocabulary = _lines(files[VOCABULARY_FILE])
    ids = {piece: i for i, piece in enumerate(vocabulary)}
    five = [spelling(token, ids, stated) for token in SPECIAL_TOKENS]
    lowercase = stated.options.get("do_lower_case")
    if lowercase is None:
        lowercase = looks_uncased(tuple(vocabulary))
        logging.warning(
            "The vocabulary is taken as %s, judging by its pieces: if that is wrong, put"
            ' {"do_lower_case": %s} into a %s next to it.',
            *(("uncased", "false") if lowercase else ("cased", "true")),
            CONFIG_FILE,
        )
    length = len(vocabulary)
    added = with_added([], vocabulary, dataclasses.replace(stated, extra=()))
    special = [token["content"] for token in added if token["special"]]
    extra = dict.fromkeys((*stated.extra, *(name for name in special if name not in five)))
    plain = [token for token in added if token["content"] not in (*five, *extra)]
    if plain:
        vocabulary, extra = vocabulary[:length], [name for name in extra if name not in vocabulary[length:]]
    tokenizer = WordPieceTokenizer(
        vocabulary,
        lowercase,
        stated.options.get("strip_accents"),
        stated.options.get("tokenize_chinese_chars", True),
        tuple(extra),
        five,
    )
    return open_document(_document(tokenizer, added), Stated(names=stated.names), ADDED_FILE) if plain else tokenizer


def _document(tokenizer: WordPieceTokenizer, added: list[dict[str, Any]]) -> dict[str, Any]:
    """The `tokenizer.json` of a WordPiece vocabulary with tokens that are found in text before words are split."""
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    pieces = tokenizer.vocabulary
    by_id = {token["id"]: token for token in added}
    by_id |= {i: {"id": i, "content": pieces[i], **flags, "special": True} for i in tokenizer.special_ids}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [by_id[i] for i in sorted(by_id)],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": tokenizer.split_cjk,
            "strip_accents": tokenizer.strip_accents,
            "lowercase": tokenizer.lowercase,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": None,
        "decoder": {"type": "WordPiece", "prefix": PREFIX, "cleanup": False},
        "model": {
            "type": "WordPiece",
            "unk_token": pieces[tokenizer.unk_id],
            "continuing_subword_prefix": PREFIX,
            "max_input_chars_per_word": MAX_WORD_CHARACTERS,
            "vocab": {piece: i for i, piece in enumerate(pieces)},
        },
    }


READERS: dict[str, Callable[[Mapping[str, bytes], Stated], Tokenizer]] = {
    JSON_FILE: _from_json,
    MODEL_FILE: lambda files, stated: SentencePieceTokenizer(files[MODEL_FILE]),
    VOCABULARY_FILE: _from_vocabulary,
    PIECES_FILE: _from_byte_level,
    FAIRSEQ_FILE: _from_fairseq,
}
