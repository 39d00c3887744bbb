"""What a run's folder says about it, read without its corpus, its model or a device."""

import dataclasses
import functools
import math
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from etils import epath

from bert_jax import storage
from bert_jax.errors import ConfigError
from bert_jax.training.metrics import read_metrics

X_AXES = {"step": "step", "tokens": "real tokens", "hours": "hours of training"}
TOKENS, SECONDS, FLOPS = "train/tokens_per_second", "train/seconds", "train/flops_per_second"


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """The records of one run, finished or not. What a run did not record is empty, or None where it is a number.

    Attributes:
      path: its folder.
      config: by dotted field, as it was written; a run of another version may have other fields.
      rows: of `metrics.jsonl`.
      facts: what tells its data from others.
      versions: of the packages, by name.
      starts: one entry for each start, the first one first: `step` (done before it), `time`, `command`, `git_commit`,
        `devices`, `num_devices`, `matrix_peak` and others.
    """

    path: epath.Path
    config: dict[str, Any]
    rows: list[dict[str, float]]
    facts: dict[str, str]
    versions: dict[str, str]
    starts: list[dict[str, Any]]

    @property
    def step(self) -> int:
        """The last one that was logged."""
        return int(self.rows[-1]["step"]) if self.rows else 0

    @property
    def num_steps(self) -> int | None:
        """How long the run is to be."""
        return self.config.get("train.num_steps")

    @property
    def restarts(self) -> list[dict[str, Any]]:
        """Later starts, but for those that found nothing left to do."""
        return [start for start in self.starts[1:] if self.num_steps is None or start.get("step", 0) < self.num_steps]

    @property
    def phases(self) -> list[tuple[int, str]]:
        """Steps done when something changes, and what does, as the config has it: `data: mask_rate=0.1`."""
        found = []
        for section in ("data", "optimizer"):
            for stage in filter(None, map(str.strip, (self.config.get(f"{section}.phases") or "").split(";"))):
                step, _, changes = stage.partition(":")
                found.append((int(step), f"{section}: {changes.strip()}"))
        return sorted(found)

    @functools.cached_property
    def names(self) -> list[str]:
        """Of all logged values, in the order they came."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    @functools.cached_property
    def last_evaluation(self) -> dict[str, float]:
        """The last row with held-out scores; empty before the first one."""
        return next((row for row in reversed(self.rows) if any(name.startswith("eval/") for name in row)), {})

    def series(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Steps [n] and finite values [n] of what was logged under `name`."""
        points = [(row["step"], row[name]) for row in self.rows if name in row and math.isfinite(row[name])]
        steps, values = zip(*points, strict=True) if points else ((), ())
        return np.array(steps, np.float64), np.array(values, np.float64)

    def median(self, name: str) -> float | None:
        """Of what was logged under `name`."""
        _, values = self.series(name)
        return float(np.median(values)) if len(values) else None

    @property
    def evaluation_seconds(self) -> float | None:
        """Of all evaluations."""
        _, values = self.series("eval/seconds")
        return float(values.sum()) if len(values) else None

    @property
    def seconds(self) -> float | None:
        """Of training, without evaluations, checkpoints and work that was lost and done again."""
        return self._sum(lambda row: row[SECONDS], SECONDS)

    @property
    def tokens(self) -> float | None:
        """Real tokens trained on."""
        return self._sum(lambda row: row[TOKENS] * row[SECONDS], TOKENS, SECONDS)

    @property
    def flops(self) -> float | None:
        """Floating-point operations of training, real tokens only."""
        return self._sum(lambda row: row[FLOPS] * row[SECONDS], FLOPS, SECONDS)

    @property
    def device_hours(self) -> float | None:
        """Hours of training times the devices that each of them ran on."""
        if any("num_devices" not in self._start_of(row) for row in self._intervals):
            return None
        return self._sum(lambda row: row[SECONDS] * self._start_of(row)["num_devices"] / 3600, SECONDS)

    def x(self, steps: np.ndarray, axis: str) -> np.ndarray | None:
        """Where `steps` [n] lie on an axis of `X_AXES`: [n]; None where the run did not record it."""
        if axis == "step":
            return steps
        per_row = {"tokens": lambda row: row[TOKENS] * row[SECONDS], "hours": lambda row: row[SECONDS] / 3600}[axis]
        if (self.seconds if axis == "hours" else self.tokens) is None:
            return None
        ends = [0.0, *(row["step"] for row in self._intervals)]
        return np.interp(steps, ends, np.cumsum([0.0, *map(per_row, self._intervals)]))

    @property
    def _intervals(self) -> list[dict[str, float]]:
        """The rows that measured speed."""
        return [row for row in self.rows if TOKENS in row]

    def _sum(self, value, *needed: str) -> float | None:
        """Over all intervals; None unless each has what is needed: a sum of some would look like the whole."""
        if not self._intervals or any(name not in row for row in self._intervals for name in needed):
            return None
        return float(sum(map(value, self._intervals)))

    def _start_of(self, row: dict[str, float]) -> dict[str, Any]:
        # What earlier starts had logged beyond a later one's first step was removed from the metrics.
        return next((start for start in reversed(self.starts) if start.get("step", 0) < row["step"]), {})


def read_run(workdir: epath.PathLike) -> RunRecord:
    """Reads the small files of a run's folder.

    Raises:
      ConfigError: no run there.
    """
    workdir = epath.Path(workdir)
    if not workdir.is_dir():
        raise ConfigError(f"There is no folder {workdir}: give the --workdir of a run.")
    if not (workdir / "config.json").exists():
        raise ConfigError(f"{workdir} holds no run: it has no config.json.")
    about = storage.read_json(workdir / "run.json") if (workdir / "run.json").exists() else {}
    return RunRecord(
        path=workdir,
        config=_dotted(storage.read_json(workdir / "config.json")),
        rows=read_metrics(workdir),
        facts=about.get("facts", {}),
        versions=about.get("versions", {}),
        starts=about.get("starts", []),
    )


def short_names(runs: Sequence[RunRecord]) -> list[str]:
    """A name for each run: the end of its path, as short as tells them apart."""
    parts = [pathlib.PurePath(run.path).parts for run in runs]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(path[-length:]) for path in parts]
        if len(set(names)) == len(names):
            return names
    return [str(run.path) for run in runs]


def _dotted(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    leaves = {}
    for name, value in values.items():
        leaves |= _dotted(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return leaves
