"""BERT, and models with its body under other names: RoBERTa, XLM-R, CamemBERT, DistilBERT."""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np

from bert_jax.errors import ConfigError
from bert_jax.interop.entries import Entry, array, linear, norm, query_key_value
from bert_jax.interop.families.family import SHAPES, Allowed, Family
from bert_jax.model.config import MAX_SIZE, ModelConfig
from bert_jax.model.positions import fixed_positions

WORDS = "bert.embeddings.word_embeddings.weight"
RATES = {
    "hidden_dropout_prob": "dropout",
    "attention_probs_dropout_prob": "attention_dropout",
    "layer_norm_eps": "layer_norm_epsilon",
    "initializer_range": "initializer_range",
}


class Bert(Family):
    """BERT (Devlin et al. 2018); its table has the names of `BertForPreTraining` and of the other BERT models.

    Attributes:
      first_position: the row of the position table that the first token uses.
      has_token_types: whether there is a table of token types.
    """

    title, model_type, prefix = "BERT", "bert", "Bert"
    required: ClassVar = {**SHAPES, "type_vocab_size": "num_token_types"}
    optional: ClassVar = RATES
    defaults: ClassVar = {"type_vocab_size": 2}
    fixed: ClassVar = {
        "position_embedding_type": "absolute",
        "is_decoder": False,
        "add_cross_attention": False,
        "tie_word_embeddings": True,
        "pruned_heads": {},
    }
    only: ClassVar = {"positions": ("learned", "sinusoidal", "none"), "num_token_types": range(1, MAX_SIZE)}
    base, word_table, modules = "bert", "embeddings.word_embeddings.weight", "embeddings|encoder|pooler|transformer"
    layer = r"^bert\.encoder\.layer\.(\d{1,6})\."
    first_position = 0
    has_token_types = True
    classes: ClassVar = {
        (): "Model",
        ("mlm",): "ForMaskedLM",
        ("nsp",): "ForNextSentencePrediction",
        ("mlm", "nsp"): "ForPreTraining",
        ("span",): "ForQuestionAnswering",
        ("label",): "ForSequenceClassification",
        ("choice",): "ForMultipleChoice",
        ("tokens",): "ForTokenClassification",
    }

    def finish(self, config: ModelConfig, values: Mapping[str, Any]) -> None:
        config.max_positions -= self.first_position

    def heads(self, config: ModelConfig) -> Mapping[str, Mapping[str, Allowed]]:
        return bert_heads()

    def twins(self, config: ModelConfig) -> Mapping[str, str]:
        return {
            "cls.predictions.decoder.weight": WORDS,
            "cls.predictions.decoder.bias": "cls.predictions.bias",
        }

    def completed(self, config: ModelConfig, arrays: dict[str, Any]) -> ModelConfig:
        """Positions that are not learned become a position table, so that both models compute the same."""
        if config.positions == "learned":
            return config
        shape = (config.max_positions, config.hidden_size)
        table = np.zeros(shape, np.float32)
        if config.positions == "sinusoidal":
            table = np.asarray(fixed_positions(config, jnp.arange(config.max_positions)))
        arrays["bert/embeddings/position"] = table
        return dataclasses.replace(config, positions="learned")

    def table(
        self, config: ModelConfig, classifier: str = "", num_labels: int = 0, names: Collection[str] = ()
    ) -> dict[str, list[Entry]]:
        if config.positions != "learned":
            raise ConfigError(
                f"model.positions={config.positions} has no position table to read into: use model.positions=learned."
            )
        assert config.vocab_size is not None, "checked by the callers"
        size, ours, theirs = config.hidden_size, "bert/embeddings/", "bert.embeddings."
        table = {
            "embeddings": [
                array(f"{ours}word", f"{theirs}word_embeddings.weight", config.vocab_size, size),
                self._token_types(f"{ours}token_type", f"{theirs}token_type_embeddings.weight", config),
                self._positions(f"{ours}position", f"{theirs}position_embeddings.weight", config),
                *norm(f"{ours}layer_norm", f"{theirs}LayerNorm", config),
            ],
            "encoder": [entry for layer in range(config.num_layers) for entry in _layer(config, layer)],
            "pooler": linear("bert/pooler/dense", "bert.pooler.dense", (size,), (size,)),
            "mlm": [
                *linear("mlm/transform", "cls.predictions.transform.dense", (size,), (size,)),
                *norm("mlm/norm", "cls.predictions.transform.LayerNorm", config),
                array("mlm/bias", "cls.predictions.bias", config.vocab_size),
            ],
            "nsp": linear("nsp/dense", "cls.seq_relationship", (size,), (2,)),
            "span": linear("span/dense", "qa_outputs", (size,), (2,)),
        }
        if classifier:
            table[classifier] = linear(f"{classifier}/dense", "classifier", (size,), (num_labels,))
        return table

    def _token_types(self, ours: str, theirs: str, config: ModelConfig) -> Entry:
        shape = (config.num_token_types, config.hidden_size)
        if self.has_token_types:
            return array(ours, theirs, *shape)
        return Entry({ours: shape}, {}, lambda parts: [np.zeros(shape, np.float32)], lambda arrays: [])

    def _positions(self, ours: str, theirs: str, config: ModelConfig) -> Entry:
        first, shape = self.first_position, (config.max_positions, config.hidden_size)
        return Entry(
            {ours: shape},
            {theirs: (shape[0] + first, shape[1])},
            lambda parts: [parts[0][first:]],
            lambda arrays: [np.pad(arrays[0], ((first, 0), (0, 0)))],
        )


