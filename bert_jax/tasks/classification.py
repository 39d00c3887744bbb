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

    def problems(self) -> list[str]:
        found = super().problems() + choice_problem("data.choose", self.choose, (ONE, SEVERAL, NUMBER))
        if self.class_weights and self.choose != ONE:
            found.append(f"data.class_weights has no effect with data.choose={self.choose}: leave it out.")
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
        if len(names) < (2 if config.data.choose == ONE else 1):
            has = f"only one label, {quoted(names[0])}" if names else "no labels"
            raise CorpusError(f"{config.data.train} has {has}: give examples of at least two.")
        return {LABEL_FILE: json.dumps(names, ensure_ascii=False).encode()}

    def stratum(self, config: ClassificationConfig, example: LabelledText) -> Any:
        return example.label if config.data.choose == ONE else None

    def objectives(self, config: ClassificationConfig, files: Mapping[str, bytes]) -> tuple[Labels]:
        return (Labels(names=tuple(json.loads(files[LABEL_FILE])), choose=config.data.choose),)

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
            lines.append(f"cut          {texts.num_cut:,} {split} texts ({share:.1%}) do not fit in a row")
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
        return number(row.label, row.where)
    if data.choose == SEVERAL:
        parts = row.label if isinstance(row.label, list) else label_name(row.label).split(data.label_separator)
        return tuple(sorted({label_name(part) for part in parts} - {""}))
    if isinstance(row.label, list):
        raise CorpusError(f"{row.where} has a list of labels: give data.choose=several, or one label a row.")
    return label_name(row.label)


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
