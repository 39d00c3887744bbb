"""Runs a `tokenizer.json` of any kind (byte-level BPE, Unigram, …) with the `tokenizers` library."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tokenizers
from absl import logging

from bert_jax.errors import TokenizerError, quoted
from bert_jax.tokenization.byte_level import begins_word, byte_of, bytes_of, letters_of, spells_bytes, without_space
from bert_jax.tokenization.chunks import Chunks, cuts_at_spaces
from bert_jax.tokenization.frames import separators_between, unusual_frame
from bert_jax.tokenization.offsets import tidy
from bert_jax.tokenization.tokenizer import (
    NAME_FIELDS,
    SPECIAL_TOKENS,
    SPELLINGS,
    UNK,
    Tokenizer,
    stands_alone,
    without_surrogates,
)
from bert_jax.tokenization.wordpiece import CONFIG_FILE

JSON_FILE = "tokenizer.json"
# A character that Unicode guarantees never to use. It is added to special pieces, so that no text spells them.
SEAL = "\U0010ffff"
# Byte-level BPE has no unknown text. A place that no text has stands for it, as in files of Llama's vocabulary.
RESERVED_SPECIAL = re.compile(r"<\|reserved_special_token_\d+\|>")


class JsonTokenizer(Tokenizer):
    """Gives the ids of Hugging Face's `tokenizers`, except that text which spells a special token remains text.

    Truncation and padding settings in the file are ignored. Special tokens that it lacks are appended.
    """

    def __init__(self, document: dict[str, Any], vocabulary: Sequence[str], names: Mapping[str, str] | None = None):
        """Opens a parsed `tokenizer.json`.

        Args:
          document: the file.
          vocabulary: its pieces by id.
          names: how it spells some of `SPECIAL_TOKENS`; the others are looked for in their usual spellings.

        Raises:
          TokenizerError: the library rejects it, or gives other ids to its pieces.
        """
        document = dict(document, truncation=None, padding=None)
        self._document = document
        vocabulary, names = list(vocabulary), names or {}
        five = _find_special_tokens(document, vocabulary, names)
        ids = {piece: i for i, piece in enumerate(vocabulary)}
        usual = [next((ids[name] for name in SPELLINGS[token] if name in ids), None) for token in SPECIAL_TOKENS]
        self._unusual = {
            field: names[token]
            for (field, token), found, i in zip(NAME_FIELDS.items(), usual, five, strict=True)
            if found != i and token in names
        }
        extra = [token["id"] for token in document["added_tokens"] if token["special"]]
        super().__init__(vocabulary, five, extra)
        added = _added(document)
        # The space that it puts before a text is put here, so that a text can also go on from a word. The library puts
        # one behind each added token, too.
        unspaced = None if added else without_space(document)
        self._puts_space = unspaced is not None
        self._backend = _open(unspaced or document, self)
        self._begins, self.spells_bytes = _word_mark(document), spells_bytes(document)
        self._cut = Chunks(self.encode_continuation).cut if cuts_at_spaces(unspaced or document, added) else None
        processor = document.get("post_processor")
        self.separators_between = separators_between(processor)
        frame = vocabulary[self.cls_id], vocabulary[self.sep_id]
        if said := unusual_frame(processor, *frame):
            logging.warning("%s puts %s around texts, but here they are %s A %s.", JSON_FILE, said, *frame)

    def encode(self, text: str) -> list[int]:
        text = self._spaced(text)
        found = self._cut(text) if self._cut else None
        return self.encode_continuation(text) if found is None else found

    def encode_batch(self, texts: Iterable[str]) -> list[list[int]]:
        if self._cut:
            return [self.encode(text) for text in texts]
        given = [self._encodable(self._spaced(text)) for text in texts]
        return [row.ids for row in self._backend.encode_batch_fast(given, add_special_tokens=False)]

    def encode_with_offsets(self, text: str) -> tuple[list[int], np.ndarray]:
        spaced = self._spaced(text)
        found = self._backend.encode(self._encodable(spaced), add_special_tokens=False)
        ranges = np.array(found.offsets, np.int64).reshape(-1, 2) - (len(spaced) - len(text))
        return found.ids, tidy(text, np.maximum(ranges, 0))

    def encode_continuation(self, text: str) -> list[int]:
        return self._backend.encode(self._encodable(text), add_special_tokens=False).ids

    def _encode_after_mask(self, text: str) -> list[int]:
        return self.encode(text) if text[:1].isspace() else self.encode_continuation(text)

    def _encodable(self, text: str) -> str:
        # Letters that stand for bytes spell no seal.
        return without_surrogates(text if self.spells_bytes else text.replace(SEAL, "\ufffd"))

    def _spaced(self, text: str) -> str:
        return f" {text}" if self._puts_space and text[:1] not in ("", " ") else text

    def spell_words(self, text: str) -> list[str]:
        text = self._encodable(self._spaced(text))
        if self._backend.normalizer:
            text = self._backend.normalizer.normalize_str(text)
        if not self._backend.pre_tokenizer:
            return [text]
        return [word for word, _ in self._backend.pre_tokenizer.pre_tokenize_str(text)]

    def decode(self, ids: Sequence[int]) -> str:
        return self._decode_around_specials(ids, self._backend.decode)

    def name(self, index: int) -> str:
        piece = self.vocabulary[index]
        return letters_of(piece) if self.spells_bytes and index not in self.special_ids else piece

    def files(self) -> dict[str, bytes]:
        """Returns `tokenizer.json` and, if special tokens have unusual names, these in `tokenizer_config.json`."""
        files = {JSON_FILE: (json.dumps(self._document, ensure_ascii=False) + "\n").encode()}
        if self._unusual:
            files[CONFIG_FILE] = (json.dumps(self._unusual, ensure_ascii=False) + "\n").encode()
        return files

    def _starts_word(self, index: int, piece: str) -> bool:
        return self._begins(piece)


def _find_special_tokens(document: dict[str, Any], vocabulary: list[str], names: Mapping[str, str]) -> list[int]:
    """The ids of the five special tokens, which become special in `document`. Missing ones are appended to both."""
    ids = {piece: i for i, piece in enumerate(vocabulary)}
    model = document["model"]
    added = document["added_tokens"] = [dict(token) for token in document["added_tokens"]]
    unknown = model["unk_id"] if model["type"] == "Unigram" else ids.get(model.get("unk_token"))
    if model["type"] == "Unigram" and unknown is None:
        raise TokenizerError("tokenizer.json has no unknown piece (unk_id): use another tokenizer.")
    five = []
    for token in SPECIAL_TOKENS:
        spellings = (names[token],) if token in names else SPELLINGS[token]
        found = next((ids[name] for name in spellings if name in ids), None)
        if token == UNK:
            found = next((i for i in (unknown, found, _reserved(added)) if i is not None), None)
        if found is None:
            found = len(vocabulary)
            name = names.get(token, token)
            vocabulary.append(name)
            ids[name] = found
            flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
            added.append({"id": found, "content": name, **flags, "special": True})
            shown = quoted(name) if token in names else token
            logging.warning("tokenizer.json has no %s, so it is appended as id %d.", shown, found)
        five.append(found)
    for token in added:
        token["special"] = token["special"] or token["id"] in five
    return five


def _reserved(added: list[dict[str, Any]]) -> int | None:
    return next((one["id"] for one in added if one["special"] and RESERVED_SPECIAL.fullmatch(one["content"])), None)


def _open(document: dict[str, Any], tokenizer: Tokenizer) -> tokenizers.Tokenizer:
    """The library's tokenizer, with the special pieces of the model renamed to strings that no text contains."""
    sealed = {tokenizer.vocabulary[i]: SEAL + tokenizer.vocabulary[i] for i in tokenizer.frame_ids}
    model = dict(document["model"])
    document = document | {"post_processor": None, "model": model}
    if isinstance(model["vocab"], dict):
        in_model = sealed.keys() & model["vocab"].keys()
        model["vocab"] = {sealed.get(piece, piece): i for piece, i in model["vocab"].items()}
    else:
        in_model = sealed.keys() & {piece for piece, _ in model["vocab"]}
        model["vocab"] = [[sealed.get(piece, piece), score] for piece, score in model["vocab"]]
    if "merges" in model:
        pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"]]
        model["merges"] = [pair for pair in pairs if "".join(pair) not in in_model and in_model.isdisjoint(pair)]
    document["added_tokens"] = [token for token in document["added_tokens"] if token["content"] not in in_model]
    try:
        backend = tokenizers.Tokenizer.from_str(json.dumps(document))
    except BaseException as error:  # the library raises no narrower class, and panics at some damaged files
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise TokenizerError(f"tokenizer.json is damaged ({quoted(error)}): fetch it again.") from None
    backend.encode_special_tokens = True
    ids = backend.get_vocab(with_added_tokens=True)
    expected = {sealed[p] if p in in_model else p: i for i, p in enumerate(tokenizer.vocabulary) if p}
    if ids != expected:
        raise TokenizerError(
            "tokenizer.json is damaged (the ids of its added tokens are inconsistent): fetch it again."
        )
    return backend


def _word_mark(document: dict[str, Any]) -> Callable[[str], bool]:
    """Says which pieces begin a word, by how this tokenizer marks the space before a word."""
    prefix = document["model"].get("continuing_subword_prefix")
    if prefix:
        return lambda piece: not piece.startswith(prefix)
    text = json.dumps([document.get("normalizer"), document.get("pre_tokenizer"), document.get("decoder")])
    if spells_bytes(document):
        begins = _begins_word_in_letters
    elif "Metaspace" in text or "\\u2581" in text:
        begins = _begins_word_after_space
    else:
        return lambda piece: True
    # Added tokens are plain text. One that takes the spaces before it, too, begins a word.
    added = {token["content"]: token["lstrip"] or begins_word(token["content"].encode()) for token in _added(document)}
    return lambda piece: added[piece] if piece in added else begins(piece)


def _added(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The tokens that are found in text before it is split into words."""
    return [token for token in document["added_tokens"] if not token["special"]]


def _begins_word_in_letters(piece: str) -> bool:
    return begins_word(bytes_of(piece))


def _begins_word_after_space(piece: str) -> bool:
    byte = byte_of(piece)
    return piece.startswith("▁") or (begins_word(byte) if byte else stands_alone(piece))
