from bert_jax.model.config import ModelConfig


def test_base_is_fine():
    assert ModelConfig().problems() == []
    assert ModelConfig().feed_forward_size == 3072
    assert ModelConfig().head_size == 64


def test_all_problems_are_named():
    bad = ModelConfig(num_heads=7, positions="x", activation="relu", pooling="sum", dtype="f8", dropout=1.0)
    bad.norm_position = "both"
    assert len(bad.problems()) == 7
    assert any("does not divide" in problem for problem in bad.problems())
