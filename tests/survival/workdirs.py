"""Damaged small files of a run, and what the next start makes of them."""

import json
import pathlib
import random
from collections.abc import Iterator

from bert_jax.training.workdir.metrics import read_metrics
from tests.survival.mutations import mutate, mutate_file, scramble
from tests.survival.outcomes import LOST, RESTORED, TOLD, Outcome
from tests.survival.place import Place, discard, ends, judge

WARNINGS = ("left out ", "has lost ")


def files(place: Place, count: int, seed: int) -> Iterator[Outcome]:
    """Changes a node, or bytes, of `config.json`, `run.json` and `metrics.jsonl` of a run that was stopped."""
    for number in range(count):
        rng = random.Random(f"{seed} {number}")
        name = ("config.json", "run.json", "metrics.jsonl")[number % 3]
        workdir = place.copy(place.stopped)
        if rng.random() < 0.2:
            how = scramble(workdir / name, rng)
        else:
            how = (_mutate_line if name == "metrics.jsonl" else mutate_file)(workdir / name, rng)
        code, printed = place.train(workdir)
        if name == "metrics.jsonl" and code == 0 and any(text in printed for text in WARNINGS):
            verdict, why = judge(code, printed, lambda workdir=workdir: _lacks_lines(workdir, place.expected))
            verdict = TOLD if verdict == RESTORED else verdict
        else:
            verdict, why = place.judge_run(workdir, code, printed)
        yield Outcome(f"a node or bytes of {name} change", verdict, f"seed {seed}, number {number}: {how} {why}")
        if verdict != LOST:
            discard(workdir)


def _mutate_line(file: pathlib.Path, rng: random.Random) -> str:
    """Changes a node of a line, but not from one number to another, which nobody could know."""
    lines = file.read_text().splitlines()
    number = rng.randrange(len(lines))
    before = json.loads(lines[number])
    while True:
        value, how = mutate(before, rng)
        is_row = isinstance(value, dict) and all(type(one) in (int, float) for one in value.values())
        if not is_row or value.get("step") != before["step"]:
            break
    lines[number] = json.dumps(value)
    file.write_text("\n".join(lines) + "\n")
    return f"line {number + 1}: {how}"


def _lacks_lines(workdir: pathlib.Path, expected) -> bool:
    """Whether all is as expected but for lines that are missing."""
    rows, *rest = ends(workdir)
    return rest == list(expected[1:]) and all(row in expected[0] for row in rows) and bool(read_metrics(workdir))
