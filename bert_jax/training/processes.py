"""Coordinates the processes of a run. With one process, everything here is a no-op.

Each process runs the same program on its own devices. All processes must call these functions in the same order: one
that does not blocks the others.
"""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from bert_jax.errors import BertJaxError, ConfigError


def is_first() -> bool:
    """Returns whether this is the first process, which writes the files."""
    return jax.process_index() == 0


def gather(value: Any) -> list[Any]:
    """Returns the JSON-like `value` of every process, in process order."""
    if jax.process_count() == 1:
        return [value]
    text = np.frombuffer(json.dumps(value).encode(), np.uint8)
    lengths = multihost_utils.process_allgather(np.int32(len(text)))
    texts = multihost_utils.process_allgather(np.pad(text, (0, int(lengths.max()) - len(text))))
    return [json.loads(bytes(row[:length])) for row, length in zip(texts, lengths, strict=True)]


def of_first(value: Any) -> Any:
    """Returns the JSON-like `value` of the first process."""
    return gather(value)[0]


def wait() -> None:
    """Blocks until all processes have called it."""
    gather(None)


@contextlib.contextmanager
def together() -> Iterator[None]:
    """A context whose body either succeeds on all processes or fails on all. The body must not synchronize.

    Raises:
      BertJaxError: this process' own error, or else that of the first process that failed.
    """
    failure: BertJaxError | None = None
    try:
        yield
    except BertJaxError as error:
        failure = error
    failures = gather(None if failure is None else str(failure))
    if failure is not None:
        raise failure
    for process, text in enumerate(failures):
        if text is not None:
            raise BertJaxError(f"Process {process}: {text}")


def check_same(facts: Mapping[str, Any]) -> None:
    """Checks values that must be the same on all processes.

    Args:
      facts: JSON-like values by name.

    Raises:
      ConfigError: some values differ. Raised on all processes; names the values and the processes.
    """
    everywhere = gather(dict(facts))
    problems = [
        f"{name} is {other.get(name)!r} in process {process} and {everywhere[0].get(name)!r} in process 0: start all"
        f" processes of a run with the same command, code, corpus and --workdir."
        for process, other in enumerate(everywhere)
        for name in sorted(everywhere[0].keys() | other.keys())
        if other.get(name) != everywhere[0].get(name)
    ]
    if problems:
        raise ConfigError("\n".join(problems))


def anywhere(flag: Callable[[], bool]) -> Callable[[], bool]:
    """Returns a function that becomes True on all processes together, soon after `flag` does on one.

    All processes must call it equally often. Each call sends this process' flag and reads the result of the previous
    call, which has arrived by then, so no process waits.
    """
    if jax.process_count() == 1:
        return flag
    mesh = Mesh(np.array(jax.devices()), ("device",))
    cut = NamedSharding(mesh, PartitionSpec("device"))
    any_flag = jax.jit(jnp.any, out_shardings=NamedSharding(mesh, PartitionSpec()))
    sent: list[jax.Array] = []

    def agreed() -> bool:
        mine = np.array([flag()])
        with jax.set_mesh(mesh):
            sent.append(any_flag(jax.make_array_from_callback((mesh.size,), cut, lambda _: mine)))
        if mesh.devices.flat[0].platform == "cpu":  # one program at a time, see `Program`
            jax.block_until_ready(sent)
        return len(sent) > 1 and bool(sent.pop(0))

    return agreed
