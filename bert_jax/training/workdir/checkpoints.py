"""Checkpoints: saved atomically and asynchronously by Orbax, self-contained, and verified by checksums.

checkpoints/STEP/state/      arrays (Orbax): the state of a run, or parameters alone
checkpoints/STEP/about/      JSON, see `about.py`
"""

import contextlib
import dataclasses
import json
import math
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import flax.traverse_util
import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging
from etils import epath

from bert_jax import hashing, storage
from bert_jax.errors import CheckpointError, DamagedFileError, WriteError
from bert_jax.optim import lora
from bert_jax.training import processes
from bert_jax.training.best import Best
from bert_jax.training.workdir import event_loops
from bert_jax.training.workdir.about import About
from bert_jax.training.workdir.checksums import array_name, checksums, compare_checksums
from bert_jax.training.workdir.reading import check_readable, in_parts, read_about, read_back, reader, steps_in

# TensorStore, which writes the arrays, raises ValueError: "RESOURCE_EXHAUSTED: Error writing local file …".
TENSORSTORE = re.compile(r"[A-Z_]+: .*[Ww]rit")
MIN_GB = 0.1  # of arrays that are written at a time
MEAN = re.compile(r"opt_state/(?:inner/)?mean/(.+)")  # see `optim/mean.py`; `inner` is the guard's


def _is_news(record: Any) -> bool:
    """Whether to print a log record. Orbax prints the traceback of an error in each thread, and raises it too."""
    return not (record.exc_info and "/orbax/" in record.pathname)


def unusable_in(path: epath.PathLike) -> str:
    """Returns what in a path keeps Orbax from saving checkpoints there; empty if nothing does.

    It takes a path with brackets for a pattern, finds nothing, and saves an empty checkpoint. TensorStore reads a
    backslash as a slash, and knows paths in UTF-8 alone. A folder `gs:` becomes a bucket to them.
    """
    text = os.fspath(path)
    if found := sorted(set("[]*?\\") & set(text)):
        return repr(found[0]).replace("\\\\", "\\")
    if not re.match(r"\w+://", text) and (scheme := re.search(r"/(gs|s3|az):/", f"/{text}/")):
        return f"'{scheme[1]}:'"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "a byte that is not UTF-8"
    return ""


def find_checkpoints(path: epath.Path) -> tuple[epath.Path, int | None]:
    """Returns the folder of checkpoints, and the step, that a path means: a run, its `checkpoints/`, or one of them."""
    if path.parent.name == "checkpoints" and path.name.isascii() and path.name.isdigit():
        return path.parent, int(path.name)
    return (path if path.name == "checkpoints" else path / "checkpoints"), None


def save_params(directory: epath.PathLike, step: int, params: Any, assets: dict[str, bytes]) -> None:
    """Writes a checkpoint of parameters alone, which `read_params` reads, but no run resumes from.

    Arrays are written from where they are, a few at a time: no second copy of them all is made.

    Args:
      directory: a `checkpoints/` folder; made if it does not exist.
      step: the number of the checkpoint.
      params: the parameters, a tree of arrays.
      assets: small files to store in the checkpoint, by name.

    Raises:
      WriteError: it cannot be written.
    """
    state, sums = {"params": params}, {}
    for name, leaf in flax.traverse_util.flatten_dict(state, sep="/").items():
        sums |= checksums({name: np.asarray(leaf)})
    about = About(sums, assets).as_json()
    largest = max(leaf.nbytes for leaf in jax.tree.leaves(params)) / 1e9
    limit: Any = max(2 * largest, MIN_GB)  # Orbax refuses an array that is larger than its limit
    handlers = {
        # Compression would copy each array, for little: trained weights look random.
        "state": ocp.PyTreeCheckpointHandler(
            save_concurrent_gb=limit, save_device_host_concurrent_gb=limit, use_compression=False
        ),
        "about": ocp.JsonCheckpointHandler(),
    }
    options = ocp.CheckpointManagerOptions(enable_async_checkpointing=False)
    arguments = ocp.args.Composite(state=ocp.args.PyTreeSave(state), about=ocp.args.JsonSave(about))
    with storage.writing(directory), event_loops.patient():
        manager = ocp.CheckpointManager(epath.Path(directory).absolute(), options=options, item_handlers=handlers)
        manager.save(step, args=arguments)
        manager.close()


def read_params(directory: epath.PathLike, step: int | None = None) -> tuple[int, Any, dict[str, bytes]]:
    """Reads the parameters of a checkpoint. Needs no mesh, optimiser, data or other process.

    Args:
      directory: a `checkpoints/` folder.
      step: which checkpoint; None: as `SavedParams` chooses.

    Returns:
      The step, the parameters as nested dictionaries of NumPy arrays, and the assets saved with them.

    Raises:
      CheckpointError: there is no such checkpoint, or it is damaged.
    """
    saved = SavedParams(directory, step)
    arrays = {name: array for part in saved.parts() for name, array in part.items()}
    params = flax.traverse_util.unflatten_dict({name: arrays[name] for name in saved.shapes}, sep="/")
    return saved.step, params, saved.assets


