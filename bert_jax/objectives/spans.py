"""The start and end of a span in each example: extractive question answering (Devlin et al. 2018).

An example is a question and a window of its passage. If the window does not hold the answer, its span is [CLS] alone.
"""

import dataclasses
import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from bert_jax import losses
from bert_jax.batch import Batch, Column, real_tokens
from bert_jax.losses import Loss, Outcome
from bert_jax.model.composite import MakeHead
from bert_jax.model.config import ModelConfig
from bert_jax.model.flops import head_flops
from bert_jax.model.heads import SpanLogits, SpansHead
from bert_jax.model.pooling import members
from bert_jax.objectives.answer_scores import CHARACTERS, RUN, WORDS, score_answers
from bert_jax.objectives.answer_windows import Decoded, Window, join_all
from bert_jax.objectives.objective import Objective
from bert_jax.scores import Score

WINDOWS = "span_windows"  # column of the held-out set: objects [B, N], an `answer_windows.Window` for each example
DECODED = 3  # spans of each window that are scored: the best one may have no text


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spans(Objective):
    """The mean of the start's and the end's cross-entropy over an example's own tokens.

    Answers are scored as texts if the held-out set has the column `span_windows`, which stays on the host.

    Attributes:
      has_unanswerable: whether a question may have no answer.
      null_threshold: "no answer" is said if its score is higher than the best answer's by more than this. None: the
        best threshold for the set that is scored, and 0 for new questions.
      units: what answers are made of when they are scored: `words` or `characters`, which are scored by words, too;
        see `answer_scores`.
      max_answer_tokens: the longest answer.
    """

    name: str = "span"
    has_unanswerable: bool = False
    null_threshold: float | None = None
    units: str = WORDS
    max_answer_tokens: int = 30

    @property
    def title(self) -> str:
        return "the start and the end of a span"

    @property
    def columns(self) -> dict[str, Column]:
        return {
            "span_starts": Column("BN", np.int32, "S"),  # position in the example of the span's first token
            "span_ends": Column("BN", np.int32, "S"),  # position in the example of its last token
            "span_weights": Column("BN", np.float32),  # 1 where there is a span, else 0
            "span_firsts": Column("BN", np.int32, "S"),  # position in the example of the first token of B
        }

    def head(self, config: ModelConfig) -> MakeHead:
        return lambda name: SpansHead(config, name=name)

    def outcome(self, prediction: SpanLogits, batch: Batch) -> Outcome:
        first, weights = batch["cls_positions"], batch["span_weights"]
        # Without a span, the places need not be in the row.
        starts, ends = (jnp.where(weights > 0, batch[f"span_{name}"] + first, 0) for name in ("starts", "ends"))
        values = losses.cross_entropies(prediction.start, starts) + losses.cross_entropies(prediction.end, ends)
        # An example without a span has labels outside of it, whose cross-entropies overflow when added.
        values = jnp.where(weights > 0, values, 0.0)
        right = losses.hits(prediction.start, starts) & losses.hits(prediction.end, ends)
        loss = Loss(losses.weighted_sum(values / 2, weights), self.coefficient)
        return Outcome({f"{self.name}_loss": loss}, {f"{self.name}_accuracy": losses.weighted_sum(right, weights)})

    def decode(self, prediction: SpanLogits, batch: Batch) -> dict[str, jax.Array]:
        """Returns the fields of `answer_windows.Decoded`, with B and N in place of windows; see `best_spans`."""
        return best_spans(prediction, batch, DECODED, self.max_answer_tokens)._asdict()

    @property
    def scores(self) -> tuple[Score, ...]:
        name, kinds = self.name, (("f1", "F1"), ("exact", "exact match"))
        titles = {CHARACTERS: " by characters", WORDS: " by words", RUN: " of the longest run"}
        titles = titles if len(self.rules) > 1 else {self.rules[0]: ""}
        found = []
        for rules in self.rules:
            ending = "" if rules == self.rules[0] else f"_{rules}"
            for kind, title in kinds if rules != RUN else kinds[:1]:
                base = f"{name}_constant_{kind}{ending}"
                shown = f"answers, {title}{titles[rules]}"
                found.append(Score(f"{name}_{kind}{ending}", shown, False, base, "none, or the most frequent place"))
        if self.has_unanswerable:
            found += [
                Score(f"{name}_{kind}_answerable", f"answers, {title} where there is one") for kind, title in kinds
            ]
            found.append(Score(f"{name}_unanswerable", "answers, none where there is none"))
        accuracy = Score(
            f"{name}_accuracy",
            f"{name}, start and end both right",
            False,
            f"{name}_majority",
            "the most frequent place",
        )
        return *found, accuracy, Score(f"{name}_loss", f"{name}, loss in nats", True)

    @property
    def rules(self) -> tuple[str, ...]:
        """The sets of rules by which answers are scored, the main one first; see `answer_scores`."""
        return (WORDS,) if self.units == WORDS else (CHARACTERS, WORDS, RUN)

    def calibrated(self, scores: Mapping[str, float]) -> "Spans":
        threshold = scores.get(f"{self.name}_null_threshold")
        return self if threshold is None else dataclasses.replace(self, null_threshold=threshold)

    def judge(self, decoded: Mapping[str, np.ndarray], held_out: Batch) -> dict[str, float]:
        used, windows = _windows(held_out)
        if not windows:
            return {}
        found = join_all(windows, Decoded(*(decoded[name][used] for name in Decoded._fields)), 1)
        golds, said = [asked.answers for asked, _ in found], [candidates.text for _, candidates in found]
        nulls = np.array([candidates.null_difference for _, candidates in found])
        if not self.has_unanswerable:
            return self._named(score_answers(self.rules, golds, said))
        return self._named(score_answers(self.rules, golds, said, nulls, self.null_threshold))

    def baselines(self, held_out: Batch) -> dict[str, float]:
        """Scores of always giving the place within the example that is the most frequent in the held-out set.

        Answers as texts: the better one of giving none, and of the most frequent place in the passage.
        """
        counted = held_out["span_weights"] > 0
        ends = np.stack([held_out["span_starts"][counted], held_out["span_ends"][counted]], axis=1)
        if not len(ends):
            return {}
        found = {f"{self.name}_majority": _most_frequent(ends)[1] / len(ends)}
        _, windows = _windows(held_out)
        inside = ends - held_out["span_firsts"][counted][:, None]
        inside = inside[inside[:, 0] >= 0]
        if not windows or not len(inside):
            return found
        (start, end), _ = _most_frequent(inside)
        first = {window.asked.number: window for window in reversed(windows)}  # of each question, its first window
        golds = [window.asked.answers for window in first.values()]
        there = [window.cut(window.first + start, window.first + end) for window in first.values()]
        scores = [score_answers(self.rules, golds, said) for said in (there, [""] * len(golds))]
        return found | {f"{self.name}_constant_{kind}": max(one[kind] for one in scores) for kind in scores[0]}

    def flops(self, config: ModelConfig, batch: Batch) -> float:
        return head_flops(config, real_tokens(batch), 2)

    def _named(self, scores: Mapping[str, float]) -> dict[str, float]:
        return {f"{self.name}_{kind}": value for kind, value in scores.items()}


