"""Processes that are killed: runs and builds, at random moments and at each write."""

import random
import signal
import time
from collections.abc import Iterator

from tests.survival.outcomes import LOST, TOLD, Outcome
from tests.survival.place import STOPPED, Place, contents, discard, judge

SIGKILL = int(signal.SIGKILL)
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def runs(place: Place, count: int, seed: int) -> Iterator[Outcome]:
    """Kills the starts of a run one after the other, until one is finished before its time; then the next run."""
    rng, done = random.Random(seed), 0
    place.expected  # noqa: B018  # and how long a run takes
    whole, writes = place.seconds, place.writes["run"]
    while done < count:
        workdir, kills, spent = place.new_folder(), list[tuple[str, str]](), 0.0
        code, printed = -SIGKILL, ""
        while code == -SIGKILL and done + len(kills) <= count:
            ends = done + len(kills) == count
            at_write, moment, write = rng.random() < 0.5, rng.uniform(0, whole), rng.randint(1, writes)
            fault = {"first": ("tests.survival.faults:kill_at_write", write)} if at_write else {}
            fault = fault or {"signals": [(moment, SIGKILL)]}
            with place.processor_time() as took:
                code, printed = place.train(workdir, **({} if ends else fault))
            spent += took[0]
            if code == -SIGKILL:
                kills.append(("a write", f"write {write}") if at_write else ("a moment", f"{moment:.2f} s"))
        verdict, why = place.judge_run(workdir, code, printed)
        if verdict == TOLD:  # after a kill, nothing is there to be told
            verdict = LOST
        how = f"seed {seed}: {', '.join(one for _, one in kills)}"
        for what, _ in kills:
            yield Outcome(f"a run is killed at {what}", verdict, f"{how} {why}", spent / len(kills))
        if not kills and verdict == LOST:  # it fails even if nobody disturbs it
            yield Outcome("a run is killed at a moment", verdict, f"{how} {why}")
            return
        done += len(kills)
        if verdict != LOST:
            discard(workdir)


def signals(place: Place, count: int, seed: int) -> Iterator[Outcome]:
    """Sends a run one to three signals at random moments, the second often while it saves; then it is started again."""
    rng = random.Random(seed)
    place.expected  # noqa: B018  # and how long a run takes
    for _ in range(count):
        workdir, first = place.new_folder(), rng.uniform(0, place.seconds)
        moments = [first, *sorted(first + rng.uniform(0, 0.5) for _ in range(rng.randrange(3)))]
        sent = [(moment, int(rng.choice(STOPPING))) for moment in moments]
        code, printed = place.train(workdir, signals=sent)
        # Before it can listen, a signal ends it at once; a second Ctrl-C always does.
        if code in STOPPED or -code in STOPPING:
            verdict, why = judge(0, printed, lambda: True)
            if verdict != LOST:
                verdict, why = place.judge_run(workdir, *place.train(workdir))
        else:
            verdict, why = place.judge_run(workdir, code, printed)
        verdict = LOST if verdict == TOLD else verdict
        how = ", ".join(f"{signal.Signals(number).name} at {moment:.2f} s" for moment, number in sent)
        yield Outcome("a run gets signals", verdict, f"seed {seed}: {how}; code {code} {why}")
        if verdict != LOST:
            discard(workdir)


def builds(place: Place, count: int, seed: int) -> Iterator[Outcome]:
    """Kills builds at a write, all of them in turn, and every second one again at a random moment as it goes on."""
    rng = random.Random(seed)
    expected, writes = contents(place.corpus), place.writes["build"]
    began = time.monotonic()
    assert place.build(place.new_folder())[0] == 0
    whole = time.monotonic() - began
    for number in range(count):
        output = place.new_folder()
        write = 1 + (number + seed) % writes
        kills, printed = [f"write {write}"], ""
        code, printed = place.build(output, first=("tests.survival.faults:kill_at_write", write))
        if rng.random() < 0.5 and code == -SIGKILL:
            kills.append(f"{(moment := rng.uniform(0, whole)):.2f} s")
            code, printed = place.build(output, signals=[(moment, SIGKILL)])
        if code == -SIGKILL:
            code, printed = place.build(output)
        verdict, why = judge(code, printed, lambda output=output: contents(output) == expected)
        verdict = LOST if verdict == TOLD else verdict
        yield Outcome("a build is killed at each write", verdict, f"seed {seed}: {', '.join(kills)} {why}")
        if verdict != LOST:
            discard(output)
