"""How long a run is, and what is written when."""

import dataclasses
import math


@dataclasses.dataclass
class TrainConfig:
    """How long, how much at once, and what is written when."""

    num_steps: int | None = None  # steps of the whole run; none: as many as time_budget allows
    time_budget: float | None = None  # seconds; chooses num_steps once, from the speed measured at the start
    batch_size: int = 256  # B, rows of a step over all devices
    accumulation: int = 1  # parts that a batch is gone through in, one after the other: less memory, the same step
    seed: int = 0  # of parameters, dropout, pairs, masks and order
    log_every: int = 100  # steps from one logged line to the next
    layer_norms_every: int = 10  # log lines; such a line also has the gradient's norm layer by layer
    checkpoint_every: int = 1000  # steps from one checkpoint to the next; the last step has one, too
    keep_checkpoints: int = 3  # the latest; older ones are deleted
    stop_after: int | None = None  # stop in good order after this step, as a preemption would; the same command goes on

    def problems(self) -> list[str]:
        """Sentences about what cannot work."""
        found = []
        if (self.num_steps is None) == (self.time_budget is None):
            found.append("Give one of train.num_steps and train.time_budget, and set the other to none.")
        positive = ("num_steps", "time_budget", "batch_size", "accumulation", "log_every", "layer_norms_every")
        for name in (*positive, "checkpoint_every", "keep_checkpoints", "stop_after"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                found.append(f"train.{name}={value} must be above 0, and finite.")
        if self.num_steps is not None and self.num_steps >= 2**31:
            found.append(f"train.num_steps={self.num_steps} must be below 2**31: steps are counted in 32 bits.")
        if not 0 <= self.seed < 2**31:
            found.append(f"train.seed={self.seed} must lie between 0 and 2**31.")
        return found


@dataclasses.dataclass
class EvalConfig:
    """The fixed held-out set and when it is scored."""

    every: int = 1000  # steps from one evaluation to the next; the last step has one, too
    num_targets: int = 20_000  # masked tokens at least
    mask_rate: float = 0.15  # share of tokens to predict; of its own, so that runs of any data.mask_rate compare
    seed: int = 0  # of its pairs and masks; the same for runs that are to be compared

    def problems(self) -> list[str]:
        """Sentences about what cannot work."""
        found = [
            f"eval.{name}={getattr(self, name)} must be above 0."
            for name in ("every", "num_targets")
            if getattr(self, name) <= 0
        ]
        if not 0 < self.mask_rate < 1:
            found.append(f"eval.mask_rate={self.mask_rate} must lie between 0 and 1.")
        if not 0 <= self.seed < 2**31:
            found.append(f"eval.seed={self.seed} must lie between 0 and 2**31.")
        return found
