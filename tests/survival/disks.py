"""Disks that are full: the start that meets one, and the next one, for which there is room."""

import pathlib
import random
import shutil
import subprocess
from collections.abc import Iterator

from tests.survival.outcomes import LOST, RESTORED, TOLD, Outcome
from tests.survival.place import Place, contents, discard, judge

LARGEST = 1 << 20  # bytes: more than a run or a build writes


def full(place: Place, count: int, seed: int) -> Iterator[Outcome]:
    """Runs and builds on disks of any size. File systems of one need the right to mount; a limit of files does not."""
    can_mount = _can_mount(place.new_folder())
    for number in range(count):
        rng = random.Random(f"{seed} {number}")
        size = int(rng.uniform(0.01, 1) ** 2 * LARGEST)
        builds, mounts = number % 3 == 2, can_mount and number % 2 == 0
        verdict, why = _meet(place, builds, mounts, size)
        what = "a file system is full" if mounts else "a file cannot grow"
        yield Outcome(
            f"{what}: a {'build' if builds else 'run'}", verdict, f"seed {seed}, number {number}: {size} bytes {why}"
        )


def _meet(place: Place, builds: bool, mounts: bool, size: int) -> tuple[str, str]:
    folder = place.new_folder()
    limit = {} if mounts else {"first": ("tests.survival.faults:limit_files", size)}
    start = place.build if builds else place.train
    if mounts:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    try:
        code, printed = start(folder / "made", **limit)
        verdict, why = judge(code, printed, lambda: True)
        if mounts:
            shutil.copytree(folder, place.folder / "moved", dirs_exist_ok=True)
    finally:
        if mounts:
            subprocess.run(["umount", "-l", folder], check=True)
    if mounts:
        shutil.copytree(place.folder / "moved", folder, dirs_exist_ok=True)
        shutil.rmtree(place.folder / "moved")
    if verdict == LOST:
        return verdict, why
    code, printed = start(folder / "made")
    if builds:
        expected = contents(place.corpus)
        again, then = judge(code, printed, lambda: contents(folder / "made") == expected)
    else:
        again, then = place.judge_run(folder / "made", code, printed)
    discard(folder)
    # What a full disk has stopped must go on once there is room.
    return (LOST, f"with room again: {then}") if again in (LOST, TOLD) else (TOLD if verdict == TOLD else RESTORED, why)


def _can_mount(folder: pathlib.Path) -> bool:
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4096", "tmpfs", folder], capture_output=True)
    if done.returncode == 0:
        subprocess.run(["umount", folder], check=True)
    return done.returncode == 0
