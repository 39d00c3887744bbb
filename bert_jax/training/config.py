"""The config of training and evaluation: length, initial parameters, logging and checkpoints."""

import dataclasses
import math
import re

from bert_jax.configuration import setting
from bert_jax.errors import ConfigError, choice_problem

LEAST_PROBE_EXAMPLES = 50


def probe_paths(text: str) -> dict[str, str]:
    """Parses `NAME=PATH,NAME=PATH`, the form of `eval.probes`.

    Raises:
      ConfigError: the text has another form, or a name is used twice.
    """
    found: dict[str, str] = {}
    for part in filter(None, text.split(",")):
        name, _, path = part.strip().partition("=")
        if not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII) or not path:
            raise ConfigError(
                f"eval.probes: {part!r} is not of the form NAME=PATH with a name of letters, digits and underscores,"
                " such as sentiment=reviews.tsv."
            )
        if name in found:
            raise ConfigError(f"eval.probes names {name} twice: give each file a name of its own.")
        found[name] = path
    return found


def _probe_names(text: str) -> list[str]:
    return sorted(probe_paths(text))


# The cheapest ways to save memory, for all messages about a lack of it.
MEMORY_ADVICE = "raise train.grad_accumulation_steps or mesh.fsdp, lower train.batch_size, or set model.remat=true."


