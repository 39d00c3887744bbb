"""EuroBERT (Boizard et al. 2025, arXiv 2503.05500)."""

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from bert_jax.interop.entries import Entry, array, linear, norm, query_key_value
from bert_jax.interop.families.config_fields import choose
from bert_jax.interop.families.family import Allowed, Family
from bert_jax.interop.families.rope import check_head_size, read_only_rope, write_rope
from bert_jax.model.config import ModelConfig

# Of its classifiers, which are not read; it is how heads that are new here pool.
POOLING = {"bos": "cls", "mean": "mean", "late": "mean"}


class EuroBert(Family):
    """EuroBERT: Llama's layers without the causal mask, so rotary positions, RMS norms, grouped queries, SwiGLU."""

    title, model_type, prefix = "EuroBERT", "eurobert", "EuroBert"
    optional: ClassVar = {
        "num_key_value_heads": "num_kv_heads",
        "rms_norm_eps": "layer_norm_epsilon",
        "attention_bias": "attention_bias",
        "mlp_bias": "feed_forward_bias",
        "tie_word_embeddings": "tied_output",
        "attention_dropout": "attention_dropout",
        "initializer_range": "initializer_range",
    }
    defaults: ClassVar = {
        **dict.fromkeys(("attention_bias", "mlp_bias", "tie_word_embeddings"), False),
        "rms_norm_eps": 1e-5,
        "attention_dropout": 0.0,
    }
    settings: ClassVar = {"head_transform": "none", "dropout": 0.0}
    only: ClassVar = {
        "positions": ("rotary",),
        "num_token_types": (0,),
        "feed_forward": ("gated",),
        "norm": ("rms",),
        "norm_position": ("pre",),
        "embedding_norm": (False,),
    }
    # Norms without a mean have no bias, whatever norm_bias says.
    free = ("rotary_base", "rotary_scale", "num_kv_heads", "attention_bias", "feed_forward_bias", "norm_bias")
    own_code = "EuroBert"
    token_ids = ("pad_token_id", "bos_token_id", "eos_token_id", "mask_token_id")
    base, word_table, modules = "model", "embed_tokens.weight", "embed_tokens|layers|norm"
    layer = r"^model\.layers\.(\d{1,6})\."
    refused = (("dense.weight", "EuroBERT's classifier of texts, which has an activation and no norm,"),)
    classes: ClassVar = {(): "Model", ("mlm",): "ForMaskedLM", ("tokens",): "ForTokenClassification"}

    def finish(self, config: ModelConfig, values: Mapping[str, Any]) -> None:
        check_head_size(config, values)
        if config.num_kv_heads == config.num_heads:
            config.num_kv_heads = None
        config.output_bias = config.feed_forward_bias
        config.pooling = choose(values, "classifier_pooling", POOLING, "late")
        read_only_rope(config, values, 10_000.0)

    def extras(self, config: ModelConfig) -> dict[str, Any]:
        return {
            "num_key_value_heads": config.kv_heads,
            "rope_parameters": write_rope(config, config.rotary_base),
            "classifier_pooling": "bos" if config.pooling == "cls" else "mean",
            # Their defaults are beyond a small vocabulary.
            **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id")),
        }

    def heads(self, config: ModelConfig) -> Mapping[str, Mapping[str, Allowed]]:
        return {
            "mlm": {
                "head_transform": ("none",),
                "output_bias": (config.feed_forward_bias,),  # one field of theirs says both
                "logit_cap": (None,),
            },
            "tokens": {"head_transform": ("none", "words")},
        }

    def twins(self, config: ModelConfig) -> Mapping[str, str]:
        return {"lm_head.weight": f"model.{self.word_table}"} if config.tied_output else {}

    def table(
        self, config: ModelConfig, classifier: str = "", num_labels: int = 0, names: Collection[str] = ()
    ) -> dict[str, list[Entry]]:
        assert config.vocab_size is not None, "checked by the callers"
        size, words = config.hidden_size, (config.vocab_size, config.hidden_size)
        table = {
            "embeddings": [array("bert/embeddings/word", f"model.{self.word_table}", *words)],
            "encoder": [
                *(entry for layer in range(config.num_layers) for entry in _layer(config, layer)),
                *norm("bert/encoder/final_norm", "model.norm", config),
            ],
            "mlm": [],
        }
        if not config.tied_output:
            table["mlm"].append(array("mlm/output", "lm_head.weight", *words))
        if config.output_bias:
            table["mlm"].append(array("mlm/bias", "lm_head.bias", config.vocab_size))
        if classifier:
            table[classifier] = linear(f"{classifier}/dense", "classifier", (size,), (num_labels,))
        return table


def _layer(config: ModelConfig, layer: int) -> list[Entry]:
    size, inner, heads = config.hidden_size, config.feed_forward_size, (config.num_heads, config.head_size)
    ours, theirs = f"bert/encoder/layer_{layer}/", f"model.layers.{layer}."
    three = [f"{theirs}self_attn.{name}_proj" for name in "qkv"]
    bias = config.feed_forward_bias
    return [
        *norm(f"{ours}attention_norm", f"{theirs}input_layernorm", config),
        *query_key_value(f"{ours}attention/query_key_value", three, config),
        *linear(f"{ours}attention/output", f"{theirs}self_attn.o_proj", heads, (size,), config.attention_bias),
        *norm(f"{ours}feed_forward_norm", f"{theirs}post_attention_layernorm", config),
        *linear(f"{ours}feed_forward/gate", f"{theirs}mlp.gate_proj", (size,), (inner,), bias),
        *linear(f"{ours}feed_forward/intermediate", f"{theirs}mlp.up_proj", (size,), (inner,), bias),
        *linear(f"{ours}feed_forward/output", f"{theirs}mlp.down_proj", (inner,), (size,), bias),
    ]
