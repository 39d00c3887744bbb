"""The shape of a model."""

import dataclasses
import math

from bert_jax import configuration
from bert_jax.configuration import Section, setting
from bert_jax.errors import ConfigError, choice_problem

# The values of the fields that are one of several kinds.
CHOICES = {
    "positions": ("learned", "sinusoidal", "rotary", "alibi", "none"),
    "feed_forward": ("plain", "gated"),
    "activation": ("gelu", "gelu_tanh", "relu", "silu"),
    "norm": ("layer", "rms"),
    "norm_position": ("post", "pre"),
    "head_transform": ("words", "all", "none"),
    "pooling": ("cls", "max", "mean"),
    "initializer": ("normal", "depth", "modernbert"),
    "dtype": ("float32", "bfloat16"),
}
MAX_LAYERS, MAX_SIZE = 10_000, 1 << 30  # beyond what any machine holds: slips of the keyboard
# What a phase may change: what no parameter depends on, so that training goes on.
PHASED = ("rotary_base", "local_rotary_base", "rotary_scale")


def _until(phases: str, step: int) -> list[tuple[int, str]]:
    """The phases in the text of `model.phases` that begin before a step."""
    return [(start, changes) for start, changes in configuration.split_phases(phases, "model.phases") if start < step]


@dataclasses.dataclass
class ModelConfig(Section):
    """The shape of a bidirectional Transformer encoder (Devlin et al. 2018); the defaults are BERT-base."""

    vocab_size: int | None = setting(None, chosen=True)  # V; none: that of the tokenizer
    num_layers: int = 12  # layers of attention and feed-forward
    hidden_size: int = 768  # H, the width of a token's vector
    num_heads: int = 12  # attention heads per layer; each has H / num_heads of the width
    # heads of keys and values, each for a group of neighbouring query heads (Ainslie et al. 2023); none: num_heads
    num_kv_heads: int | None = None
    intermediate_size: int | None = None  # width inside the feed-forward block; none: 4 H
    # learned: a table; sinusoidal: fixed sines and cosines; rotary: queries and keys are rotated by an angle in
    # proportion to their position (Su et al. 2021); alibi: scores fall with the distance (Press et al. 2021); none
    positions: str = "learned"
    max_positions: int = 512  # size of the learned position table; rows cannot be longer
    num_token_types: int = 2  # size of the token-type table: first and second segment of a pair; 0: no table
    rotary_base: float = 10_000.0  # the slowest rotation is about 2 π · rotary_base tokens long
    local_rotary_base: float | None = None  # the same for layers with a local window; none: rotary_base
    rotary_share: float = 1.0  # share of each head's width that is rotated
    rotary_scale: float = 1.0  # positions are divided by it: interpolation to longer texts (Chen et al. 2023)
    # each token attends to the nearest local_window // 2 tokens on either side only; none: to its whole example
    local_window: int | None = None
    global_every: int = 3  # with local_window: the first of so many layers attends to the whole example; 0: none does
    query_key_norm: bool = False  # a norm of each head's queries and keys (Henry et al. 2020)
    attention_bias: bool = True  # whether the linear layers of attention have biases
    feed_forward: str = "plain"  # plain; gated: activation(x · gate) · (x · intermediate), as in GeGLU (Shazeer 2020)
    feed_forward_bias: bool = True  # whether the linear layers of the feed-forward block have biases
    activation: str = "gelu"  # gelu (erf), gelu_tanh (as in Google's released code), relu or silu
    norm: str = "layer"  # layer (Ba et al. 2016) or rms: no mean is subtracted, no bias (Zhang & Sennrich 2019)
    norm_position: str = "post"  # post: norms after each residual sum; pre: before each block
    norm_bias: bool = True  # whether layer norms have biases
    embedding_norm: bool = True  # a norm of the embeddings
    first_norm: bool = True  # with norm_position=pre: a norm before the attention of the first layer
    final_norm: bool = True  # with norm_position=pre: a norm after the last layer
    layer_norm_epsilon: float = 1e-12  # added to the variance under the root of a norm
    # the linear layer, activation and norm before the outputs: words: of the masked-word head only; all: of each head
    # that predicts words or labels, and then pooling=cls has no tanh layer; none: of no head
    head_transform: str = "words"
    head_bias: bool = True  # whether the linear layer of a head's transform has a bias
    output_bias: bool = True  # whether each word has a bias in the masked-word head
    tied_output: bool = True  # whether the masked-word head scores words by the word table, or by one of its own
    logit_cap: float | None = None  # logits of words become cap · tanh(logits / cap) (Gemma 2, 2024); none: no cap
    pooling: str = "cls"  # cls (first token through a tanh layer), max or mean over an example's tokens
    dropout: float = 0.1  # dropout rate of each block's output
    embedding_dropout: float | None = None  # dropout rate of the embeddings; none: dropout
    feed_forward_dropout: float | None = None  # dropout rate of feed-forward blocks' outputs; none: dropout
    attention_dropout: float = 0.1  # dropout rate of attention probabilities
    initializer_range: float = 0.02  # standard deviation of the initial weights, a normal truncated at two deviations
    # normal: one deviation for all; depth: 1 / √(2 num_layers) of it for the last layer of each block, as in Megatron;
    # modernbert: like depth, also for the transforms of heads, and 1 / √H for labels
    initializer: str = "normal"
    dtype: str = "float32"  # of products and activations: float32 or bfloat16; parameters, softmax, losses stay float32
    # STEP: field=value …; STEP: …: once so many steps are done, rotary_base, local_rotary_base or rotary_scale change
    phases: str = setting("", until=_until)
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
    def kv_heads(self) -> int:
        """The number of heads of keys and values."""
        return self.num_heads if self.num_kv_heads is None else self.num_kv_heads

    def window(self, layer: int) -> int | None:
        """Returns how many tokens on either side a token attends to in a layer; None: all of its example."""
        if self.local_window is None or (self.global_every and layer % self.global_every == 0):
            return None
        return self.local_window // 2

    @property
    def phase_starts(self) -> tuple[int, ...]:
        """The steps at which the phases begin; the first is 0."""
        return tuple(start for start, _ in self._phases())

    def after(self, steps: int) -> "ModelConfig":
        """Returns the config of a model that has been trained for so many steps, without phases."""
        return self.at(max(0, steps - 1))

    def at(self, step: int) -> "ModelConfig":
        """Returns the config in a step, counted from 0, without phases.

        Raises:
          ConfigError: the text of the phases is malformed.
        """
        return next(phase for start, phase in reversed(self._phases()) if start <= step)

    def _phases(self) -> list[tuple[int, "ModelConfig"]]:
        fixed = tuple(field.name for field in dataclasses.fields(self) if field.name not in PHASED)
        return configuration.phases(dataclasses.replace(self, phases=""), self.phases, "model.phases", fixed)

    @property
    def longest_row(self) -> int | None:
        """The longest row that has positions; None if there is no limit."""
        return self.max_positions if self.positions == "learned" else None

    @property
    def cut_sizes(self) -> dict[str, tuple[str, int]]:
        """The logical axes that must be split into equal parts: from each to its name in messages and its size."""
        return {
            "embed": ("model.hidden_size", self.hidden_size),
            "heads": ("model.num_heads" if self.num_kv_heads is None else "model.num_kv_heads", self.kv_heads),
            "mlp": ("the feed-forward width", self.feed_forward_size),
        }

    def problems(self) -> list[str]:
        """Returns a message for each setting that cannot work, or has no effect."""
        found = self._own_problems()
        try:
            phases = self._phases()[1:]
        except ConfigError as error:
            return [*found, str(error)]
        later = [(start, problem) for start, phase in phases for problem in phase._own_problems()]
        return found + [f"{text} (in the phase from step {start} on)" for start, text in later if text not in found]

    def _own_problems(self) -> list[str]:
        found = []
        sizes = ("vocab_size", "num_layers", "hidden_size", "num_heads", "intermediate_size", "max_positions")
        for name in (*sizes, "num_kv_heads", "local_window"):
            most = MAX_LAYERS if name == "num_layers" else MAX_SIZE
            if (value := getattr(self, name)) is not None and not 1 <= value <= most:
                found.append(f"model.{name}={value} must lie between 1 and {most}.")
        for name in ("num_token_types", "global_every"):
            if not 0 <= getattr(self, name) <= MAX_SIZE:
                found.append(f"model.{name}={getattr(self, name)} must lie between 0 and {MAX_SIZE}.")
        for name, choices in CHOICES.items():
            found += choice_problem(f"model.{name}", getattr(self, name), choices)
        for name in ("layer_norm_epsilon", "initializer_range", "rotary_base", "local_rotary_base", "rotary_scale"):
            if (value := getattr(self, name)) is not None and not 0 < value < math.inf:
                found.append(f"model.{name}={value} must be above 0 and finite.")
        if self.logit_cap is not None and not 0 < self.logit_cap < math.inf:
            found.append(f"model.logit_cap={self.logit_cap} must be above 0 and finite, or none.")
        if not 0 < self.rotary_share <= 1:
            found.append(f"model.rotary_share={self.rotary_share} must be above 0 and at most 1.")
        for name in ("dropout", "attention_dropout", "embedding_dropout", "feed_forward_dropout"):
            if (value := getattr(self, name)) is not None and not 0 <= value < 1:
                found.append(f"model.{name}={value} must be at least 0 and below 1.")
        return found or [*self._misfits(), *self._idle()]

    def _misfits(self) -> list[str]:
        """Messages for sizes that do not fit each other."""
        found = []
        if self.hidden_size % self.num_heads:
            found.append(
                f"model.num_heads={self.num_heads} does not divide model.hidden_size={self.hidden_size}:"
                f" choose a divisor."
            )
        if self.num_heads % self.kv_heads:
            found.append(
                f"model.num_kv_heads={self.num_kv_heads} does not divide model.num_heads={self.num_heads}: choose a"
                " divisor."
            )
        if self.positions == "sinusoidal" and self.hidden_size % 2:
            found.append(f"model.hidden_size={self.hidden_size} must be even for sinusoidal positions.")
        if self.positions == "rotary" and (self.rotated_size % 2 or not self.rotated_size):
            found.append(
                f"model.rotary_share={self.rotary_share} of a head of width {self.head_size} is {self.rotated_size}:"
                " it must be even and above 0."
            )
        if self.local_window is not None and self.local_window < 2:
            found.append("model.local_window=1 leaves no token to attend to: give at least 2, or none.")
        return found

    def _idle(self) -> list[str]:
        """Messages for settings without effect."""
        needs = {
            **dict.fromkeys(("rotary_base", "rotary_share", "rotary_scale"), ("positions", "rotary")),
            **dict.fromkeys(("first_norm", "final_norm"), ("norm_position", "pre")),
            "local_rotary_base": ("positions", "rotary"),
            "norm_bias": ("norm", "layer"),
        }
        found = [
            f"model.{name} has no effect without model.{other}={value}: leave it out."
            for name, (other, value) in needs.items()
            if getattr(self, name) != DEFAULTS[name] and getattr(self, other) != value
        ]
        for name in ("global_every", "local_rotary_base"):
            if getattr(self, name) != DEFAULTS[name] and self.local_window is None:
                found.append(f"model.{name} has no effect without model.local_window: leave it out.")
        if self.local_window is not None and self.global_every == 1:
            found.append("model.local_window has no effect with model.global_every=1: no layer has a window.")
        if self.head_transform == "none" and not self.head_bias:
            found.append("model.head_bias has no effect with model.head_transform=none: leave it out.")
        return found

    @property
    def rotated_size(self) -> int:
        """The width of a head's part that rotary positions rotate."""
        return round(self.rotary_share * self.head_size)

    def length_problems(self, sequence_length: int, where: str, is_given: bool = False) -> list[str]:
        """Returns a message if examples are too long.

        Args:
          sequence_length: the tokens of the longest one.
          where: the field that sets it.
          is_given: whether the positions are those of a checkpoint, so that there cannot be more.
        """
        if self.longest_row is None or sequence_length <= self.longest_row:
            return []
        remedy = "raise model.max_positions, or use model.positions=rotary"
        if is_given:
            remedy = f"train.init_from has no more, so give {where}={self.longest_row}"
        return [f"{where}={sequence_length} is longer than model.max_positions={self.max_positions}: {remedy}."]


DEFAULTS = {field.name: field.default for field in dataclasses.fields(ModelConfig)}
