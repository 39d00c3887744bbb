import jax.numpy as jnp
import pytest

from bert_jax.training.finite import TrainingError, Watch, check_scores

NAN, INF = float("nan"), float("inf")


def metrics(loss=1.0, norm=2.0, **layers):
    values = {"loss": loss, "grad_norm": norm, "learning_rate": 0.1}
    values |= {f"grad_norm/{name}": value for name, value in layers.items()}
    return {name: jnp.float32(value) for name, value in values.items()}


@pytest.mark.parametrize("wrong", [{"loss": NAN}, {"loss": INF}, {"norm": NAN}, {"norm": INF}])
def test_the_first_step_that_is_not_finite_is_named_however_late_it_is_read(wrong):
    watch = Watch()
    for step in range(1, 41):
        watch.add(step, metrics(**wrong, layer_0=1.0, layer_1=NAN) if step in (35, 36, 40) else metrics())
    watch.check(34)  # what comes later is not read yet
    with pytest.raises(TrainingError, match=r"\(not finite in layer_1\) at step 35, the first"):
        watch.check(40)


def test_finite_steps_are_forgotten():
    watch = Watch()
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
