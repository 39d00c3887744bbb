"""What stands out in predicted answers: how many are right, partly right and wrong, and the worst errors."""

from collections.abc import Mapping, Sequence
from typing import Any

from bert_jax.markdown import excerpt, table

SHOWN_ERRORS, SHOWN_TEXT = 10, 120  # examples, characters


def answer_findings(predictions: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns lines of Markdown about predictions of questions whose answers are known."""
    if not predictions:
        return []
    return [*_counts(predictions), *_worst(predictions)]


def _counts(predictions: Sequence[Mapping[str, Any]]) -> list[str]:
    """How predictions match, where the passage has an answer and where it has none."""
    rows = []
    for title, group in (
        ("an answer", [one for one in predictions if one["gold"]]),
        ("none", [one for one in predictions if not one["gold"]]),
    ):
        if group:
            none = sum(not one["predicted"] for one in group)
            exact = sum(one["exact"] == 1 for one in group)
            partly = sum(one["f1"] > 0 and one["exact"] < 1 for one in group)
            wrong = len(group) - exact - partly
            rows.append([title, *map(str, (len(group), exact, partly, wrong, none))])
    head = ["the passage has", "questions", "exactly right", "partly right", "wrong", "no answer said"]
    return table(head, rows, True)


def _worst(predictions: Sequence[Mapping[str, Any]]) -> list[str]:
    """The errors in which the model was surest."""
    wrong = [one for one in predictions if one["f1"] == 0]
    sure = sorted(wrong, key=lambda one: -one["probability"])[:SHOWN_ERRORS]
    head = f"{len(wrong):,} of {len(predictions):,} answers have nothing of a true one."
    if not sure:
        return [f"{head}\n"]
    rows = [
        [
            *(
                excerpt(text, SHOWN_TEXT)
                for text in (one["question"], one["gold"][0] if one["gold"] else "none", one["predicted"] or "none")
            ),
            f"{one['probability']:.3f}",
        ]
        for one in sure
    ]
    about = f"{head} Those in which the model was surest:\n"
    return [about, *table(["question", "a true answer", "predicted", "probability"], rows)]
