"""Which tokens are predicted, and what stands in their place.

Draws depend on the example's key and the position in it alone: an example is masked the same in any row.
"""

import dataclasses

import numpy as np

from bert_jax.data import draws
from bert_jax.data.draws import Purpose
from bert_jax.tokenization import WordPieceTokenizer

# Shares of chosen positions that become [MASK] and that become a random token; the rest stays (Devlin et al. 2018).
MASK_SHARE, RANDOM_SHARE = 0.8, 0.1


def num_predictions(length: np.ndarray, rate: float, max_predictions: int, num_special: int) -> np.ndarray:
    """Positions to predict in examples of some length (special tokens counted, as in google-research/bert)."""
    wanted = np.clip(np.rint(length * rate).astype(np.int64), 1, max_predictions)
    return np.minimum(wanted, length - num_special)


@dataclasses.dataclass(frozen=True)
class Masks:
    """Chosen positions of all examples of a batch, one after the other; arrays [predictions].

    Attributes:
      example: int64, which example.
      position: int64, position within it.
    """

    example: np.ndarray
    position: np.ndarray


def choose(
    keys: np.ndarray, a_length: np.ndarray, length: np.ndarray, counts: np.ndarray, sequence_length: int
) -> Masks:
    """Draws `counts` ordinary positions of each example, uniformly without repetition, in ascending order.

    Args:
      keys: uint32 [E]. a_length: [E], tokens of segment A. length: [E], tokens with special ones. counts: [E].
      sequence_length: no example is longer.
    """
    width = int(length.max(initial=1))
    # Of the longest row possible, not of this batch: how ties fall must not depend on the other examples.
    position_bits = np.uint32(max(1, int(sequence_length - 1).bit_length()))
    position = np.arange(width, dtype=np.uint32)
    with np.errstate(over="ignore"):
        salt = np.uint32(Purpose.MASK_POSITION * 0x9E3779B9 & 0xFFFFFFFF)
        score = draws.mix32(draws.mix32(keys ^ salt)[:, None] + position * np.uint32(0x9E3779B9))
    # One sort of plain integers: the high bits are the draw, the low bits say whose it is.
    score = (score >> position_bits << position_bits) | position
    special = (position == 0) | (position == (a_length + 1)[:, None]) | (position >= (length - 1)[:, None])
    score[special] = np.uint32(0xFFFFFFFF)
    score.sort(axis=1)
    most = int(counts.max(initial=0))
    chosen = (score[:, :most] & ((np.uint32(1) << position_bits) - np.uint32(1))).astype(np.int64)
    unused = np.arange(most) >= counts[:, None]
    chosen[unused] = width
    chosen.sort(axis=1)
    example, slot = np.nonzero(~unused)
    return Masks(example, chosen[example, slot])


def replacements(
    masks: Masks, keys: np.ndarray, targets: np.ndarray, tokenizer: WordPieceTokenizer, ordinary_ids: np.ndarray
) -> np.ndarray:
    """What stands at each chosen position: [MASK], a random ordinary token, or the target itself."""
    key = keys[masks.example]
    action = draws.uniform(Purpose.MASK_ACTION, key, masks.position)
    random = ordinary_ids[draws.integers(len(ordinary_ids), Purpose.MASK_TOKEN, key, masks.position)]
    result = np.where(action < MASK_SHARE, tokenizer.mask_id, random)
    return np.where(action < MASK_SHARE + RANDOM_SHARE, result, targets)
