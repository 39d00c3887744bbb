"""The names of held-out scores and of the baselines they are compared with."""

import dataclasses
from collections.abc import Iterable, Mapping


@dataclasses.dataclass(frozen=True)
class Score:
    """A kind of score. Objectives declare theirs, a run stores them in `run.json`, and reports read them there.

    Attributes:
      name: the score is logged as `eval/NAME`, and also as `train/NAME` if it is measured in training. A name with a
        slash, such as `mlm_loss/en`, is a part of the score before the slash.
      title: shown in reports; scores with the same title may be compared.
      lower_is_better: True for losses.
      baseline: logged as `eval/BASELINE`; empty if there is none.
      baseline_title: what the baseline is: `word frequencies`, `majority`, …
    """

    name: str
    title: str
    lower_is_better: bool = False
    baseline: str = ""
    baseline_title: str = ""


def gain(score: Score, values: Mapping[str, float]) -> float | None:
    """Returns how much better than its baseline a score is; None if one of them is missing.

    Args:
      score: which score.
      values: held-out values, under their names in the log.
    """
    found, baseline = values.get(f"eval/{score.name}"), values.get(f"eval/{score.baseline}")
    if found is None or baseline is None:
        return None
    return baseline - found if score.lower_is_better else found - baseline


def behind_baseline(scores: Iterable[Score], values: Mapping[str, float]) -> list[str]:
    """Describes the scores that are not better than their baselines."""
    behind = [score for score in scores if (better := gain(score, values)) is not None and not better > 0]
    return [
        f"{one.title} {values[f'eval/{one.name}']:.3f} ({one.baseline_title} {values[f'eval/{one.baseline}']:.3f})"
        for one in behind
    ]
