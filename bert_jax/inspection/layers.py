"""What is known in each layer: the word at a mask, and labels that a linear classifier reads from it."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from bert_jax.batch import CORE, Batch, cut
from bert_jax.inspection.text_row import TextRow
from bert_jax.model.composite import Composite, Encoded
from bert_jax.model.intermediates import with_intermediates
from bert_jax.model.norms import make_norm
from bert_jax.model.pooling import mean_pool
from bert_jax.objectives.masked_words import MaskedWords
from bert_jax.pretrained import Pretrained, Text
from bert_jax.tasks.probes import open_probes
from bert_jax.training.config import EvalConfig

ROWS_AT_ONCE = 8


@dataclasses.dataclass(frozen=True)
class LayerPredictions:
    """What the head for masked words says of a mask, if it is given the vectors of an earlier layer.

    Attributes:
      words: for the embeddings, then each of L layers, the most likely words.
      probabilities: float32 [L + 1, top], theirs.
      final: float32 [L + 1], the probability of the word that is the most likely one after the last layer.
    """

    words: list[list[str]]
    probabilities: np.ndarray
    final: np.ndarray


@dataclasses.dataclass(frozen=True)
class LayerProbes:
    """How well a linear classifier tells labels from the mean of a text's vectors, for the embeddings and L layers.

    Attributes:
      accuracy, macro_f1: float32 [L + 1], on examples that it was not fitted to.
      majority_accuracy, majority_macro_f1: those of always giving the label that is most frequent in the examples that
        are fitted to. It may be rarer in those that are scored, so two labels can leave less than a half.
      num_fitted, num_scored: the examples.
    """

    accuracy: np.ndarray
    macro_f1: np.ndarray
    majority_accuracy: float
    majority_macro_f1: float
    num_fitted: int
    num_scored: int


def layer_names(count: int) -> list[str]:
    """Returns names for so many hidden states: the embeddings, then layers by the numbers of their parameters."""
    return ["embeddings", *(f"layer {i}" for i in range(count - 1))]


def layer_predictions(bert: Pretrained, text: Text, mask: int = 0, top: int = 5) -> LayerPredictions:
    """Returns what is predicted at a mask, layer by layer.

    The head is that of the last layer (nostalgebraist 2020, "interpreting GPT: the logit lens"). Earlier layers are not
    trained to feed it, so they may know more than this shows; a probe is fitted to them. If norms stand before the
    blocks (`model.norm_position=pre`), the final norm is applied to the vectors of each layer, as to those of the last.

    Args:
      bert: the model.
      text: a text or a pair with a `[MASK]`.
      mask: which `[MASK]`, from 0.
      top: how many words.

    Raises:
      CheckpointError: the model was not trained to predict words.
      TokenizerError: there is no such mask, or the text is too long.
    """
    objective = bert.objective(MaskedWords, "predict words")
    row, tokenizer = TextRow.of(bert, text), bert.tokenizer
    place = row.place_of_mask(tokenizer, mask)
    states, _ = bert.intermediates(row.batch)
    logits = bert.cached(_word_head, objective.name)(bert.params, states[:, 0, place])
    shares = np.asarray(jax.nn.softmax(logits[:, : tokenizer.vocab_size], axis=-1))
    best = np.argsort(-shares, axis=-1, kind="stable")[:, :top]
    words = [[tokenizer.decode([i]).strip() for i in each] for each in best.tolist()]
    return LayerPredictions(words, np.take_along_axis(shares, best, axis=-1), shares[:, best[-1, 0]])


def _word_head(bert: Pretrained, name: str) -> Any:
    """A compiled function of parameters and vectors [n, H] to the logits of words [n, V]."""
    head = bert.objective(MaskedWords, "predict words").head(bert.config)(name)

    def logits(params: Any, vectors: jax.Array) -> jax.Array:
        if "final_norm" in params["bert"]["encoder"]:
            norm = {"params": params["bert"]["encoder"]["final_norm"]}
            vectors = jnp.asarray(make_norm(bert.config).apply(norm, vectors))
        hidden = vectors.astype(bert.config.dtype)[:, None]
        encoded = Encoded(hidden, lambda: hidden, params["bert"]["embeddings"]["word"], None, None)
        first = {"masked_positions": jnp.zeros((len(vectors), 1), jnp.int32)}
        return jnp.asarray(head.apply({"params": params.get(name, {})}, encoded, first))[:, 0]

    return jax.jit(logits)


def layer_probes(bert: Pretrained, path: epath.PathLike, num_examples: int = 2000) -> LayerProbes:
    """Fits a linear classifier to each layer, and scores it. The model itself is not changed.

    Which examples are used, and which of them are scored, depends on hashes of their texts: see `tasks.probes`.

    Args:
      bert: the model.
      path: a labelled file, as `experiments.finetune` reads. Texts that are longer than the model takes lose their end.
      num_examples: how many of its examples to use, at most; a fifth of them are scored.

    Raises:
      BertJaxError: the file cannot be read, or has too few examples or labels.
    """
    (probe,) = open_probes(
        EvalConfig(probes=f"file={path}", probe_examples=num_examples), bert.tokenizer, bert.max_tokens
    )
    pooled = bert.cached(_pooled_layers)
    core = {name: probe.rows[name] for name in CORE}
    count = len(probe.labels)
    found = [np.asarray(pooled(bert.params, batch)) for batch in cut(core, min(ROWS_AT_ONCE, count))]
    features = np.concatenate(found, axis=1)[:, :count]
    scores = [probe.score(layer) for layer in features]

    def values(name: str) -> np.ndarray:
        return np.array([each.get(f"probe_{probe.name}_{name}", np.nan) for each in scores], np.float32)

    used = probe.labels >= 0
    return LayerProbes(
        accuracy=values("accuracy"),
        macro_f1=values("macro_f1"),
        majority_accuracy=float(values("majority")[0]),
        majority_macro_f1=float(values("majority_macro_f1")[0]),
        num_fitted=int((used & ~probe.scored).sum()),
        num_scored=int((used & probe.scored).sum()),
    )


def _pooled_layers(bert: Pretrained) -> Any:
    """A compiled function of parameters and a batch to each layer's means of examples, float32 [L + 1, B, N, H]."""
    model = Composite(bert.config, ())

    def pooled(params: Any, batch: Batch) -> jax.Array:
        _, inside = with_intermediates(model, params, batch)
        return jnp.stack([mean_pool(states.astype(jnp.float32), batch) for states in inside.hidden_states])

    return jax.jit(pooled)
