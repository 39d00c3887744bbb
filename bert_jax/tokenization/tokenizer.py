"""The base class of all tokenizers: text to ids without special tokens, ids to text, special ids, and files."""

import abc
import functools
import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from etils import epath

from bert_jax import storage

PAD, UNK, CLS, SEP, MASK = SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
# The same five as XLM-R and RoBERTa, Gemma and Llama spell them. The first spelling in a vocabulary is used.
SPELLINGS = {
    PAD: (PAD, "<pad>", "<|pad|>"),
    UNK: (UNK, "<unk>"),
    CLS: (CLS, "<s>", "<bos>", "<|begin_of_text|>"),
    SEP: (SEP, "</s>", "<eos>", "<|end_of_text|>"),
    MASK: (MASK, "<mask>", "<|mask|>"),
}
# The fields of Hugging Face's files that name them.
NAME_FIELDS = {"pad_token": PAD, "unk_token": UNK, "cls_token": CLS, "sep_token": SEP, "mask_token": MASK}
# Free places in a vocabulary, for tokens to be added later.
RESERVED = re.compile(r"[\[<]unused_?\d+[\]>]")
SURROGATE = re.compile("[\ud800-\udfff]")
# These scripts have no spaces between words, so that each letter may begin a word.
UNSPACED_SCRIPTS = (
    "CJK", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA", "BOPOMOFO", "YI", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN",
    "JAVANESE", "BALINESE", "TAI LE", "NEW TAI LUE", "TAI THAM", "TAI VIET",
)  # fmt: skip


