"""What each token of a text attends to, in every layer and head."""

import dataclasses

import numpy as np

from bert_jax.inspection.text_row import TextRow
from bert_jax.pretrained import Pretrained


@dataclasses.dataclass(frozen=True)
class TextAttention:
    """The attention within a text of S tokens, in L layers.

    Attributes:
      tokens: the S tokens, special tokens included.
      weights: float32 [L, heads, S, S], how much each query (third axis) attends to each key. The keys of a query sum
        to 1.
    """

    tokens: list[str]
    weights: np.ndarray


@dataclasses.dataclass(frozen=True)
class HeadSummaries:
    """What each head does with a text, as means over the queries; each is float32 [L, heads].

    Attributes:
      distance: how far away it looks, in tokens: the mean of |query - key|, weighted by attention. Special tokens count
        like all others, so a head that rests on them looks far.
      entropy: how broadly it looks, in nats: 0 if a query looks at one key, log S if it looks at all alike.
      to_separators: the share of attention to the separators, on which heads rest that have nothing to say
        (Clark et al. 2019, arXiv 1906.04341).
    """

    distance: np.ndarray
    entropy: np.ndarray
    to_separators: np.ndarray


def attention_maps(bert: Pretrained, text: str, pair: str | None = None) -> TextAttention:
    """Returns the attention maps of a text, or of a pair of texts. `[MASK]` in it is the mask.

    Args:
      bert: the model.
      text: the text.
      pair: the second text of a pair.

    Raises:
      TokenizerError: the model takes no text that is so long.
    """
    row = TextRow.of(bert, text if pair is None else (text, pair))
    _, maps = bert.inside(row.batch)
    size = len(row.tokens)
    return TextAttention(row.tokens, maps[:, 0, :, :size, :size])


def rollout(attention: TextAttention) -> np.ndarray:
    """Returns how much of each token's vector comes from which token of the input, after each layer.

    This is attention rollout (Abnar & Zuidema 2020, arXiv 2005.00928): a layer's heads are averaged, a half is left to
    the residual connection, and the layers are multiplied.

    Returns:
      float32 [L, S, S]: after each layer, for each token (second axis), shares of the input tokens that sum to 1.
    """
    identity = np.eye(len(attention.tokens))
    reached, found = identity, []
    for layer in attention.weights.astype(np.float64).mean(axis=1):
        reached = (layer + identity) / 2 @ reached
        found.append(reached)
    return np.stack(found).astype(np.float32)


def head_summaries(attention: TextAttention) -> HeadSummaries:
    """Returns what each head does with the text."""
    weights = attention.weights.astype(np.float64)
    place = np.arange(len(attention.tokens))
    # The last token is a separator, and no other token has its name: typed separators are plain characters.
    is_separator = np.array([token == attention.tokens[-1] for token in attention.tokens])
    logs = np.log(np.where(weights > 0, weights, 1))
    found = (
        (weights * np.abs(place[:, None] - place)).sum(-1),
        -(weights * logs).sum(-1),
        weights[..., is_separator].sum(-1),
    )
    return HeadSummaries(*(each.mean(-1).astype(np.float32) for each in found))
