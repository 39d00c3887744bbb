"""Checkpoints: Orbax's atomic, asynchronous saves, plus what makes one stand alone and what proves it whole.

    checkpoints/STEP/state/      arrays (Orbax)
    checkpoints/STEP/about/      JSON: format version, a checksum of each array, and the files given as assets

Orbax keeps no checksum of what it stores: a flipped bit would come back as a number. Ours are computed on the device
when a state is saved and again when it is restored.
"""

import base64
import shutil
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from absl import logging
from etils import epath

from bert_jax.errors import CheckpointError
from bert_jax.training import event_loops, processes

FORMAT_VERSION = 1


def checksums(tree: Any) -> dict[str, int]:
    """A 32-bit checksum of each array, by its path; the same on any number of devices."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    sums = jax.device_get(_leaf_checksums([leaf for _, leaf in leaves]))
    return {_name(path): int(value) for (path, _), value in zip(leaves, sums, strict=True)}


def _name(path) -> str:
    """`params/encoder/...`: the same for dataclasses and for the dictionaries that they are read back as."""
    return "/".join(str(getattr(part, "name", getattr(part, "key", getattr(part, "idx", part)))) for part in path)


@jax.jit
def _leaf_checksums(leaves):
    def one(x):
        unsigned = {1: jnp.uint8, 2: jnp.uint16, 4: jnp.uint32}[x.dtype.itemsize]
        bits = jax.lax.bitcast_convert_type(x, unsigned).astype(jnp.uint32)
        # Mixed with the position, so that exchanged elements count as damage; addition is exact in any order.
        position = jnp.zeros(x.shape, jnp.uint32)
        for axis, size in enumerate(x.shape):
            position = position * jnp.uint32(size) + jax.lax.broadcasted_iota(jnp.uint32, x.shape, axis)
        mixed = (bits ^ (position * jnp.uint32(0x9E3779B9))) * jnp.uint32(0x85EBCA6B)
        return (mixed ^ (mixed >> 15)).sum(dtype=jnp.uint32)

    return [one(leaf) for leaf in leaves]


def _compare(found: dict[str, int], stored: dict[str, int], step: int) -> None:
    damaged = sorted(name for name in found if found[name] != stored.get(name))
    if damaged:
        raise CheckpointError(f"step {step} does not match its checksums in {', '.join(damaged)}")


def _as_json(assets: dict[str, bytes]) -> dict[str, str | dict[str, str]]:
    """Text stays readable; what is not text is kept in base 64."""
    packed = {}
    for name, content in assets.items():
        try:
            packed[name] = content.decode()
        except UnicodeDecodeError:
            packed[name] = {"base64": base64.b64encode(content).decode()}
    return packed


def _from_json(packed: dict[str, str | dict[str, str]]) -> dict[str, bytes]:
    return {
        name: value.encode() if isinstance(value, str) else base64.b64decode(value["base64"])
        for name, value in packed.items()
    }


def read_params(directory: epath.PathLike) -> tuple[int, Any, dict[str, bytes]]:
    """The newest checkpoint's parameters alone, for use outside training: no mesh, optimiser, data or other process
    needed.

    Args:
      directory: a `checkpoints/` folder.

    Returns:
      The step, the parameters as NumPy arrays by name, and the assets saved with them.

    Raises:
      CheckpointError: no checkpoint, or a damaged one.
    """
    directory = epath.Path(directory).absolute()
    me = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(primary_host=me, active_processes={me}, barrier_sync_key_prefix=f"p{me}")
    handlers = {
        "state": ocp.PyTreeCheckpointHandler(multiprocessing_options=alone),
        "about": ocp.JsonCheckpointHandler(multiprocessing_options=alone),
    }
    options = ocp.CheckpointManagerOptions(create=False, save_root_metadata=False, multiprocessing_options=alone)
    if not directory.exists():
        raise CheckpointError(f"There is no checkpoint in {directory}.")
    with ocp.CheckpointManager(directory, options=options, item_handlers=handlers) as manager:
        step = manager.latest_step()
        if step is None:
            raise CheckpointError(f"There is no checkpoint in {directory}.")
        try:
            wanted = {"params": manager.item_metadata(step)["state"].tree["params"]}
            arguments = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), wanted)
            state = ocp.args.PyTreeRestore(item=wanted, restore_args=arguments, partial_restore=True)
            with event_loops.patient():
                restored = manager.restore(step, args=ocp.args.Composite(state=state, about=ocp.args.JsonRestore()))
        except Exception as error:  # as many kinds as there are kinds of damage
            raise CheckpointError(f"step {step} in {directory} cannot be read: {error}") from error
    _compare(checksums(restored["state"]), restored["about"]["checksums"], step)
    return step, restored["state"]["params"], _from_json(restored["about"]["assets"])


class Checkpoints:
    """The checkpoints of one run.

    Args:
      directory: where they are; made if missing.
      keep: how many of the latest to keep.
      assets: small files that belong to each checkpoint, by name; their meaning is the caller's.
    """

    def __init__(self, directory: epath.PathLike, keep: int, assets: dict[str, bytes]):
        self._directory = epath.Path(directory)
        self._assets = _as_json(assets)
        self._manager = ocp.CheckpointManager(
            self._directory, options=ocp.CheckpointManagerOptions(max_to_keep=keep, cleanup_tmp_directories=True)
        )

    def save(self, step: int, state: Any) -> None:
        """Starts saving `state`; the arrays may be donated as soon as this returns."""
        about = {"format_version": FORMAT_VERSION, "checksums": checksums(state), "assets": self._assets}
        self._manager.save(
            step, args=ocp.args.Composite(state=ocp.args.StandardSave(state), about=ocp.args.JsonSave(about))
        )

    def wait(self) -> None:
        """Returns when everything is on disk."""
        self._manager.wait_until_finished()

    def restore_latest(self, like: Any) -> Any | None:
        """The newest checkpoint that is whole, or None where there is none at all.

        A damaged one is moved to `damaged_checkpoints/`, with a warning, and the one before it is tried.

        Args:
          like: tree of `jax.ShapeDtypeStruct` with shardings.

        Raises:
          CheckpointError: there are checkpoints, but none is whole.
        """
        damaged = []
        for step in sorted(self._manager.all_steps(), reverse=True):
            state, failure = None, None
            try:
                state = self._restore(step, like)
            except Exception as error:  # Orbax reports damage as ValueError, KeyError, JSONDecodeError, Exception, …
                failure = str(error).split("\n")[0]
            if failures := [text for text in processes.gather(failure) if text is not None]:
                logging.warning("checkpoint %d cannot be used: %s", step, failures[0])
                damaged.append(step)
                continue
            if damaged:
                self._set_aside(damaged)
            return state
        if damaged:
            # They stay where they are: a run must never start over because its checkpoints could not be read.
            raise CheckpointError(
                f"None of the checkpoints {damaged} in {self._directory} can be restored: see the warnings above;"
                f" if they are lost, start a new workdir."
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
        about = restored["about"]
        if about["format_version"] != FORMAT_VERSION:
            raise CheckpointError(
                f"step {step} has checkpoint format {about['format_version']}, this version reads {FORMAT_VERSION}"
            )
        found, stored = checksums(restored["state"]), about["checksums"]
        if found.keys() != stored.keys():
            raise CheckpointError(f"step {step} holds other arrays than were saved")
        _compare(found, stored, step)
        return restored["state"]

    def close(self) -> None:
        self._manager.close()
