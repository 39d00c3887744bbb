"""How well an answer matches the true ones, by the rules of the official scripts, and the best threshold for none.

Three sets of rules, which differ in what an answer is made of:

  words        SQuAD's script, version 2.0 (Rajpurkar et al. 2018, https://rajpurkar.github.io/SQuAD-explorer/): without
               case, ASCII punctuation and the articles a, an, the; F1 of the words that both have.
  characters   DRCD's and MLQA's (Lewis et al. 2020, https://github.com/facebookresearch/MLQA), for scripts without
               spaces: without case and any punctuation; F1 of the characters of such scripts, and the words of others,
               that both have.
  run          CMRC 2018's (Cui et al. 2019, https://github.com/ymcui/cmrc2018): the same parts, but only the longest
               run that both have counts.
"""

import collections
import functools
import re
import string
import unicodedata
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

WORDS, CHARACTERS, RUN = RULES = ("words", "characters", "run")
ARTICLES = re.compile(r"\b(a|an|the)\b")
# By the first word of their Unicode names; `tokenization` has the same, but objectives do not know it.
UNSPACED = (
    "CJK",
    "IDEOGRAPHIC",
    "HIRAGANA",
    "KATAKANA",
    "BOPOMOFO",
    "YI",
    "THAI",
    "LAO",
    "KHMER",
    "MYANMAR",
    "TIBETAN",
)
LARGEST = 1e9  # a difference of logits is smaller
ASCII_PUNCTUATION = frozenset(string.punctuation)


class Match(NamedTuple):
    """How well an answer matches: 0 to 1."""

    exact: float
    f1: float


def best_match(rules: str, gold: Sequence[str], said: str) -> Match:
    """Returns how well an answer matches the true one that it matches best, for exact match and F1 apart.

    As in SQuAD's script, true answers of which nothing remains are left out, and a question without any has the answer
    "". Nothing matches nothing, and nothing else.

    Args:
      rules: one of `RULES`.
      gold: the true answers; empty if there is none.
      said: the answer; empty if it says that there is none.
    """
    parts = _words if rules == WORDS else _characters
    found, golds = parts(said), [one for text in gold if (one := parts(text))] or [[]]
    common = _longest_run if rules == RUN else _in_both
    return Match(max(float(found == one) for one in golds), max(_f1(found, one, common) for one in golds))


def score_answers(
    rules: Sequence[str],
    golds: Sequence[Sequence[str]],
    said: Sequence[str],
    nulls: np.ndarray | None = None,
    threshold: float | None = None,
) -> dict[str, float]:
    """Returns the mean scores of answers, 0 to 1, by name.

    Args:
      rules: the sets of rules, the main one first.
      golds: the true answers of each question; empty if it has none.
      said: the best answer to each question.
      nulls: [questions], how much higher "no answer" scores; None: no answer is withheld.
      threshold: answers whose `nulls` are above it are withheld; None: the one with the highest F1.

    Returns:
      `exact` and `f1`, and the same for the other sets of rules, such as `f1_words`. With `nulls` also
      `exact_answerable` and `f1_answerable`, the means where there is an answer, `unanswerable`, how often none is said
      where there is none, and `null_threshold`. What is undefined is left out.
    """
    result: dict[str, float] = {}
    has_answer, withheld = np.array([bool(gold) for gold in golds], bool), np.zeros(len(golds), bool)
    for one in rules:
        matches = [best_match(one, gold, text) for gold, text in zip(golds, said, strict=True)]
        scores = {kind: np.array([getattr(match, kind) for match in matches], np.float64) for kind in ("exact", "f1")}
        if nulls is not None and one == rules[0]:
            threshold = best_threshold(nulls, scores["f1"], has_answer) if threshold is None else threshold
            result["null_threshold"], withheld = threshold, nulls > threshold
        scores = {kind: np.where(withheld, ~has_answer, values) for kind, values in scores.items()}
        if one != rules[0]:
            # CMRC's script has no other exact match.
            result |= {f"{kind}_{one}": float(scores[kind].mean()) for kind in scores if one != RUN or kind == "f1"}
            continue
        result |= {kind: float(values.mean()) for kind, values in scores.items()}
        if nulls is not None and has_answer.any():
            result |= {f"{kind}_answerable": float(values[has_answer].mean()) for kind, values in scores.items()}
        if nulls is not None and not has_answer.all():
            result["unanswerable"] = float(scores["exact"][~has_answer].mean())
    return result


def has_unspaced(text: str) -> bool:
    """Whether a text has a letter of a script without spaces between words, so that the sets of rules differ."""
    return any(_is_unspaced(character) for character in text)


def _words(text: str) -> list[str]:
    text = "".join(character for character in text.lower() if character not in ASCII_PUNCTUATION)
    return ARTICLES.sub(" ", text).split()


def _characters(text: str) -> list[str]:
    kept = (c for c in text.lower() if c not in ASCII_PUNCTUATION and unicodedata.category(c)[0] != "P")
    return "".join(f" {c} " if _is_unspaced(c) else c for c in kept).split()


@functools.lru_cache(maxsize=1 << 16)
def _is_unspaced(character: str) -> bool:
    return character > "\x7f" and unicodedata.name(character, "").startswith(UNSPACED)


def _f1(said: list[str], gold: list[str], common: Callable[[list[str], list[str]], int]) -> float:
    if not said or not gold:
        return float(said == gold)
    count = common(said, gold)
    return 2 * count / (len(said) + len(gold))


def _in_both(said: list[str], gold: list[str]) -> int:
    return (collections.Counter(said) & collections.Counter(gold)).total()


def _longest_run(said: list[str], gold: list[str]) -> int:
    longest, before = 0, [0] * (len(gold) + 1)
    for part in said:
        before = [0, *(before[i] + 1 if part == other else 0 for i, other in enumerate(gold))]
        longest = max(longest, *before)
    return longest


def best_threshold(nulls: np.ndarray, scores: np.ndarray, has_answer: np.ndarray) -> float:
    """Returns the threshold above which an answer is withheld, such that the mean score is highest.

    As in SQuAD's script, a withheld answer scores 1 if the question has none, else 0. Equal scores of "no answer" fall
    on the same side, so that the threshold gives what it promises; of equal thresholds, the lowest is taken. It lies
    between two questions, so that rounding does not move one to the other side.

    Args:
      nulls: [questions], how much higher "no answer" scores than the best answer.
      scores: [questions], of the best answer: 0 to 1.
      has_answer: bool [questions].
    """
    order = np.argsort(nulls, kind="stable")
    nulls = np.asarray(nulls, np.float64)[order]
    # A question whose passage has no tokens has no best answer: its difference is infinite.
    nulls = np.clip(nulls, -LARGEST, LARGEST)
    # What is gained if a question is answered rather than not.
    gains = np.where(has_answer, scores, np.asarray(scores) - 1.0)[order]
    total = np.append(0.0, np.cumsum(gains))
    last_of_equals = np.append(True, np.append(nulls[1:] > nulls[:-1], True)) if len(nulls) else np.ones(1, bool)
    kept = int(np.argmax(np.where(last_of_equals, total, -np.inf)))  # how many are answered
    if not len(nulls):
        return 0.0
    if kept == 0:
        return float(nulls[0] - 1)
    return float((nulls[kept - 1] + nulls[kept]) / 2) if kept < len(nulls) else float(nulls[-1] + 1)
