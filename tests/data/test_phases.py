import dataclasses
import itertools
import re

import numpy as np
import pytest

from bert_jax.data.config import DataConfig
from bert_jax.data.phases import PhasedBatches, phase_problems, plan_phases, plan_ramp
from bert_jax.errors import ConfigError
from tests.data.test_batches import equal, joined

PHASES = "10: sequence_length=64 batch_size=2; 20: mask_rate=0.3 max_predictions=none"


def make(corpus, phases=PHASES, **changes):
    config = DataConfig(sequence_length=32, corpus="here", max_predictions=5, phases=phases, **changes)
    return PhasedBatches(plan_phases(config, 8), {"here": corpus}, seed=0)


def test_a_phase_keeps_what_it_does_not_name():
    first, second, third = plan_phases(DataConfig(sequence_length=32, max_predictions=5, phases=PHASES), 8)
    assert (first.start, second.start, third.start) == (0, 10, 20)
    assert (first.batch_size, second.batch_size, third.batch_size) == (8, 2, 2)
    assert first.config == DataConfig(sequence_length=32, max_predictions=5)
    assert second.config == dataclasses.replace(first.config, sequence_length=64)
    assert third.config == dataclasses.replace(second.config, mask_rate=0.3, max_predictions=None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x: mask_rate=0.2", "not of the form"),
        ("10 mask_rate=0.2", "not of the form"),
        ("10:", "not of the form"),
        ("0: mask_rate=0.2", "does not come after step 0"),
        ("9: mask_rate=0.2; 9: mask_rate=0.3", "does not come after step 9"),
        ("9: mask_rates=0.2", "Did you mean mask_rate"),
        ("9: mask_rate=much", "must be float"),
        ("9: examples=full_sentences", "not examples or nsp_group_size"),
    ],
)
def test_other_texts_are_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        plan_phases(DataConfig(phases=text), 8)
    assert len(phase_problems(DataConfig(phases=text), 8)) == 1


def test_problems_of_a_later_phase_say_where():
    (problem,) = phase_problems(DataConfig(phases="9: mask_rate=1.5"), 8)
    assert "in the phase from step 9 on" in problem
    assert phase_problems(DataConfig(phases="9: batch_size=0"), 8)


def test_batches_change_at_the_step(corpus):
    batches = make(corpus)
    for step, shape in ((0, (8, 32)), (9, (8, 32)), (10, (2, 64)), (19, (2, 64)), (20, (2, 64)), (500, (2, 64))):
        assert batches.batch(step)["token_ids"].shape == shape
        assert batches.at(step)[0].batch_size == shape[0]
    assert [batches.batch(step)["masked_positions"].shape[1] for step in (9, 10, 20)] == [5, 5, 20]


def test_any_step_is_reached_alone_and_in_parts(corpus):
    straight = make(corpus)
    expected = {step: straight.batch(step) for step in (3, 12, 25)}
    for step in (25, 3, 12):
        fresh = make(corpus)
        half = fresh.at(step)[0].batch_size // 2
        assert equal(joined([fresh.batch(step, 0, half), fresh.batch(step, half, 2 * half)]), expected[step])


def test_phases_draw_anew(corpus):
    batches = make(corpus, phases="10: mask_rate=0.15")
    assert (batches.batch(0)["token_ids"] != batches.batch(10)["token_ids"]).any()


def test_epochs_add_up_over_phases(corpus):
    batches = make(corpus)
    (name,) = corpus.sources
    first, second = batches.of_phase(0).epochs(10)[name], batches.of_phase(1).epochs(4)[name]
    assert batches.epochs(10)[name] == pytest.approx(first)
    assert batches.epochs(14)[name] == pytest.approx(first + second)
    assert batches.epochs(0)[name] == 0


def test_a_phase_begins_with_its_own_first_batch(corpus):
    batches = make(corpus)
    for step, phase, local in ((10, 1, 0), (13, 1, 3), (20, 2, 0)):
        assert equal(batches.batch(step), batches.of_phase(phase).batch(local))


RAMP = {"ramp_from": 2, "ramp_increment": 2, "ramp_steps": 7, "phases": ""}


def test_a_ramp_holds_each_size_equally_long():
    def sizes(batch_size, **fields):
        return plan_ramp(DataConfig(**fields), batch_size)

    assert sizes(8) == [(0, 8)]
    assert sizes(8, ramp_from=2, ramp_steps=6) == [(0, 2), (2, 4), (4, 6), (6, 8)]
    assert sizes(8, **RAMP | {"ramp_steps": 10}) == [(0, 2), (3, 4), (6, 6), (10, 8)]
    # ModernBERT: 50 billion tokens, in rows of 1,024, on the way from 768 to 4,608 rows.
    found = sizes(4608, ramp_from=768, ramp_steps=21_193)
    assert [size for _, size in found] == [768, 1536, 2304, 3072, 3840, 4608]
    rows = sum((end - begin) * size for (begin, size), (end, _) in itertools.pairwise(found))
    assert rows * 1024 == pytest.approx(50e9, rel=1e-4)


