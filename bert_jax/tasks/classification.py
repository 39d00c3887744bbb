"""Classification of texts or pairs of texts (Devlin et al. 2018): sentiment, topics, entailment, similarity, …"""

import collections
import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bert_jax.data.labelled import LabelledTexts
from bert_jax.data.labelled_files import LabelledText, LabelledTextsConfig, label_name, number, read_labelled
from bert_jax.data.texts import encode
from bert_jax.errors import ConfigError, CorpusError, choice_problem, did_you_mean, quoted
from bert_jax.objectives.labels import NUMBER, ONE, SEVERAL, Labels
from bert_jax.tasks.label_findings import label_findings
from bert_jax.tasks.labelled import TRAIN, LabelledKind, LabelledRunConfig
from bert_jax.tokenization import Tokenizer

LABEL_FILE = "labels.json"
BALANCED = "balanced"


@dataclasses.dataclass
class ClassifiedTextsConfig(LabelledTextsConfig):
    """Texts or pairs of texts, and what their labels mean."""

    choose: str = ONE  # one label for each text; several: any number of labels; number: a score, such as similarity
    label_separator: str = ","  # several: between the labels in a column of text; a list needs none
    # weights of labels in the training loss, as in rare=3,common=1; balanced: each label counts as much as any other;
    # empty: each text does
    class_weights: str = ""
    # names of the labels, separated by commas, in the order of the numbers that files may have in their place, from 0;
    # any other label is refused; empty: the labels of the training file, sorted by name
    label_names: str = ""
    f1_label: str = ""  # a label whose F1 is a score, too, as in paraphrases; empty: none
    number_range: str = ""  # number: the lowest and the highest, as in 0,5; any other is refused; empty: any

    def problems(self) -> list[str]:
        found = super().problems() + choice_problem("data.choose", self.choose, (ONE, SEVERAL, NUMBER))
        if self.class_weights and self.choose != ONE:
            found.append(f"data.class_weights has no effect with data.choose={self.choose}: leave it out.")
        if self.choose == NUMBER:
            names = [name for name in ("label_names", "f1_label") if getattr(self, name)]
            found += [f"data.{name} has no effect with data.choose=number: leave it out." for name in names]
        elif self.number_range:
            found.append("data.number_range has no effect without data.choose=number: leave it out.")
        if self.f1_label and self.label_names and self.f1_label not in self.label_names.split(","):
            near = did_you_mean(self.f1_label, self.label_names.split(","))
            found.append(f"data.f1_label={self.f1_label!r} is not one of data.label_names={self.label_names}.{near}")
        if self.number_range and not number_range(self.number_range):
            found.append(f"data.number_range={self.number_range!r} is not of the form 0,5: the lowest, the highest.")
        if not self.label_separator:
            found.append("data.label_separator is empty: give what stands between two labels.")
        try:
            _weights(self.class_weights)
        except ConfigError as error:
            found.append(str(error))
        return found


@dataclasses.dataclass
class ClassificationConfig(LabelledRunConfig):
    """The complete config of a classification run."""

    data: ClassifiedTextsConfig = dataclasses.field(default_factory=ClassifiedTextsConfig)


