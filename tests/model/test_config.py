import dataclasses

import pytest

from bert_jax.model.config import ModelConfig


def test_base_is_fine():
    assert ModelConfig().problems() == []
    assert ModelConfig().feed_forward_size == 3072
    assert ModelConfig().head_size == 64


def test_all_problems_are_named():
    bad = ModelConfig(num_heads=0, positions="x", activation="elu", pooling="sum", dtype="f8", dropout=1.0)
    bad.norm_position = "both"
    assert len(bad.problems()) == 7


def test_sizes_must_fit_each_other():
    config = ModelConfig(num_heads=7, num_kv_heads=3, positions="rotary", rotary_share=0.01, local_window=1)
    found = "\n".join(config.problems())
    for part in ("num_heads=7 does not", "num_kv_heads=3 does not", "rotary_share=0.01", "local_window=1"):
        assert part in found


def test_settings_without_effect_are_named():
    idle = {
        "rotary_base": (5.0, "positions=rotary"),
        "rotary_scale": (2.0, "positions=rotary"),
        "final_norm": (False, "norm_position=pre"),
        "local_rotary_base": (5.0, "local_window"),
        "global_every": (2, "local_window"),
        "first_norm": (False, "norm_position=pre"),
    }
    for name, (value, needs) in idle.items():
        found = "\n".join(ModelConfig(**{name: value}).problems())
        assert f"model.{name} has no effect without model.{needs}" in found


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"norm": "rms", "norm_bias": False}, "model.norm_bias has no effect without model.norm=layer"),
        ({"local_window": 8, "global_every": 1}, "model.local_window has no effect with model.global_every=1"),
        ({"head_transform": "none", "head_bias": False}, "model.head_bias has no effect with model.head_transform"),
    ],
    ids=str,
)
def test_pairs_of_which_one_has_no_effect_are_named(changes, says):
    (problem,) = ModelConfig(**changes).problems()
    assert problem.startswith(says)


def test_phases_change_what_no_parameter_depends_on():
    config = ModelConfig(positions="rotary", phases="10: rotary_base=160000; 20: rotary_scale=2")
    assert config.problems() == []
    assert [config.at(step).rotary_base for step in (0, 9, 10, 25)] == [10_000, 10_000, 160_000, 160_000]
    assert [config.at(step).rotary_scale for step in (19, 20)] == [1, 2]
    assert config.at(20).phases == ""
    # A checkpoint of step 10 has not been trained with the new base yet.
    assert [config.after(steps).rotary_base for steps in (0, 10, 11)] == [10_000, 10_000, 160_000]
    for text, part in (
        ("10: num_heads=2", "a phase cannot change"),
        ("10: rotary_base=0", "model.rotary_base=0.0 must be above 0 and finite. (in the phase from step 10 on)"),
    ):
        (problem,) = dataclasses.replace(config, phases=text).problems()
        assert part in problem
