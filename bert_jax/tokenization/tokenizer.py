"""One Tokenizer for the whole package: text to ids without special tokens, ids to text, and the special ids."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence

import tokenizers
from etils import epath

from bert_jax import storage
from bert_jax.errors import TokenizerError

PAD, UNK, CLS, SEP, MASK = SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
# google-research/bert gives up on words over 200 characters; the backend's own default is 100.
MAX_WORD_CHARACTERS = 200


@dataclasses.dataclass(frozen=True)
class WordPieceTokenizer:
    """BERT's WordPiece: basic normalisation, a split at spaces and punctuation, greedy longest match.

    Text that happens to contain `[MASK]` or `[SEP]` is split at its brackets like any other text: special ids
    come from the special-id properties only.

    Attributes:
      vocabulary: the pieces; a piece's index is its id.
      lowercase: lower-case the text and strip its accents first ("uncased").
    """

    vocabulary: tuple[str, ...]
    lowercase: bool

    def __post_init__(self):
        ids = {piece: i for i, piece in enumerate(self.vocabulary)}
        missing = [token for token in SPECIAL_TOKENS if token not in ids]
        if missing:
            raise TokenizerError(
                f"The vocabulary lacks {', '.join(missing)}: add each missing token as a line of its own."
            )
        backend = tokenizers.Tokenizer(
            tokenizers.models.WordPiece(ids, unk_token=UNK, max_input_chars_per_word=MAX_WORD_CHARACTERS)
        )
        backend.normalizer = normalizer(self.lowercase)
        backend.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
        backend.decoder = tokenizers.decoders.WordPiece()
        object.__setattr__(self, "_ids", ids)
        object.__setattr__(self, "_backend", backend)

    @property
    def vocab_size(self) -> int:
        return len(self.vocabulary)

    @property
    def pad_id(self) -> int:
        return self._ids[PAD]

    @property
    def unk_id(self) -> int:
        return self._ids[UNK]

    @property
    def cls_id(self) -> int:
        return self._ids[CLS]

    @property
    def sep_id(self) -> int:
        return self._ids[SEP]

    @property
    def mask_id(self) -> int:
        return self._ids[MASK]

    @property
    def special_ids(self) -> tuple[int, ...]:
        """Ids that are never drawn as random replacements."""
        return tuple(sorted(self._ids[token] for token in SPECIAL_TOKENS))

    @property
    def frame_ids(self) -> tuple[int, ...]:
        """Ids that no text has: all special ones but [UNK], which stands for words the vocabulary cannot spell."""
        return tuple(i for i in self.special_ids if i != self.unk_id)

    @property
    def sha256(self) -> str:
        """Hash of everything that decides the ids."""
        text = "\n".join((f"wordpiece lowercase={self.lowercase}", *self.vocabulary))
        return hashlib.sha256(text.encode()).hexdigest()

    def encode(self, text: str) -> list[int]:
        """Ids of `text`, without special tokens."""
        return self._backend.encode(text, add_special_tokens=False).ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, as `encode` gives them, on the backend's threads."""
        return [row.ids for row in self._backend.encode_batch_fast(list(texts), add_special_tokens=False)]

    def encode_masked(self, text: str) -> list[int]:
        """As `encode`, but each literal `[MASK]` in `text` becomes the mask id."""
        ids = []
        for i, part in enumerate(text.split(MASK)):
            ids += ([self.mask_id] if i else []) + self.encode(part)
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Readable text; special tokens stay visible, word pieces are joined."""
        return self._backend.decoder.decode([self.vocabulary[int(i)] for i in ids])

    @classmethod
    def from_files(cls, files: dict[str, str]) -> "WordPieceTokenizer":
        """The tokenizer that `save` wrote, from the content of its files by name.

        Without a `tokenizer_config.json` that says `do_lower_case`, a vocabulary none of whose ordinary pieces has an
        upper-case letter is taken as uncased.
        """
        # Not splitlines(): it also cuts at separators that may be pieces themselves.
        vocabulary = tuple(line.removesuffix("\r") for line in files["vocab.txt"].removesuffix("\n").split("\n"))
        lowercase = json.loads(files.get("tokenizer_config.json", "{}")).get("do_lower_case")
        if lowercase is None:
            lowercase = not any(c.isupper() for piece in vocabulary if piece[:1] != "[" for c in piece)
        return cls(vocabulary, bool(lowercase))

    def save(self, directory: epath.PathLike) -> None:
        """Writes `vocab.txt` and `tokenizer_config.json`, which `load_tokenizer` and Hugging Face read."""
        directory = epath.Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        storage.write_bytes(directory / "vocab.txt", ("\n".join(self.vocabulary) + "\n").encode())
        config = {"tokenizer_class": "BertTokenizer", "do_lower_case": self.lowercase}
        storage.write_json(directory / "tokenizer_config.json", config)


def normalizer(lowercase: bool) -> tokenizers.normalizers.Normalizer:
    """BERT's text clean-up: control characters, spaces, CJK characters apart, accents stripped if uncased."""
    return tokenizers.normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=lowercase, lowercase=lowercase
    )


def load_tokenizer(path: epath.PathLike) -> WordPieceTokenizer:
    """Opens a `vocab.txt`, or a folder that holds one; see `from_files` for how its case is known.

    Raises:
      TokenizerError: nothing there, or not a WordPiece vocabulary.
    """
    path = epath.Path(path)
    vocab_file = path / "vocab.txt" if path.is_dir() else path
    if not vocab_file.exists():
        raise TokenizerError(f"No vocabulary at {vocab_file}: give a vocab.txt or a folder that holds one.")
    files = {"vocab.txt": vocab_file.read_bytes().decode("utf-8")}
    config_file = vocab_file.parent / "tokenizer_config.json"
    if config_file.exists():
        files[config_file.name] = config_file.read_text()
    return WordPieceTokenizer.from_files(files)
