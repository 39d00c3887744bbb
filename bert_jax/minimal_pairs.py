"""Minimal pairs: does a model find the grammatical sentence likelier than its ungrammatical twin?

The scores are pseudo-log-likelihoods, as in Salazar et al. 2020 (arXiv 1910.14659) on BLiMP (Warstadt et al. 2020,
arXiv 1912.00582). Chance is one half.
"""

import collections
import dataclasses
import json
from collections.abc import Sequence

from etils import epath

from bert_jax.errors import CorpusError, quoted
from bert_jax.markdown import table
from bert_jax.pretrained import Pretrained

CHANCE = 0.5


@dataclasses.dataclass(frozen=True)
class MinimalPair:
    """Two sentences that differ in one point.

    Attributes:
      good: the acceptable one.
      bad: the other.
      phenomenon: what they differ in.
    """

    good: str
    bad: str
    phenomenon: str


def read_pairs(path: epath.PathLike) -> list[MinimalPair]:
    """Reads a file of JSON Lines with the fields `good`, `bad` and, if there are groups, `phenomenon`.

    Raises:
      CorpusError: there is no file, or a line is not of this form.
    """
    path = epath.Path(path)
    if not path.exists():
        raise CorpusError(f"There is no file {path}.")
    pairs = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
            pair = MinimalPair(values["good"], values["bad"], values.get("phenomenon", "all"))
        except (ValueError, KeyError, TypeError, AttributeError):
            pair = None
        if not pair or not all(isinstance(value, str) for value in (pair.good, pair.bad, pair.phenomenon)):
            raise CorpusError(f'{path}:{number} is not {{"good": …, "bad": …}}: {quoted(line)}.')
        pairs.append(pair)
    if not pairs:
        raise CorpusError(f"{path} has no pairs.")
    return pairs


def accuracies(model: Pretrained, pairs: Sequence[MinimalPair]) -> dict[str, tuple[float, int]]:
    """Returns the share of pairs whose good sentence scores higher, and the number of pairs, by phenomenon.

    A tie counts one half. The last entry, `all`, is over all pairs.

    Raises:
      CheckpointError: the model was not trained to predict words.
    """
    scores = [score.total for score in model.score([text for pair in pairs for text in (pair.good, pair.bad)])]
    wins: dict[str, list[float]] = collections.defaultdict(list)
    for pair, good, bad in zip(pairs, scores[::2], scores[1::2], strict=True):
        wins[pair.phenomenon].append((good > bad) + 0.5 * (good == bad))
    everything = [win for group in wins.values() for win in group]
    groups = {name: group for name, group in sorted(wins.items()) if name != "all"} | {"all": everything}
    return {name: (sum(group) / len(group), len(group)) for name, group in groups.items()}


def accuracy_table(found: dict[str, tuple[float, int]]) -> str:
    """Formats the result of `accuracies` as a Markdown table, beside chance."""
    rows = [[name, f"{share:.3f}", f"{CHANCE:.3f}", f"{count:,}"] for name, (share, count) in found.items()]
    return "\n".join(table(["phenomenon", "accuracy", "chance", "pairs"], rows, numbers=True))
