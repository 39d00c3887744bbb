"""How many directions a model uses: singular values of its weights, effective rank and isotropy of its layers."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import flax.traverse_util
import numpy as np

from bert_jax.errors import ConfigError
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
        if path.endswith("query_key_value/kernel"):  # [H, heads, 3, head size]
            for i, part in enumerate(PARTS):
                found[path.replace("query_key_value", part)] = _values(array[:, :, i].reshape(len(array), -1))
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

    Args:
      bert: the model.
      texts: at least two; a few hundred sentences are plenty.

    Raises:
      ConfigError: there are fewer than two texts.
    """
    if len(texts) < 2:
        raise ConfigError(f"Isotropy compares tokens of different texts: give at least two, not {len(texts)}.")
    states = [one.hidden_states for one in bert.encode(list(texts))]
    cosines, ranks = [], []
    for layer in range(len(states[0])):
        own = [each[layer].astype(np.float64) for each in states]
        units = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in own]
        # All pairs, less those within a text.
        sums = np.stack([each.sum(0) for each in units])
        counts = np.array([len(each) for each in units])
        pairs = counts.sum() ** 2 - (counts**2).sum()
        cosines.append(((sums.sum(0) ** 2).sum() - (sums**2).sum()) / pairs)
        vectors = np.concatenate(own)
        ranks.append(effective_rank(_values(vectors - vectors.mean(0))))
    return Isotropy(np.array(cosines, np.float32), np.array(ranks, np.float32), len(vectors))


def _values(matrix: np.ndarray) -> np.ndarray:
    """Singular values by eigenvalues, which is fast for long tables; below 1e-8 of the largest they are noise."""
    small = matrix.T @ matrix if matrix.shape[0] > matrix.shape[1] else matrix @ matrix.T
    return np.sqrt(np.maximum(np.linalg.eigvalsh(small)[::-1], 0))
