"""Opens tokenizers from files: our own, Google's and Hugging Face's."""

import json
from typing import Any

from absl import logging
from etils import epath

from bert_jax.errors import TokenizerError, quoted
from bert_jax.foreign_files import parse_json, read_small
from bert_jax.tokenization.hugging_face import JSON_FILE, read_tokenizer_json
from bert_jax.tokenization.sentence_piece import MODEL_FILE, SentencePieceTokenizer
from bert_jax.tokenization.tokenizer import UNK, Tokenizer
from bert_jax.tokenization.wordpiece import (
    CONFIG_FILE,
    MAX_WORD_CHARACTERS,
    PREFIX,
    VOCABULARY_FILE,
    WordPieceTokenizer,
)

# The first of these files in a folder is opened. `sentencepiece.bpe.model` comes last: XLM-R uses the ids of the
# tokenizer.json next to it, which are shifted by one from the model's own.
PRECEDENCE = (MODEL_FILE, "spiece.model", "spm.model", VOCABULARY_FILE, JSON_FILE, "sentencepiece.bpe.model")
MAX_FILE_BYTES = 1 << 28
ADDED_FILE = "added_tokens.json"


def load_tokenizer(path: epath.PathLike) -> Tokenizer:
    """Opens a `vocab.txt`, a `tokenizer.json`, a SentencePiece `.model`, or a folder that holds one.

    Args:
      path: local or `gs://`. In a folder, the first file of `PRECEDENCE` is opened. A `tokenizer_config.json` next to
        a `vocab.txt` gives its case; without one, the pieces decide (see `from_files`).

    Raises:
      TokenizerError: there is no such file, or it is not a tokenizer.
    """
    path = epath.Path(path).expanduser()
    if path.is_dir():
        names = [name for name in PRECEDENCE if (path / name).exists()]
        if not names:
            raise TokenizerError(f"No tokenizer in {path}: it should hold one of {', '.join(PRECEDENCE)}.")
        path = path / names[0]
    elif not path.exists():
        raise TokenizerError(f"No vocabulary at {path}: give a vocab.txt, tokenizer.json, .model, or their folder.")
    kinds = {".txt": VOCABULARY_FILE, ".json": JSON_FILE, ".model": MODEL_FILE}
    if path.suffix not in kinds:
        raise TokenizerError(f"{path} does not end in .txt, .json or .model: give such a file, or a folder.")
    files = {kinds[path.suffix]: _read(path)}
    if path.suffix == ".txt":
        files |= {
            name: _read(path.parent / name) for name in (CONFIG_FILE, ADDED_FILE) if (path.parent / name).exists()
        }
    try:
        return from_files(files)
    except TokenizerError as error:
        raise TokenizerError(f"{path}: {error}") from None


def from_files(files: dict[str, bytes]) -> Tokenizer:
    """Makes a tokenizer from the content of its files by name, as `Tokenizer.files` returns them.

    If no `tokenizer_config.json` gives the case of a `vocab.txt` (`do_lower_case`), it is taken as uncased if
    lower-casing changes none of its ordinary pieces, and a warning says so.

    Raises:
      TokenizerError: no file has a known name, or the content is damaged.
    """
    if MODEL_FILE in files:
        return SentencePieceTokenizer(files[MODEL_FILE])
    if VOCABULARY_FILE in files:
        tokenizer = _wordpiece(files[VOCABULARY_FILE], _config(files.get(CONFIG_FILE, b"{}")))
        return _with_added(tokenizer, files[ADDED_FILE]) if ADDED_FILE in files else tokenizer
    if JSON_FILE in files:
        return read_tokenizer_json(files[JSON_FILE])
    raise TokenizerError(f"There is no {MODEL_FILE}, {VOCABULARY_FILE} or {JSON_FILE}: restore the tokenizer.")


def looks_uncased(vocabulary: tuple[str, ...]) -> bool:
    """Whether lower-casing changes no piece, except for bracketed ones such as `[CLS]` and `<S>`."""
    return not any(piece.lower() != piece for piece in vocabulary if piece[:1] not in ("[", "<"))