@functools.partial(jax.jit, static_argnums=(2, 3))
def best_spans(logits: SpanLogits, batch: Batch, count: int, longest: int) -> Decoded:
    """Finds the spans of each example with the highest sums of two logits, exactly.

    A span lies in B, which begins at `span_firsts` and ends before the last token, and its end is not before its start.

    Args:
      logits: float32 [B, N, S].
      batch: the core columns and `span_firsts`.
      count: n, how many.
      longest: the most tokens of a span.

    Returns:
      Positions in the example, int32 [B, N, n], and scores, float32 [B, N, n], descending; -inf if there are fewer
      spans. The score of [CLS] alone, float32 [B, N].
    """
    inside, first = members(batch), batch["cls_positions"]
    width = inside.shape[-1]
    longest = min(longest, width)
    position = batch["position_ids"][:, None]
    last = inside.sum(-1, keepdims=True) - 2  # before the final separator
    allowed = inside & (position >= batch["span_firsts"][..., None]) & (position <= last)
    starts, ends = (jnp.where(allowed, one, -jnp.inf) for one in (logits.start, logits.end))
    # A start of one of the best spans is one of the best starts, each with its best end.
    window = (1, 1, longest)
    best_ends = jax.lax.reduce_window(
        ends, -jnp.inf, jax.lax.max, window, (1, 1, 1), ((0, 0), (0, 0), (0, longest - 1))
    )
    _, start = jax.lax.top_k(starts + best_ends, min(count, width))
    end = start[..., None] + jnp.arange(longest)  # [B, N, n, longest]
    flat = jnp.minimum(end, width - 1).reshape(*start.shape[:2], -1)
    end_scores = jnp.take_along_axis(ends, flat, axis=-1).reshape(end.shape)
    sums = jnp.take_along_axis(starts, start, axis=-1)[..., None] + jnp.where(end < width, end_scores, -jnp.inf)
    sums = sums.reshape(*start.shape[:2], -1)
    scores, place = jax.lax.top_k(sums, min(count, sums.shape[-1]))
    start = jnp.take_along_axis(start, place // longest, axis=-1)
    null = [jnp.take_along_axis(one, first[..., None], axis=-1)[..., 0] for one in logits]
    return Decoded(start - first[..., None], start + place % longest - first[..., None], scores, sum(null))


def _windows(held_out: Batch) -> tuple[np.ndarray, list[Window]]:
    """Which slots hold a window of a question, bool [B, N], and the windows."""
    column = held_out.get(WINDOWS, np.zeros((0, 0), object))
    used = np.vectorize(lambda one: isinstance(one, Window), otypes=[bool])(column)
    return used, column[used].tolist()


def _most_frequent(ends: np.ndarray) -> tuple[tuple[int, int], int]:
    """The most frequent pair of [spans, 2], and how often it is there."""
    pairs, counts = np.unique(ends, axis=0, return_counts=True)
    start, end = pairs[counts.argmax()].tolist()
    return (start, end), int(counts.max())
