"""What a corpus holds and what became of its text, by source: a table, examples and warnings from the manifest."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from bert_jax.columns import aligned

# Sentences of more tokens than these are counted. The last is the longest that a corpus stores: longer ones are cut.
LENGTHS = (128, 512)


@dataclasses.dataclass(frozen=True)
class Limit:
    """How much of one kind of loss is usual.

    Attributes:
      kind: what is counted.
      of: the total that it is a share of.
      warn: a warning is given above this share.
      refuse: the build ends above this share.
      problem: what is wrong, to follow a percentage.
      advice: what to do.
    """

    kind: str
    of: str
    warn: float
    refuse: float
    problem: str
    advice: str


LIMITS = (
    Limit(
        "unknown_tokens",
        "tokens",
        0.01,
        0.1,
        "of its tokens are unknown to the vocabulary",
        "choose a --tokenizer that spells this text (sentencepiece if it has no spaces between words), or train one on"
        " it with a higher --character_coverage",
    ),
    Limit(
        "replaced_characters",
        "characters",
        0.0001,
        0.01,
        "of its characters are not valid UTF-8 and are replaced by U+FFFD",
        "repair the files, or name their encoding in the source, as in text[encoding=cp1252]:GLOB",
    ),
    Limit(
        "control_characters",
        "characters",
        0.001,
        0.05,
        "of its characters are control characters, which are dropped",
        "make sure that its files are text",
    ),
)
TITLES = {
    "unknown_tokens": "unknown tokens",
    "replaced_characters": "characters replaced by U+FFFD",
    "control_characters": "control characters dropped",
    "cut_lines": "cuts in lines over 1 MiB",
    "cut_documents": "cuts in documents over 4 Mi characters",
    "cut_sentences": "cuts in sentences over 4,096 characters",
    "long_sentences": f"sentences over {LENGTHS[-1]} tokens, stored in pieces",
    "unsplit_paragraphs": "paragraphs that could not be split into sentences",
    "oversized_records": "records over 64 MiB skipped",
    "empty_documents": "documents of white space skipped",
    "documents_without_text": "documents without tokens skipped",
    "repeated_documents": "repeated documents dropped",
    "repeated_paragraphs": "repeated paragraphs dropped",
}
UNLISTED = ("carriage_returns", "repeated_characters")  # no loss; a column of the table
CUTS = ("cut_lines", "cut_documents", "cut_sentences")


HEAD = (
    *("source", "documents", "sentences", "tokens", "unknown", "tokens/word", "replaced", "dropped"),
    *(f">{length} tokens" for length in LENGTHS),
    *("cuts", "repeats"),
)


def problems(name: str, numbers: Mapping[str, int], examples: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Compares the losses of one source with `LIMITS`.

    Args:
      name: of the source.
      numbers: counts of all kinds, with the totals `tokens` and `characters`.
      examples: as in the manifest.

    Returns:
      Warnings, and reasons to refuse the text.
    """
    warnings, refusals = [], []
    for limit in LIMITS:
        share = numbers.get(limit.kind, 0) / max(numbers.get(limit.of, 0), 1)
        if share > limit.warn:
            shown = _examples(examples.get(limit.kind, ())[:1])
            found = refusals if share > limit.refuse else warnings
            found.append(f"{name}: {percent(share)} {limit.problem}{shown}: {limit.advice}")
    return warnings, refusals


def numbers_of(source: Mapping[str, Any]) -> dict[str, int]:
    """All counts of a source of the manifest in one dictionary, over both splits; an older manifest lacks some."""
    splits = source["splits"].values()
    totals = {key: sum(split.get(key, 0) for split in splits) for key in next(iter(splits))}
    return totals | source.get("sizes", {}) | source.get("counts", {})


def text_shares(source: Mapping[str, Any]) -> tuple[str, str]:
    """The share of a source's tokens that are unknown, and its tokens a word; empty if an older build did not count."""
    numbers = numbers_of(source)
    if not numbers.get("words"):
        return "", ""
    return percent(numbers["unknown_tokens"] / numbers["tokens"]), f"{numbers['tokens'] / numbers['words']:.2f}"


def block(manifest: Mapping[str, Any]) -> list[str]:
    """The closing lines of a build: a table with a line for each source, what was lost with examples, warnings."""
    sources = manifest["sources"]
    rows = [_row(source, manifest["options"]) for source in sources]
    lines = aligned([HEAD, *rows])
    losses = _losses(sources)
    if losses:
        lines += ["what was changed, cut and left out, with the first examples:", *losses]
    return lines + remarks(manifest)


def remarks(manifest: Mapping[str, Any]) -> list[str]:
    """Notes and warnings about the text of a corpus, a line each; an older manifest has none."""
    lines = [f"note: {note}" for note in manifest.get("notes", ())]
    for source in manifest["sources"]:
        warnings, refusals = problems(source["name"], numbers_of(source), source.get("examples", {}))
        lines += [f"warning: {text}." for text in refusals + warnings]
    return lines


def vocabulary_remark(manifest: Mapping[str, Any], exponent: float) -> list[str]:
    """A note if the vocabulary was trained on other shares of the sources than training has, else an empty list."""
    used = manifest["options"].get("source_exponent", 1.0)
    is_trained = manifest.get("vocabulary_sample", 0) > 0
    if used == exponent or len(manifest["sources"]) == 1 or not is_trained:
        return []
    return [
        f"note: the vocabulary was trained with --source_exponent={used:g}, but data.source_exponent is {exponent:g}:"
        " it knows the sources in other shares than those that training reads."
    ]


def _row(source: Mapping[str, Any], options: Mapping[str, Any]) -> list[str]:
    numbers = numbers_of(source)
    sentences = max(numbers["sentences"], 1)
    repeats = numbers.get("repeated_characters", 0) / max(numbers["characters"], 1)
    return [
        source["name"],
        *(f"{numbers[key]:,}" for key in ("documents", "sentences", "tokens")),
        *text_shares(source),
        *(f"{numbers.get(kind, 0):,}" for kind in ("replaced_characters", "control_characters")),
        *(percent(numbers.get(f"over_{length}_tokens", 0) / sentences) for length in LENGTHS),
        f"{sum(numbers.get(kind, 0) for kind in CUTS):,}",
        "not sought" if options["deduplicate"] == "none" else percent(repeats),
    ]


def _losses(sources: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each kind of loss that occurred, with two examples from all sources."""
    numbers = [numbers_of(source) for source in sources]
    counted = [kind for source in sources for kind in source["counts"] if kind not in UNLISTED]
    lines = []
    for kind in dict.fromkeys((*TITLES, *counted)):
        if total := sum(counts.get(kind, 0) for counts in numbers):
            examples = [one for source in sources for one in source["examples"].get(kind, ())]
            lines.append(f"  {TITLES.get(kind, kind.replace('_', ' '))}: {total:,}{_examples(examples[:2])}")
    return lines


def _examples(examples: Sequence[Mapping[str, str]]) -> str:
    shown = ", ".join(f"'{one['text']}' ({one['document']})" for one in examples)
    return shown and f", as in {shown}"


def percent(share: float) -> str:
    """A share with two digits, and never rounded to nothing."""
    if not share:
        return "0"
    if share < 1e-5:
        return "<0.001 %"
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.2g} %"
