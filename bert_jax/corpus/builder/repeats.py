"""Finds documents or paragraphs that occurred before: exactly (up to 64-bit hashes), for any number in constant memory.

    RepeatsWriter   per unit    writes sorted runs of hashes, and marks what repeats within a run
    find_repeats    per range   gathers one range of hash values from all units, and finds all but the first of each
    Repeats         per unit    reads both results back, item by item

"First" refers to the order of units, which does not depend on the number of workers. Two different items share a hash
in about one of 37 corpora of a billion items.
"""

import array
import dataclasses
import hashlib
from collections.abc import Sequence

import numpy as np
from etils import epath

from bert_jax import storage
from bert_jax.corpus.builder.job import Job

# How many hashes a unit sorts at a time, and how many one pass gathers from all units. Each takes about 40 bytes.
RUN = 1 << 21
PASS_HASHES = 4 << 20
FOUND = np.dtype([("unit", "<u4"), ("position", "<u8")])


class RepeatsWriter:
    """Writes the `.hashes`, `.positions` and `.repeated` files of one unit. A context manager."""

    def __init__(self, job: Job):
        self.runs: list[int] = []  # how many distinct hashes each run has
        self._pending, self._written = array.array("Q"), 0
        self._files = [job.file(suffix).open("wb") for suffix in ("hashes", "positions", "repeated")]

    def add(self, items: Sequence[str]) -> list[int]:
        """Adds the next items and returns their hashes."""
        hashes = [
            int.from_bytes(hashlib.blake2b(item.encode("utf-8", "replace"), digest_size=8).digest(), "little")
            for item in items
        ]
        self._pending.extend(hashes)
        while len(self._pending) >= RUN:
            self._flush(RUN)
        return hashes

    def _flush(self, count) -> None:
        values = np.array(self._pending[:count], np.uint64)
        del self._pending[:count]
        distinct, first = np.unique(values, return_index=True)
        repeated = np.ones(count, bool)
        repeated[first] = False
        contents = (distinct, (first + self._written).astype(np.uint64), np.packbits(repeated, bitorder="little"))
        for file, content in zip(self._files, contents, strict=True):
            file.write(content.tobytes())
        self._written += count
        self.runs.append(len(distinct))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._pending:
            self._flush(len(self._pending))
        for file in self._files:
            file.close()


@dataclasses.dataclass(frozen=True)
class Pass:
    """One of `count` equal ranges of hash values.

    Attributes:
      index: which range, from 0.
      count: how many ranges there are.
      units: the jobs of all units.
      size: the approximate size of the hashes in this range, in bytes.
    """

    index: int
    count: int
    units: tuple[Job, ...]
    size: int

    @property
    def file(self) -> epath.Path:
        """The path of the result."""
        return _passes(self.units[0]) / f"{self.index:05d}-of-{self.count:05d}.npy"


def _passes(job: Job) -> epath.Path:
    return epath.Path(job.build) / "repeats"


def passes(jobs: Sequence[Job]) -> list[Pass]:
    """Returns as many passes as are needed for each to fit into memory."""
    total = sum(sum(_runs(job)) for job in jobs)
    count = -(-total // PASS_HASHES)
    if jobs:
        _passes(jobs[0]).mkdir(parents=True, exist_ok=True)
    return [Pass(i, count, tuple(jobs), 8 * total // count) for i in range(count)]


def _runs(job: Job) -> list[int]:
    return storage.read_json(job.file("scanned.json"))["runs"]


def find_repeats(part: Pass) -> None:
    """Writes the items that occurred in an earlier run or unit: [repeats] of `FOUND`, in the order of units."""
    if part.file.exists():
        return
    low, high = (np.uint64(value) for value in _bounds(part))
    hashes, found = [np.zeros(0, np.uint64)], [np.zeros(0, FOUND)]
    for unit, job in enumerate(part.units):
        runs, start = _runs(job), 0
        if not runs:
            continue
        values = np.memmap(str(job.file("hashes")), np.uint64, "r")
        positions = np.memmap(str(job.file("positions")), np.uint64, "r")
        for length in runs:
            run = values[start : start + length]
            first, last = np.searchsorted(run, low), np.searchsorted(run, high, side="right")
            hashes.append(np.array(run[first:last]))
            rows = np.empty(last - first, FOUND)
            rows["unit"], rows["position"] = unit, positions[start + first : start + last]
            found.append(rows)
            start += length
    values, rows = np.concatenate(hashes), np.concatenate(found)
    del hashes, found
    repeated = np.ones(len(values), bool)
    repeated[np.unique(values, return_index=True)[1]] = False
    storage.write_array(part.file, rows[repeated])


def _bounds(part: Pass) -> tuple[int, int]:
    return (part.index << 64) // part.count, ((part.index + 1) << 64) // part.count - 1


class Repeats:
    """Says of each item of one unit, in the order in which they were added, whether it occurred before."""

    def __init__(self, job: Job):
        self._bits, self._position = np.frombuffer(job.file("repeated").read_bytes(), np.uint8).copy(), 0
        for file in sorted(_passes(job).glob("*.npy")):
            found = np.load(str(file), mmap_mode="r", allow_pickle=False)
            first, last = np.searchsorted(found["unit"], [job.index, job.index + 1])
            positions = np.array(found["position"][first:last])
            np.bitwise_or.at(
                self._bits, positions >> np.uint64(3), np.uint8(1) << (positions & np.uint64(7)).astype("u1")
            )

    def take(self, count: int) -> np.ndarray:
        """Whether each of the next items is a repeat: bool [count]."""
        first, skipped = divmod(self._position, 8)
        self._position += count
        bits = np.unpackbits(self._bits[first : -(-self._position // 8)], bitorder="little")
        return bits[skipped : skipped + count].astype(bool)