class Classification(LabelledKind[ClassificationConfig]):
    """Predicts labels or a number. The labels are those of the training file, sorted by name."""

    name = "classification"
    config_class = ClassificationConfig
    reads_pooled = True

    def read(
        self, config: ClassificationConfig, path: str, lines: list[str], labelled: bool = True
    ) -> Iterator[LabelledText]:
        for row in read_labelled(path, config.data, lines, labelled):
            yield dataclasses.replace(row, label=_label(row, config.data)) if labelled else row

    def decide(self, config: ClassificationConfig, train: Sequence[LabelledText]) -> dict[str, bytes]:
        if config.data.choose == NUMBER:
            if len({row.label for row in train}) < 2:
                raise CorpusError(f"{config.data.train} has only one number, {train[0].label:g}: give different ones.")
            return {LABEL_FILE: b'["score"]'}
        names = sorted({name for row in train for name in _names(row.label)})
        if config.data.label_names:
            given = config.data.label_names.split(",")
            if unseen := [name for name in given if name not in names]:
                raise CorpusError(
                    f"{config.data.train} has no example of the label {quoted(unseen[0])}, which data.label_names has:"
                    " add some, or leave it out there."
                )
            names = given
        if config.data.f1_label and config.data.f1_label not in names:
            raise CorpusError(
                f"data.f1_label={config.data.f1_label!r} is no label of {config.data.train}."
                f"{did_you_mean(config.data.f1_label, names)}"
            )
        if len(names) < (2 if config.data.choose == ONE else 1):
            has = f"only one label, {quoted(names[0])}" if names else "no labels"
            raise CorpusError(f"{config.data.train} has {has}: give examples of at least two.")
        return {LABEL_FILE: json.dumps(names, ensure_ascii=False).encode()}

    def stratum(self, config: ClassificationConfig, example: LabelledText) -> Any:
        return example.label if config.data.choose == ONE else None

    def objectives(self, config: ClassificationConfig, files: Mapping[str, bytes]) -> tuple[Labels]:
        names = tuple(json.loads(files[LABEL_FILE]))
        return (Labels(names=names, choose=config.data.choose, f1_label=config.data.f1_label),)

    def encode(
        self,
        config: ClassificationConfig,
        objectives: Sequence[Labels],
        examples: Sequence[LabelledText],
        tokenizer: Tokenizer,
        split: str,
        lines: list[str],
    ) -> LabelledTexts:
        data, (labels,) = config.data, objectives
        texts = encode([(row.text, row.pair) for row in examples], tokenizer, data.sequence_length)
        if texts.num_cut:
            share = texts.num_cut / len(examples)
            lines.append(
                f"cut          {split} texts that do not fit in a row: {texts.num_cut:,} ({100 * share:.1f} %)"
            )
        if data.choose == NUMBER:
            gold = np.array([row.label for row in examples], np.float32)
        else:
            gold = _label_rows(examples, labels.names)
        counts = gold.sum(0) if data.choose != NUMBER else None
        if split == TRAIN:
            lines.append(_describe(labels.names, counts, gold))
        elif counts is not None and data.choose == ONE and (counts > 0).sum() < 2:
            only = labels.names[int(counts.argmax())]
            raise CorpusError(
                f"{getattr(data, split)} has only one label, {quoted(only)}, so that always giving it has a perfect"
                " score: give examples of at least two."
            )
        weights = np.ones(len(examples), np.float32)
        if split == TRAIN and data.class_weights:
            weights = class_weights(data.class_weights, labels.names, gold.sum(0))[gold.argmax(1)]
        column = gold if data.choose != ONE else gold.argmax(1).astype(np.int32)
        return LabelledTexts(texts, {"labels": column, "label_weights": weights})

    def input_of(self, example: LabelledText) -> tuple[str, str | None]:
        return example.text, example.pair

    def summary(self, files: Mapping[str, bytes], num_examples: int) -> str:
        names = json.loads(files[LABEL_FILE])
        what = f"assign one of {len(names)} labels to" if len(names) > 1 else "give a number to"
        return f"Trained to {what} each of {num_examples:,} texts."

    def predict(self, model: Any, examples: Sequence[LabelledText]) -> Iterable[dict[str, Any]]:
        texts = [row.text if row.pair is None else (row.text, row.pair) for row in examples]
        choose = model.run.data.choose
        for row, said in zip(
            examples, model.regress(texts) if choose == NUMBER else model.classify(texts), strict=True
        ):
            found = {"text": row.text} | ({} if row.pair is None else {"pair": row.pair}) | {"gold": row.label}
            if choose == NUMBER:
                yield found | {"predicted": float(said)}
            else:
                predicted = list(said.names) if choose == SEVERAL else said.name
                yield found | {"predicted": predicted, "probabilities": said.probabilities}

    def findings(self, predictions: Sequence[Mapping[str, Any]]) -> list[str]:
        return label_findings(predictions)


