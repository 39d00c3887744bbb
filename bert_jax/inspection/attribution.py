"""Which tokens of a text a prediction is due to: integrated gradients, and occlusion as a check of them.

Both move the word vectors of a text towards a baseline, in which every token but the special ones is padding. What is
attributed is the change of the prediction's score from the baseline to the text.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bert_jax.batch import Batch
from bert_jax.errors import ConfigError
from bert_jax.inspection.question import Question, ScoreFn
from bert_jax.inspection.targets import Target
from bert_jax.model.bert import Bert
from bert_jax.model.pooling import embed
from bert_jax.objectives.learner import Learner
from bert_jax.pretrained import Pretrained

TOKENS_AT_ONCE = 2048  # of the copies of a row that are in memory together


@dataclasses.dataclass(frozen=True, repr=False)
class Attribution:
    """What each of n tokens adds to the score of a prediction.

    Attributes:
      tokens: the n tokens; special ones have the score 0.
      scores: float32 [n], in the unit of the score (nats, if it is a log-probability). Tokens above 0 speak for the
        prediction, those below against it.
      change: the score of the text less that of the baseline.
      gap: the change less the sum of the scores, which is 0 for exact integrated gradients.
      target: the prediction, for people.
      method: how it was attributed.
      begins_word: bool [n], False for a token that goes on a word.
      unit: that of the scores; empty if they have none.
    """

    tokens: list[str]
    scores: np.ndarray
    change: float
    gap: float
    target: str
    method: str
    begins_word: np.ndarray
    unit: str

    def __repr__(self) -> str:
        best = sorted(zip(self.scores.tolist(), self.tokens, strict=True), key=lambda pair: -abs(pair[0]))[:3]
        most = ", ".join(f"{token} {score:+.2f}" for score, token in best)
        return f"Attribution({self.target}, {self.method}: {self.summary}; most: {most})"

    @property
    def summary(self) -> str:
        """The change, and the gap as a share of it, as text."""
        change = f"change {self.change:+.3f} {self.unit}".rstrip()
        if not self.change:
            return f"{change}, gap {self.gap:+.4f}"
        percent = 100 * self.gap / self.change
        return f"{change}, gap below 0.01 %" if abs(percent) < 0.01 else f"{change}, gap {percent:+.2f} %"


def integrated_gradients(bert: Pretrained, text: Any, target: Target, num_steps: int = 256) -> Attribution:
    """Attributes a prediction to the tokens of its text (Sundararajan et al. 2017, arXiv 1703.01365).

    The gradients are those with respect to the word vectors, integrated along the straight line from the baseline. They
    are taken at the points of Gauss and Legendre, which need far fewer steps than equal ones. Everything is computed in
    float32, whatever the model's dtype.

    Args:
      bert: the model.
      text: as the target takes it: a text, a pair, or a list of words.
      target: the prediction, see `targets.py`.
      num_steps: points on the line, above 0. Time grows with it, memory does not.

    Raises:
      BertJaxError: see `Target.question`.
    """
    if num_steps < 1:
        raise ConfigError(f"num_steps={num_steps} must be at least 1.")
    question = target.question(bert, text)
    points, weights = np.polynomial.legendre.leggauss(num_steps)
    away = _away(bert, question)
    total = np.zeros(away.shape)
    for some, share in _batches(np.outer((1 - points) / 2, np.ones(len(away))), 0.5 * weights):
        slopes = _gradients(bert, question, some[..., None] * away)
        total += np.einsum("k,ksh->sh", share, slopes, dtype=np.float64)
    return _attribution(bert, question, "integrated gradients", (total * -away).sum(-1))


def occlusion(bert: Pretrained, text: Any, target: Target) -> Attribution:
    """Attributes a prediction by leaving out one token at a time: the score is what is lost when it becomes padding.

    Unlike integrated gradients, these do not add up to the change: of tokens that say the same, none may be missed, and
    tokens that only say something together are each missed as much as all of them. The gap shows by how much.

    Args:
      bert: the model.
      text: as the target takes it.
      target: the prediction.

    Raises:
      BertJaxError: see `Target.question`.
    """
    question = target.question(bert, text)
    alone = np.eye(question.row.batch["token_ids"].shape[1])
    (whole,) = _scores(bert, question, np.zeros_like(alone[:1]))
    return _attribution(bert, question, "occlusion", whole - _scores(bert, question, alone))


def word_gradients(bert: Pretrained, text: Any, target: Target) -> np.ndarray:
    """Returns the gradient of a prediction's score with respect to the word vector of each token, float32 [n, H]."""
    question = target.question(bert, text)
    return _gradients(bert, question, np.zeros((1, *_away(bert, question).shape)))[0, : len(question.row.tokens)]


