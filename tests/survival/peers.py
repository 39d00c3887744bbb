"""Runs of two processes, of which one is killed or stands still."""

import random
import signal
import socket
import time
from collections.abc import Iterator

from tests.survival.outcomes import LOST, RESTORED, TOLD, Outcome
from tests.survival.place import HANG, Place, discard, judge
from tests.tasks.test_pretraining import results

SECONDS = 90  # within which the other process ends: a heartbeat of 30, one of the shutdown of 20, and a loaded machine
FAULTS = (signal.SIGKILL, signal.SIGSTOP)


def faults(place: Place, count: int, seed: int) -> Iterator[Outcome]:
    """Kills or stops one of two processes at a random moment; then both are started again."""
    straight = place.new_folder()
    began = time.monotonic()
    for name in ("compiles", "straight"):
        began = time.monotonic()
        both = _start(place, straight / name)
        assert not any(code for code, _ in both), both
    whole, expected = time.monotonic() - began, results(straight / "straight")
    for number in range(count):
        rng = random.Random(f"{seed} {number}")
        workdir, victim, fault = place.new_folder(), rng.randrange(2), FAULTS[(number + seed) % 2]
        moment = rng.uniform(0, whole)
        began = time.monotonic()
        # What stands still is ended at last, as its launcher would.
        sent = [(moment, int(fault)), (moment + SECONDS, int(signal.SIGKILL))]
        _begin(place, workdir, {victim: sent})
        code, printed = place.pair[1 - victim].finish()
        took = time.monotonic() - began - moment
        place.pair[victim].finish()
        how = f"seed {seed}, number {number}: process {victim}, {fault.name} at {moment:.1f} s; code {code}"
        if code == -signal.SIGALRM or took >= SECONDS:
            verdict, why = LOST, f"the other hangs: {printed[-500:]}"
        else:
            both = _start(place, workdir)
            verdicts = [judge(code, printed, lambda w=workdir: results(w) == expected) for code, printed in both]
            verdict, why = next((one for one in verdicts if one[0] in (LOST, TOLD)), (RESTORED, ""))
            verdict = LOST if verdict == TOLD else verdict
        yield Outcome(
            f"one of two processes is {'killed' if fault == signal.SIGKILL else 'stopped'}",
            verdict,
            f"{how}, ends after {took:.0f} s {why}",
        )
        if verdict != LOST:
            discard(workdir)


def _start(place: Place, workdir) -> list[tuple[int, str]]:
    _begin(place, workdir)
    return [scripts.finish() for scripts in place.pair]


def _begin(place: Place, workdir, signals=None) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    for index, scripts in enumerate(place.pair):
        flags = [f"--coordinator=127.0.0.1:{port}", "--num_processes=2", f"--process_id={index}"]
        scripts.start(
            "pretrain",
            *place.flags(workdir),
            *flags,
            first=("tests.survival.faults:save_time",),
            signals=(signals or {}).get(index, ()),
            seconds=HANG,
        )
