"""NomicBERT (Nussbaum et al. 2024, arXiv 2402.01613)."""

import re
from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from bert_jax.errors import ConfigError
from bert_jax.interop.entries import Entry, array, linear, norm, query_key_value
from bert_jax.interop.families.bert import RATES, bert_heads
from bert_jax.interop.families.family import SHAPES, Allowed, Family
from bert_jax.interop.families.rope import check_head_size, read_only_rope, write_rope
from bert_jax.model.config import MAX_SIZE, ModelConfig


class NomicBert(Family):
    """NomicBERT: BERT with rotary positions, gated blocks, and no biases in them."""

    title, model_type, prefix = "NomicBERT", "nomic_bert", "NomicBert"
    required: ClassVar = {**SHAPES, "type_vocab_size": "num_token_types"}
    optional: ClassVar = RATES
    defaults: ClassVar = {"type_vocab_size": 2}
    fixed: ClassVar = {"tie_word_embeddings": True}
    only: ClassVar = {
        "positions": ("rotary",),
        "num_token_types": range(1, MAX_SIZE),
        "attention_bias": (False,),
        "feed_forward": ("gated",),
        "feed_forward_bias": (False,),
    }
    free = ("rotary_base", "rotary_scale")
    own_code = "NomicBert"
    base, word_table = "nomic_bert", "embeddings.word_embeddings.weight"
    modules = "embeddings|emb_ln|encoder|layers|pooler"
    layer = r"^nomic_bert\.encoder\.layers\.(\d{1,6})\."
    # `transformers` has one set of names in its classes and another one in the files that it writes; the table has the
    # latter, which the published weights have, too.
    renames = (
        (r"^nomic_bert\.layers\.", "nomic_bert.encoder.layers."),
        (r"^nomic_bert\.embeddings\.LayerNorm\.", "nomic_bert.emb_ln."),
        (r"\.self_attn\.o_proj\.", ".attn.out_proj."),
        (r"\.mlp\.up_proj\.", ".mlp.fc11."),
        (r"\.mlp\.gate_proj\.", ".mlp.fc12."),
        (r"\.mlp\.down_proj\.", ".mlp.fc2."),
        (r"\.post_attention_layernorm\.", ".norm1."),
        (r"\.post_mlp_layernorm\.", ".norm2."),
    )
    classes: ClassVar = {
        (): "Model",
        ("mlm",): "ForMaskedLM",
        ("label",): "ForSequenceClassification",
        ("tokens",): "ForTokenClassification",
    }

    def read(self, values: Mapping[str, Any]) -> ModelConfig:
        if "n_embd" in values and "hidden_size" not in values:
            raise ConfigError(
                "config.json has n_embd in place of hidden_size, as NomicBERT's own code wrote it: open the folder by"
                " NomicBertModel or NomicBertForMaskedLM of transformers 5.23 or later, and save it again."
            )
        return super().read(values)

    def finish(self, config: ModelConfig, values: Mapping[str, Any]) -> None:
        check_head_size(config, values)
        read_only_rope(config, values, 1000.0)

    def extras(self, config: ModelConfig) -> dict[str, Any]:
        return {"rope_parameters": write_rope(config, config.rotary_base)}

    def heads(self, config: ModelConfig) -> Mapping[str, Mapping[str, Allowed]]:
        return bert_heads()

    def twins(self, config: ModelConfig) -> Mapping[str, str]:
        return {
            "cls.predictions.decoder.weight": f"nomic_bert.{self.word_table}",
            "cls.predictions.decoder.bias": "cls.predictions.bias",
        }

    def table(
        self, config: ModelConfig, classifier: str = "", num_labels: int = 0, names: Collection[str] = ()
    ) -> dict[str, list[Entry]]:
        assert config.vocab_size is not None, "checked by the callers"
        size, ours, theirs = config.hidden_size, "bert/embeddings/", "nomic_bert.embeddings."
        is_fused = not any(re.search(r"\.self_attn\.q_proj\.", name) for name in names)
        table = {
            "embeddings": [
                array(f"{ours}word", f"{theirs}word_embeddings.weight", config.vocab_size, size),
                array(f"{ours}token_type", f"{theirs}token_type_embeddings.weight", config.num_token_types, size),
                *norm(f"{ours}layer_norm", "nomic_bert.emb_ln", config),
            ],
            "encoder": [entry for layer in range(config.num_layers) for entry in _layer(config, layer, is_fused)],
            "pooler": linear("bert/pooler/dense", "nomic_bert.pooler.dense", (size,), (size,)),
            "mlm": [
                *linear("mlm/transform", "cls.predictions.transform.dense", (size,), (size,)),
                *norm("mlm/norm", "cls.predictions.transform.layer_norm", config),
                array("mlm/bias", "cls.predictions.bias", config.vocab_size),
            ],
        }
        if classifier:
            table[classifier] = linear(f"{classifier}/dense", "classifier", (size,), (num_labels,))
        return table


def _layer(config: ModelConfig, layer: int, is_fused: bool) -> list[Entry]:
    size, inner, heads = config.hidden_size, config.feed_forward_size, (config.num_heads, config.head_size)
    ours, theirs = f"bert/encoder/layer_{layer}/", f"nomic_bert.encoder.layers.{layer}."
    three = [f"{theirs}self_attn.{name}_proj" for name in "qkv"]
    return [
        *query_key_value(f"{ours}attention/query_key_value", [f"{theirs}attn.Wqkv"] if is_fused else three, config),
        *linear(f"{ours}attention/output", f"{theirs}attn.out_proj", heads, (size,), bias=False),
        *norm(f"{ours}attention_norm", f"{theirs}norm1", config),
        *linear(f"{ours}feed_forward/gate", f"{theirs}mlp.fc12", (size,), (inner,), bias=False),
        *linear(f"{ours}feed_forward/intermediate", f"{theirs}mlp.fc11", (size,), (inner,), bias=False),
        *linear(f"{ours}feed_forward/output", f"{theirs}mlp.fc2", (inner,), (size,), bias=False),
        *norm(f"{ours}feed_forward_norm", f"{theirs}norm2", config),
    ]
