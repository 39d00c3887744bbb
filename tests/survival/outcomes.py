"""What became of a fault, and the table of all of them."""

import collections
import dataclasses
import json
import pathlib
from collections.abc import Iterable, Iterator

RESTORED, TOLD, LOST = "restored", "told", "lost"
HEAD = ("fault", "injected", "restored exactly", "refused in a sentence", "lost")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Attributes:
    fault: a row of the table.
    verdict: RESTORED: the end is that of an undisturbed run, bit for bit; TOLD: an error or a warning of the package
      says in a sentence what is wrong; LOST: anything else, such as other numbers, a traceback, a hang or a crash.
    how: what was done, and of what is lost, what followed.
    seconds: processor time, where it was measured.
    """

    fault: str
    verdict: str
    how: str
    seconds: float | None = None


class Ledger:
    """A file of outcomes, one a line: what several runs of the suite found adds up. Without a file, this run alone."""

    def __init__(self, file: pathlib.Path | None = None):
        self._file, self.outcomes = file, list[Outcome]()
        if file and file.exists():
            self.outcomes = [Outcome(**json.loads(line)) for line in file.read_text().splitlines()]

    def add(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        if self._file:
            with self._file.open("a") as file:
                file.write(json.dumps(dataclasses.asdict(outcome)) + "\n")

    @property
    def lost(self) -> list[Outcome]:
        return [one for one in self.outcomes if one.verdict == LOST]


def table(outcomes: Iterable[Outcome]) -> str:
    """Returns the table, in Markdown, with a last row of sums."""
    counts: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    for one in outcomes:
        counts[one.fault][one.verdict] += 1
    rows = [[fault, *_numbers(found)] for fault, found in counts.items()]
    rows.append(["all", *_numbers(sum(counts.values(), collections.Counter()))])
    return "\n".join(_lines([list(HEAD), *rows]))


def _numbers(found: collections.Counter) -> list[str]:
    return [f"{number:,}" for number in (found.total(), *(found[verdict] for verdict in (RESTORED, TOLD, LOST)))]


def _lines(rows: list[list[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for number, row in enumerate(rows):
        first, *rest = (
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        yield f"| {' | '.join([first, *rest])} |"
        if not number:
            yield f"|{'|'.join(['-' * (widths[0] + 2), *('-' * (w + 1) + ':' for w in widths[1:])])}|"
