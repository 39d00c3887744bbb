"""What stands out in the predictions of labels: confusions, calibration and the worst errors, as Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bert_jax.markdown import excerpt, plain, table
from bert_jax.objectives import agreement

SHOWN_CLASSES = 12  # in a table of confusions; of more classes, the most frequent confusions are listed
SHOWN_ERRORS, SHOWN_TEXT = 10, 160  # examples, characters
BINS = 10

Predictions = Sequence[Mapping[str, Any]]


def label_findings(predictions: Predictions) -> list[str]:
    """Returns lines of Markdown about predictions of one label, several labels, or a number."""
    if not predictions:
        return []
    if "probabilities" not in predictions[0]:
        return _worst_numbers(predictions)
    if isinstance(predictions[0]["predicted"], list):
        return [*_label_counts(predictions), *_calibration(predictions), *_worst(predictions)]
    return [*_confusions(predictions), *_calibration(predictions), *_worst(predictions)]


def _confusions(predictions: Predictions) -> list[str]:
    names = list(predictions[0]["probabilities"])
    places = {name: i for i, name in enumerate(names)}
    gold, said = (np.array([places[one[key]] for one in predictions]) for key in ("gold", "predicted"))
    counts = agreement.confusion_matrix(gold, said, len(names))
    hits, most = int((gold == said).sum()), np.bincount(gold).max() / len(gold)
    low, high = agreement.share_interval(hits, len(gold)) or (0.0, 1.0)
    lines = [
        f"{hits:,} of {len(gold):,} are right, {hits / len(gold):.3f} (95 % interval {low:.3f} to {high:.3f});"
        f" the most frequent label alone has {most:.3f}.\n"
    ]
    if len(np.unique(said)) == 1:
        lines.append(f"**Only one label is ever predicted: {plain(names[said[0]])}.** The model tells nothing apart.\n")
    if len(names) <= SHOWN_CLASSES:
        rows = [[plain(name), *map(str, row)] for name, row in zip(names, counts.tolist(), strict=True)]
        return [
            *lines,
            "Rows are the true labels, columns the predicted ones:\n",
            *table(["", *map(plain, names)], rows, True),
        ]
    wrong = counts * (1 - np.eye(len(names), dtype=np.int64))
    order = np.argsort(-wrong, axis=None, kind="stable")[:SHOWN_ERRORS]
    pairs = [(*np.unravel_index(place, wrong.shape), wrong.flat[place]) for place in order if wrong.flat[place]]
    rows = [[plain(names[i]), plain(names[j]), str(count)] for i, j, count in pairs]
    return (
        [*lines, "The most frequent confusions:\n", *table(["true", "predicted", "examples"], rows)] if rows else lines
    )


def _label_counts(predictions: Predictions) -> list[str]:
    """How often each of several labels is true, predicted, and both."""
    rows = []
    for name in predictions[0]["probabilities"]:
        gold, said = (np.array([name in one[key] for one in predictions]) for key in ("gold", "predicted"))
        f1 = agreement.class_f1(gold.astype(int), said.astype(int), 1)
        score = "undefined" if f1 is None else f"{f1:.3f}"
        rows.append([plain(name), *(str(int(x.sum())) for x in (gold, said, gold & said)), score])
    return table(["label", "true", "predicted", "both", "F1"], rows, True)


def _calibration(predictions: Predictions) -> list[str]:
    names = list(predictions[0]["probabilities"])
    places = {name: i for i, name in enumerate(names)}
    several = isinstance(predictions[0]["predicted"], list)
    if several:
        gold = np.array([[name in one["gold"] for name in names] for one in predictions])
    else:
        gold = np.array([places[one["gold"]] for one in predictions])
    found = agreement.calibration(gold, np.array([list(one["probabilities"].values()) for one in predictions]), BINS)
    if found is None:
        return []
    rows = [
        [f"{one.low:.1f} to {one.high:.1f}", str(one.count), f"{one.probability:.3f}", f"{one.right:.3f}"]
        for one in found.bins
        if one.probability is not None
    ]
    about = f"Calibration: probabilities are off by {found.error:.3f} on average (expected calibration error).\n"
    return [about, *table(["probability", "predictions", "mean probability", "share right"], rows, True)]


def _worst(predictions: Predictions) -> list[str]:
    """The errors in which the model was surest."""
    wrong = [one for one in predictions if one["gold"] != one["predicted"]]
    sure = sorted(((max(one["probabilities"].values()), one) for one in wrong), key=lambda pair: -pair[0])
    rows = [
        [_shown(one), plain(_text(one["gold"])), plain(_text(one["predicted"])), f"{probability:.3f}"]
        for probability, one in sure[:SHOWN_ERRORS]
    ]
    head = f"{len(wrong):,} of {len(predictions):,} are wrong."
    if not rows:
        return [f"{head}\n"]
    return [
        f"{head} Those in which the model was surest:\n",
        *table(["text", "true", "predicted", "probability"], rows),
    ]


def _worst_numbers(predictions: Predictions) -> list[str]:
    far = sorted(predictions, key=lambda one: -abs(one["gold"] - one["predicted"]))[:SHOWN_ERRORS]
    rows = [[_shown(one), f"{one['gold']:g}", f"{one['predicted']:.3f}"] for one in far]
    return ["The largest errors:\n", *table(["text", "true", "predicted"], rows)]


def _shown(one: Mapping[str, Any]) -> str:
    """The text, or both texts, of an example, cut and escaped."""
    return " — ".join(excerpt(one[key], SHOWN_TEXT) for key in ("text", "pair") if key in one)


def _text(label: Any) -> str:
    return ", ".join(label) or "none" if isinstance(label, list | tuple) else str(label)
