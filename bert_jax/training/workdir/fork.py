"""Goes on from a checkpoint of another run, with its whole state, in a workdir of its own.

So several runs can share their first steps: one with a constant rate, say, and from some of its checkpoints those whose
rate decays (Hägele et al. 2024, arXiv 2405.18392). The other run is only read, and only until the fork has saved the
checkpoint that it starts from; then it resumes like any run.
"""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import orbax.checkpoint as ocp
from etils import epath

from bert_jax import hashing
from bert_jax.errors import CheckpointError, ConfigError
from bert_jax.training.config import TrainConfig
from bert_jax.training.state import TrainState
from bert_jax.training.workdir import event_loops
from bert_jax.training.workdir.about import About
from bert_jax.training.workdir.checksums import array_name, compare_checksums
from bert_jax.training.workdir.folder import Workdir, check_is_run
from bert_jax.training.workdir.metrics import read_metrics
from bert_jax.training.workdir.reading import check_readable, read_about, reader


def forked_from(train: TrainConfig, folder: Workdir | None) -> Workdir | None:
    """Returns the run that this one is to go on from; None if it goes on from no other, or has a checkpoint of its own.

    Args:
      train: `fork_from` names the run. `fork_step` is filled in if it is None: the newest checkpoint.
      folder: the workdir of this run.

    Raises:
      ConfigError: there is no such run or checkpoint.
    """
    if not train.fork_from or (folder and folder.latest_step() is not None):
        return None
    origin, name = Workdir(train.fork_from), f"train.fork_from={train.fork_from}"
    if folder and origin.path == folder.path:
        raise ConfigError(f"{name} is --workdir itself: choose another --workdir.")
    try:
        check_is_run(origin.path)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None
    if train.fork_step is None:
        train.fork_step = origin.latest_step()
        if train.fork_step is None:
            raise ConfigError(f"{name} has no checkpoint yet.")
    steps = origin.checkpoint_steps()
    if train.fork_step not in steps:
        raise ConfigError(
            f"{name} has no checkpoint of train.fork_step={train.fork_step}, only of {', '.join(map(str, steps))}; runs"
            " keep more of them with train.keep_every."
        )
    return origin


@dataclasses.dataclass(frozen=True)
class Fork:
    """The checkpoint that a run goes on from, and what came before it.

    Attributes:
      path: the folder of the other run.
      step: the step of the checkpoint.
      about: what the checkpoint says about itself.
      rows: the rows of the other run's `metrics.jsonl` up to there.
      record: of the other run's `run.json`, what a fork keeps.
    """

    path: epath.Path
    step: int
    about: About
    rows: list[dict[str, float]]
    record: dict[str, Any]

    @classmethod
    def open(cls, train: TrainConfig) -> "Fork":
        """Opens the checkpoint of `fork_step`, of which nothing is left open, in the run `fork_from`.

        Raises:
          CheckpointError: it is damaged.
          ReadError: it cannot be read.
        """
        origin, step = Workdir(train.fork_from), train.fork_step
        assert step is not None, "forked_from has filled it in"
        with _reading(origin.path, step), reader(origin.checkpoints) as manager:
            about = read_about(manager, step)
        rows = [row for row in read_metrics(origin.path) if row["step"] <= step][: about.lines]
        record = origin.record()
        starts = [*(record.get("earlier_starts") or []), *(record.get("starts") or [])]
        kept = {
            "data_fingerprints": origin.data_fingerprints(),
            "earlier_starts": [start for start in starts if start["step"] < step],
            "bad_steps": [one for one in record.get("bad_steps") or [] if one.get("rewound_to", one["step"]) <= step],
        }
        return cls(origin.path, step, about, rows, kept)

    @property
    def fingerprints(self) -> dict[str, str]:
        """Identifies the state; compared until the run has a checkpoint of its own."""
        return {"fork_from": hashing.fingerprint(self.about.checksums)}

    def read(self, shapes: TrainState) -> TrainState:
        """Reads the state, sharded like `shapes`, a tree of `jax.ShapeDtypeStruct`.

        Raises:
          CheckpointError: it is damaged, or holds other arrays.
          ReadError: it cannot be read.
        """
        paths, structure = jax.tree_util.tree_flatten_with_path(shapes)
        wanted = {
            array_name(path): ocp.ArrayRestoreArgs(sharding=leaf.sharding, dtype=leaf.dtype) for path, leaf in paths
        }
        with _reading(self.path, self.step), event_loops.patient():
            with reader(self.path / "checkpoints") as manager:
                there, whole = jax.tree_util.tree_flatten_with_path(manager.item_metadata(self.step)["state"].tree)
                names = [array_name(path) for path, _ in there]
                if set(names) != wanted.keys() or wanted.keys() != self.about.checksums.keys():
                    raise CheckpointError("it does not hold the arrays of this run")
                restore = ocp.args.PyTreeRestore(
                    item=whole.unflatten([leaf for _, leaf in there]),
                    restore_args=whole.unflatten([wanted[name] for name in names]),
                )
                found = manager.restore(self.step, args=ocp.args.Composite(state=restore))["state"]
            compare_checksums(found, self.about.checksums, self.step)
        arrays = dict(zip(names, jax.tree.leaves(found), strict=True))
        return structure.unflatten([arrays[name] for name in wanted])

    def describe(self) -> list[str]:
        """Returns lines about this for the start of the run."""
        return [f"fork         of {self.path}, from its checkpoint of step {self.step:,} on"]


@contextlib.contextmanager
def _reading(path: epath.Path, step: int) -> Iterator[None]:
    what = f"train.fork_from={path}: the checkpoint of step {step}"
    try:
        yield
    except Exception as error:  # Orbax reports damage by any of them
        check_readable(error, what)
        raise CheckpointError(f"{what} cannot be used: {error}") from error
