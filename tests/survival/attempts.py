"""Many faults in one process, each observed there; should one end the process, the next process goes on behind it.

A kind's `opens` is called once a process. It returns what injects the fault of a number, drawn by a random generator,
and yields what became of it.
"""

import importlib
import json
import random
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from bert_jax.errors import BertJaxError
from tests.survival.outcomes import LOST, RESTORED, TOLD, Outcome
from tests.survival.place import HANG, Place

Attempt = tuple[str, str, Callable[[], bool]]  # the fault, how, and what returns whether all is as it was
CHUNK = 40  # faults a process
MARK, OPENED = "outcome ", "opened the place of the faults"


def many(place: Place, fault: str, opens: str, count: int, seed: int, *given: Any) -> Iterator[Outcome]:
    """Yields the outcomes of `count` faults; `fault` is the row for those that end the process.

    Args:
      opens: `module:function`, called with `given`.
    """
    done = 0
    while done < count:
        end = min(count, done + CHUNK)
        code, printed = place.scripts.run(
            "tests.survival.attempts:serve", opens, done, end, seed, *map(str, given), seconds=HANG
        )
        if OPENED not in printed:
            raise RuntimeError(f"{opens} fails: {printed[-3000:]}")
        finished = set()
        for line in printed.splitlines():
            if line.startswith(MARK):
                number, *outcome = json.loads(line.removeprefix(MARK))
                finished.add(number)
                yield Outcome(*outcome)
        if code == 0:
            done = end
        else:
            done = max(finished, default=done - 1) + 1
            yield Outcome(fault, LOST, f"seed {seed}, number {done}: code {code}: {printed[-1000:]}")
            done += 1


def serve(opens: str, begin: int, end: int, seed: int, *given: str) -> None:
    module, _, name = opens.partition(":")
    inject = getattr(importlib.import_module(module), name)(*given)
    print(OPENED, flush=True)
    for number in range(begin, end):
        rng = random.Random(f"{seed} {number}")
        for fault, how, act in inject(number, rng):
            verdict, why = observe(act)
            row = [number, fault, verdict, f"seed {seed}, number {number}: {how} {why}"]
            print(MARK + json.dumps(row), flush=True)


def observe(act: Callable[[], bool]) -> tuple[str, str]:
    """The verdict on what returns whether everything is as it was, and why."""
    try:
        return (RESTORED, "") if act() else (LOST, "something else")
    except BertJaxError as error:
        text = str(error)
        return (TOLD, text[:200]) if text.strip() else (LOST, "an error without a sentence")
    except Exception:
        return LOST, traceback.format_exc()[-1500:]
