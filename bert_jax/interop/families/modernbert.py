"""ModernBERT (Warner et al. 2024, arXiv 2412.13663) and models with its classes, such as Ettin and mmBERT."""

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from bert_jax.errors import ConfigError, quoted
from bert_jax.interop.entries import Entry, array, gate_and_intermediate, linear, norm, query_key_value
from bert_jax.interop.families.config_fields import activation_name, choose
from bert_jax.interop.families.family import Allowed, Family
from bert_jax.interop.families.rope import read_rope, write_rope
from bert_jax.model.config import ModelConfig

FULL, SLIDING = "full_attention", "sliding_attention"
USUAL_WINDOW, USUAL_EVERY = 128, 3


class ModernBert(Family):
    """ModernBERT: rotary positions, windows, gated blocks, pre-norm, and a transform before each head."""

    title, model_type, prefix = "ModernBERT", "modernbert", "ModernBert"
    optional: ClassVar = {
        "norm_eps": "layer_norm_epsilon",
        "norm_bias": "norm_bias",
        "attention_bias": "attention_bias",
        "mlp_bias": "feed_forward_bias",
        "classifier_bias": "head_bias",
        "decoder_bias": "output_bias",
        "tie_word_embeddings": "tied_output",
        "local_attention": "local_window",
        "embedding_dropout": "embedding_dropout",
        "attention_dropout": "attention_dropout",
        "mlp_dropout": "feed_forward_dropout",
        "initializer_range": "initializer_range",
    }
    defaults: ClassVar = {
        **dict.fromkeys(("norm_bias", "attention_bias", "mlp_bias", "classifier_bias"), False),
        **dict.fromkeys(("embedding_dropout", "attention_dropout", "mlp_dropout"), 0.0),
        "norm_eps": 1e-5,
        "local_attention": USUAL_WINDOW,
    }
    activation_field = "hidden_activation"
    settings: ClassVar = {"head_transform": "all", "initializer": "modernbert"}
    only: ClassVar = {
        "positions": ("rotary",),
        "num_token_types": (0,),
        "feed_forward": ("gated",),
        "norm_position": ("pre",),
        "first_norm": (False,),
    }
    free = (
        *("rotary_base", "local_rotary_base", "rotary_scale", "local_window", "global_every"),
        *("norm_bias", "attention_bias", "feed_forward_bias"),
    )
    token_ids = ("pad_token_id", "cls_token_id", "sep_token_id", "bos_token_id", "eos_token_id")
    base, word_table, modules = "model", "embeddings.tok_embeddings.weight", "embeddings|layers|final_norm"
    layer = r"^model\.layers\.(\d{1,6})\."
    classifiers: ClassVar = {"MultipleChoice": "choice", "QuestionAnswering": "span", "": "label"}
    classes: ClassVar = {
        (): "Model",
        ("mlm",): "ForMaskedLM",
        ("span",): "ForQuestionAnswering",
        ("label",): "ForSequenceClassification",
        ("choice",): "ForMultipleChoice",
        ("tokens",): "ForTokenClassification",
    }

    def finish(self, config: ModelConfig, values: Mapping[str, Any]) -> None:
        if (name := values.get("classifier_activation", "gelu")) != values.get(self.activation_field, "gelu"):
            raise ConfigError(
                f"classifier_activation={quoted(name)} differs from {self.activation_field}: only models with one"
                " activation are supported."
            )
        config.dropout = config.attention_dropout  # theirs is that of attention's output, too
        config.pooling = choose(values, "classifier_pooling", {"cls": "cls", "mean": "mean"}, "cls")
        _read_bases(config, values)
        _read_layers(config, values)

    def extras(self, config: ModelConfig) -> dict[str, Any]:
        local_base = config.rotary_base if config.local_rotary_base is None else config.local_rotary_base
        kinds = [FULL if config.window(layer) is None else SLIDING for layer in range(config.num_layers)]
        every = 1 if config.local_window is None else config.global_every
        values = {
            "local_attention": config.local_window or USUAL_WINDOW,
            "layer_types": kinds,
            "rope_parameters": {FULL: write_rope(config, config.rotary_base), SLIDING: write_rope(config, local_base)},
            # The fields of versions before 5, which know neither layer_types nor rope_parameters.
            "global_rope_theta": config.rotary_base,
            "local_rope_theta": local_base,
            "classifier_pooling": config.pooling if config.pooling == "mean" else "cls",
            "classifier_activation": activation_name(config),
            "classifier_dropout": config.dropout,
            # Their defaults are beyond a small vocabulary.
            **dict.fromkeys(("pad_token_id", "cls_token_id", "sep_token_id", "bos_token_id", "eos_token_id")),
        }
        for theirs, ours in (("embedding_dropout", "embedding_dropout"), ("mlp_dropout", "feed_forward_dropout")):
            values[theirs] = config.dropout if getattr(config, ours) is None else getattr(config, ours)
        return values | ({"global_attn_every_n_layers": every} if every else {})

    def heads(self, config: ModelConfig) -> Mapping[str, Mapping[str, Allowed]]:
        transformed: dict[str, Allowed] = {"head_transform": ("all",)}
        pooled: dict[str, Allowed] = {**transformed, "pooling": ("cls", "mean")}
        return {
            "mlm": {"head_transform": ("words", "all"), "logit_cap": (None,)},
            "label": pooled,
            "choice": pooled,
            "span": transformed,
            "tokens": transformed,
        }

    def twins(self, config: ModelConfig) -> Mapping[str, str]:
        return {"decoder.weight": f"model.{self.word_table}"} if config.tied_output else {}

    def table(
        self, config: ModelConfig, classifier: str = "", num_labels: int = 0, names: Collection[str] = ()
    ) -> dict[str, list[Entry]]:
        assert config.vocab_size is not None, "checked by the callers"
        size, words = config.hidden_size, (config.vocab_size, config.hidden_size)
        head = classifier or "mlm"
        table = {
            "embeddings": [
                array("bert/embeddings/word", f"model.{self.word_table}", *words),
                *norm("bert/embeddings/layer_norm", "model.embeddings.norm", config),
            ],
            "encoder": [
                *(entry for layer in range(config.num_layers) for entry in _layer(config, layer)),
                *norm("bert/encoder/final_norm", "model.final_norm", config),
            ],
            head: [
                *linear(f"{head}/transform", "head.dense", (size,), (size,), config.head_bias),
                *norm(f"{head}/norm", "head.norm", config),
            ],
        }
        if classifier:
            table[head] += linear(f"{head}/dense", "classifier", (size,), (num_labels,))
            return table
        if not config.tied_output:
            table[head].append(array("mlm/output", "decoder.weight", *words))
        if config.output_bias:
            table[head].append(array("mlm/bias", "decoder.bias", config.vocab_size))
        return table