def _layer(config: ModelConfig, layer: int) -> list[Entry]:
    size, inner, heads = config.hidden_size, config.feed_forward_size, (config.num_heads, config.head_size)
    ours, theirs = f"bert/encoder/layer_{layer}/", f"bert.encoder.layer.{layer}."
    three = [f"{theirs}attention.self.{name}" for name in ("query", "key", "value")]
    return [
        *query_key_value(f"{ours}attention/query_key_value", three, config),
        *linear(f"{ours}attention/output", f"{theirs}attention.output.dense", heads, (size,)),
        *norm(f"{ours}attention_norm", f"{theirs}attention.output.LayerNorm", config),
        *linear(f"{ours}feed_forward/intermediate", f"{theirs}intermediate.dense", (size,), (inner,)),
        *linear(f"{ours}feed_forward/output", f"{theirs}output.dense", (inner,), (size,)),
        *norm(f"{ours}feed_forward_norm", f"{theirs}output.LayerNorm", config),
    ]


def bert_heads() -> dict[str, dict[str, Allowed]]:
    """What BERT's heads compute, which families after it have, too."""
    plain: dict[str, Allowed] = {"head_transform": ("words", "none")}
    pooled: dict[str, Allowed] = {**plain, "pooling": ("cls",)}
    return {
        "mlm": {
            "head_transform": ("words", "all"),
            "head_bias": (True,),
            "output_bias": (True,),
            "tied_output": (True,),
            "logit_cap": (None,),
        },
        "nsp": pooled,
        "label": pooled,
        "choice": pooled,
        "span": plain,
        "tokens": plain,
    }


class Roberta(Bert):
    """RoBERTa (Liu et al. 2019), XLM-R and CamemBERT, which are read."""

    title, model_type, prefix = "RoBERTa", "roberta", "Roberta"
    first_position = 2
    renames = (
        (r"^lm_head\.dense\.", "cls.predictions.transform.dense."),
        (r"^lm_head\.layer_norm\.", "cls.predictions.transform.LayerNorm."),
        (r"^lm_head\.decoder\.", "cls.predictions.decoder."),
        (r"^lm_head\.bias$", "cls.predictions.bias"),
        # Its classifier begins with what is the pooler in BERT.
        (r"^classifier\.dense\.", "bert.pooler.dense."),
        (r"^classifier\.out_proj\.", "classifier."),
    )

    def file_base(self) -> str:
        return "roberta"


class DistilBert(Bert):
    """DistilBERT (Sanh et al. 2019), which is read."""

    title, model_type, prefix = "DistilBERT", "distilbert", "DistilBert"
    has_token_types = False
    renames = (
        (r"^bert\.transformer\.layer\.", "bert.encoder.layer."),
        (r"\.attention\.q_lin\.", ".attention.self.query."),
        (r"\.attention\.k_lin\.", ".attention.self.key."),
        (r"\.attention\.v_lin\.", ".attention.self.value."),
        (r"\.attention\.out_lin\.", ".attention.output.dense."),
        (r"\.sa_layer_norm\.", ".attention.output.LayerNorm."),
        (r"\.ffn\.lin1\.", ".intermediate.dense."),
        (r"\.ffn\.lin2\.", ".output.dense."),
        (r"\.output_layer_norm\.", ".output.LayerNorm."),
        (r"^vocab_transform\.", "cls.predictions.transform.dense."),
        (r"^vocab_layer_norm\.", "cls.predictions.transform.LayerNorm."),
        (r"^vocab_projector\.bias$", "cls.predictions.bias"),
        (r"^vocab_projector\.", "cls.predictions.decoder."),
    )
    refused = (("pre_classifier.weight", "a ReLU before its classifier"),)
    spellings: ClassVar = {
        "n_layers": "num_hidden_layers",
        "dim": "hidden_size",
        "n_heads": "num_attention_heads",
        "hidden_dim": "intermediate_size",
        "activation": "hidden_act",
        "dropout": "hidden_dropout_prob",
        "attention_dropout": "attention_probs_dropout_prob",
    }

    def file_base(self) -> str:
        return "distilbert"

    def read(self, values: Mapping[str, Any]) -> ModelConfig:
        values = {self.spellings.get(name, name): value for name, value in values.items()} | {"type_vocab_size": 1}
        return super().read({"max_position_embeddings": 512, **values})
