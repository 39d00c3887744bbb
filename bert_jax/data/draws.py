"""Random draws without state: a number is a hash of what it is for.

Any draw can be made again, anywhere, in any order; that is what makes a batch a function of its step.
The mixers are the finalisers of SplitMix64 (Steele et al. 2014) and of "lowbias32" (Wellons).
"""

import enum
import functools

import numpy as np

GOLDEN, SALT = np.uint64(0x9E3779B97F4A7C15), np.uint64(0x632BE59BD9B4E019)
SHIFTS = np.uint64(30), np.uint64(27), np.uint64(31)
FACTORS = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


class Purpose(enum.IntEnum):
    """What a draw decides; no two decisions share a draw."""

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


def mix64(x: np.ndarray) -> np.ndarray:
    """A bijection of uint64 in which every input bit reaches every output bit."""
    x = (x ^ (x >> SHIFTS[0])) * FACTORS[0]
    x = (x ^ (x >> SHIFTS[1])) * FACTORS[1]
    return x ^ (x >> SHIFTS[2])


def mix32(x: np.ndarray) -> np.ndarray:
    """The same of uint32: half the memory, for draws a token."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def bits64(*parts) -> np.ndarray:
    """Uint64 hash of integers or integer arrays, broadcast against each other; their order matters."""
    scalars = next((i for i, part in enumerate(parts) if not isinstance(part, int)), len(parts))
    state = np.uint64(_prefix(parts[:scalars]))
    with np.errstate(over="ignore"):
        for part in parts[scalars:]:
            state = mix64(state ^ (np.asarray(part).astype(np.uint64) + SALT)) + GOLDEN
        return mix64(state)


@functools.lru_cache(maxsize=1024)
def _prefix(parts: tuple[int, ...]) -> int:
    """The state after some integers: what many draws begin with is hashed once."""
    state = int(GOLDEN)
    for part in parts:
        state = _mix64_integer(state ^ (int(part) % 2**64 + int(SALT)) % 2**64)
        state = (state + int(GOLDEN)) % 2**64
    return state


def _mix64_integer(x: int) -> int:
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
    return x ^ (x >> 31)


def uniform(*parts) -> np.ndarray:
    """Float64 in [0, 1), 53 bits."""
    return (bits64(*parts) >> np.uint64(11)) * 2.0**-53


def integers(high, *parts) -> np.ndarray:
    """Int64 in [0, high), `high` >= 1 broadcast against the parts."""
    return (uniform(*parts) * high).astype(np.int64)


def permutation(length: int, *parts) -> np.ndarray:
    """An order of 0..length-1."""
    return np.argsort(bits64(*parts, np.arange(length)), kind="stable")
