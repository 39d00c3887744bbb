import random

import numpy as np
import pytest

from bert_jax import storage
from bert_jax.corpus.builder import repeats, sources
from bert_jax.corpus.builder.job import Job, Options


@pytest.mark.parametrize("seed", range(8))
def test_all_but_the_first_in_unit_order_repeat(tmp_path, monkeypatch, seed):
    # Runs and passes of a few items, so that repeats within and between runs, units and passes all occur.
    monkeypatch.setattr(repeats, "RUN", 16)
    monkeypatch.setattr(repeats, "PASS_HASHES", 10)
    rng = random.Random(seed)
    units = [[str(rng.randrange(60)) for _ in range(rng.choice([0, 1, 5, 16, 32, 77]))] for _ in range(9)]
    (source,) = sources.parse(["text:a"], "en")
    unit = sources.Unit(source, (), 0)
    jobs = [Job(i, unit, Options(("text:a",)), 0.0, str(tmp_path)) for i in range(len(units))]
    for job, items in zip(jobs, units, strict=True):
        with repeats.RepeatsWriter(job) as writer:
            for start in range(0, len(items), 7):
                writer.add(items[start : start + 7])
        storage.write_json(job.file("scanned.json"), {"runs": writer.runs})
    parts = repeats.passes(jobs)
    for part in parts:
        repeats.find_repeats(part)
    assert len(parts) > 3
    seen = set()
    for job, items in zip(jobs, units, strict=True):
        reader, found = repeats.Repeats(job), []
        while len(found) < len(items):
            found += list(reader.take(min(rng.randrange(6), len(items) - len(found))))
        assert found == [item in seen or item in items[:i] for i, item in enumerate(items)]
        seen.update(items)


def test_passes_cover_every_hash_once():
    for count in (1, 2, 3, 7, 1000):
        bounds = [repeats._bounds(repeats.Pass(i, count, (), 0)) for i in range(count)]
        assert bounds[0][0] == 0
        assert bounds[-1][1] == np.iinfo(np.uint64).max
        assert all(bounds[i][1] + 1 == bounds[i + 1][0] for i in range(count - 1))
