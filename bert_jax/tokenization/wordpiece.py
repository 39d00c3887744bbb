"""BERT's WordPiece (Wu et al. 2016, as in Devlin et al. 2018), with the ids of google-research/bert."""

import functools
import itertools
import json
from collections.abc import Iterable, Sequence

import numpy as np
import tokenizers

from bert_jax.errors import TokenizerError, quoted
from bert_jax.tokenization.normalisation import Normaliser
from bert_jax.tokenization.offsets import tidy
from bert_jax.tokenization.tokenizer import NAME_FIELDS, SPECIAL_TOKENS, Tokenizer

VOCABULARY_FILE, CONFIG_FILE = "vocab.txt", "tokenizer_config.json"
# google-research/bert maps words longer than 200 characters to [UNK]; the library's default is 100.
MAX_WORD_CHARACTERS = 200
# About 200 MB when full. Further words are split again each time.
CACHED_WORDS = 1_000_000
PREFIX = "##"


class WordPieceTokenizer(Tokenizer):
    """Splits text into words with BERT's normalisation, and each word greedily into the longest matching pieces.

    Attributes:
      lowercase: whether to lower-case the text ("uncased").
      strip_accents: whether to remove accents.
      split_cjk: whether each Chinese character is a word.
      extra_special_tokens: special tokens besides the five.
      special_tokens: the five, as the vocabulary spells them.
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        lowercase: bool,
        strip_accents: bool | None = None,
        split_cjk: bool = True,
        extra_special_tokens: Sequence[str] = (),
        special_tokens: Sequence[str] = SPECIAL_TOKENS,
    ):
        """Creates a tokenizer from its pieces.

        Args:
          vocabulary: the pieces by id, with `[PAD]`, `[UNK]`, `[CLS]`, `[SEP]` and `[MASK]`. As in
            google-research/bert, spaces around a piece are removed, and the last of several equal pieces is used.
          lowercase: see the class.
          strip_accents: see the class; None: the same as `lowercase`, as in BERT.
          split_cjk: see the class.
          extra_special_tokens: pieces that no text is encoded to.
          special_tokens: the five special tokens, in the order of `SPECIAL_TOKENS`, as the vocabulary spells them.

        Raises:
          TokenizerError: a special token is missing, or a piece contains a line break.
        """
        pieces = tuple(piece.strip() for piece in vocabulary)
        ids = {piece: i for i, piece in enumerate(pieces)}
        missing = [token for token in (*special_tokens, *extra_special_tokens) if token not in ids]
        if missing:
            more = f" and {len(missing) - 5} more" if missing[5:] else ""
            raise TokenizerError(
                f"The vocabulary lacks {', '.join(map(quoted, missing[:5]))}{more}: add each missing token on a line of"
                " its own."
            )
        if broken := [piece for piece in pieces if "\n" in piece]:
            raise TokenizerError(f"The piece {quoted(broken[0])} contains a line break: remove it from the vocabulary.")
        super().__init__(
            pieces, [ids[token] for token in special_tokens], [ids[token] for token in extra_special_tokens]
        )
        self.lowercase, self.split_cjk = bool(lowercase), bool(split_cjk)
        self.strip_accents = self.lowercase if strip_accents is None else bool(strip_accents)
        self.extra_special_tokens, self.special_tokens = tuple(extra_special_tokens), tuple(special_tokens)
        self._normaliser = Normaliser(self.lowercase, self.strip_accents, self.split_cjk)
        self._words = self._normaliser.words
        # Without special tokens, which may be spelt like words, and without U+FFFD, which the normaliser drops from
        # text and writes for characters that have no UTF-8.
        frame = set(self.frame_ids)
        matched = {p: i for p, i in ids.items() if i not in frame and "\ufffd" not in p}
        self._cut = _Words(_model(matched, pieces[self.unk_id], PREFIX)).__getitem__
        self._decoder = tokenizers.decoders.WordPiece(prefix=PREFIX)

    def encode(self, text: str) -> list[int]:
        return list(itertools.chain.from_iterable(map(self._cut, self._words(text))))

    def encode_batch(self, texts: Iterable[str]) -> list[list[int]]:
        words, cut, chain = self._words, self._cut, itertools.chain.from_iterable
        return [list(chain(map(cut, words(text)))) for text in texts]

    def encode_with_offsets(self, text: str) -> tuple[list[int], np.ndarray]:
        ids: list[int] = []
        ranges: list[tuple[int, int]] = []
        for word, origins in self._normaliser.located_words(text):
            pieces, end = self._cut(word), 0
            for i, piece in enumerate(pieces):
                # An unknown word is one piece.
                length = len(self.vocabulary[piece]) - (len(PREFIX) if i else 0)
                begin, end = end, len(word) if len(pieces) == 1 else end + length
                ranges.append((int(origins[begin:end].min()), int(origins[begin:end].max()) + 1))
            ids += pieces
        return ids, tidy(text, ranges)

    def encode_continuation(self, text: str) -> list[int]:
        first, *others = self._words(text) or [""]
        return [token.id for token in self._continuation.tokenize(first)] + self.encode(" ".join(others))

    @functools.cached_property
    def _continuation(self) -> tokenizers.models.WordPiece:
        """Cuts the rest of a word: all its pieces are later ones."""
        later = {
            p.removeprefix(PREFIX): i for i, p in enumerate(self.vocabulary) if p.startswith(PREFIX) and p != PREFIX
        }
        unknown = self.vocabulary[self.unk_id]
        return _model({unknown: self.unk_id} | later, unknown, "")

    def spell_words(self, text: str) -> list[str]:
        return self._words(text)

    def decode(self, ids: Sequence[int]) -> str:
        return self._decoder.decode([self.vocabulary[int(i)] for i in ids])

    def files(self) -> dict[str, bytes]:
        """Returns `vocab.txt` and `tokenizer_config.json`, which Hugging Face also reads."""
        config = {
            "tokenizer_class": "BertTokenizer",
            "do_lower_case": self.lowercase,
            "strip_accents": self.strip_accents,
            "tokenize_chinese_chars": self.split_cjk,
            "additional_special_tokens": list(self.extra_special_tokens),
        }
        config |= {
            field: name
            for (field, usual), name in zip(NAME_FIELDS.items(), self.special_tokens, strict=True)
            if name != usual
        }
        return {
            VOCABULARY_FILE: ("\n".join(self.vocabulary) + "\n").encode(),
            CONFIG_FILE: (json.dumps(config, indent=2, ensure_ascii=False) + "\n").encode(),
        }

    def _starts_word(self, index: int, piece: str) -> bool:
        return not piece.startswith(PREFIX)


def _model(pieces: dict[str, int], unknown: str, prefix: str) -> tokenizers.models.WordPiece:
    return tokenizers.models.WordPiece(
        pieces, unk_token=unknown, max_input_chars_per_word=MAX_WORD_CHARACTERS, continuing_subword_prefix=prefix
    )


class _Words(dict):
    """Maps words to ids, and caches them."""

    def __init__(self, model: tokenizers.models.WordPiece):
        self._tokenize = model.tokenize

    def __missing__(self, word: str) -> tuple[int, ...]:
        ids = tuple(token.id for token in self._tokenize(word))
        if len(self) < CACHED_WORDS:
            self[word] = ids
        return ids
