"""ALiBi (Press et al. 2021, arXiv 2108.12409): attention falls with the distance, in each head at its own rate."""

import math

import numpy as np


def slopes(num_heads: int) -> np.ndarray:
    """Returns how much a head's scores fall per token of distance, float32 [heads], on either side alike.

    With n heads, a power of two, these are 2^(−8/n), 2^(−16/n), …, 2^−8. Any other number has those of the power below,
    then every other one of the power above, as in the released code.
    """

    def geometric(count: int) -> list[float]:
        return [2 ** (-8 * (i + 1) / count) for i in range(count)]

    power = 1 << int(math.log2(num_heads))
    return np.array(geometric(power) + geometric(2 * power)[::2][: num_heads - power], np.float32)
