"""Small training sets: nested, stratified subsets of a larger one."""

from collections.abc import Hashable, Sequence

import numpy as np

from bert_jax.data import draws
from bert_jax.data.draws import Purpose
from bert_jax.errors import ConfigError


def subset(strata: Sequence[Hashable], count: int, seed: int) -> np.ndarray:
    """Draws some of the examples; each stratum keeps its share, and has at least one.

    With the same seed, a smaller subset is a part of every larger one: shares are rounded by the method of Webster and
    Sainte-Laguë, under which no stratum loses an example when the whole grows.

    Args:
      strata: the stratum of each example, such as its label; all alike: a plain shuffle.
      count: how many examples to draw.
      seed: of the draw.

    Returns:
      The places of those examples, int64 [count], ascending.

    Raises:
      ConfigError: there are fewer examples, or more strata.
    """
    if count > len(strata):
        raise ConfigError(
            f"data.num_train_examples={count:,} is more than the {len(strata):,} of the training file: give at most as"
            " many, or leave it out for all."
        )
    numbers = {stratum: i for i, stratum in enumerate(dict.fromkeys(strata))}
    if count < len(numbers):
        raise ConfigError(
            f"data.num_train_examples={count:,} is less than the {len(numbers):,} labels of the training file: give at"
            f" least {len(numbers):,}, one example of each."
        )
    of_example = np.array([numbers[stratum] for stratum in strata])
    shuffled = draws.permutation(len(strata), seed, Purpose.SUBSET)
    sizes = np.bincount(of_example)
    rank = np.empty(len(strata), np.int64)  # of an example within its stratum, in the order of the draw
    for number in range(len(numbers)):
        own = shuffled[of_example[shuffled] == number]
        rank[own] = np.arange(len(own))
    turn = np.where(rank == 0, 0.0, (rank + 0.5) / sizes[of_example])
    drawn = np.empty(len(strata), np.int64)
    drawn[shuffled] = np.arange(len(strata))
    return np.sort(np.lexsort((drawn, turn))[:count])
