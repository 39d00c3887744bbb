"""Configs of small models in which any two choices occur together."""

import dataclasses
import itertools
import random

from bert_jax.model.config import CHOICES, DEFAULTS, ModelConfig

SMALL = ModelConfig(vocab_size=300, num_layers=2, hidden_size=32, num_heads=4, max_positions=128)
# Values of each field that changes what a model computes.
VALUES = {name: values for name, values in CHOICES.items() if name != "dtype"} | {
    "num_kv_heads": (None, 1, 2),
    "num_token_types": (0, 1, 2),
    "rotary_share": (1.0, 0.5),
    "rotary_scale": (1.0, 4.0),
    "rotary_base": (10_000.0, 500.0),
    "local_window": (None, 6, 40),
    "global_every": (3, 2, 0),
    "local_rotary_base": (None, 100.0),
    "logit_cap": (None, 3.0),
    "embedding_dropout": (None, 0.0),
    "feed_forward_dropout": (None, 0.3),
}
SWITCHES = ("attention_bias", "feed_forward_bias", "norm_bias", "embedding_norm", "first_norm", "final_norm")
SWITCHES += ("head_bias", "output_bias", "tied_output", "query_key_norm", "remat")
VALUES |= dict.fromkeys(SWITCHES, (True, False))


def draw_config(draw: random.Random) -> ModelConfig:
    """Draws one config; fields that have no effect keep their defaults."""
    values = {name: draw.choice(choices) for name, choices in VALUES.items()}
    idle = []
    if values["positions"] != "rotary":
        idle += ["rotary_share", "rotary_scale", "rotary_base", "local_rotary_base"]
    if values["local_window"] is None:
        idle += ["global_every", "local_rotary_base"]
    if values["norm_position"] == "post":
        idle += ["first_norm", "final_norm"]
    if values["norm"] == "rms":
        idle += ["norm_bias"]
    if values["head_transform"] == "none":
        idle += ["head_bias"]
    config = dataclasses.replace(SMALL, **values | {name: DEFAULTS[name] for name in idle})
    assert config.problems() == []
    return config


def combinations() -> list[ModelConfig]:
    """Returns configs that have each two values of VALUES together."""
    draw = random.Random(0)

    def pairs(config: ModelConfig) -> set:
        return set(itertools.combinations(((name, getattr(config, name)) for name in VALUES), 2))

    wanted = set().union(*(pairs(draw_config(draw)) for _ in range(3000)))
    found = []
    while wanted:
        best = max((draw_config(draw) for _ in range(100)), key=lambda config: len(pairs(config) & wanted))
        if new := pairs(best) & wanted:
            found.append(best)
            wanted -= new
    return found
