"""Random draws without state: a number is a hash of what it is drawn for.

Any draw can be repeated anywhere and in any order. This is what makes a batch a function of its step.
"""

import enum
import functools

import numpy as np

from bert_jax.hashing import GOLDEN64, mix64, mix64_integer

SALT = np.uint64(0x632BE59BD9B4E019)


class Purpose(enum.IntEnum):
    """What a draw decides. No two decisions share a draw."""

    BLOCK_ORDER = 1
    PIECE_TO_BLOCK = 2
    EXAMPLE = 3
    TARGET_LENGTH = 4
    PAIR_SPLIT = 5
    PAIR_LABEL = 6
    RANDOM_DOCUMENT = 7
    RANDOM_START = 8
    TRUNCATION = 9
    PACKING_ORDER = 10
    ROW_ORDER = 11
    MASK_POSITION = 12
    MASK_ACTION = 13
    MASK_TOKEN = 14
    EVALUATION = 15
    SOURCE = 16
    SPAN_LENGTH = 17
    SPAN_PHASE = 18
    SECOND = 19
    LABELLED = 20
    SUBSET = 21


def bits64(*parts: np.typing.ArrayLike) -> np.ndarray:
    """Hashes integers or integer arrays, broadcast against each other, to uint64. Their order matters."""
    scalars = next((i for i, part in enumerate(parts) if not isinstance(part, int)), len(parts))
    state = np.uint64(_prefix(parts[:scalars]))
    with np.errstate(over="ignore"):
        for part in parts[scalars:]:
            state = mix64(np.asarray(state ^ (np.asarray(part).astype(np.uint64) + SALT))) + GOLDEN64
        return mix64(np.asarray(state))


@functools.lru_cache(maxsize=1024)
def _prefix(parts: tuple[int, ...]) -> int:
    """The state after some integers. It is cached, because many draws begin with the same ones."""
    state = int(GOLDEN64)
    for part in parts:
        state = mix64_integer(state ^ (int(part) % 2**64 + int(SALT)) % 2**64)
        state = (state + int(GOLDEN64)) % 2**64
    return state


def uniform(*parts: np.typing.ArrayLike) -> np.ndarray:
    """Draws float64 in [0, 1), with 53 bits."""
    return (bits64(*parts) >> np.uint64(11)) * 2.0**-53


def integers(high: np.typing.ArrayLike, *parts: np.typing.ArrayLike) -> np.ndarray:
    """Draws int64 in [0, high); `high` >= 1 is broadcast against the parts."""
    return (uniform(*parts) * high).astype(np.int64)


def permutation(length: int, *parts: np.typing.ArrayLike) -> np.ndarray:
    """Draws a permutation of 0..length-1."""
    return np.argsort(bits64(*parts, np.arange(length)), kind="stable")
