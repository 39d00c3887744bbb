"""One number that a model says of a text, and how it is found in the output of each kind of head."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bert_jax.batch import Batch
from bert_jax.inspection.text_row import TextRow
from bert_jax.model.heads import SpanLogits

# From what the head says of B rows, and which part of it is meant, to the score of each row, float32 [B].
ScoreFn = Callable[[Any, jax.Array], jax.Array]


@dataclasses.dataclass(frozen=True)
class Question:
    """A text, and one number that a model says of it.

    Attributes:
      title: what the number is, for people.
      row: the text.
      objective: the name of the head; empty: the embedding of the text.
      columns: what the head reads besides the core columns, of one row.
      score: finds the number in what the head says. It is a function of a module, so that it is compiled once.
      index: which part of it is meant.
    """

    title: str
    row: TextRow
    objective: str
    columns: Batch
    score: ScoreFn
    index: np.ndarray

    @property
    def unit(self) -> str:
        """The unit of the score; empty for numbers that have none."""
        return "" if self.score in (number_score, similarity) else "nats"

    @property
    def batch(self) -> Batch:
        """The row, with all that the head reads."""
        return self.row.batch | self.columns


def word_score(logits: jax.Array, index: jax.Array) -> jax.Array:
    known = jnp.arange(logits.shape[-1]) < index[1]  # a word table may have more rows, which mean nothing
    shares = jax.nn.log_softmax(jnp.where(known, logits[:, 0], -jnp.inf), axis=-1)
    return shares[:, index[0]]


def class_score(logits: jax.Array, index: jax.Array) -> jax.Array:
    return jax.nn.log_softmax(logits[:, 0], axis=-1)[:, index]


def label_score(logits: jax.Array, index: jax.Array) -> jax.Array:
    return jax.nn.log_sigmoid(logits[:, 0, index])


def number_score(logits: jax.Array, index: jax.Array) -> jax.Array:
    return logits[:, 0, index]


def tag_score(logits: jax.Array, index: jax.Array) -> jax.Array:
    return jax.nn.log_softmax(logits[:, index[0]], axis=-1)[:, index[1]]


def sentence_score(logits: jax.Array, index: jax.Array) -> jax.Array:
    return jax.nn.log_sigmoid(logits[:, index, 0])


def span_score(logits: SpanLogits, index: jax.Array) -> jax.Array:
    start, end = (jax.nn.log_softmax(each[:, 0], axis=-1) for each in logits)
    return start[:, index[0]] + end[:, index[1]]


def similarity(vectors: jax.Array, other: jax.Array) -> jax.Array:
    return vectors[:, 0] @ other / jnp.linalg.norm(vectors[:, 0], axis=-1)
