"""Names of sources that were given none: the shortest parts of their patterns that tell them apart."""

import itertools
import re
from collections.abc import Iterable

from bert_jax.files import patterns


def tell_apart(given: list[str], candidates: list[list[str]]) -> list[str]:
    """Chooses a name for each source.

    Args:
      given: the name of each source, empty if it has none. Those that are given differ.
      candidates: the names that each may have otherwise, from short to long.
    """
    left = [[] if name else list(others) for name, others in zip(given, candidates, strict=True)]
    names = [name or others.pop(0) for name, others in zip(given, left, strict=True)]
    while longer := [i for i, others in enumerate(left) if others and names.count(names[i]) > 1]:
        for i in longer:
            names[i] = left[i].pop(0)
    # What cannot be told apart, such as the same file twice, is numbered.
    taken, chosen = set(filter(None, given)), []
    for i, name in enumerate(names):
        short = candidates[i][0] if names.count(name) > 1 else name
        numbered = (short if n == 1 else f"{short}-{n}" for n in itertools.count(1))
        chosen.append(given[i] or next(each for each in numbered if each not in taken))
        taken.add(chosen[i])
    return chosen


def of_files(kind: str, pattern: str) -> list[str]:
    """Names after the file, or the last folder before the first wildcard, then also after the folders above."""
    folder, wildcard = patterns.split(pattern)
    *above, last = folder.rstrip("/").split("/")
    ends = (last, f"{last}/{wildcard}") if wildcard else (last.split(".")[0] or last, last)
    return [_clean([*above[len(above) - n :], end]) or kind for n in range(len(above) + 1) for end in ends]


def of_data_set(name: str, split: str) -> list[str]:
    """Names after a TFDS data set, then also after its split."""
    return [_clean(parts) or "tfds" for parts in ([name], [name, split])]


def _clean(parts: Iterable[str]) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", "/".join(parts)).strip("-")
