"""How many directions a model uses: singular values of its weights, effective rank and isotropy of its layers."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from bert_jax.batch import Batch
from bert_jax.errors import ConfigError
from bert_jax.model.composite import Composite
from bert_jax.model.intermediates import with_intermediates
from bert_jax.pretrained import Pretrained, Text

PARTS = ("query", "key", "value")  # of a layer's joint projection


@dataclasses.dataclass(frozen=True)
class Isotropy:
    """How the vectors of tokens are spread, for the embeddings and each of L layers.

    Attributes:
      cosine: float32 [L + 1], the mean cosine of two tokens from different texts: 0 if vectors point everywhere, near 1
        if all are in a narrow cone (Ethayarajh 2019, arXiv 1909.00512).
      effective_rank: float32 [L + 1], of the vectors less their mean; see `effective_rank`.
      num_tokens: how many vectors.
    """

    cosine: np.ndarray
    effective_rank: np.ndarray
    num_tokens: int


def singular_values(params: Any) -> dict[str, np.ndarray]:
    """Returns the singular values of each weight matrix, the largest first.

    Args:
      params: a tree of parameters, such as `bert.params`.

    Returns:
      float64 [min(rows, columns)] by the path of the matrix. A layer's projection to queries, keys and values is three
      matrices; axes for heads are joined.
    """
    found = {}
    for path, value in flax.traverse_util.flatten_dict(params, sep="/").items():
        array = np.asarray(value, np.float64)
        if path.endswith("query_key_value/kernel"):  # [H, heads of keys, queries of each + 2, head size]
            for part, columns in zip(
                PARTS, np.split(array, [array.shape[2] - 2, array.shape[2] - 1], axis=2), strict=True
            ):
                found[path.replace("query_key_value", part)] = _values(columns.reshape(len(array), -1))
        elif path.endswith("output/kernel") and array.ndim == 3:  # [heads, head size, H]
            found[path] = _values(array.reshape(-1, array.shape[-1]))
        elif array.ndim == 2 and not path.endswith("bias"):
            found[path] = _values(array)
    return found


def effective_rank(values: np.ndarray) -> float:
    """Returns the exponential of the entropy of singular values, taken as shares (Roy & Vetterli 2007).

    It is n if n values are equal and all others are 0.
    """
    shares = values[values > 0] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def isotropy(bert: Pretrained, texts: Sequence[Text]) -> Isotropy:
    """Returns how the tokens of some texts are spread in each layer, special tokens included.

    No more than a batch of vectors is in memory at once.

    Args:
      bert: the model.
      texts: at least two; a few hundred sentences are plenty. One that is longer than the model takes loses its end.

    Raises:
      ConfigError: there are fewer than two texts.
    """
    if len(texts) < 2:
        raise ConfigError(f"Isotropy compares tokens of different texts: give at least two, not {len(texts)}.")
    size, count = bert.config.hidden_size, bert.config.num_layers + 1
    total, products = np.zeros((count, size)), np.zeros((count, size, size))
    sums, counts = [], []  # of the unit vectors of each text
    for batch, places in bert.packed_texts(list(texts)):
        states = np.asarray(bert.cached(_hidden_states)(bert.params, batch))
        for row, inside in places:
            vectors = states[:, row, inside].astype(np.float64)
            sums.append((vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).sum(1))
            counts.append(vectors.shape[1])
        for layer, vectors in enumerate(states):
            every = vectors[batch["example_ids"] > 0].astype(np.float64)
            total[layer] += every.sum(0)
            products[layer] += every.T @ every
    lengths, units = np.array(counts), np.array(sums)
    # All pairs, less those within a text.
    pairs = lengths.sum() ** 2 - (lengths**2).sum()
    cosines = ((units.sum(0) ** 2).sum(-1) - (units**2).sum((0, -1))) / pairs
    about_mean = products - total[:, :, None] * total[:, None] / lengths.sum()
    ranks = [effective_rank(_roots(each)) for each in about_mean]
    return Isotropy(cosines.astype(np.float32), np.array(ranks, np.float32), int(lengths.sum()))


def _hidden_states(bert: Pretrained) -> Any:
    """A compiled function of parameters and a batch to the hidden states, float32 [L + 1, B, S, H], and no maps."""
    model = Composite(bert.config, ())

    def states(params: Any, batch: Batch) -> jax.Array:
        _, inside = with_intermediates(model, params, batch)
        return jnp.stack([each.astype(jnp.float32) for each in inside.hidden_states])

    return jax.jit(states)


def _values(matrix: np.ndarray) -> np.ndarray:
    """Singular values by eigenvalues, which is fast for long tables; below 1e-8 of the largest they are noise."""
    return _roots(matrix.T @ matrix if matrix.shape[0] > matrix.shape[1] else matrix @ matrix.T)


def _roots(products: np.ndarray) -> np.ndarray:
    """The singular values of a matrix whose products of columns are given."""
    return np.sqrt(np.maximum(np.linalg.eigvalsh(products)[::-1], 0))
