"""Injects faults, and prints a table of what became of them. The exit code is 1 if anything is lost.

    bash launch/test.sh --survival                                   every kind, thousands of faults: hours
    bash launch/test.sh --survival --kinds=runs,bits --count=100     some kinds, each so often
    bash launch/test.sh --survival --results=survival.jsonl          adds up what several calls found

Every outcome is printed with the seed and the fault, so that it can be had again: --kinds=KIND --seed=SEED. Folders of
what is lost stay for a look.
"""

import argparse
import pathlib
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence

from tests.survival.kinds import KINDS
from tests.survival.outcomes import LOST, Ledger, table
from tests.survival.place import Place


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests.survival", description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("--kinds", default=",".join(KINDS), help="Which, separated by commas; all if not given.")
    parser.add_argument("--count", type=int, help="Faults of each kind; the default is that of the kind.")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**6, help="Of what is drawn; else the time.")
    parser.add_argument("--results", type=pathlib.Path, help="A file to which outcomes are added, and which is summed.")
    parser.add_argument("--folder", type=pathlib.Path, help="For the files; else a temporary one.")
    given = parser.parse_args(arguments)
    kinds = given.kinds.split(",")
    if unknown := set(kinds) - KINDS.keys():
        parser.error(f"--kinds: there is no {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
    folder = given.folder or pathlib.Path(tempfile.mkdtemp(prefix="survival-"))
    ledger = Ledger(given.results)
    print(f"seed {given.seed}, in {folder}", flush=True)
    with Place(folder) as place:
        for name in kinds:
            kind, began, number = KINDS[name], time.monotonic(), 0
            wanted = kind.count if given.count is None else given.count
            for number, outcome in enumerate(kind.inject(place, wanted, given.seed), 1):
                ledger.add(outcome)
                if outcome.verdict == LOST or number % max(1, wanted // 20) == 0:
                    minutes = (time.monotonic() - began) / 60
                    print(
                        f"{name}  {number} ({wanted} faults), {minutes:.1f} min  {outcome.verdict}: {outcome.how}",
                        flush=True,
                    )
    print(table(ledger.outcomes))
    times = [one.seconds for one in ledger.outcomes if one.seconds is not None]
    if times:
        print(f"\n{sum(times) / len(times):.1f} s of processor time for each killed run that was measured")
    for one in ledger.lost[:100]:
        print(f"\nlost: {one.fault}: {one.how}")
    if not given.folder and not ledger.lost:
        shutil.rmtree(folder)
    return int(bool(ledger.lost))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
