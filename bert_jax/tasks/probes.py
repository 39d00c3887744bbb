"""The labelled files of `eval.probes`, opened as linear probes."""

import collections
from collections.abc import Sequence

import numpy as np

from bert_jax import hashing
from bert_jax.batch import CORE
from bert_jax.data.labelled import LabelledTexts, Rows
from bert_jax.data.labelled_files import LabelledText, LabelledTextsConfig, label_name, read_labelled
from bert_jax.data.tables import form_problem
from bert_jax.data.texts import encode
from bert_jax.errors import BertJaxError, ConfigError, CorpusError, check_all, quoted
from bert_jax.objectives.linear_probe import LinearProbe
from bert_jax.tokenization import Tokenizer
from bert_jax.training.config import LEAST_PROBE_EXAMPLES, EvalConfig, probe_paths

SCORED_SHARE = 0.2
LEAST_OF_A_LABEL = 5  # examples, on average
_LABELS, _SCORED = "probe_labels", "probe_scored"


def open_probes(
    config: EvalConfig, tokenizer: Tokenizer, sequence_length: int, two_types: bool = False
) -> tuple[LinearProbe, ...]:
    """Reads the labelled files of `config.probes`.

    Of each file, `config.probe_examples` examples are used, with the shares that its labels have in the file. Which
    ones, and which of them are scored, depends on hashes of their texts: equal texts are on the same side.

    Args:
      config: names the files.
      tokenizer: that of the model.
      sequence_length: S; longer examples are cut.
      two_types: whether pairs have BERT's form in any case; see `encode`.

    Raises:
      BertJaxError: files cannot be read, or have too few examples or labels; one sentence each.
    """
    found: list[LinearProbe] = []

    def open_one(name: str, path: str) -> None:
        if problem := form_problem(f"eval.probes: {name}", path):
            raise ConfigError(*problem)
        try:
            found.append(_open(name, path, config.probe_examples, tokenizer, sequence_length, two_types))
        except BertJaxError as error:
            raise type(error)(f"eval.probes: {name}: {error}") from None

    check_all(*(lambda name=name, path=path: open_one(name, path) for name, path in probe_paths(config.probes).items()))
    return tuple(found)


def _open(
    name: str, path: str, num_examples: int, tokenizer: Tokenizer, sequence_length: int, two_types: bool
) -> LinearProbe:
    lines: list[str] = []
    everything = list(read_labelled(path, LabelledTextsConfig(), lines))
    examples = choose(everything, num_examples)
    names, scored = sorted({_label(one) for one in examples}), np.array([is_scored(one) for one in examples], bool)
    _check(path, examples, names, scored)
    labels = np.array([names.index(_label(one)) for one in examples], np.int32)
    texts = encode([(one.text, one.pair) for one in examples], tokenizer, sequence_length, two_types)
    columns = {_LABELS: labels + 1, _SCORED: scored}  # unused slots get 0
    rows = Rows(LabelledTexts(texts, columns), tokenizer, sequence_length, max(1, sequence_length // 16), (0,)).all()
    cut = f", {texts.num_cut:,} of them cut" if texts.num_cut else ""
    line = (
        f"probe        {name}: {len(examples):,} of {len(everything):,} examples of {path}{cut}, {len(names)} labels;"
        f" {int((~scored).sum()):,} to fit, {int(scored.sum()):,} to score;"
        f" {len(rows['example_ids']):,} rows of {sequence_length} tokens at each evaluation"
    )
    content = [[one.text, one.pair, _label(one)] for one in examples]
    core = {column: rows[column] for column in CORE}
    fingerprint = hashing.fingerprint(content)
    return LinearProbe(name, name, core, rows[_LABELS] - 1, rows[_SCORED], fingerprint, (line, *lines))


def choose(examples: Sequence[LabelledText], most: int) -> list[LabelledText]:
    """Returns at most so many examples, with about the same shares of each label, in an order of their own.

    The examples of a label are spread evenly over that order, so any beginning of it has these shares.
    """
    by_label: dict[str, list[LabelledText]] = collections.defaultdict(list)
    for one in sorted(examples, key=lambda one: (hashing.share(_content(one), "probe order"), _label(one))):
        by_label[_label(one)].append(one)
    placed = [
        ((place + 0.5) / len(group), label, one)
        for label, group in sorted(by_label.items())
        for place, one in enumerate(group)
    ]
    return [one for *_, one in sorted(placed, key=lambda entry: entry[:2])[:most]]


def is_scored(example: LabelledText) -> bool:
    """Returns whether an example is scored rather than fitted to; equal texts are on the same side."""
    return hashing.share(_content(example), "probe part") < SCORED_SHARE


def _check(path: str, examples: Sequence[LabelledText], names: Sequence[str], scored: np.ndarray) -> None:
    if len(examples) < LEAST_PROBE_EXAMPLES:
        raise CorpusError(f"{path} has {len(examples)} examples: give at least {LEAST_PROBE_EXAMPLES}.")
    if len(names) * LEAST_OF_A_LABEL > len(examples):
        raise CorpusError(
            f"{path} has {len(names):,} different labels in {len(examples):,} examples: give labels that are classes,"
            f" not numbers, with at least {LEAST_OF_A_LABEL} examples each."
        )
    for part, which in (("fitted to", ~scored), ("scored", scored)):
        found = sorted({_label(one) for one, inside in zip(examples, which, strict=True) if inside})
        if len(found) < 2:
            has = f"only one label, {quoted(found[0])}" if found else "no examples"
            raise CorpusError(f"{path}: the part that is {part} has {has}: give more examples, of at least two labels.")


def _label(example: LabelledText) -> str:
    if isinstance(example.label, list):
        raise CorpusError(f"{example.where} has a list of labels: a probe takes one label a row.")
    return label_name(example.label)


def _content(example: LabelledText) -> str:
    return example.text if example.pair is None else f"{example.text}\t{example.pair}"
