import pytest

from bert_jax.scores import Score, behind_baseline, gain

LOSS = Score("mlm_loss", "masked words, loss", True, "unigram", "word frequencies")
ACCURACY = Score("accuracy", "accuracy", False, "majority", "majority")
BARE = Score("other", "other")


@pytest.mark.parametrize(("found", "behind"), [(6.0, False), (7.0, True), (8.0, True), (float("nan"), True)])
def test_a_loss_must_be_below_its_baseline(found, behind):
    values = {"eval/mlm_loss": found, "eval/unigram": 7.0, "eval/other": 1.0}
    told = behind_baseline([LOSS, ACCURACY, BARE], values)
    assert told == ([f"masked words, loss {found:.3f} (word frequencies 7.000)"] if behind else [])


def test_gains_are_positive_if_better():
    values = {"eval/accuracy": 0.7, "eval/majority": 0.5}
    assert gain(ACCURACY, values) == pytest.approx(0.2)
    assert gain(LOSS, values) is None
    assert gain(BARE, values) is None
