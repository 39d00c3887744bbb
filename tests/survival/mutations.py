"""Damage to files: bytes, and the nodes of JSON."""

import copy
import json
import pathlib
import random
from collections.abc import Iterator
from typing import Any

WAYS = ("deleted", "truncated", "emptied", "one bit flipped")
VALUES = (None, [], {}, "x", -1, 1.5, True, "../../x", 10**30, [1], {"a": 1})


def damage(file: pathlib.Path, way: str, rng: random.Random) -> str:
    """Damages a file in one of the `WAYS`, and says how."""
    content = file.read_bytes()
    file.unlink()
    if way == "deleted":
        return f"{file.name} deleted"
    place = rng.randrange(max(1, 8 * len(content)))
    if way == "truncated":
        content = content[: place // 8]
    elif way == "emptied" or not content:
        content = b""
    else:
        changed = bytearray(content)
        changed[place // 8] ^= 1 << place % 8
        content = bytes(changed)
    file.write_bytes(content)
    return f"{file.name} {way} at {place // 8}.{place % 8}"


def scramble(file: pathlib.Path, rng: random.Random) -> str:
    """Damages a file in one of the `WAYS`, or changes, removes or repeats some bytes of it; says how."""
    content = file.read_bytes()
    way = rng.choice((*WAYS, "changed", "removed", "repeated"))
    if way in WAYS or not content:
        return damage(file, way if way in WAYS else "deleted", rng)
    begin = rng.randrange(len(content))
    end = min(len(content), begin + rng.choice((1, 2, 8, 100)))
    new = {"changed": rng.randbytes(end - begin), "removed": b"", "repeated": 2 * content[begin:end]}[way]
    file.write_bytes(content[:begin] + new + content[end:])
    return f"{file.name} {way} from {begin} to {end}"


def mutate(value: Any, rng: random.Random) -> tuple[Any, str]:
    """A JSON-like value of which a node has another value, or is missing, and what was done."""
    path = rng.choice(list(nodes(value)))
    if path and rng.random() < 0.2:
        changed = copy.deepcopy(value)
        del _at(changed, path[:-1])[path[-1]]
        return changed, f"{path} removed"
    new = rng.choice(VALUES)
    if not path:
        return new, f"all is {new!r}"
    changed = copy.deepcopy(value)
    _at(changed, path[:-1])[path[-1]] = new
    return changed, f"{path} is {new!r}"


def mutate_file(file: pathlib.Path, rng: random.Random) -> str:
    """The same for a file of JSON."""
    value, how = mutate(json.loads(file.read_text()), rng)
    file.write_text(json.dumps(value))
    return f"{file.name}: {how}"


def nodes(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all nodes of a JSON-like value, its own first."""
    yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inside:
        yield from nodes(one, (*path, key))


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value
