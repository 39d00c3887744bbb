"""Damaged files of checkpoints, and what a start and `load` make of them."""

import pathlib
import random
import shutil
from collections.abc import Callable, Iterator
from functools import partial

import jax
import numpy as np

import bert_jax
from bert_jax import sharding
from bert_jax.tasks.pretraining import Pretraining
from bert_jax.training.run import prepare
from bert_jax.training.workdir.checkpoints import Checkpoints, Preserved
from bert_jax.training.workdir.folder import Workdir
from tests.survival.attempts import Attempt, many
from tests.survival.mutations import WAYS, damage, mutate_file
from tests.survival.outcomes import Outcome
from tests.survival.place import Place, discard

START, LOAD = "a start", "`load`"


def files(place: Place, count: int, seed: int) -> Iterator[Outcome]:
    """Damages each file of the newest step in each way, and gives the command of the run again; `load`, too."""
    template = place.straight
    cases = _cases(template)
    for number in range(count):
        rng = random.Random(f"{seed} {number}")
        file, way = cases[(number + seed) % len(cases)]
        workdir = place.copy(template)
        how = damage(workdir / file, way, rng)
        code, printed = place.train(workdir)
        verdict, why = place.judge_run(workdir, code, printed)
        yield Outcome(f"a file of the newest step, {way}: {START}", verdict, f"{how} ({file}) {why}")
        discard(workdir)
    yield from many(
        place, "a file of a step is damaged", f"{__name__}:open_files", count, seed, template, place.new_folder()
    )


def bits(place: Place, count: int, seed: int) -> Iterator[Outcome]:
    """Flips bits in the newest step: for a start, and for `load`."""
    given = place.straight, place.new_folder()
    yield from many(place, "a bit of a step flips", f"{__name__}:open_bits", count, seed, *given)


def abouts(place: Place, count: int, seed: int) -> Iterator[Outcome]:
    """Changes nodes of the JSON of the newest step."""
    given = place.straight, place.new_folder()
    yield from many(place, "a node of about/metadata changes", f"{__name__}:open_abouts", count, seed, *given)


def open_files(template: str, scratch: str):
    cases, check = _cases(pathlib.Path(template)), Check(template, scratch)

    def inject(number: int, rng: random.Random) -> Iterator[Attempt]:
        file, way = cases[number % len(cases)]
        yield from check(partial(damage, check.copy / file, way), rng, f"a file of the newest step, {way}", LOAD)

    return inject


def open_bits(template: str, scratch: str):
    check = Check(template, scratch)
    cases = sorted({file for file, _ in _cases(pathlib.Path(template))})
    sizes = [(pathlib.Path(template) / file).stat().st_size for file in cases]

    def inject(number: int, rng: random.Random) -> Iterator[Attempt]:
        (file,) = rng.choices(cases, sizes) if rng.random() < 0.5 else rng.choices(cases)
        yield from check(
            partial(damage, check.copy / file, WAYS[-1]), rng, "a bit of the newest step flips", START, LOAD
        )

    return inject


def open_abouts(template: str, scratch: str):
    check = Check(template, scratch)

    def inject(number: int, rng: random.Random) -> Iterator[Attempt]:
        file = check.copy / "checkpoints" / str(check.newest) / "about/metadata"
        yield from check(partial(mutate_file, file), rng, "a node of about/metadata changes", START, LOAD)

    return inject


class Check:
    """Compares what a start and `load` find in a damaged copy of a run with what is in the whole one."""

    def __init__(self, template: str, scratch: str):
        self.template, self.copy = pathlib.Path(template) / "checkpoints", pathlib.Path(scratch) / "run"
        kind = Pretraining()
        placed = prepare(kind, Workdir(template).run_config(kind))
        with jax.set_mesh(placed.mesh), sharding.rules():
            self.like = placed.program(placed.config.train.num_steps).state_shapes
        self.steps = sorted(int(path.name) for path in self.template.iterdir())
        self.newest = self.steps[-1]
        self.states, self.loaded = {}, {}
        for step in self.steps:
            alone = pathlib.Path(scratch) / f"only{step}" / "checkpoints"
            shutil.copytree(self.template / str(step), alone / str(step), dirs_exist_ok=True)
            self.states[step] = self._restored(alone)
            self.loaded[step] = bert_jax.load(alone)
        self.best = bert_jax.load(self.template).step

    def __call__(self, harm: Callable[..., str], rng: random.Random, fault: str, *readers: str) -> Iterator[Attempt]:
        drawn = rng.getstate()
        for reader in readers:
            shutil.rmtree(self.copy, ignore_errors=True)
            shutil.copytree(self.template, self.copy / "checkpoints")
            rng.setstate(drawn)  # the same for each
            yield f"{fault}: {reader}", harm(rng), self.starts if reader == START else self.loads

    def starts(self) -> bool:
        found = self._restored(self.copy / "checkpoints")
        return _equal(found, self.states[int(found[0].step)])

    def loads(self) -> bool:
        found = bert_jax.load(self.copy)
        expected = self.loaded[found.step]
        return (
            found.step == self.best
            and _equal(found.params, expected.params)
            and (found.config, found.run, found.max_tokens) == (expected.config, expected.run, expected.max_tokens)
            and found.tokenizer.sha256 == expected.tokenizer.sha256
        )

    def _restored(self, folder: pathlib.Path):
        checkpoints = Checkpoints(folder, Preserved(3), {})
        try:
            state = checkpoints.restore_latest(self.like)
            return state, checkpoints.best, checkpoints.lines
        finally:
            checkpoints.close()


def _equal(left, right) -> bool:
    return jax.tree.structure(left) == jax.tree.structure(right) and all(
        np.array_equal(one, other) for one, other in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True)
    )


def _cases(template: pathlib.Path) -> list[tuple[str, str]]:
    """Each file of the newest step, and each way to damage it."""
    newest = max((template / "checkpoints").iterdir(), key=lambda path: int(path.name))
    found = sorted(str(path.relative_to(template)) for path in newest.rglob("*") if path.is_file())
    return [(file, way) for file in found for way in WAYS]
