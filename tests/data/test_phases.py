import dataclasses

import pytest

from bert_jax.data.config import DataConfig
from bert_jax.data.phases import PhasedBatches, phase_problems, plan_phases
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
