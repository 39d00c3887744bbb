"""Buckets that are slow, fail now and then and list late: what builds, runs and `load` make of them.

The bucket is a local folder; see `bucket.py`.
"""

import random
import shutil
from collections.abc import Iterator

from bert_jax.errors import BertJaxError
from tests.survival.attempts import Attempt, many
from tests.survival.bucket import Bucket
from tests.survival.checkpoints import Check
from tests.survival.outcomes import LOST, TOLD, Outcome
from tests.survival.place import REFUSED, Place, contents, discard, judge

RATES = (0.0, 0.002, 0.01, 0.05)  # of the calls that fail


def faults(place: Place, count: int, seed: int) -> Iterator[Outcome]:
    """Builds and runs in such a bucket, until they end; and reading, many times."""
    yield from many(
        place, "a bucket fails", f"{__name__}:open_reading", 10 * count, seed, place.straight, place.new_folder()
    )
    for number in range(count):
        rng = random.Random(f"{seed} {number}")
        builds = bool(number % 2)
        folder, failures, delay = place.new_folder(), rng.choice(RATES), rng.choice((0.0, 0.0, 2.0))
        start, told, how = (
            place.build if builds else place.train,
            False,
            f"{failures} of the calls fail, {delay} s late",
        )
        for attempt in range(4):
            bucket = {"first": ("tests.survival.bucket:be", str(folder), seed + attempt, failures, 0.02, delay)}
            code, printed = start(folder / "made", **(bucket if attempt < 3 else {}))
            told = told or code in REFUSED
            if code not in REFUSED:
                break
        if builds:
            verdict, why = judge(code, printed, lambda f=folder: contents(f / "made") == contents(place.corpus))
        else:
            verdict, why = place.judge_run(folder / "made", code, printed)
        if told and verdict != LOST:
            verdict = TOLD
        yield Outcome(
            f"a {'build' if builds else 'run'} in a bucket that fails, lists late, is slow",
            verdict,
            f"seed {seed}, number {number}: {how} {why}",
        )
        if verdict != LOST:
            discard(folder)


def open_reading(template: str, scratch: str):
    check = Check(template, scratch)
    shutil.copytree(check.template, check.copy / "checkpoints", dirs_exist_ok=True)
    before = contents(check.copy)

    def inject(number: int, rng: random.Random) -> Iterator[Attempt]:
        name, act = (("a start", check.starts), ("`load`", check.loads))[number % 2]
        rate = rng.choice(RATES)

        def read() -> bool:
            with Bucket(check.copy, number, failures=rate, slow=0.01) as bucket:
                try:
                    same, told = act(), None
                except BertJaxError as error:
                    same, told = False, error
                except OSError as error:  # of which the scripts make a sentence
                    same, told = False, BertJaxError(f"cannot be read ({error.strerror})")
            # What could not be read is not called damaged, and stays where it is.
            if contents(check.copy) != before:
                raise ValueError(f"a checkpoint was moved: {told}")
            if told and not (bucket.failed and "cannot be read (503" in str(told)):
                raise ValueError(f"another error than that of the bucket: {told}")
            if told:
                raise told
            return same

        yield f"a bucket fails while {name} reads", f"{rate} of the calls fail", read

    return inject
