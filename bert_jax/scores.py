"""The names of held-out scores and of the baselines they are compared with."""

import dataclasses


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
