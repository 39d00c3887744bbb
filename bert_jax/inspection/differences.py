"""What changed between the parameters of two models. Arrays are read one after the other and not kept."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from bert_jax.inspection.parameters import Parameters, group_of, pieces


@dataclasses.dataclass(frozen=True)
class Change:
    """What changed in an array, or in all arrays of a layer.

    Attributes:
      name: its path in the tree.
      size: how many numbers it has.
      before, after: its norms in the first and in the second model.
      difference: the norm of second - first.
      product: the inner product of first and second.
    """

    name: str
    size: int
    before: float
    after: float
    difference: float
    product: float

    @property
    def relative(self) -> float:
        """The norm of the change, divided by the norm before; infinite if that was 0."""
        if self.before == 0:
            return math.inf if self.difference else 0.0
        return self.difference / self.before

    @property
    def cosine(self) -> float:
        """The cosine of the angle between first and second; not a number if one of them is 0 or not finite."""
        lengths = self.before * self.after
        if not lengths or not math.isfinite(self.product):
            return math.nan
        return max(-1.0, min(1.0, self.product / lengths))


@dataclasses.dataclass(frozen=True)
class Difference:
    """What changed between two models.

    Attributes:
      changes: of the arrays that both have with the same shape, the most changed first.
      only_first, only_second: the names of arrays that the other model does not have.
      shapes: the name, and the shape in each model, of arrays whose shapes differ.
    """

    changes: tuple[Change, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    shapes: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]

    @property
    def groups(self) -> list[Change]:
        """The change of each layer and head, the most changed first."""
        found: dict[str, list[Change]] = {}
        for one in self.changes:
            found.setdefault(group_of(one.name), []).append(one)
        return sorted((joint_change(name, several) for name, several in found.items()), key=_most_changed)


def compare_parameters(first: Parameters, second: Parameters) -> Difference:
    """Reads the parameters of two models once, and returns what changed from the first to the second."""
    common = [name for name in first.shapes if name in second.shapes]
    equal = [name for name in common if first.shapes[name] == second.shapes[name]]
    changes = [
        _change(name, before, after)
        for (name, before), (_, after) in zip(first.read(equal), second.read(equal), strict=True)
    ]
    return Difference(
        tuple(sorted(changes, key=_most_changed)),
        tuple(name for name in first.shapes if name not in second.shapes),
        tuple(name for name in second.shapes if name not in first.shapes),
        tuple((name, first.shapes[name], second.shapes[name]) for name in common if name not in equal),
    )


def joint_change(name: str, changes: Sequence[Change]) -> Change:
    """Returns the change of several arrays as if they were one."""
    norms = (math.sqrt(sum(getattr(one, part) ** 2 for one in changes)) for part in ("before", "after", "difference"))
    return Change(name, sum(one.size for one in changes), *norms, product=sum(one.product for one in changes))


def _change(name: str, first: np.ndarray, second: np.ndarray) -> Change:
    before = after = difference = product = 0.0
    for one, other in zip(pieces(first), pieces(second), strict=True):
        before += float(one @ one)
        after += float(other @ other)
        product += float(one @ other)
        difference += float((change := other - one) @ change)
    return Change(name, first.size, math.sqrt(before), math.sqrt(after), math.sqrt(difference), product)


def _most_changed(change: Change) -> tuple[float, str]:
    return (-math.inf if math.isnan(change.relative) else -change.relative), change.name
