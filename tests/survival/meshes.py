"""Runs that go from eight devices to four, to one and to eight again, on any mesh."""

import random
from collections.abc import Iterator

import numpy as np

from bert_jax.training.workdir.metrics import read_metrics
from tests.survival.outcomes import LOST, Outcome
from tests.survival.place import Place, discard, judge

MESHES = {8: [(1, 1), (2, 1), (8, 1), (2, 2), (1, 2), (4, 2)], 4: [(1, 1), (4, 1), (2, 2), (1, 2)], 1: [(1, 1)]}
TOLERANCE = 1e-5  # relative


def changes(place: Place, count: int, seed: int) -> Iterator[Outcome]:
    """Stops a run on 8, 4 and 1 devices and ends it on 8; its losses must be those of one device."""
    for number in range(count):
        rng = random.Random(f"{seed} {number}")
        stops = [*sorted(rng.sample(range(1, 16), 3)), None]
        workdir, how, printed = place.new_folder(), f"seed {seed}, number {number}:", ""
        verdict, why = LOST, ""
        for devices, stop in zip((8, 4, 1, 8), stops, strict=True):
            fsdp, tensor = rng.choice(MESHES[devices])
            how += f" {devices} devices, fsdp {fsdp}, tensor {tensor}, to {stop or 'the end'};"
            flags = [f"--num_cpu_devices={devices}", f"--config.mesh.fsdp={fsdp}", f"--config.mesh.tensor={tensor}"]
            flags += [f"--config.train.stop_after={stop}"] if stop else []
            code, printed = place.train(workdir, *flags)
            if code:
                break
        verdict, why = judge(code, printed, lambda workdir=workdir: _is_close(workdir, place))
        yield Outcome("a run goes on with 8, 4, 1 and 8 devices", verdict, f"{how} {why}")
        if verdict != LOST:
            discard(workdir)


def _is_close(workdir, place: Place) -> bool:
    found, expected = ([row for row in read_metrics(path) if "train/loss" in row] for path in (workdir, place.straight))
    if [row["step"] for row in found] != [row["step"] for row in expected]:
        return False
    losses = ([row["train/loss"] for row in rows] for rows in (found, expected))
    return bool(np.allclose(*losses, rtol=TOLERANCE, atol=0))