def _attribution(bert: Pretrained, question: Question, method: str, found: np.ndarray) -> Attribution:
    """Makes an attribution of the scores of a row's tokens, float64 [S]."""
    row, size = question.row, question.row.batch["token_ids"].shape[1]
    baseline, whole = _scores(bert, question, np.outer([1, 0], np.ones(size)))
    change = float(whole - baseline)
    tokens = found[: len(row.tokens)].astype(np.float32)
    gap = change - float(found.sum())
    return Attribution(row.tokens, tokens, change, gap, question.title, method, row.begins_word, question.unit)


def _away(bert: Pretrained, question: Question) -> np.ndarray:
    """The way of each word vector to the baseline, float32 [S, H]: zeros for tokens that are kept, and for padding."""
    row = question.row
    table = bert.params["bert"]["embeddings"]["word"]
    way = np.zeros((row.batch["token_ids"].shape[1], table.shape[1]), np.float32)
    moved = np.flatnonzero(~row.is_frame)
    way[moved] = np.asarray(table[bert.tokenizer.pad_id] - table[row.ids[moved]])
    return way


def _scores(bert: Pretrained, question: Question, shares: np.ndarray) -> np.ndarray:
    """The scores of m copies of a row, float64 [m].

    Args:
      bert: the model.
      question: the row and the score.
      shares: [m, S], how much of the way to the baseline each token has gone: 0 none, 1 all.
    """
    away = _away(bert, question)
    found = [
        np.asarray(_compiled(bert, question)[0](some[..., None] * away, *_inputs(bert, question)), np.float64)
        for some, _ in _batches(shares, np.ones(len(shares)))
    ]
    return np.concatenate(found)[: len(shares)]


def _gradients(bert: Pretrained, question: Question, moves: np.ndarray) -> np.ndarray:
    """The gradients of the scores of m copies of a row with respect to their word vectors, float32 [m, S, H].

    Args:
      bert: the model.
      question: the row and the score.
      moves: [m, S, H], what is added to each word vector.
    """
    return np.asarray(_compiled(bert, question)[1](moves.astype(np.float32), *_inputs(bert, question)))


def _batches(shares: np.ndarray, weights: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields copies of a row, so many at once as fit; the last ones are filled up with copies of weight 0.

    Args:
      shares: [m, S].
      weights: [m], of the copies.
    """
    at_once = max(1, TOKENS_AT_ONCE // shares.shape[1])
    for begin in range(0, len(shares), at_once):
        some, weight = shares[begin : begin + at_once], weights[begin : begin + at_once]
        rest = at_once - len(some)
        yield np.pad(some, ((0, rest), (0, 0))).astype(np.float32), np.pad(weight, (0, rest))


def _inputs(bert: Pretrained, question: Question) -> tuple[Any, Batch, np.ndarray]:
    return bert.params, question.batch, question.index


def _compiled(bert: Pretrained, question: Question) -> tuple[Any, Any]:
    return bert.cached(_score_and_gradient, question.objective, question.score)


def _score_and_gradient(bert: Pretrained, objective: str, score: ScoreFn) -> tuple[Any, Any]:
    """Compiled functions of (moves [m, S, H], parameters, row, index): the scores [m], and their gradients."""
    config = dataclasses.replace(bert.config, dtype="float32")
    heads = tuple(one for one in bert.objectives if one.name == objective)

    def predict(moves: jax.Array, params: Any, batch: Batch) -> Any:
        variables = {"params": params, "moves": {"bert": {"embeddings": {"words": moves}}}}
        if heads:
            said: Any = Learner(config, heads).model.apply(variables, batch)
            return said[objective]
        body = {kind: values["bert"] for kind, values in variables.items()}
        hidden: Any = Bert(config).apply(body, batch, method="encode")
        return embed(hidden, batch, bert.pooling)

    def scores(moves: jax.Array, params: Any, row: Batch, index: jax.Array) -> jax.Array:
        batch = {name: jnp.repeat(column, len(moves), axis=0) for name, column in row.items()}
        with jax.default_matmul_precision("highest"):
            return score(predict(moves, params, batch), index)

    # A copy's score depends on its own vectors alone, so the gradient of the sum is that of each.
    return jax.jit(scores), jax.jit(jax.grad(lambda *inputs: scores(*inputs).sum()))