def test_the_rows_of_a_ramp_are_those_without_one(corpus):
    """In the same order, so that nothing is repeated or skipped where the size changes."""
    plain, ramp = make(corpus, phases=""), make(corpus, **RAMP)
    assert [(phase.start, phase.batch_size) for phase in ramp.phases] == [(0, 2), (2, 4), (4, 6), (7, 8)]
    rows = joined([ramp.batch(step) for step in range(9)])
    expected = joined([plain.batch(step) for step in range(6)])
    count = 2 * 2 + 2 * 4 + 3 * 6 + 2 * 8
    assert len(rows["token_ids"]) == count
    assert equal(rows, {name: values[:count] for name, values in expected.items()})


def test_any_step_of_a_ramp_is_reached_alone_and_in_parts(corpus):
    straight = make(corpus, **RAMP)
    for step in (8, 5, 1, 4):
        fresh, expected = make(corpus, **RAMP), straight.batch(step)
        half = len(expected["token_ids"]) // 2
        assert equal(joined([fresh.batch(step, 0, half), fresh.batch(step, half, 2 * half)]), expected)


def test_passes_in_a_ramp_count_the_rows_so_far(corpus):
    plain, ramp = make(corpus, phases=""), make(corpus, **RAMP)
    (name,) = corpus.sources
    per_row = plain.epochs(1)[name] / 8
    taken = list(itertools.accumulate([2, 2, 4, 4, 6, 6, 6, 8, 8], initial=0))
    assert [ramp.epochs(step)[name] / per_row for step in range(10)] == pytest.approx(taken)


def test_a_phase_in_a_ramp_draws_anew_and_the_ramp_goes_on(corpus):
    changed = make(corpus, **RAMP | {"phases": "5: mask_rate=0.3; 6: batch_size=2; 20: mask_rate=0.15 batch_size=8"})
    sizes = [len(changed.batch(step)["token_ids"]) for step in (0, 4, 5, 6, 19, 20)]
    assert sizes == [2, 6, 6, 2, 2, 8]
    assert [phase.stream for phase in changed.phases] == [0, 0, 0, 1, 2, 3]
    (name,) = corpus.sources
    first = make(corpus, **RAMP)
    assert equal(changed.batch(4), first.batch(4))
    of_phase, local = changed.at(5)
    assert (of_phase.first_row, local) == (0, 0)
    expected = first.epochs(5)[name] + sum(changed.of_phase(index).epochs(1)[name] for index in (3, 4))
    assert changed.epochs(7)[name] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"ramp_from": 8, "ramp_steps": 4}, "ramp_from=8 must be at least 1 and below train.batch_size=8"),
        ({"ramp_from": 0, "ramp_steps": 4}, "ramp_from=0 must be at least 1"),
        ({"ramp_from": 3, "ramp_steps": 9}, "ramp_increment=3 does not lead .* to train.batch_size=8: .* divisor of 5"),
        ({"ramp_from": 2, "ramp_increment": 0, "ramp_steps": 9}, "ramp_increment=0 does not lead"),
        ({"ramp_from": 2, "ramp_steps": 2}, "ramp_steps=2 is less than the 3 batch sizes before"),
        ({"ramp_steps": 2}, "no effect without data.ramp_from"),
        ({"ramp_increment": 2}, "no effect without data.ramp_from"),
        ({"phases": "4: ramp_from=2"}, "not examples .* ramp_from"),
    ],
)
def test_a_ramp_that_cannot_be_is_refused(fields, message):
    (problem,) = phase_problems(DataConfig(**fields), 8)
    assert re.search(message, problem)


def test_what_a_run_prints_of_a_ramp(corpus):
    lines = make(corpus, **RAMP).describe(6)
    assert [line.split(":")[0] for line in lines if line.startswith("from")] == [
        "from step 1  2 rows × 32 tokens",
        "from step 3  4 rows, by the ramp",
        "from step 5  6 rows, by the ramp",
    ]


def test_shares_of_sources_may_change_by_phase(corpus):
    """Given shares, and the exponent that flattens them by size."""
    documents = np.arange(corpus.train.num_documents)
    train = dataclasses.replace(corpus.train, document_sources=(documents > 80).astype(np.int32))
    (source,) = corpus.manifest["sources"]
    manifest = corpus.manifest | {"sources": [source | {"name": name} for name in "ab"]}
    split = dataclasses.replace(corpus, train=train, manifest=manifest)
    phases = "4: source_weights=a=0.25,b=0.75; 8: source_weights= source_exponent=0"
    config = DataConfig(sequence_length=32, corpus="here", max_predictions=5, phases=phases, ramp_from=4, ramp_steps=6)
    batches = PhasedBatches(plan_phases(config, 8), {"here": split}, seed=0)
    assert [phase.start for phase in batches.phases] == [0, 4, 6, 8]
    by_size, given, same, equal_shares = (batches.of_phase(i).shares for i in range(4))
    np.testing.assert_array_equal(given, [0.25, 0.75])
    np.testing.assert_array_equal(same, given)
    np.testing.assert_array_equal(equal_shares, [0.5, 0.5])
    assert abs(by_size[0] - 0.5) > 0.1
    before, after = batches.epochs(8), batches.epochs(400)
    rows = {name: batches.of_phase(3).rows[i].rows_per_epoch for i, name in enumerate("ab")}
    dealt = {name: (after[name] - before[name]) * rows[name] for name in "ab"}
    assert dealt["a"] / (dealt["a"] + dealt["b"]) == pytest.approx(0.5, abs=0.05)