def read_best(directory: epath.PathLike, step: int | None = None) -> Best | None:
    """Reads the best evaluation of a run as of one of its checkpoints. Needs no device.

    Args:
      directory: a `checkpoints/` folder.
      step: which checkpoint; None: the newest.

    Returns:
      None if the run does not choose a best checkpoint, or if there is no checkpoint that can be read.
    """
    folder = epath.Path(directory)
    steps = steps_in(folder) if step is None else [step]
    if not steps:
        return None
    try:
        return About.read(storage.read_json(folder / str(steps[-1]) / "about" / "metadata")).best
    except (OSError, DamagedFileError, CheckpointError):  # incomplete, or damaged
        return None


class SavedParams:
    """The parameters in a checkpoint of a run, of which `read` reads some.

    Args:
      directory: a `checkpoints/` folder.
      step: which checkpoint; None: the best one if the run keeps it (`eval.best_by`), else the newest.
      mean: take the mean of the parameters (`optimizer.mean_decay`) where the checkpoint has it.

    Attributes:
      step: the step of the checkpoint.
      steps: those of all checkpoints of the folder, in order.
      shapes: the shapes of the parameters, by name. Adapters are not among them: `read` adds them to what they adapt.
      dtypes: their dtypes, by name.
      assets: the files saved with them.
      scores: the held-out scores of that step, under their names in the log; empty if it was not evaluated.

    Raises:
      CheckpointError: there is no checkpoint, or it cannot be read.
    """

    def __init__(self, directory: epath.PathLike, step: int | None = None, mean: bool = True):
        self._directory = epath.Path(directory).absolute()
        if not self._directory.exists():
            raise CheckpointError(f"There is no checkpoint in {directory}.")
        if "\\" in str(self._directory):
            raise CheckpointError(f"{directory} has '\\' in it, with which checkpoints cannot be read: rename it.")
        with reader(self._directory) as manager:
            steps = self.steps = sorted(manager.all_steps())
            if not steps:
                raise CheckpointError(f"There is no checkpoint in {self._directory}.")
            if step is not None and step not in steps:
                raise CheckpointError(
                    f"There is no checkpoint of step {step} in {self._directory}: it has {', '.join(map(str, steps))}."
                )
            self.step: int = steps[-1] if step is None else step
            with self._reading():
                about = read_about(manager, self.step)
                best = about.best if step is None else None
                if best and best.step is not None and best.step in steps:
                    self.step = best.step
                    about = read_about(manager, self.step)
                tree = manager.item_metadata(self.step)["state"].tree
                self.assets, self.scores, self._checksums = about.assets, about.scores, about.checksums
                leaves: dict[str, Any] = flax.traverse_util.flatten_dict(tree["params"], sep="/")
                self._names = tuple(leaves)
                # What is not trained has no mean.
                means = {match[1]: path for path in self._checksums if (match := MEAN.match(path))} if mean else {}
                self._paths = {name: means.get(name, f"params/{name}") for name in leaves}
                self._leaves = leaves
                own = lora.own_names(leaves)
                self.shapes = {name: tuple(leaf.shape) for name, leaf in own.items()}
                self.dtypes = {name: np.dtype(leaf.dtype) for name, leaf in own.items()}

    @property
    def fingerprint(self) -> str:
        """A hash of the parameters."""
        return hashing.fingerprint({name: self._checksums.get(path) for name, path in self._paths.items()})

    def read(self, wanted: Mapping[str, ocp.RestoreArgs]) -> dict[str, Any]:
        """Reads some parameters, by name.

        Args:
          wanted: how to restore each of them: on the host, or on devices with a sharding.

        Raises:
          CheckpointError: an array is damaged.
        """
        adapters = {name: parts for name in wanted if (parts := lora.adapter_of(name, self._names))}
        on_host = ocp.RestoreArgs(restore_type=np.ndarray)
        everything = {**wanted, **{part: on_host for parts in adapters.values() for part in parts}}
        item, arguments = (
            flax.traverse_util.unflatten_dict({self._paths[name]: source[name] for name in everything}, sep="/")
            for source in (self._leaves, everything)
        )
        restore = ocp.args.PyTreeRestore(item=item, restore_args=arguments, partial_restore=True)
        with reader(self._directory) as manager, self._reading():
            restored = manager.restore(self.step, args=ocp.args.Composite(state=restore))["state"]
        compare_checksums(restored, self._checksums, self.step)
        read = flax.traverse_util.flatten_dict(restored, sep="/")
        found = {name: read[self._paths[name]] for name in everything}
        for name, parts in adapters.items():
            kernel, adapter = found[name], [found.pop(part) for part in parts]
            place = (
                jax.jit(lora.updated, out_shardings=kernel.sharding) if isinstance(kernel, jax.Array) else lora.updated
            )
            found[name] = place(kernel, *adapter)
        return found

    def parts(self) -> Iterator[dict[str, np.ndarray]]:
        """Yields all parameters as arrays of the host, by name: a few at a time, the largest first.

        Raises:
          CheckpointError: an array is damaged.
        """
        for part in in_parts({name: math.prod(shape) for name, shape in self.shapes.items()}):
            yield self.read({name: ocp.RestoreArgs(restore_type=np.ndarray) for name in part})

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            with event_loops.patient():
                yield
        except Exception as error:  # Orbax reports damage as ValueError, KeyError, JSONDecodeError, Exception, …
            check_readable(error, f"step {self.step} in {self._directory}")
            raise CheckpointError(f"step {self.step} in {self._directory} cannot be read: {error}") from error


