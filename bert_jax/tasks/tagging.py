"""Tagging of words (Devlin et al. 2018): named entities, other phrases, parts of speech, …"""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bert_jax.data.labelled import LabelledTexts
from bert_jax.data.tagged_files import (
    ALL,
    TaggedSentence,
    TaggedTextsConfig,
    describe_tags,
    learned_tags,
    read_sentences,
    tag_ids,
    tag_names,
    tell_scheme,
)
from bert_jax.data.word_pieces import WordPieces, cut_words
from bert_jax.errors import CorpusError, quoted
from bert_jax.objectives.tags import BARE
from bert_jax.objectives.word_tags import WordTags
from bert_jax.tasks.labelled import TRAIN, LabelledKind, LabelledRunConfig
from bert_jax.tasks.tag_findings import tag_findings
from bert_jax.tokenization import Tokenizer

TAG_FILE = "labels.json"


@dataclasses.dataclass
class TaggingConfig(LabelledRunConfig):
    """The complete config of a tagging run."""

    data: TaggedTextsConfig = dataclasses.field(default_factory=TaggedTextsConfig)


class Tagging(LabelledKind[TaggingConfig]):
    """Predicts a tag for each word. The types are those of the training file; tags are sorted by name."""

    name = "tagging"
    noun = "sentence"
    config_class = TaggingConfig

    def read(
        self, config: TaggingConfig, path: str, lines: list[str], labelled: bool = True
    ) -> Iterator[TaggedSentence]:
        return read_sentences(path, config.data, lines, labelled)

    def decide(self, config: TaggingConfig, train: Sequence[TaggedSentence]) -> dict[str, bytes]:
        data = config.data
        if data.file_scheme is None:
            data.file_scheme = tell_scheme(train, data.train)
        data.scheme = data.scheme or data.file_scheme
        names = tag_names(train, data.scheme)
        if len(names) < 2:
            has = f"only one tag, {quoted(names[0])}" if names else "no words"
            raise CorpusError(f"{data.train} has {has}: give sentences with at least two.")
        return {TAG_FILE: json.dumps(names, ensure_ascii=False).encode()}

    def objectives(self, config: TaggingConfig, files: Mapping[str, bytes]) -> tuple[WordTags]:
        names = tuple(json.loads(files[TAG_FILE]))
        return (WordTags(names=names, scheme=config.data.scheme or BARE, strict=config.data.strict),)

    def encode(
        self,
        config: TaggingConfig,
        objectives: Sequence[WordTags],
        examples: Sequence[TaggedSentence],
        tokenizer: Tokenizer,
        split: str,
        lines: list[str],
    ) -> LabelledTexts:
        data, (labels,) = config.data, objectives
        written = learned_tags(examples, data, split, lines)
        ids = np.array(tag_ids(examples, written, labels.names), np.int32)
        if not len(ids):
            raise CorpusError(f"{getattr(data, split)} has no words: check the file.")
        if split == TRAIN:
            lines.append(describe_tags(written, labels.scheme, labels.names))
        pieces = cut_words([one.words for one in examples], tokenizer, data.sequence_length, data.overlap)
        lines += _told(pieces, examples, split)
        tags = ids[pieces.word]
        if data.tag_pieces == ALL:
            tags = np.where(pieces.begins, tags, _inside(labels.names)[tags])
            # Each word weighs the same, however many pieces it has.
            weights = pieces.counts / np.bincount(pieces.word[pieces.counts], minlength=len(ids))[pieces.word]
        else:
            weights = pieces.begins & pieces.counts
        numbers = np.zeros(len(pieces.word), np.int32)
        sentence = np.repeat(np.arange(len(examples)), [len(one.words) for one in examples])
        numbers[pieces.deciders] = 1 + np.arange(len(ids)) + sentence
        columns = {"labels": tags, "label_weights": weights.astype(np.float32), "word_numbers": numbers}
        return LabelledTexts(pieces.texts, token_columns=columns)

    def input_of(self, example: TaggedSentence) -> tuple[str, ...]:
        return example.words

    def summary(self, files: Mapping[str, bytes], num_examples: int) -> str:
        count = len(json.loads(files[TAG_FILE]))
        return f"Trained to give one of {count} tags to each word of {num_examples:,} sentences."

    def predict(self, model: Any, examples: Sequence[TaggedSentence]) -> Iterable[dict[str, Any]]:
        if examples and examples[0].tags is None and examples[0].text is not None:
            for one, found in zip(examples, model.tag([one.text for one in examples]), strict=True):
                yield {"text": one.text, "gold": None, "predicted": [dataclasses.asdict(each) for each in found]}
            return
        gold: Sequence[Any] = [None] * len(examples)
        if examples and examples[0].tags is not None:
            gold = learned_tags(examples, model.run.data, "", [])
        said = model.tag_words([one.words for one in examples])
        for one, true, found in zip(examples, gold, said, strict=True):
            tags, probabilities = [list(each) for each in zip(*found, strict=True)] or [[], []]
            yield {"words": list(one.words), "gold": true, "predicted": tags, "probabilities": probabilities}

    def findings(self, predictions: Sequence[Mapping[str, Any]]) -> list[str]:
        return tag_findings(predictions)


def _inside(names: Sequence[str]) -> np.ndarray:
    """The tag that the further pieces of a word learn, int32 [C]: `I-` for `B-` where there is one, else the same."""
    places = {name: i for i, name in enumerate(names)}
    inside = [f"I{name[1:]}" if name == "B" or name.startswith("B-") else name for name in names]
    return np.array([places.get(one, i) for i, one in enumerate(inside)], np.int32)


def _told(pieces: WordPieces, examples: Sequence[TaggedSentence], split: str) -> list[str]:
    """Lines for the log about what does not fit."""
    lines = []
    if count := pieces.num_windowed:
        share = 100 * count / len(examples)
        lines.append(
            f"windows      {split} sentences that do not fit in a row: {count:,} ({share:.1f} %); each is in several,"
            " and each word counts in one of them"
        )
    if pieces.num_cut:
        lines.append(f"cut          {split} words that are longer than a row and lose their ends: {pieces.num_cut:,}")
    if pieces.num_unknown:
        lines.append(f"unknown      {split} words without pieces, each one [UNK]: {pieces.num_unknown:,}")
    if empty := sum(not one.words for one in examples):
        lines.append(f"empty        {split} sentences without words: {empty:,}")
    return lines
