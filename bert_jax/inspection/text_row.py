"""A text as a row of its own, in which each token has a name that people can read."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from bert_jax.batch import Batch
from bert_jax.data.documents import make_windows
from bert_jax.data.texts import EncodedTexts, packed_batches
from bert_jax.errors import TokenizerError
from bert_jax.inspection.token_names import readable
from bert_jax.pretrained import Pretrained, Text
from bert_jax.tokenization import Tokenizer


@dataclasses.dataclass(frozen=True)
class TextRow:
    """A text of n tokens, special tokens included, at the beginning of a row.

    Attributes:
      tokens: the n tokens, see `readable`.
      ids: int32 [n], their ids.
      is_frame: bool [n], True for special tokens, such as `[CLS]`, `[SEP]` and `[MASK]`.
      begins_word: bool [n], False for a token that goes on a word.
      batch: the core columns of one row, S >= n; the example is the first of the row and starts at position 0.
    """

    tokens: list[str]
    ids: np.ndarray
    is_frame: np.ndarray
    begins_word: np.ndarray
    batch: Batch

    @classmethod
    def of(cls, bert: Pretrained, text: Text, two_types: bool = False) -> "TextRow":
        """Makes the row of a text, or of a pair of texts. `[MASK]` in it is the mask.

        Args:
          bert: the model.
          text: the text or the pair.
          two_types: whether a pair has BERT's form in any case; see `data.texts.encode`.

        Raises:
          TokenizerError: the model takes no text that is so long.
        """
        a, b = (text, "") if isinstance(text, str) else text
        tokenizer = bert.tokenizer
        separators = 1 if two_types else tokenizer.separators_between
        between = [tokenizer.sep_id] * separators if separators > 1 else []
        return cls.of_ids(bert, tokenizer.encode_masked(a), tokenizer.encode_masked(b), between)

    @classmethod
    def of_ids(
        cls, bert: Pretrained, a: Sequence[int], b: Sequence[int] = (), between: Sequence[int] = ()
    ) -> "TextRow":
        """Makes the row of the ids of a text, or of two; see `EncodedTexts.of`."""
        length = len(a) + len(b) + 2 + bool(b) * (len(between) or 1)
        cls._check_length(bert, length)
        return cls._of_example(bert, EncodedTexts.of([(a, b)], bert.max_tokens, between), length)

    @classmethod
    def of_sentences(cls, bert: Pretrained, sentences: Sequence[str]) -> tuple["TextRow", list[int]]:
        """Makes the row of a document, as summarization reads it, with a `[CLS]` and a `[SEP]` around each sentence.

        Returns:
          The row, and the position of the `[CLS]` of each sentence.

        Raises:
          TokenizerError: there are no sentences, or the model takes no document that is so long.
        """
        lengths = [len(ids) + 2 for ids in bert.tokenizer.encode_batch(sentences)]
        if not lengths:
            raise TokenizerError("The document has no sentence: give one.")
        cls._check_length(bert, sum(lengths))
        windows = make_windows([sentences], bert.tokenizer, bert.max_tokens, overlap=0)
        row = cls._of_example(bert, windows.texts, sum(lengths))
        types = np.zeros_like(row.batch["token_type_ids"])
        types[0, : sum(lengths)] = windows.token_type_ids
        row = dataclasses.replace(row, batch=row.batch | {"token_type_ids": types})
        return row, (np.cumsum(lengths) - lengths).tolist()

    @classmethod
    def _of_example(cls, bert: Pretrained, encoded: EncodedTexts, length: int) -> "TextRow":
        """The row of the only example, which has so many tokens."""
        tokenizer = bert.tokenizer
        (packed,) = packed_batches(encoded, tokenizer, tokens_at_once=1)
        ids = packed.batch["token_ids"][0, :length]
        return cls(
            tokens=readable(tokenizer, ids.tolist()),
            ids=ids,
            is_frame=np.isin(ids, tokenizer.frame_ids),
            begins_word=tokenizer.word_starts[ids],
            batch=packed.batch,
        )

    @staticmethod
    def _check_length(bert: Pretrained, length: int) -> None:
        if length > bert.max_tokens:
            raise TokenizerError(
                f"The text has {length} tokens, but the model takes at most {bert.max_tokens}: shorten it."
            )

    def place_of_mask(self, tokenizer: Tokenizer, mask: int) -> int:
        """Returns the position of a `[MASK]`, given its number from 0.

        Raises:
          TokenizerError: there is none.
        """
        places = np.flatnonzero(self.ids == tokenizer.mask_id)
        if not 0 <= mask < len(places):
            raise TokenizerError(
                f"The text has {len(places)} [MASK], so there is none with number {mask}, counted from 0."
            )
        return int(places[mask])
