"""Reads checkpoints by one process alone, a few arrays at a time: the memory that this takes is a part of theirs."""

import errno
import re
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from bert_jax.errors import CheckpointError, ReadError
from bert_jax.training.workdir import event_loops
from bert_jax.training.workdir.about import About
from bert_jax.training.workdir.checksums import array_name, compare_checksums

# What TensorStore says of a bucket or a disk that fails; of damage it says DATA_LOSS, NOT_FOUND, INVALID_ARGUMENT, …
FAILS = re.compile(r"(UNAVAILABLE|DEADLINE_EXCEEDED|ABORTED|CANCELLED|PERMISSION_DENIED|UNAUTHENTICATED): [^\n]*")
# Errors of the system that follow from what is written, or missing, in a folder.
DAMAGE = {getattr(errno, name) for name in ("ENOENT", "EEXIST", "EISDIR", "ENOTDIR", "EINVAL", "ENAMETOOLONG", "ELOOP")}
NETWORK = ("gcsfs", "aiohttp", "requests", "google")  # libraries that have errors of their own
PARTS = 24  # in which arrays are read; reading takes three to four times the memory of a part


def check_readable(error: BaseException, what: str) -> None:
    """Checks that an error of reading is not one of the disk, the network or a bucket. Such errors may pass.

    Args:
      error: what was raised.
      what: was read, for the message.

    Raises:
      ReadError: it is one: nothing is known of what was to be read.
    """
    one: BaseException | None = error
    while one is not None:
        if reason := _failure(one):
            raise ReadError(f"{what} cannot be read ({reason}): mend it, or try again later.") from error
        one = one.__cause__ or one.__context__


def _failure(error: BaseException) -> str:
    text = str(error).split("\n")[0]
    if isinstance(error, OSError) and error.errno not in (None, *DAMAGE):
        return error.strerror or text
    if type(error).__module__.partition(".")[0] in NETWORK and not isinstance(error, FileNotFoundError):
        return text
    return found[0] if (found := FAILS.search(str(error))) else ""


def reader(directory: epath.Path) -> ocp.CheckpointManager:
    """Opens a `checkpoints/` folder for reading by this process alone, whatever the others do."""
    me = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(primary_host=me, active_processes={me}, barrier_sync_key_prefix=f"p{me}")
    handlers = {
        "state": ocp.PyTreeCheckpointHandler(multiprocessing_options=alone),
        "about": ocp.JsonCheckpointHandler(multiprocessing_options=alone),
    }
    options = ocp.CheckpointManagerOptions(create=False, save_root_metadata=False, multiprocessing_options=alone)
    return ocp.CheckpointManager(directory, options=options, item_handlers=handlers)


def steps_in(directory: epath.Path) -> list[int]:
    """Returns the steps of all checkpoints in a folder, damaged ones too, in ascending order; none without a folder."""
    names = [path.name for path in directory.iterdir()] if directory.exists() else []
    return sorted(int(name) for name in names if re.fullmatch(r"0|[1-9][0-9]*", name))


def read_about(manager: ocp.CheckpointManager, step: int) -> About:
    """Reads what a checkpoint says about itself.

    Raises:
      CheckpointError: it is damaged. Orbax may raise anything else.
    """
    return About.read(manager.restore(step, args=ocp.args.Composite(about=ocp.args.JsonRestore()))["about"])


def in_parts(sizes: Mapping[str, int]) -> Iterator[list[str]]:
    """Yields the names of all arrays, the largest first, those of about a `PARTS`-th of their elements at a time."""
    part: list[str] = []
    taken = 0
    for name in sorted(sizes, key=lambda name: -sizes[name]):
        if part and taken + sizes[name] > sum(sizes.values()) / PARTS:
            yield part
            part, taken = [], 0
        part.append(name)
        taken += sizes[name]
    yield part


def read_back(directory: epath.Path, step: int, about: About) -> None:
    """Checks that a checkpoint on disk is the one that was saved.

    Args:
      directory: a `checkpoints/` folder.
      step: of the checkpoint.
      about: what was saved with it.

    Raises:
      CheckpointError: it holds something else.
      ReadError: it cannot be read.
    """
    try:
        with reader(directory) as manager, event_loops.patient():
            if read_about(manager, step).as_json() != about.as_json():
                raise CheckpointError("about/metadata holds something else")
            paths, structure = jax.tree_util.tree_flatten_with_path(manager.item_metadata(step)["state"].tree)
            leaves = {array_name(path): leaf for path, leaf in paths}
            if leaves.keys() != about.checksums.keys():
                raise CheckpointError("it does not hold the same arrays")
            on_host = structure.unflatten([ocp.RestoreArgs(restore_type=np.ndarray)] * len(leaves))
            for part in in_parts({name: int(np.prod(leaf.shape)) for name, leaf in leaves.items()}):
                some: Any = [leaf if name in part else ocp.PLACEHOLDER for name, leaf in leaves.items()]
                restore = ocp.args.PyTreeRestore(item=structure.unflatten(some), restore_args=on_host)
                found = manager.restore(step, args=ocp.args.Composite(state=restore))["state"]
                arrays = [leaf for leaf in jax.tree.leaves(found) if leaf is not ocp.PLACEHOLDER]
                names = [name for name in leaves if name in part]
                compare_checksums(dict(zip(names, arrays, strict=True)), about.checksums, step)
    except Exception as error:  # Orbax reports damage as ValueError, KeyError, JSONDecodeError, Exception, …
        check_readable(error, f"The checkpoint of step {step} in {directory}")
        raise CheckpointError(
            f"The checkpoint of step {step} in {directory} is not what was saved ({error}): mend the disk or choose"
            " another --workdir."
        ) from error