class Tokenizer(abc.ABC):
    """Converts text to ids and back.

    Text that contains `[MASK]`, `</s>` or any other special token is encoded like other text. Special ids only come
    from the attributes below and from `encode_masked`.

    Attributes:
      vocabulary: [V] the pieces, by id.
      pad_id, unk_id, cls_id, sep_id, mask_id: the five special tokens, whatever their spelling in the vocabulary.
      special_ids: the sorted ids of these and of the extra special tokens.
      separators_between: how many separators the model was released with between two texts: 1, or RoBERTa's 2.
      spells_bytes: whether the letters of the pieces stand for bytes, as in byte-level BPE.
    """

    separators_between = 1
    spells_bytes = False

    def __init__(self, vocabulary: Iterable[str], five: Sequence[int], extra_ids: Iterable[int] = ()):
        """Stores the pieces, the ids of the five in the order of `SPECIAL_TOKENS`, and of extra special tokens."""
        self.vocabulary = tuple(vocabulary)
        self.pad_id, self.unk_id, self.cls_id, self.sep_id, self.mask_id = five
        self.special_ids = tuple(sorted({*five, *extra_ids}))

    @property
    def vocab_size(self) -> int:
        """V."""
        return len(self.vocabulary)

    @property
    def frame_ids(self) -> tuple[int, ...]:
        """The ids that no text has: all special ids but the unknown one, which is for text that cannot be spelt."""
        return tuple(i for i in self.special_ids if i != self.unk_id)

    @functools.cached_property
    def ordinary_ids(self) -> np.ndarray:
        """int64 [n], the ids to draw random replacements from: neither special tokens nor reserved slots."""
        special = set(self.special_ids)
        return np.array(
            [i for i, p in enumerate(self.vocabulary) if i not in special and self._is_ordinary(i, p)], np.int64
        )

    @functools.cached_property
    def word_starts(self) -> np.ndarray:
        """bool [V], whether a piece begins a word (or is one). Special pieces do."""
        starts = np.array([self._starts_word(i, piece) for i, piece in enumerate(self.vocabulary)], bool)
        starts[list(self.special_ids)] = True
        return starts

    @functools.cached_property
    def needs_space(self) -> bool:
        """Whether a word at the beginning of a text is other pieces than behind a space, as for RoBERTa."""
        return self.encode("a") != self.encode(" a")

    @functools.cached_property
    def sha256(self) -> str:
        """A hash of everything that decides the ids."""
        digest = hashlib.sha256()
        for name, content in sorted(self.files().items()):
            digest.update(f"{name} {len(content)}\n".encode() + content)
        return digest.hexdigest()

    @abc.abstractmethod
    def encode(self, text: str) -> list[int]:
        """The ids of `text`, without special tokens."""

    def encode_batch(self, texts: Iterable[str]) -> list[list[int]]:
        """The ids of each text, as from `encode`."""
        return [self.encode(text) for text in texts]

    @abc.abstractmethod
    def encode_with_offsets(self, text: str) -> tuple[list[int], np.ndarray]:
        """The ids of `text`, as from `encode`, and the characters that each comes from.

        A range has no white space at its ends; it is empty if nothing else made the piece. Pieces made of the same
        character, as of `½`, have the same range. Marks that the normalisation drops belong to the letter before them.

        Returns:
          The ids, and int64 [ids, 2]: `text[start:end]` is what a piece, or a run of pieces, comes from.
        """

    def encode_masked(self, text: str) -> list[int]:
        """The ids of `text`, as from `encode`, but each literal `[MASK]` becomes the mask id, in place of a word."""
        first, *others = text.split(MASK)
        # The mask replaces a word and the space before it.
        ids = self.encode(first.rstrip() if others else first)
        for i, part in enumerate(others, 1):
            ids.append(self.mask_id)
            ids += self._encode_after_mask(part.rstrip() if i < len(others) else part)
        return ids

    def _encode_after_mask(self, text: str) -> list[int]:
        return self.encode(text)

    def encode_continuation(self, text: str) -> list[int]:
        """The ids of `text` where it goes on from the word before it, such as the ending of a word."""
        return self.encode(text)

    @abc.abstractmethod
    def spell_words(self, text: str) -> list[str]:
        """The words of `text`, each spelt as the piece that it would be if it were one."""

    @abc.abstractmethod
    def decode(self, ids: Sequence[int]) -> str:
        """Readable text, with the pieces of each word joined. Special tokens remain visible."""

    def name(self, index: int) -> str:
        """How to show a piece: as the vocabulary spells it, or in letters where that spells bytes."""
        return self.vocabulary[index]

    @abc.abstractmethod
    def files(self) -> dict[str, bytes]:
        """The content of the tokenizer's files by name; `from_files` is the inverse."""

    def save(self, directory: epath.PathLike) -> None:
        """Writes `files()` into a folder, which `load_tokenizer` reads."""
        directory = epath.Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in self.files().items():
            storage.write_bytes(directory / name, content)

    def _is_ordinary(self, index: int, piece: str) -> bool:
        return bool(piece) and not RESERVED.fullmatch(piece)

    @abc.abstractmethod
    def _starts_word(self, index: int, piece: str) -> bool: ...

    def _decode_around_specials(self, ids: Sequence[int], decode_run: Callable[[list[int]], str]) -> str:
        """Joins special pieces as they are with runs of other ids, which `decode_run` converts to text."""
        special, parts, run = set(self.special_ids), [], []
        for i in map(int, ids):
            if i in special:
                parts += ([decode_run(run)] if run else []) + [self.vocabulary[i]]
                run = []
            else:
                run.append(i)
        return " ".join(part.strip() for part in [*parts, decode_run(run) if run else ""]).strip()


def without_surrogates(text: str) -> str:
    """Replaces lone surrogates, which have no UTF-8 and which the native libraries reject, by U+FFFD."""
    return SURROGATE.sub("\ufffd", text)


def stands_alone(piece: str) -> bool:
    """Whether a piece begins a word by its first character, even without the mark of a space before it."""
    if not piece:
        return False
    category = unicodedata.category(piece[0])
    if category in ("Lo", "Nl"):
        return unicodedata.name(piece[0], "").startswith(UNSPACED_SCRIPTS)
    return category[0] in "PS"
