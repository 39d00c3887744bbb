"""What the recipes of the ModernBERT family share (Warner et al. 2024, arXiv 2412.13663; Weller et al. 2025)."""

import dataclasses

from bert_jax.model.config import ModelConfig
from bert_jax.tasks.pretraining import PretrainingConfig
from experiments.configs.two_cores import set_two_cores

VOCABULARY = 50_368  # of byte-level BPE: `experiments.prepare_corpus --tokenizer=bpe --vocab_size=50368`
LONG_BASE = 160_000.0  # of the rotary positions of global layers, for texts of 8,192 tokens


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of a run.

    Attributes:
      steps: its length.
      changes: what changes when it begins, by section: data, model, optimizer.
    """

    steps: int
    changes: dict[str, str]


def body(layers: int, width: int, inner: int, heads: int) -> ModelConfig:
    """Returns the shape of a model: GeGLU, no biases, rotary positions, a window in two of three layers."""
    return ModelConfig(
        num_layers=layers,
        hidden_size=width,
        num_heads=heads,
        intermediate_size=inner,
        positions="rotary",
        local_window=128,
        local_rotary_base=10_000.0,
        num_token_types=0,
        attention_bias=False,
        feed_forward="gated",
        feed_forward_bias=False,
        norm_position="pre",
        norm_bias=False,
        first_norm=False,
        layer_norm_epsilon=1e-5,
        head_transform="all",
        head_bias=False,
        embedding_dropout=0.0,
        feed_forward_dropout=0.0,
        attention_dropout=0.0,
        initializer="modernbert",
    )


def recipe(model: ModelConfig, rate: float, weight_decay: float) -> PretrainingConfig:
    """Returns the settings of all phases, for rows of 1,024 tokens and a constant rate.

    Args:
      model: from `body`.
      rate: the peak learning rate.
      weight_decay: as published, not multiplied by the peak of the learning rate, as ours is.
    """
    config = PretrainingConfig()
    config.model = model
    config.data.sequence_length = 1024
    config.data.examples = "full_sentences"
    config.data.short_probability = 0.0
    config.data.mask_rate = 0.3
    config.optimizer.name = "stable_adamw"
    config.optimizer.learning_rate = rate
    config.optimizer.schedule = "wsd"
    config.optimizer.decay_ratio = 0.0
    config.optimizer.b2 = 0.98
    config.optimizer.weight_decay = weight_decay / rate
    config.optimizer.clip_norm = 0.0
    return config


def set_parts(config: PretrainingConfig, first_steps: int, parts: list[Part]) -> None:
    """Sets the phases of a run that begins with `first_steps` steps, and its length."""
    start, texts = first_steps, {"data": [], "model": [], "optimizer": []}
    for part in parts:
        for section, changes in part.changes.items():
            texts[section].append(f"{start}: {changes}")
        start += part.steps
    config.data.phases, config.model.phases, config.optimizer.phases = ("; ".join(text) for text in texts.values())
    config.train.num_steps = start


def set_tiny(config: PretrainingConfig) -> None:
    """Shrinks data and length to what two cores train in half an hour, with all phases; for a small model."""
    set_two_cores(config)
    config.model.local_window = 32
    config.model.dropout = 0.0
    config.data.sequence_length = 128
    config.data.ramp_from, config.data.ramp_increment, config.data.ramp_steps = 8, None, 1_000
    config.optimizer.learning_rate = 2e-3
    config.optimizer.weight_decay = 0.01
    config.optimizer.warmup_steps = 300
    longer = {"data": "sequence_length=512 batch_size=4", "model": f"rotary_base={LONG_BASE:g}"}
    decay = {"optimizer": "decay_ratio=1.0"}
    set_parts(config, 5_000, [Part(800, longer | {"optimizer": "learning_rate=1e-3 warmup_steps=0"}), Part(700, decay)])
