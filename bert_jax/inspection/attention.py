"""What each token of a text attends to, in every layer and head."""

import dataclasses

import numpy as np

from bert_jax.inspection.text_row import TextRow
from bert_jax.pretrained import Pretrained, Text


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

    Beside each stands what it would be if a head looked evenly at all tokens. A head near that value has no preference
    on this text, whatever the number looks like: of S tokens, an even look is about S / 3 tokens far.

    Attributes:
      distance: how far away it looks, in tokens: the mean of |query - key|, weighted by attention. Special tokens count
        like all others, so a head that rests on them looks far.
      entropy: how broadly it looks, in nats: 0 if a query looks at one key, log S if it looks at all alike.
      to_separators: the share of attention to the separators, on which heads rest that have nothing to say
        (Clark et al. 2019, arXiv 1906.04341).
      even_distance, even_entropy, even_to_separators: those of an even look, which depend on the tokens alone.
    """

    distance: np.ndarray
    entropy: np.ndarray
    to_separators: np.ndarray
    even_distance: float
    even_entropy: float
    even_to_separators: float


def attention_maps(bert: Pretrained, text: Text) -> TextAttention:
    """Returns the attention maps of a text, or of a pair of texts. `[MASK]` in it is the mask.

    Raises:
      TokenizerError: the model takes no text that is so long.
    """
    row = TextRow.of(bert, text)
    _, maps = bert.intermediates(row.batch)
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
    for layer in attention.weights:
        reached = (layer.mean(axis=0, dtype=np.float64) + identity) / 2 @ reached
        found.append(reached.astype(np.float32))
    return np.stack(found)


def head_summaries(attention: TextAttention) -> HeadSummaries:
    """Returns what each head does with the text, and what one that looks evenly would do."""
    place = np.arange(len(attention.tokens))
    distances = np.abs(place[:, None] - place)
    # The last token is a separator, and no other token has its name: typed separators are plain characters.
    is_separator = np.array([token == attention.tokens[-1] for token in attention.tokens])

    def summary(weights: np.ndarray) -> tuple[float, float, float]:
        weights = weights.astype(np.float64)  # of one head: all those of a large model would take gigabytes
        logs = np.log(np.where(weights > 0, weights, 1))
        found = (weights * distances).sum(), -(weights * logs).sum(), weights[:, is_separator].sum()
        return tuple(each / len(weights) for each in found)

    found = np.array([[summary(head) for head in layer] for layer in attention.weights], np.float32)
    distance, entropy, to_separators = np.moveaxis(found, -1, 0)
    even = summary(np.full(distances.shape, 1 / len(place)))
    return HeadSummaries(distance, entropy, to_separators, *even)
