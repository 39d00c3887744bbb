"""Texts as token ids, and as packed rows of few shapes, for models that are used rather than trained."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from bert_jax.batch import Batch
from bert_jax.data import draws, packing
from bert_jax.data.assembly import lay_out
from bert_jax.data.draws import Purpose
from bert_jax.data.examples import Segments
from bert_jax.tokenization import Tokenizer

SHORTEST_ROW, USUAL_ROW = 16, 64  # tokens; powers of two
TOKENS_PER_EXAMPLE = 8  # a row has a slot for each example of at least this length


@dataclasses.dataclass(frozen=True)
class EncodedTexts:
    """Texts as token ids.

    Attributes:
      token_ids: int32 [tokens], of all texts.
      segments: the examples, as ranges of `token_ids`.
      num_cut: the number of examples that were longer than a row.
    """

    token_ids: np.ndarray
    segments: Segments
    num_cut: int

    @classmethod
    def of(
        cls,
        pairs: Sequence[tuple[Sequence[int], Sequence[int]]],
        longest: int | np.ndarray,
        between: Sequence[int] = (),
    ) -> "EncodedTexts":
        """Makes examples `[CLS] A [SEP] B [SEP]`, or `[CLS] A [SEP]` if B is empty, of at most `longest` tokens.

        If a pair is too long, the longer text is cut at its end first.

        Args:
          pairs: the ids of A and B, without special tokens.
          longest: the most tokens in an example, with special tokens; of all, or of each.
          between: the separators between A and B of a model that was trained on pairs of one type, as RoBERTa; empty:
            one separator, and two types.
        """
        lengths = np.array([[len(a), len(b)] for a, b in pairs], np.int64).reshape(-1, 2)
        starts = (np.cumsum(lengths.ravel()) - lengths.ravel()).reshape(-1, 2)
        flat = [id_ for a, b in pairs for id_ in (*a, *b)]
        room = longest - 2 - (lengths[:, 1] > 0) * (len(between) or 1)
        fair = np.minimum(lengths, (room // 2)[:, None])  # the least that each text keeps
        kept_b = np.minimum(lengths[:, 1], room - np.minimum(lengths[:, 0], room - fair[:, 1]))
        kept_a = np.minimum(lengths[:, 0], room - kept_b)
        num_cut = int((lengths.sum(1) > kept_a + kept_b).sum())
        if between and kept_b.any():
            # A pair of one type is one segment.
            kept = zip(pairs, kept_a.tolist(), kept_b.tolist(), strict=True)
            joined = [((*a[:n], *between, *b[:m]) if m else a[:n], ()) for (a, b), n, m in kept]
            return dataclasses.replace(cls.of(joined, longest), num_cut=num_cut)
        key = draws.bits64(Purpose.LABELLED, np.arange(len(pairs))).astype(np.uint32)
        segments = Segments(starts[:, 0], kept_a, starts[:, 1], kept_b, key)
        return cls(np.array(flat or [0], np.int32), segments, num_cut)


def encode(
    texts: Sequence[tuple[str, str | None]], tokenizer: Tokenizer, longest: int | np.ndarray, two_types: bool = False
) -> EncodedTexts:
    """Encodes texts or pairs of texts, as `EncodedTexts.of`.

    Args:
      texts: the texts.
      tokenizer: its `separators_between` decides the form of a pair.
      longest: the most tokens in an example, with special tokens; of all, or of each.
      two_types: whether pairs have BERT's form in any case, as in pretraining on sentence pairs.
    """
    a_ids = tokenizer.encode_batch(text for text, _ in texts)
    b_ids = tokenizer.encode_batch(pair or "" for _, pair in texts)
    separators = 1 if two_types else tokenizer.separators_between
    between = [tokenizer.sep_id] * separators if separators > 1 else []
    return EncodedTexts.of(list(zip(a_ids, b_ids, strict=True)), longest, between)


def fair_lengths(lengths: np.ndarray, room: int) -> np.ndarray:
    """Returns what is left of each of some lengths [n] so that they fit into `room`: the longest lose first."""
    kept, left = np.zeros_like(lengths), room
    for done, index in enumerate(np.argsort(lengths, kind="stable")):
        kept[index] = min(int(lengths[index]), left // (len(lengths) - done))
        left -= int(kept[index])
    return kept


@dataclasses.dataclass(frozen=True)
class PackedBatch:
    """Some of the examples in rows.

    Attributes:
      batch: the core columns.
      index: int64 [examples], which examples these are.
      row, slot: int64 [examples], the place of each.
      first: int64 [examples], the position of its first token in the row.
    """

    batch: Batch
    index: np.ndarray
    row: np.ndarray
    slot: np.ndarray
    first: np.ndarray


def packed_batches(texts: EncodedTexts, tokenizer: Tokenizer, tokens_at_once: int) -> Iterator[PackedBatch]:
    """Packs examples into batches of few shapes: widths and numbers of rows are powers of two.

    Examples up to USUAL_ROW tokens share rows of that width, or a shorter row if all of them fit into it. Longer ones
    have rows of the next power of two.

    Args:
      texts: the examples.
      tokenizer: for the special ids.
      tokens_at_once: the most positions in a batch, a power of two; a longer row is a batch of its own.
    """
    lengths = texts.segments.length
    if not len(lengths):
        return
    least = min(USUAL_ROW, _power_of_two(max(SHORTEST_ROW, int(lengths.sum()))))
    widths = np.maximum(least, _power_of_two(lengths))
    left = np.arange(len(lengths))
    for width in np.unique(widths)[::-1].tolist():
        # Pack all that is left, and keep the rows that must be so wide: short examples fill up the rows of long ones.
        slots = width // TOKENS_PER_EXAMPLE
        rows = packing.pack(lengths[left], np.zeros_like(left), np.arange(len(left)), width, 0, slots)
        rows = np.where(rows >= 0, left[rows], -1)
        rows = rows[np.where(rows >= 0, widths[rows], 0).max(axis=1) == width]
        left = np.setdiff1d(left, rows)
        at_once = max(1, tokens_at_once // width)
        for begin in range(0, len(rows), at_once):
            yield _batch(texts, rows[begin : begin + at_once], width, tokenizer)


def _batch(texts: EncodedTexts, rows: np.ndarray, width: int, tokenizer: Tokenizer) -> PackedBatch:
    row, slot = np.nonzero(rows >= 0)
    index = rows[row, slot]
    shape = (int(_power_of_two(len(rows))), width, rows.shape[1])
    batch = lay_out(texts.segments.take(index), row, slot, shape, texts.token_ids, tokenizer).core()
    return PackedBatch(batch, index, row, slot, batch["cls_positions"][row, slot].astype(np.int64))


def _power_of_two(value: np.typing.ArrayLike) -> np.ndarray:
    """The smallest power of two that is at least `value`."""
    return 1 << np.ceil(np.log2(np.maximum(value, 1))).astype(np.int64)
