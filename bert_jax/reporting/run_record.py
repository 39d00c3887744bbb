"""The records in the folder of a run, read without its corpus, its model or a device."""

import dataclasses
import functools
import math
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from etils import epath

from bert_jax import storage
from bert_jax.configuration import leaves, split_phases
from bert_jax.errors import ConfigError
from bert_jax.scores import Score
from bert_jax.training.best import Best
from bert_jax.training.workdir.checkpoints import read_best
from bert_jax.training.workdir.folder import check_is_run, task_of
from bert_jax.training.workdir.metrics import read_metrics
from bert_jax.training.workdir.run_file import read_record

X_AXES = {"step": "step", "tokens": "real tokens", "hours": "hours of training"}
SCORE_FIELDS = {field.name for field in dataclasses.fields(Score)}
TOKENS, SECONDS, FLOPS = "train/tokens_per_second", "train/seconds", "train/flops_per_second"


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """The records of one run, finished or not. Values that were not recorded are empty; numbers are None.

    Attributes:
      path: the folder of the run.
      task: the name of the task.
      config: the config as it was written, by dotted field; a run of another version may have other fields.
      rows: the rows of `metrics.jsonl`.
      summary: a description of the training, in a sentence or two.
      scores: the scores of its objectives.
      data_fingerprints: fingerprints of its data, by name.
      versions: versions of the packages, by name.
      starts: one entry for each start, in order: `step` (steps done before it), `time`, `command`, `git_commit`,
        `devices`, `num_devices`, `matrix_peak` and others. Those of a run that it is forked from come first; its own
        first one names that run (`forked_from`).
      best: the best evaluation, as of the newest checkpoint; None if the run does not choose one.
      bad_steps: the steps that were skipped, and those from which the run was rewound (`rewound_to`).
    """

    path: epath.Path
    task: str
    config: dict[str, Any]
    rows: list[dict[str, float]]
    summary: str
    scores: list[Score]
    data_fingerprints: dict[str, str]
    versions: dict[str, str]
    starts: list[dict[str, Any]]
    best: Best | None = None
    bad_steps: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    @property
    def step(self) -> int:
        """The last step that was logged."""
        return int(self.rows[-1]["step"]) if self.rows else 0

    @property
    def num_steps(self) -> int | None:
        """The planned number of steps."""
        return self.config.get("train.num_steps")

    @property
    def restarts(self) -> list[dict[str, Any]]:
        """All starts but the first and forks, without those that found nothing left to train."""
        end = self.step if self.stopped_early else self.num_steps
        later = [start for start in self.starts[1:] if "forked_from" not in start]
        return [start for start in later if end is None or start.get("step", 0) < end]

    @property
    def forks(self) -> dict[int, str]:
        """The steps after which it went on from another run, and that run's folder."""
        return {start["step"]: start["forked_from"] for start in self.starts if "forked_from" in start}

    @property
    def stopped_early(self) -> bool:
        """Whether `eval.patience` ended the run before its last step."""
        patience = self.config.get("eval.patience")  # as somebody may have written it
        ended = self.best is not None and isinstance(patience, int) and self.best.ends_run(patience)
        return ended and self.num_steps is not None and self.step < self.num_steps

    @property
    def is_finished(self) -> bool:
        """Whether there is nothing left to train, as far as is known."""
        return not self.num_steps or self.step >= self.num_steps or self.stopped_early

    @property
    def phases(self) -> list[tuple[int, str]]:
        """The phases in the config: steps done before each, and what changes, such as `data: mask_rate=0.1`."""
        found = []
        for field, text in self.config.items():
            section, _, name = field.rpartition(".")
            if name == "phases" and text:
                found += [(step, f"{section}: {changes}") for step, changes in split_phases(text, field)]
        return sorted(found)

    @functools.cached_property
    def names(self) -> list[str]:
        """The names of all logged values, in the order of their first appearance."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    @functools.cached_property
    def last_evaluation(self) -> dict[str, float]:
        """The last row with held-out scores; empty before the first one."""
        return next((row for row in reversed(self.rows) if _is_evaluation(row)), {})

    @functools.cached_property
    def evaluation(self) -> dict[str, float]:
        """The row with the scores of the checkpoint that `load` opens: of the best one if it is kept, else the last."""
        step = self.best.step if self.best else None
        return next((row for row in self.rows if row["step"] == step and _is_evaluation(row)), self.last_evaluation)

    @functools.cached_property
    def first_evaluation(self) -> dict[str, float]:
        """The held-out scores before the first step; empty unless the run started from another model."""
        return next((row for row in self.rows if row["step"] == 0), {})

    def series(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Returns the steps [n] and the finite values [n] that were logged under `name`."""
        points = [(row["step"], row[name]) for row in self.rows if name in row and math.isfinite(row[name])]
        steps, values = zip(*points, strict=True) if points else ((), ())
        return np.array(steps, np.float64), np.array(values, np.float64)

    def median(self, name: str) -> float | None:
        """Returns the median of the values that were logged under `name`."""
        _, values = self.series(name)
        return float(np.median(values)) if len(values) else None

    @property
    def evaluation_seconds(self) -> float | None:
        """The seconds of all evaluations."""
        _, values = self.series("eval/seconds")
        return float(values.sum()) if len(values) else None

    @property
    def seconds(self) -> float | None:
        """The seconds of training, without evaluations, checkpoints, and steps that were lost and trained again."""
        return self._sum(lambda row: row[SECONDS], SECONDS)

    @property
    def tokens(self) -> float | None:
        """The number of real tokens trained on."""
        return self._sum(lambda row: row[TOKENS] * row[SECONDS], TOKENS, SECONDS)

    @property
    def flops(self) -> float | None:
        """The floating-point operations of training, for real tokens only."""
        return self._sum(lambda row: row[FLOPS] * row[SECONDS], FLOPS, SECONDS)

    @property
    def device_hours(self) -> float | None:
        """The hours of training, each multiplied by the number of devices at the time."""
        if any("num_devices" not in self._start_of(row) for row in self._intervals):
            return None
        return self._sum(lambda row: row[SECONDS] * self._start_of(row)["num_devices"] / 3600, SECONDS)

    def x(self, steps: np.ndarray, axis: str) -> np.ndarray | None:
        """Returns the positions [n] of `steps` [n] on an axis of `X_AXES`; None if the run did not record it."""
        if axis == "step":
            return steps
        per_row = {"tokens": lambda row: row[TOKENS] * row[SECONDS], "hours": lambda row: row[SECONDS] / 3600}[axis]
        if (self.seconds if axis == "hours" else self.tokens) is None:
            return None
        ends = [0.0, *(row["step"] for row in self._intervals)]
        return np.interp(steps, ends, np.cumsum([0.0, *map(per_row, self._intervals)]))

    @property
    def _intervals(self) -> list[dict[str, float]]:
        """The rows that hold a speed."""
        return [row for row in self.rows if TOKENS in row]

    def _sum(self, value: Callable[[dict[str, float]], float], *needed: str) -> float | None:
        """Sums over all intervals; None if one lacks a needed value: a partial sum would look like the total."""
        if not self._intervals or any(name not in row for row in self._intervals for name in needed):
            return None
        return float(sum(map(value, self._intervals)))

    def _start_of(self, row: dict[str, float]) -> dict[str, Any]:
        # A restart removes the rows that earlier starts logged after its first step.
        return next((start for start in reversed(self.starts) if start.get("step", 0) < row["step"]), {})


