"""What stands out in the predictions of tags: scores by type, confusions and the worst sentences, as Markdown."""

import collections
from collections.abc import Mapping, Sequence
from typing import Any

from bert_jax.errors import CorpusError
from bert_jax.markdown import plain, table
from bert_jax.objectives import tags
from bert_jax.objectives.entities import Found, entities, score_entities
from bert_jax.objectives.tags import BARE, OUTSIDE

SHOWN_TYPES, SHOWN_CONFUSIONS, SHOWN_SENTENCES, SHOWN_WORDS = 40, 12, 8, 30

Predictions = Sequence[Mapping[str, Any]]


def tag_findings(predictions: Predictions) -> list[str]:
    """Returns lines of Markdown about predicted tags of labelled sentences. Entities are read leniently."""
    if not predictions:
        return []
    gold, said = ([one[key] for one in predictions] for key in ("gold", "predicted"))
    lines = _constant(said)
    scheme = _scheme(gold, said)
    if scheme == BARE:
        by_type, what = _by_tag(gold, said), "tag"
    else:
        by_type, what = score_entities(gold, said).by_type, "type"
        lines.append("Entities by type, read leniently:\n")
    rows = [_row(kind, found) for kind, found in sorted(by_type.items(), key=lambda pair: -pair[1].gold)]
    head = [what, "precision", "recall", "F1", "support", "predicted"]
    lines += table(head, rows[:SHOWN_TYPES], numbers=True)
    if len(rows) > SHOWN_TYPES:
        lines.append(f"The {len(rows) - SHOWN_TYPES:,} rarest are not shown.\n")
    return [*lines, *_confusions(gold, said, scheme), *_worst(predictions)]


def _scheme(gold: Sequence[Sequence[str]], said: Sequence[Sequence[str]]) -> str:
    try:
        return tags.detect([*gold, *said])
    except CorpusError:
        return BARE


def _constant(said: Sequence[Sequence[str]]) -> list[str]:
    only = {tag for one in said for tag in one}
    if len(only) != 1:
        return []
    return [f"**Only one tag is ever predicted: {plain(only.pop())}.** The model tells nothing apart.\n"]


def _by_tag(gold: Sequence[Sequence[str]], said: Sequence[Sequence[str]]) -> dict[str, Found]:
    counts: dict[str, collections.Counter] = {"right": collections.Counter()}
    counts["predicted"] = collections.Counter(tag for one in said for tag in one)
    counts["gold"] = collections.Counter(tag for one in gold for tag in one)
    for true, found in zip(gold, said, strict=True):
        counts["right"].update(tag for tag, other in zip(true, found, strict=True) if tag == other)
    known = sorted(counts["gold"].keys() | counts["predicted"].keys())
    return {tag: Found(**{name: counts[name][tag] for name in counts}) for tag in known}


def _row(kind: str, found: Found) -> list[str]:
    shown = ["undefined" if x is None else f"{x:.3f}" for x in (found.precision, found.recall, found.f1)]
    return [plain(kind) or "(none)", *shown, f"{found.gold:,}", f"{found.predicted:,}"]


def _confusions(gold: Sequence[Sequence[str]], said: Sequence[Sequence[str]], scheme: str) -> list[str]:
    """The words that most often have a wrong tag; of entities, its type, since a wrong border is no confusion."""
    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    for true, found in zip(gold, said, strict=True):
        pairs = zip(*(each if scheme == BARE else _types(each) for each in (true, found)), strict=True)
        counts.update(pair for pair in pairs if pair[0] != pair[1])
    if not counts:
        return []
    rows = [[plain(one), plain(other), f"{n:,}"] for (one, other), n in counts.most_common(SHOWN_CONFUSIONS)]
    return ["The most frequent confusions:\n", *table(["true", "predicted", "words"], rows)]


def _types(sentence: Sequence[str]) -> list[str]:
    """The type of the entity that each word is in, else `O`."""
    found = [OUTSIDE] * len(sentence)
    for one in entities(sentence):
        found[one.first : one.last + 1] = [one.type or "entity"] * (one.last + 1 - one.first)
    return found


def _worst(predictions: Predictions) -> list[str]:
    """The sentences with the most wrong words."""
    wrong = [sum(a != b for a, b in zip(one["gold"], one["predicted"], strict=True)) for one in predictions]
    order = sorted(range(len(wrong)), key=lambda i: -wrong[i])[:SHOWN_SENTENCES]
    rows = [[str(wrong[i]), *_shown(predictions[i])] for i in order if wrong[i]]
    head = f"{sum(map(bool, wrong)):,} of {len(wrong):,} sentences have a wrong tag."
    if not rows:
        return [f"{head}\n"]
    return [f"{head} Those with the most:\n", *table(["wrong", "text", "true", "predicted"], rows)]


def _shown(one: Mapping[str, Any]) -> list[str]:
    """The words from just before the first wrong one, and the tags that differ."""
    pairs = list(zip(one["words"], one["gold"], one["predicted"], strict=True))
    first = max(0, next(i for i, (_, true, said) in enumerate(pairs) if true != said) - 2)
    part = pairs[first : first + SHOWN_WORDS]
    text = " ".join(word for word, _, _ in part)
    text = ("… " if first else "") + text + (" …" if len(pairs) > first + SHOWN_WORDS else "")
    columns = [" ".join(f"{word}/{pair[k]}" for word, *pair in part if pair[0] != pair[1]) for k in (0, 1)]
    return [plain(text), *map(plain, columns)]
