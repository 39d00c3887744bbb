import pytest

import bert_jax
from bert_jax.errors import CheckpointError, TokenizerError
from bert_jax.tasks.pretraining import pretrain


@pytest.fixture
def workdir(config, tmp_path):
    config.train.num_steps = 2
    pretrain(config, tmp_path / "run")
    return tmp_path / "run"


def test_a_checkpoint_stands_alone(workdir, tmp_path):
    """Opened without the workdir, the corpus or the mesh it was trained with."""
    expected = bert_jax.load(workdir).fill_mask("the [MASK] and [MASK] end.")
    (workdir / "checkpoints").rename(tmp_path / "checkpoints")
    model = bert_jax.load(tmp_path / "checkpoints")
    assert model.step == 2
    assert model.fill_mask("the [MASK] and [MASK] end.") == expected
    assert [len(guesses) for guesses in expected] == [5, 5]
    for guesses in expected:
        shares = [guess.probability for guess in guesses]
        assert shares == sorted(shares, reverse=True)
        assert 0 < sum(shares) <= 1


def test_mistakes_end_in_a_sentence(workdir, tmp_path):
    model = bert_jax.load(workdir)
    with pytest.raises(TokenizerError, match=r"no \[MASK\]"):
        model.fill_mask("nothing is missing")
    with pytest.raises(TokenizerError, match="takes at most 64"):
        model.fill_mask("[MASK]" + " end" * 100)
    with pytest.raises(CheckpointError, match="not trained to tag words"):
        model.tag("the end")
    with pytest.raises(CheckpointError, match="no checkpoint"):
        bert_jax.load(tmp_path)
