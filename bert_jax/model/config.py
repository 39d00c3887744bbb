"""The shape of a model."""

import dataclasses
import math

from bert_jax.configuration import Section, setting
from bert_jax.errors import choice_problem

POSITIONS = ("learned", "sinusoidal", "none")
ACTIVATIONS = ("gelu", "gelu_tanh")
NORM_POSITIONS = ("post", "pre")
POOLINGS = ("cls", "max", "mean")
DTYPES = ("float32", "bfloat16")
MAX_LAYERS, MAX_SIZE = 10_000, 1 << 30  # beyond what any machine holds: slips of the keyboard


@dataclasses.dataclass
class ModelConfig(Section):
    """The shape of a bidirectional Transformer encoder (Devlin et al. 2018); the defaults are BERT-base."""

    vocab_size: int | None = setting(None, chosen=True)  # V; none: that of the tokenizer
    num_layers: int = 12  # layers of attention and feed-forward
    hidden_size: int = 768  # H, the width of a token's vector
    num_heads: int = 12  # attention heads per layer; each has H / num_heads of the width
    intermediate_size: int | None = None  # width inside the feed-forward block; none: 4 H
    positions: str = "learned"  # learned, sinusoidal (fixed sines and cosines) or none
    max_positions: int = 512  # size of the learned position table; rows cannot be longer
    num_token_types: int = 2  # size of the token-type table: first and second segment of a pair; 1: all tokens alike
    norm_position: str = "post"  # post: layer norms after each residual sum; pre: before each block and once at the end
    activation: str = "gelu"  # gelu (erf) or gelu_tanh (as in Google's released code)
    pooling: str = "cls"  # cls (first token through a tanh layer), max or mean over an example's tokens
    dropout: float = 0.1  # dropout rate of embeddings and of each block's output
    attention_dropout: float = 0.1  # dropout rate of attention probabilities
    layer_norm_epsilon: float = 1e-12  # added to the variance under the root of a layer norm
    initializer_range: float = 0.02  # standard deviation of the initial weights, a normal truncated at two deviations
    dtype: str = "float32"  # of products and activations: float32 or bfloat16; parameters, softmax, losses stay float32
    # recompute each layer in the backward pass: less memory for about a third more arithmetic
    remat: bool = setting(False, may_change="memory only")

    @property
    def feed_forward_size(self) -> int:
        """The width inside the feed-forward block."""
        return 4 * self.hidden_size if self.intermediate_size is None else self.intermediate_size

    @property
    def head_size(self) -> int:
        """The width of one attention head."""
        return self.hidden_size // self.num_heads

    @property
    def longest_row(self) -> int | None:
        """The longest row that has positions; None if there is no limit."""
        return self.max_positions if self.positions == "learned" else None

    @property
    def cut_sizes(self) -> dict[str, tuple[str, int]]:
        """The logical axes that must be split into equal parts: from each to its name in messages and its size."""
        return {
            "embed": ("model.hidden_size", self.hidden_size),
            "heads": ("model.num_heads", self.num_heads),
            "mlp": ("the feed-forward width", self.feed_forward_size),
        }

    def problems(self) -> list[str]:
        """Returns a message for each setting that cannot work."""
        found = []
        sizes = ("vocab_size", "num_layers", "hidden_size", "num_heads", "intermediate_size", "max_positions")
        for name in (*sizes, "num_token_types"):
            most = MAX_LAYERS if name == "num_layers" else MAX_SIZE
            if (value := getattr(self, name)) is not None and not 1 <= value <= most:
                found.append(f"model.{name}={value} must lie between 1 and {most}.")
        if self.num_heads >= 1 and self.hidden_size % self.num_heads:
            found.append(
                f"model.num_heads={self.num_heads} does not divide model.hidden_size={self.hidden_size}:"
                f" choose a divisor."
            )
        if self.positions == "sinusoidal" and self.hidden_size % 2:
            found.append(f"model.hidden_size={self.hidden_size} must be even for sinusoidal positions.")
        for name, choices in (
            ("positions", POSITIONS),
            ("norm_position", NORM_POSITIONS),
            ("activation", ACTIVATIONS),
            ("pooling", POOLINGS),
            ("dtype", DTYPES),
        ):
            found += choice_problem(f"model.{name}", getattr(self, name), choices)
        for name in ("layer_norm_epsilon", "initializer_range"):
            if not 0 < getattr(self, name) < math.inf:
                found.append(f"model.{name}={getattr(self, name)} must be above 0 and finite.")
        for name in ("dropout", "attention_dropout"):
            if not 0 <= getattr(self, name) < 1:
                found.append(f"model.{name}={getattr(self, name)} must be at least 0 and below 1.")
        return found

    def length_problems(self, sequence_length: int, where: str, is_given: bool = False) -> list[str]:
        """Returns a message if examples are too long.

        Args:
          sequence_length: the tokens of the longest one.
          where: the field that sets it.
          is_given: whether the positions are those of a checkpoint, so that there cannot be more.
        """
        if self.longest_row is None or sequence_length <= self.longest_row:
            return []
        remedy = "raise model.max_positions, or use model.positions=sinusoidal"
        if is_given:
            remedy = f"train.init_from has no more, so give {where}={self.longest_row}"
        return [f"{where}={sequence_length} is longer than model.max_positions={self.max_positions}: {remedy}."]