def _wordpiece(content: bytes, config: dict[str, Any]) -> WordPieceTokenizer:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise TokenizerError("The vocabulary is not UTF-8 text: give a file with one piece per line.") from None
    if not text.strip():
        raise TokenizerError("The vocabulary is empty: give a file with one piece per line.")
    # Not splitlines(), which also splits at separators that may be pieces.
    vocabulary = tuple(line.strip() for line in text.removesuffix("\n").split("\n"))
    lowercase = config["do_lower_case"]
    if lowercase is None:
        lowercase = looks_uncased(vocabulary)
        logging.warning(
            "The vocabulary is taken as %s, judging by its pieces: if that is wrong, put"
            ' {"do_lower_case": %s} into a %s next to it.',
            *(("uncased", "false") if lowercase else ("cased", "true")),
            CONFIG_FILE,
        )
    return WordPieceTokenizer(
        vocabulary,
        lowercase,
        config["strip_accents"],
        config["tokenize_chinese_chars"],
        config["additional_special_tokens"],
    )


def _config(content: bytes) -> dict[str, Any]:
    """The fields of a tokenizer_config.json that matter here, with their types checked."""
    try:
        config = json.loads(content)
    except (ValueError, RecursionError):
        raise TokenizerError(f"{CONFIG_FILE} is not JSON: restore or delete it.") from None
    fields = {"do_lower_case": None, "strip_accents": None, "tokenize_chinese_chars": True}
    if not isinstance(config, dict):
        raise TokenizerError(f"{CONFIG_FILE} is not a JSON object: restore or delete it.")
    chosen = {name: config.get(name, default) for name, default in fields.items()}
    for name, value in chosen.items():
        if not isinstance(value, bool) and value is not fields[name]:
            raise TokenizerError(f"{CONFIG_FILE} has {name}={quoted(str(value))}: set it to true or false.")
    extra = config.get("additional_special_tokens") or []
    names = [t.get("content") if isinstance(t, dict) else t for t in extra] if isinstance(extra, list) else [None]
    if not all(isinstance(name, str) for name in names):
        raise TokenizerError(f"{CONFIG_FILE} has additional_special_tokens that are not text: list their names.")
    return chosen | {"additional_special_tokens": names}


def _with_added(tokenizer: WordPieceTokenizer, content: bytes) -> Tokenizer:
    """Adds the tokens of an `added_tokens.json`, which are found in text before words are split, as `transformers`
    does. Returns `tokenizer` itself if its vocabulary already has them all."""
    added = parse_json(ADDED_FILE, content, TokenizerError)
    pieces = tokenizer.vocabulary
    new = {name: i for name, i in added.items() if type(i) is not int or pieces[i : i + 1] != (name,)}
    for expected, (name, i) in enumerate(sorted(new.items(), key=lambda item: str(item[1]).zfill(20)), len(pieces)):
        if type(i) is not int or i != expected or not name or name in pieces:
            raise TokenizerError(
                f"{ADDED_FILE} gives {quoted(name)} the id {quoted(str(i))}, but the next free one is {expected}:"
                " restore the file that belongs to this vocabulary."
            )
    if not new:
        return tokenizer
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip"), False)
    special = [{"id": i, "content": pieces[i], "normalized": False, "special": True} for i in tokenizer.special_ids]
    others = [{"id": i, "content": name, "normalized": True, "special": False} for name, i in new.items()]
    normalizer = {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": tokenizer.split_cjk,
        "strip_accents": tokenizer.strip_accents,
        "lowercase": tokenizer.lowercase,
    }
    model = {
        "type": "WordPiece",
        "unk_token": UNK,
        "continuing_subword_prefix": PREFIX,
        "max_input_chars_per_word": MAX_WORD_CHARACTERS,
        "vocab": {piece: i for i, piece in enumerate(pieces)},
    }
    document = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [flags | token for token in (*special, *sorted(others, key=lambda token: token["id"]))],
        "normalizer": normalizer,
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": None,
        "decoder": {"type": "WordPiece", "prefix": PREFIX, "cleanup": False},
        "model": model,
    }
    return read_tokenizer_json(json.dumps(document).encode())


def _read(path: epath.Path) -> bytes:
    return read_small(path, MAX_FILE_BYTES, TokenizerError)