def _layer(config: ModelConfig, layer: int) -> list[Entry]:
    size, inner, heads = config.hidden_size, config.feed_forward_size, (config.num_heads, config.head_size)
    ours, theirs = f"bert/encoder/layer_{layer}/", f"model.layers.{layer}."
    return [
        *(norm(f"{ours}attention_norm", f"{theirs}attn_norm", config) if layer else ()),
        *query_key_value(f"{ours}attention/query_key_value", [f"{theirs}attn.Wqkv"], config),
        *linear(f"{ours}attention/output", f"{theirs}attn.Wo", heads, (size,), config.attention_bias),
        *norm(f"{ours}feed_forward_norm", f"{theirs}mlp_norm", config),
        *gate_and_intermediate(f"{ours}feed_forward", f"{theirs}mlp.Wi", config),
        *linear(f"{ours}feed_forward/output", f"{theirs}mlp.Wo", (inner,), (size,), config.feed_forward_bias),
    ]


def _read_bases(config: ModelConfig, values: Mapping[str, Any]) -> None:
    """Sets the two bases of rotary positions."""
    parameters = values.get("rope_parameters", {})
    if not isinstance(parameters, dict) or parameters.keys() - {FULL, SLIDING} or values.get("rope_scaling"):
        raise ConfigError(f"config.json should have {FULL} and {SLIDING} as its rope_parameters, and no rope_scaling.")
    scales = []
    for kind, old, usual in ((SLIDING, "local_rope_theta", 10_000.0), (FULL, "global_rope_theta", 160_000.0)):
        one = {} if parameters.get(kind) is None else parameters[kind]
        read_rope(config, one, values.get(old, usual), f"rope_parameters of {kind}")
        scales.append(config.rotary_scale)
        if kind == SLIDING:
            config.local_rotary_base = config.rotary_base
    if scales[0] != scales[1]:
        raise ConfigError(
            f"rope_parameters has the factors {scales[0]} and {scales[1]}: only one for both is supported."
        )
    if config.local_rotary_base == config.rotary_base:
        config.local_rotary_base = None


def _read_layers(config: ModelConfig, values: Mapping[str, Any]) -> None:
    """Sets which layers have a window."""
    every = values.get("global_attn_every_n_layers", USUAL_EVERY)
    if type(every) is not int or every < 1:
        raise ConfigError(f"config.json has global_attn_every_n_layers={quoted(every)}, not a number of layers.")
    kinds = values.get("layer_types", [SLIDING if i % every else FULL for i in range(config.num_layers)])
    if not isinstance(kinds, list) or len(kinds) != config.num_layers or any(k not in (FULL, SLIDING) for k in kinds):
        raise ConfigError(f"config.json should have {FULL} or {SLIDING} for each of its layers in layer_types.")
    if SLIDING not in kinds:
        config.local_window = config.local_rotary_base = None
        return
    full = [i for i, kind in enumerate(kinds) if kind == FULL]
    config.global_every = 0 if not full else full[1] if full[1:] else max(config.num_layers, every)
    if full != [i for i in range(config.num_layers) if config.global_every and i % config.global_every == 0]:
        raise ConfigError(
            f"layer_types has {FULL} in the layers {quoted(', '.join(map(str, full)))}: only every n-th layer from the"
            " first on, or none, is supported."
        )