def _is_evaluation(row: dict[str, float]) -> bool:
    return any(name.startswith("eval/") for name in row)


def read_run(workdir: epath.PathLike) -> RunRecord:
    """Reads the records in the folder of a run.

    Raises:
      ConfigError: the folder holds no run.
    """
    check_is_run(workdir)
    workdir = epath.Path(workdir)
    values = storage.read_json(workdir / "config.json")
    try:
        task = task_of(values)
    except ConfigError as error:
        raise ConfigError(f"{workdir}/config.json is not a config of this version: {error}") from None
    about = read_record(workdir)
    return RunRecord(
        path=workdir,
        task=task,
        config=leaves(values["config"]),
        rows=read_metrics(workdir),
        summary=about.get("summary") or "",
        scores=[Score(**{name: one[name] for name in SCORE_FIELDS & one.keys()}) for one in about.get("scores") or []],
        data_fingerprints=about.get("data_fingerprints") or {},
        versions=about.get("versions") or {},
        starts=[*(about.get("earlier_starts") or []), *(about.get("starts") or [])],
        bad_steps=about.get("bad_steps") or [],
        best=read_best(workdir / "checkpoints"),
    )


def short_names(runs: Sequence[RunRecord]) -> list[str]:
    """Returns a name for each run: the shortest end of its path that is unique."""
    parts = [pathlib.PurePath(run.path).parts for run in runs]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(path[-length:]) for path in parts]
        if len(set(names)) == len(names):
            return names
    return [str(run.path) for run in runs]
