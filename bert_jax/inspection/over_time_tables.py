"""A run over time as tables for a terminal."""

from collections.abc import Sequence

import numpy as np

from bert_jax.columns import aligned
from bert_jax.inspection.over_time import OverTime
from bert_jax.reporting.run_scores import scores_of

TITLES = {
    "distance": "Attention distance, tokens",
    "entropy": "Attention entropy, nats",
    "effective_rank": "Effective rank of the vectors",
}


def over_time_lines(found: OverTime) -> list[str]:
    """Returns a table of each quantity, with a row for each step and a column for each layer, then the scores."""
    num_layers = found.distance.shape[1]
    texts = f"{found.num_texts} texts of {found.num_tokens:,} tokens in all"
    lines = [f"{found.run.path}: {len(found.steps)} kept steps, {texts}"]
    for name, title in TITLES.items():
        values: np.ndarray = getattr(found, name)
        first = ["embeddings"] if values.shape[1] > num_layers else []
        head = ["step", "mean", *first, *(f"layer {layer}" for layer in range(num_layers))]
        even = getattr(found, f"even_{name}", None)
        known = "" if even is None else f" ({even:.3f} if a head looks evenly at all tokens)"
        lines += ["", f"{title}{known}", *_table(head, found, [values[:, -num_layers:].mean(1), *values.T])]
    scores = [score for score in scores_of(found.run) if "/" not in score.name]
    columns = {score.title: found.scores(score.name) for score in scores}
    columns = {title: values for title, values in columns.items() if not np.isnan(values).all()}
    if columns:
        lines += ["", "Held-out scores", *_table(["step", *columns], found, list(columns.values()))]
    return lines


def _table(head: Sequence[str], found: OverTime, columns: Sequence[np.ndarray]) -> list[str]:
    rows = [
        [f"{step:,}", *("" if np.isnan(column[i]) else f"{column[i]:.3f}" for column in columns)]
        for i, step in enumerate(found.steps)
    ]
    return aligned([list(head), *rows], num_left=0)
