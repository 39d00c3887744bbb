"""The kinds of faults, and how many of each make the table."""

import dataclasses
from collections.abc import Callable, Iterator

from tests.survival import buckets, checkpoints, corpora, disks, kills, meshes, peers, workdirs
from tests.survival.outcomes import Outcome
from tests.survival.place import Place


@dataclasses.dataclass(frozen=True)
class Kind:
    """Attributes:
    inject: yields the outcomes of about so many faults, drawn by a seed.
    count: how many by default.
    """

    inject: Callable[[Place, int, int], Iterator[Outcome]]
    count: int


KINDS = {
    "runs": Kind(kills.runs, 1000),
    "builds": Kind(kills.builds, 150),
    "files": Kind(checkpoints.files, 100),
    "bits": Kind(checkpoints.bits, 1000),
    "abouts": Kind(checkpoints.abouts, 300),
    "workdirs": Kind(workdirs.files, 200),
    "corpora": Kind(corpora.files, 300),
    "manifests": Kind(corpora.manifests, 300),
    "tokenizers": Kind(corpora.tokenizers, 300),
    "disks": Kind(disks.full, 30),
    "signals": Kind(kills.signals, 40),
    "meshes": Kind(meshes.changes, 3),
    "peers": Kind(peers.faults, 8),
    "buckets": Kind(buckets.faults, 20),
}
