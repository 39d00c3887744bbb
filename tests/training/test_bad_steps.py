import jax.numpy as jnp
import pytest

from bert_jax.training.bad_steps import BadStepError, TrainingError, Watch, check_scores
from bert_jax.training.config import TrainConfig

NAN, INF = float("nan"), float("inf")


def metrics(loss=1.0, norm=2.0, **layers):
    values = {"loss": loss, "grad_norm": norm, "learning_rate": 0.1}
    values |= {f"grad_norm/{name}": value for name, value in layers.items()}
    return {name: jnp.float32(value) for name, value in values.items()}


@pytest.mark.parametrize("wrong", [{"loss": NAN}, {"loss": INF}, {"norm": NAN}, {"norm": INF}])
def test_the_first_step_that_is_not_finite_is_named_however_late_it_is_read(wrong):
    watch = Watch(TrainConfig())
    for step in range(1, 41):
        watch.add(step, metrics(**wrong, layer_0=1.0, layer_1=NAN) if step in (35, 36, 40) else metrics())
    watch.check(34)  # what comes later is not read yet
    with pytest.raises(TrainingError, match=r"\(not finite in layer_1\) at step 35, the first"):
        watch.check(40)


def test_finite_steps_are_forgotten():
    watch = Watch(TrainConfig())
    for step in range(1, 5):
        watch.add(step, metrics())
    watch.check(3)
    assert len(watch._unread) == 1
    watch.check(4)
    watch.check(4)
    assert not watch._unread


def test_a_score_that_is_not_finite_is_no_success():
    check_scores(3, {"eval/loss": 1.0})
    with pytest.raises(TrainingError, match="After step 3, eval/loss is nan, eval/f1 is inf: start"):
        check_scores(3, {"eval/loss": NAN, "eval/accuracy": 0.5, "eval/f1": INF})


def guarded_metrics(in_row=0, **values):
    return metrics(**values) | {"skipped_in_row": jnp.int32(in_row), "recent_grad_norm": jnp.float32(0.5)}


def test_bad_steps_are_skipped_until_there_are_too_many_in_a_row():
    told = []
    watch = Watch(TrainConfig(on_bad_step="skip", max_bad_steps=2), lambda step, why: told.append((step, why)))
    for step, in_row in enumerate([0, 1, 2, 0, 1, 2, 3], 1):
        watch.add(step, guarded_metrics(in_row, loss=NAN if in_row % 2 else 1.0, norm=9.0))
    with pytest.raises(TrainingError, match=r"nan .* at step 7, after 2 others that were passed over"):
        watch.check(7)
    assert [step for step, _ in told] == [2, 3, 5, 6]
    assert told[0][1] == "The loss is nan and the gradient norm 9.0"
    assert told[1][1] == "The loss is 1.0 and the gradient norm 9.0 (recently 0.5 on average)"


@pytest.mark.parametrize(("policy", "error"), [("rewind", BadStepError), ("stop", TrainingError)])
def test_a_spike_ends_or_rewinds_the_run(policy, error):
    watch = Watch(TrainConfig(on_bad_step=policy, spike_factor=4.0))
    watch.add(1, guarded_metrics())
    watch.add(2, guarded_metrics(1, norm=9.0))
    with pytest.raises(error, match=r"gradient norm 9.0 \(recently 0.5 on average\)|step 2, the first that is a spike"):
        watch.check(2)