@dataclasses.dataclass
class TrainConfig:
    """The length, batch size, initial parameters, logging and checkpoints of a run."""

    # A flag for one of these replaces what the recipe sets.
    ALTERNATIVES = ("num_steps", "num_epochs", "time_budget")

    # steps of the whole run; none: chosen by num_epochs or time_budget
    num_steps: int | None = setting(
        None, chosen=True, may_change="where the learning rates of the steps already taken stay as they were"
    )
    num_epochs: float | None = None  # passes over labelled examples; sets num_steps once
    # with num_epochs: at least so many steps, for small sets, on which few steps often fail
    min_steps: int = 0
    # seconds; sets num_steps at the first start, from the measured speed
    time_budget: float | None = setting(None, may_change="it chose the number of steps at the first start")
    batch_size: int = 256  # B, rows per step over all devices
    # microbatches per batch, computed one after the other: less memory, same result up to rounding
    grad_accumulation_steps: int = setting(1, may_change="memory only; sums in another order")
    seed: int = 0  # of parameters, dropout, pairs, masks and data order
    # initial parameters: a run's folder or its checkpoints/; empty: random
    init_from: str = setting("", may_change="the folder may move; its parameters are compared", fixed=bool)
    init_skip: str = ""  # parameters to initialize at random anyway: a regular expression, searched in their paths
    # with init_from, this many of the encoder's top layers start at random all the same, and so does the pooler
    reinit_layers: int = 0
    # the folder of a run to go on from, with its whole state, in a workdir of its own; only the schedule, the length,
    # and the phases after fork_step may be others; empty: none
    fork_from: str = setting("", may_change="the folder may move; its checkpoint is compared", fixed=bool)
    fork_step: int | None = setting(None, chosen=True)  # the checkpoint of fork_from; none: the newest
    freeze: str = ""  # parameters that are not trained: a regular expression, such as ^bert/embeddings
    log_every: int = setting(100, may_change="cadence")  # steps between log lines
    # log lines between those that include the gradient norm of each layer
    grad_norms_every: int = setting(10, may_change="cadence")
    # steps between checkpoints; the last step is always saved
    checkpoint_every: int = setting(1000, may_change="cadence")
    # number of checkpoints to keep, besides the best one (eval.best_by); older ones are deleted
    keep_checkpoints: int = setting(3, may_change="cadence")
    # besides these, the checkpoints of all steps that are multiples of this one are kept, to see a model develop; none:
    # no others
    keep_every: int | None = setting(None, may_change="cadence")
    # end the run, with exit code 75, if a step, a batch or a save takes longer; the start, which compiles, and
    # evaluations may take four times as long; none: never
    hang_seconds: float | None = setting(1800.0, may_change="cadence")
    # what follows a bad step, whose loss, gradient or update is not finite, or whose gradient is a spike. stop: an
    # error; skip: parameters and optimiser stay as they are; rewind: back to the newest checkpoint of a multiple of
    # checkpoint_every, past all batches up to this one
    on_bad_step: str = "stop"
    # a gradient is a spike if its norm is above this multiple of its recent mean; none: never
    spike_factor: float | None = None
    # bad steps in a row that are skipped, or times that a run goes back to one checkpoint; then it ends with an error
    max_bad_steps: int = setting(10, may_change="where the run ends, not how")
    # every so many steps, one is computed twice and the bits are compared, also between devices that hold the same
    # parameters, to find hardware that computes wrongly; none: never
    recheck_every: int | None = setting(None, may_change="cadence")
    # save and stop after this step, as on preemption; the same command resumes
    stop_after: int | None = setting(None, may_change="cadence")

    @property
    def length(self) -> int:
        """`num_steps`, once it is known."""
        assert self.num_steps is not None, "num_steps is chosen before anything is trained"
        return self.num_steps

    @property
    def guards(self) -> bool:
        """Whether the optimiser decides by itself not to take a step; see `optim/guard.py`."""
        return self.on_bad_step != "stop" or self.spike_factor is not None

    def problems(self) -> list[str]:
        """Returns error messages about this section."""
        found = choice_problem("train.on_bad_step", self.on_bad_step, ("stop", "skip", "rewind"))
        if self.spike_factor is not None and not 1 < self.spike_factor < math.inf:
            found.append(f"train.spike_factor={self.spike_factor} must be above 1 and finite.")
        given = [name for name in self.ALTERNATIVES if getattr(self, name) is not None]
        if len(given) != 1:
            have = f", not {' and '.join(given)}" if given else ""
            found.append(f"Give one of train.num_steps, train.num_epochs and train.time_budget{have}.")
        positive = (*self.ALTERNATIVES, "batch_size", "grad_accumulation_steps", "log_every", "grad_norms_every")
        positive += ("checkpoint_every", "keep_checkpoints", "keep_every", "hang_seconds", "max_bad_steps")
        for name in (*positive, "recheck_every", "stop_after", "fork_step"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                found.append(f"train.{name}={value} must be above 0 and finite.")
        if self.keep_every and self.checkpoint_every > 0 and self.keep_every % self.checkpoint_every:
            found.append(
                f"train.keep_every={self.keep_every} must be a multiple of"
                f" train.checkpoint_every={self.checkpoint_every}: no other step is saved."
            )
        if self.batch_size >= 2**31:
            found.append(f"train.batch_size={self.batch_size} must be below 2**31.")
        if self.num_steps is not None and self.num_steps >= 2**31:
            found.append(f"train.num_steps={self.num_steps} must be below 2**31: steps are counted in 32 bits.")
        if not 0 <= self.seed < 2**31:
            found.append(f"train.seed={self.seed} must be at least 0 and below 2**31.")
        for name in ("init_skip", "freeze"):
            try:
                re.compile(getattr(self, name))
            except re.error as error:
                found.append(f"train.{name}={getattr(self, name)!r} is not a valid regular expression: {error}.")
        if self.min_steps < 0:
            found.append(f"train.min_steps={self.min_steps} must not be negative.")
        if self.reinit_layers < 0:
            found.append(f"train.reinit_layers={self.reinit_layers} must not be negative.")
        if self.fork_step is not None and not self.fork_from:
            found.append("train.fork_step has no effect without train.fork_from: leave it out.")
        if self.fork_from and self.time_budget is not None:
            found.append("train.fork_from needs the number of steps of the whole run: give train.num_steps.")
        if problem := fork_problem(self):
            found.append(problem)
        for name in ("init_skip", "reinit_layers"):
            if getattr(self, name) and not self.init_from:
                found.append(f"train.{name} has no effect without train.init_from: leave it out.")
        return found


def fork_problem(config: TrainConfig) -> str | None:
    """Returns a message if a forked run would have no steps of its own, else None."""
    if not config.fork_from or config.num_steps is None or config.num_steps > (config.fork_step or 0):
        return None
    return (
        f"train.num_steps={config.num_steps} counts the steps before train.fork_step={config.fork_step} as well: give"
        " more."
    )


@dataclasses.dataclass
class EvalConfig:
    """When the held-out set is scored, and what follows from the scores."""

    # steps between evaluations; the last step is always evaluated; none: a tenth of all
    every: int | None = setting(1000, chosen=True, may_change="cadence")
    # the held-out score whose best checkpoint is kept, such as label_accuracy; none: the task's first score; empty: no
    # checkpoint is kept but the last ones
    best_by: str | None = setting("", chosen=True)
    # evaluations in a row without a better eval.best_by that end the run; the learning rates are those of all steps
    patience: int | None = setting(None, may_change="where the run ends, not how")
    # labelled files as NAME=PATH,NAME=PATH: at each evaluation, a linear classifier of the frozen hidden states is
    # fitted and scored on each, as eval/probe_NAME_accuracy; tables as experiments.finetune reads, columns guessed
    probes: str = setting("", may_change="files may move; their content is compared", fixed=_probe_names)
    probe_examples: int = 2000  # examples of each of these files, at most; about a fifth of them are scored

    @property
    def interval(self) -> int:
        """`every`, once it is known."""
        assert self.every is not None, "it is chosen before anything is trained"
        return self.every

    def problems(self) -> list[str]:
        """Returns error messages about this section."""
        found = [f"eval.every={self.every} must be above 0."] if self.every is not None and self.every <= 0 else []
        try:
            probe_paths(self.probes)
        except ConfigError as error:
            found.append(str(error))
        if self.probe_examples < LEAST_PROBE_EXAMPLES:
            found.append(f"eval.probe_examples={self.probe_examples} must be at least {LEAST_PROBE_EXAMPLES}.")
        if self.patience is not None and self.patience <= 0:
            found.append(f"eval.patience={self.patience} must be above 0, or none.")
        if self.patience is not None and self.best_by == "":
            found.append(
                "eval.patience needs a score to wait for: name it in eval.best_by, or leave eval.patience out."
            )
        return found
