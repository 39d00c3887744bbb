"""A linear probe: how well a linear classifier tells labels from the frozen features of a model.

The classifier is multinomial logistic regression, fitted anew at each evaluation. Nothing of it reaches the training.
"""

import dataclasses

import numpy as np
from scipy import optimize

from bert_jax.batch import Batch
from bert_jax.objectives.agreement import accuracy, macro_f1
from bert_jax.scores import Score

# The weight of the penalty beside the mean loss of an example; in scikit-learn, C = 1 / (PENALTY * examples).
PENALTY = 0.01
MOST_ITERATIONS = 500


@dataclasses.dataclass(frozen=True)
class LinearProbe:
    """Labelled examples in rows, a part to fit a linear classifier to and the other to score it on.

    Attributes:
      name: the accuracy is logged as `eval/probe_NAME_accuracy`.
      title: what the titles of its scores end in.
      rows: the core columns.
      labels: int [rows, N], from 0; -1 in slots without an example.
      scored: bool [rows, N], True for the examples of the scored part.
      fingerprint: identifies the examples.
      lines: describe them in the log.
    """

    name: str
    title: str
    rows: Batch
    labels: np.ndarray
    scored: np.ndarray
    fingerprint: str
    lines: tuple[str, ...] = ()

    @property
    def scores(self) -> tuple[Score, ...]:
        """Accuracy and macro-F1, beside those of always giving the most frequent label of the fitted part."""
        return tuple(
            Score(
                f"probe_{self.name}_{kind}",
                f"{title} of a linear probe, {self.title}",
                baseline=f"probe_{self.name}_majority{suffix}",
                baseline_title="majority",
            )
            for kind, title, suffix in (("accuracy", "accuracy", ""), ("macro_f1", "macro-F1", "_macro_f1"))
        )

    def score(self, features: np.ndarray) -> dict[str, float]:
        """Fits the classifier and scores it.

        Args:
          features: float [rows, N, H].

        Returns:
          The scores and their baselines, by name. If a feature is not finite, the scores are undefined and left out.
        """
        fitted, scored = (self.labels >= 0) & ~self.scored, (self.labels >= 0) & self.scored
        gold, known = self.labels[scored], self.labels[fitted]
        found = self._named("majority", "majority_macro_f1", gold, np.full_like(gold, np.bincount(known).argmax()))
        if np.isfinite(features).all():
            predicted = classify(features[fitted], known, features[scored])
            found |= self._named("accuracy", "macro_f1", gold, predicted)
        return found

    def _named(self, first: str, second: str, gold: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
        values = {first: accuracy(gold, predicted), second: macro_f1(gold, predicted)}
        return {f"probe_{self.name}_{name}": value for name, value in values.items() if value is not None}


def classify(features: np.ndarray, labels: np.ndarray, unseen: np.ndarray, penalty: float = PENALTY) -> np.ndarray:
    """Fits a logistic regression to labelled features, and returns its labels of others.

    It minimises the mean cross-entropy plus penalty / 2 · ‖W‖² over W; biases are free. The problem is convex, and it
    is solved from zeros by L-BFGS in float64, so the result depends on the arguments alone.

    Args:
      features: float [examples, H]. They are standardised: each has mean 0 and deviation 1 over these examples.
      labels: int [examples], from 0.
      unseen: float [others, H].
      penalty: above 0.

    Returns:
      int [others].
    """
    x, num_classes = features.astype(np.float64), int(labels.max()) + 1
    mean, deviation = x.mean(0), x.std(0)
    # A feature that is constant up to rounding says nothing; divided by its deviation, it would be noise.
    scale = np.where(deviation > 1e-6 * np.abs(mean) + 1e-30, 1 / np.maximum(deviation, 1e-30), 0)
    x, others = (x - mean) * scale, (unseen.astype(np.float64) - mean) * scale
    gold = np.eye(num_classes)[labels]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        both = flat.reshape(-1, num_classes)
        weights, biases = both[:-1], both[-1]
        logits = x @ weights + biases
        logits -= logits.max(1, keepdims=True)
        log_sums = np.log(np.exp(logits).sum(1, keepdims=True))
        slope = (np.exp(logits - log_sums) - gold) / len(x)
        value = ((log_sums - logits) * gold).sum() / len(x) + penalty / 2 * (weights**2).sum()
        return value, np.concatenate([x.T @ slope + penalty * weights, slope.sum(0)[None]]).ravel()

    start = np.zeros((x.shape[1] + 1) * num_classes)
    limits = {"maxiter": MOST_ITERATIONS, "gtol": 1e-6, "ftol": 1e-12}
    solved = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options=limits).x.reshape(-1, num_classes)
    return (others @ solved[:-1] + solved[-1]).argmax(1)
