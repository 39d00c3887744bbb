"""What several processes of one run have to agree about. With one process, everything here is a no-op.

Each process runs the same program on its own devices. All must call these functions in the same order: a process that
does not, blocks the others.
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
    """Whether this is the process that writes for all."""
    return jax.process_index() == 0


def gather(value: Any) -> list[Any]:
    """The JSON-like `value` of each process, in their order."""
    if jax.process_count() == 1:
        return [value]
    text = np.frombuffer(json.dumps(value).encode(), np.uint8)
    lengths = multihost_utils.process_allgather(np.int32(len(text)))
    texts = multihost_utils.process_allgather(np.pad(text, (0, int(lengths.max()) - len(text))))
    return [json.loads(bytes(row[:length])) for row, length in zip(texts, lengths, strict=True)]


def of_first(value: Any) -> Any:
    """The JSON-like `value` of the first process."""
    return gather(value)[0]


def wait() -> None:
    """Returns when all processes have come here."""
    gather(None)


@contextlib.contextmanager
def together() -> Iterator[None]:
    """What is done within, at no other process' pace, has succeeded on all processes, or fails on all.

    Raises:
      BertJaxError: of this process, or the first other one's.
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
    """Compares what must be the same on all processes.

    Args:
      facts: JSON-like values by name.

    Raises:
      ConfigError: on all processes: what differs, and where.
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
    """A function, called equally often by all processes, that is True for all at once soon after `flag` is for one.

    Each call sends this process' flag to the others and reads what was sent the call before, which has arrived by
    then: nobody waits.
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
        return len(sent) > 1 and bool(sent.pop(0))

    return agreed