def _label(row: LabelledText, data: ClassifiedTextsConfig) -> Any:
    """The label of a row: a name, a sorted tuple of names, or a number."""
    if data.choose == NUMBER:
        found, limits = number(row.label, row.where), number_range(data.number_range)
        if limits and not limits[0] <= found <= limits[1]:
            raise CorpusError(
                f"{row.where}: the label {found:g} does not lie between {limits[0]:g} and {limits[1]:g}"
                " (data.number_range): correct it, or remove the row."
            )
        return found
    if data.choose == SEVERAL:
        parts = row.label if isinstance(row.label, list) else label_name(row.label).split(data.label_separator)
        return tuple(sorted({_known_name(label_name(part), row, data) for part in parts} - {""}))
    if isinstance(row.label, list):
        raise CorpusError(f"{row.where} has a list of labels: give data.choose=several, or one label a row.")
    return _known_name(label_name(row.label), row, data)


def _known_name(name: str, row: LabelledText, data: ClassifiedTextsConfig) -> str:
    """The name in `data.label_names` of a label, which may be the name's number, or have other case."""
    if not data.label_names or not name:
        return name
    known = data.label_names.split(",")
    for i, one in enumerate(known):
        if name == str(i) or name.casefold() == one.casefold():
            return one
    raise CorpusError(
        f"{row.where}: the label {quoted(name)} is none of data.label_names={data.label_names}, and no number from 0 to"
        f" {len(known) - 1}: correct it, or remove the row.{did_you_mean(name, known)}"
    )


def number_range(text: str) -> tuple[float, float] | None:
    """Parses `0,5`: the lowest and the highest number. None if the text has another form."""
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        return None
    return (low, high) if low < high else None


def _names(label: Any) -> tuple[str, ...]:
    return label if isinstance(label, tuple) else (label,)


def _label_rows(rows: Sequence[LabelledText], names: Sequence[str]) -> np.ndarray:
    """Returns float32 [rows, C], 1 for each label of a row."""
    places, found = {name: i for i, name in enumerate(names)}, np.zeros((len(rows), len(names)), np.float32)
    for i, row in enumerate(rows):
        for name in _names(row.label):
            if name not in places:
                near = did_you_mean(name, names)
                raise CorpusError(
                    f"{row.where}: the label {quoted(name)} does not occur in the training file: correct it, or add"
                    f" examples of it there.{near}"
                )
            found[i, places[name]] = 1
    return found


def _describe(names: Sequence[str], counts: np.ndarray | None, gold: np.ndarray) -> str:
    if counts is None:
        return f"labels       numbers from {gold.min():g} to {gold.max():g}, mean {gold.mean():.3g}"
    shown = ", ".join(f"{name} {int(count):,}" for name, count in list(zip(names, counts, strict=True))[:8])
    return f"labels       {len(names)}: {shown}{', …' if len(names) > 8 else ''}"


def class_weights(text: str, names: Sequence[str], counts: np.ndarray) -> np.ndarray:
    """Returns the weight of each label, float32 [C], such that the mean weight of a training text is 1.

    Args:
      text: `balanced`, or weights such as `rare=3,common=1`; labels that it does not name have 1.
      names: the C labels.
      counts: [C], the number of training texts of each.

    Raises:
      ConfigError: it names no label of the data.
    """
    if text == BALANCED:
        weights = 1 / counts
    else:
        given = _weights(text)
        if unknown := sorted(given.keys() - set(names)):
            near = did_you_mean(unknown[0], names)
            raise ConfigError(f"data.class_weights names {unknown[0]!r}, which is no label of the data.{near}")
        weights = np.array([given.get(name, 1.0) for name in names])
    return (weights * counts.sum() / (weights * counts).sum()).astype(np.float32)


def _weights(text: str) -> dict[str, float]:
    """Parses `rare=3,common=1`.

    Raises:
      ConfigError: the text has another form, or a weight is not above 0.
    """
    if text in ("", BALANCED):
        return {}
    found = collections.OrderedDict()
    for part in text.split(","):
        name, _, value = part.rpartition("=")
        try:
            found[name.strip()] = float(value)
        except ValueError:
            raise ConfigError(f"data.class_weights={text!r} is not of the form rare=3,common=1 or balanced.") from None
        if not 0 < found[name.strip()] < float("inf"):
            raise ConfigError(f"data.class_weights={text!r}: weights must be above 0 and finite.")
    return dict(found)