@dataclasses.dataclass
class Preserved:
    """Which checkpoints Orbax preserves. All others are deleted.

    Orbax asks when a save begins, and deletes when it is complete: until a better checkpoint is there, the best so far
    stays.

    Attributes:
      latest: the number of latest checkpoints.
      every: those of steps that are multiples of this one; None: no such.
      rewinds_to: the newest of a step that is a multiple of this one; None: no such.
      best: the step of the best evaluation.
      best_before: that of the best one up to the checkpoint that a rewind would go to.
    """

    latest: int
    every: int | None = None
    rewinds_to: int | None = None
    best: int | None = None
    best_before: int | None = None

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> Sequence[bool]:
        return self.keeps([one.step for one in checkpoints])

    def keeps(self, steps: Sequence[int]) -> list[bool]:
        """Whether to keep the checkpoint of each of these steps, which increase."""
        kept = {self.best, self.best_before, *steps[max(0, len(steps) - self.latest) :]}
        if self.every:
            kept |= {step for step in steps if step % self.every == 0}
        if self.rewinds_to:
            kept.add(max([step for step in steps if step % self.rewinds_to == 0], default=None))
        return [step in kept for step in steps]


class Checkpoints:
    """The checkpoints of one run.

    Args:
      directory: their folder; made if it does not exist.
      preserved: which checkpoints to keep.
      assets: small files to store in each checkpoint, by name.
      tell_first: is called with the step of the first checkpoint of this start, when it is on disk.

    Attributes:
      best: the best evaluation up to the checkpoint that was restored; None before, and if it stores none.
      lines: how many lines `metrics.jsonl` had up to that checkpoint; None if that is not known.
      lacks_scores: whether that checkpoint was saved before its evaluation, of which nothing is known.

    Raises:
      WriteError: a checkpoint cannot be written; also raised by a method that is called later.
    """

    def __init__(
        self,
        directory: epath.PathLike,
        preserved: Preserved,
        assets: dict[str, bytes],
        tell_first: Callable[[int], None] = lambda step: None,
    ):
        self._directory = epath.Path(directory)
        self._assets, self._tell_first = assets, tell_first
        # What fails in the threads that write is told once, by the method that is called next.
        self._quiet = contextlib.ExitStack()
        self._quiet.enter_context(event_loops.patient())
        logging.get_absl_logger().addFilter(_is_news)
        self._quiet.callback(logging.get_absl_logger().removeFilter, _is_news)
        self._preserved = preserved
        options = ocp.CheckpointManagerOptions(preservation_policy=preserved, cleanup_tmp_directories=True)
        self._manager = ocp.CheckpointManager(self._directory, options=options)
        self._needed = ""  # the size of a checkpoint, for messages
        self._proven = False  # whether this start has read back what it saved
        self.best: Best | None = None
        self.lines: int | None = None
        self.lacks_scores = False

    def save(
        self,
        step: int,
        state: Any,
        sums: dict[str, int],
        best: Best | None = None,
        scores: Mapping[str, float] | None = None,
        lines: int | None = None,
    ) -> None:
        """Starts to save `state`. The arrays may be donated as soon as this returns.

        The first call waits until the checkpoint is on disk, and reads it back: a disk or a file system that does not
        keep what it is given is found at once.

        Args:
          step: the step of the state.
          state: the state.
          sums: its `checksums`, which also show that it is finite.
          best: the best evaluation up to this step. Its checkpoint is kept, besides the latest ones.
          scores: the held-out scores of this step, under their names in the log; None if it was not evaluated.
          lines: how many lines `metrics.jsonl` has up to this step.

        Raises:
          CheckpointError: the first checkpoint of this start is not what was saved.
        """
        about = About(sums, self._assets, best, dict(scores or {}), lines)
        self._preserve(step, best)
        self._needed = f"a checkpoint takes {sum(leaf.nbytes for leaf in jax.tree.leaves(state)) / 1e6:,.1f} MB"
        arguments = ocp.args.Composite(state=ocp.args.StandardSave(state), about=ocp.args.JsonSave(about.as_json()))
        with self._writing():
            self._manager.save(step, args=arguments)
        if not self._proven:
            self.wait()
            with processes.together():
                if processes.is_first():
                    read_back(self._directory, step, about)
            self._proven = True
            self._tell_first(step)

    def add_scores(self, step: int, best: Best | None, scores: Mapping[str, float], lines: int) -> None:
        """Adds to a saved checkpoint what its evaluation, which came after it, has found; see `save`."""
        self.wait()
        self._preserve(step, best)
        with processes.together():
            if processes.is_first():
                file = self._directory / str(step) / "about" / "metadata"
                about = About.read(storage.read_json(file))
                about = dataclasses.replace(about, best=best, scores=dict(scores), lines=lines)
                with self._writing():
                    storage.write_bytes(file, json.dumps(about.as_json()).encode())
        steps = sorted(self._manager.all_steps())
        for old, keep in zip(steps, self._preserved.keeps(steps), strict=True):
            if not keep:  # the best one so far was kept while this one might not be better
                self._manager.delete(old)

    def _preserve(self, step: int, best: Best | None) -> None:
        self._preserved.best = best.step if best else None
        if self._preserved.rewinds_to and step % self._preserved.rewinds_to == 0:
            self._preserved.best_before = self._preserved.best

    @property
    def is_empty(self) -> bool:
        """Whether there is no checkpoint."""
        return self._manager.latest_step() is None

    def wait(self) -> None:
        """Blocks until everything is on disk."""
        with self._writing():
            self._manager.wait_until_finished()

    def restore_latest(self, like: Any) -> Any | None:
        """Restores the newest checkpoint that is not damaged; None if there are no checkpoints.

        A damaged checkpoint is moved to `damaged_checkpoints/` with a warning, and the one before it is tried.

        Args:
          like: a tree of `jax.ShapeDtypeStruct` with shardings.

        Raises:
          CheckpointError: all checkpoints are damaged.
          ReadError: one cannot be read at the moment; nothing is moved.
        """
        damaged = []
        for step in sorted(self._manager.all_steps(), reverse=True):
            state, failure = None, None
            with processes.together():
                try:
                    state = self._restore(step, like)
                except Exception as error:  # of any kind, see `SavedParams._reading`
                    check_readable(error, f"step {step} in {self._directory}")
                    failure = str(error).split("\n")[0]
            if failures := [text for text in processes.gather(failure) if text is not None]:
                logging.warning("checkpoint %d cannot be used: %s", step, failures[0])
                damaged.append(step)
                continue
            if damaged:
                self._set_aside(damaged)
            return state
        if damaged:
            # They stay in place: a run must never start over because its checkpoints cannot be read.
            raise CheckpointError(
                f"None of the checkpoints {damaged} in {self._directory} can be restored: see the warnings above;"
                f" if they are lost, choose another --workdir."
            )
        return None

    def _set_aside(self, steps: list[int]) -> None:
        aside = self._directory.parent / "damaged_checkpoints"
        if processes.is_first():
            aside.mkdir(parents=True, exist_ok=True)
            for step in steps:
                shutil.rmtree(aside / str(step), ignore_errors=True)
                (self._directory / str(step)).rename(aside / str(step))
        processes.wait()
        self._manager.reload()

    def _restore(self, step: int, like: Any) -> Any:
        arguments = ocp.args.Composite(state=ocp.args.StandardRestore(like), about=ocp.args.JsonRestore())
        with event_loops.patient():
            restored = self._manager.restore(step, args=arguments)
        about = About.read(restored["about"])
        names = {array_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(restored["state"])}
        if names != about.checksums.keys():
            raise CheckpointError(f"step {step} does not hold the arrays that were saved")
        compare_checksums(restored["state"], about.checksums, step)
        self.best, self.lines = about.best, about.lines
        every = self._preserved.rewinds_to
        for known in [one for one in steps_in(self._directory) if every and one < step and one % every == 0][-1:]:
            self._preserve(known, read_best(self._directory, known))
        self._preserve(step, about.best)
        self.lacks_scores = about.lines is not None and not about.scores  # older ones were all saved after it
        return restored["state"]

    def close(self) -> None:
        """Waits for saves in progress, and closes."""
        with self._quiet, self._writing():
            self._manager.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with storage.writing(self._directory, self._needed):
                yield
        except ValueError as error:
            if not TENSORSTORE.match(str(error)):
                raise
            raise WriteError(storage.cannot_be_written(self._directory, error, self._needed)) from error
