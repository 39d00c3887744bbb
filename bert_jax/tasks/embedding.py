"""Embeddings of texts, learned from texts that belong together or from numbers for how similar texts are."""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bert_jax.data.labelled import LabelledTexts
from bert_jax.data.related_texts import RelatedTexts, RelatedTextsConfig, read_related
from bert_jax.data.text_groups import described, encode_groups, scored_groups, training_groups
from bert_jax.errors import ConfigError, CorpusError
from bert_jax.markdown import excerpt, table
from bert_jax.objectives import agreement
from bert_jax.objectives.contrastive import Contrastive
from bert_jax.objectives.embeddings import Embeddings
from bert_jax.objectives.similarity import Similarity
from bert_jax.tasks.labelled import TRAIN, LabelledKind, LabelledRunConfig
from bert_jax.tokenization import Tokenizer
from bert_jax.training.config import EvalConfig
from bert_jax.training.task import Task

RANGE_FILE = "similarities.json"  # the lowest and the highest number of the training file, if it has numbers
SHOWN, SHOWN_TEXT = 10, 160  # examples, characters
MANY_UNKNOWN = 0.1  # of the tokens


@dataclasses.dataclass
class EmbeddingConfig:
    """How embeddings are learned; see `objectives.contrastive`."""

    temperature: float = 0.05  # t, the divisor of cosines; 0.05 as in SimCSE
    symmetric: bool = False  # whether second texts must find their first ones, too
    # widths to which embeddings can be cut (Matryoshka), as in 64,128; empty: they are used whole
    matryoshka_sizes: str = ""

    @property
    def sizes(self) -> tuple[int, ...]:
        """`matryoshka_sizes` as numbers."""
        return tuple(int(part) for part in self.matryoshka_sizes.split(",") if part.strip())

    def problems(self) -> list[str]:
        """Returns error messages about this section."""
        found = []
        if not 0 < self.temperature < float("inf"):
            found.append(f"embedding.temperature={self.temperature} must be above 0 and finite.")
        try:
            if min(self.sizes, default=1) < 1 or len(set(self.sizes)) < len(self.sizes):
                raise ValueError
        except ValueError:
            found.append(
                f"embedding.matryoshka_sizes={self.matryoshka_sizes!r} is not a list of widths such as 64,128."
            )
        return found


@dataclasses.dataclass
class EmbeddingRunConfig(LabelledRunConfig):
    """The complete config of a run that learns embeddings."""

    data: RelatedTextsConfig = dataclasses.field(default_factory=RelatedTextsConfig)
    embedding: EmbeddingConfig = dataclasses.field(default_factory=EmbeddingConfig)


class Embedding(LabelledKind[EmbeddingRunConfig]):
    """Learns embeddings: contrastively, or from numbers if the training file has them."""

    name = "embedding"
    config_class = EmbeddingRunConfig
    noun = "example"

    def problems(self, config: EmbeddingRunConfig) -> list[str]:
        found = super().problems(config)
        if not config.embedding.problems():
            found += [
                f"embedding.matryoshka_sizes: {size} is not below model.hidden_size={config.model.hidden_size}."
                for size in config.embedding.sizes
                if size >= config.model.hidden_size
            ]
        return found

    def read(
        self, config: EmbeddingRunConfig, path: str, lines: list[str], labelled: bool = True
    ) -> Iterator[RelatedTexts]:
        return read_related(path, config.data, lines, labelled)

    def decide(self, config: EmbeddingRunConfig, train: Sequence[RelatedTexts]) -> dict[str, bytes]:
        numbers = [row.similarity for row in train if row.similarity is not None and not row.has_label]
        if numbers and min(numbers) == max(numbers):
            raise CorpusError(f"{config.data.train} has only one number, {numbers[0]:g}: give different ones.")
        return {RANGE_FILE: json.dumps([min(numbers), max(numbers)] if numbers else []).encode()}

    def objectives(self, config: EmbeddingRunConfig, files: Mapping[str, bytes]) -> tuple[Embeddings]:
        given = config.embedding
        if numbers := json.loads(files[RANGE_FILE]):
            return (Similarity(lowest=numbers[0], highest=numbers[1], matryoshka_sizes=given.sizes),)
        return (Contrastive(temperature=given.temperature, symmetric=given.symmetric, matryoshka_sizes=given.sizes),)

    def encode(
        self,
        config: EmbeddingRunConfig,
        objectives: Sequence[Embeddings],
        examples: Sequence[RelatedTexts],
        tokenizer: Tokenizer,
        split: str,
        lines: list[str],
    ) -> LabelledTexts:
        data = config.data
        groups = training_groups(examples, lines) if split == TRAIN else scored_groups(examples)
        if not groups:
            raise CorpusError(f"{data.train} has no two texts that belong together: check data.label_values.")
        if (most := max(len(group.texts) for group in groups)) > data.row_examples:
            raise ConfigError(
                f"data.max_examples={data.row_examples} has no room for {most} texts that share a row: raise it."
            )
        labelled = encode_groups(groups, tokenizer, data.sequence_length)
        lines.append(described(groups, split))
        if cut := labelled.texts.num_cut:
            share = 100 * cut / len(labelled.groups)
            lines.append(
                f"cut          {split} texts that do not fit in a row with their partners: {cut:,} ({share:.1f} %)"
            )
        unknown = float((labelled.texts.token_ids == tokenizer.unk_id).mean())
        if unknown > MANY_UNKNOWN:
            lines.append(
                f"warning      {100 * unknown:.0f} % of the {split} tokens are unknown to the vocabulary: texts look"
                " alike"
            )
        if split == TRAIN and isinstance(objectives[0], Contrastive):
            lines.append(_negatives(config))
        return labelled

    def open(self, config: EmbeddingRunConfig, files: Mapping[str, bytes]) -> Task:
        task = super().open(config, files)
        _choose_best(config.eval, task)
        return task

    def input_of(self, example: RelatedTexts) -> tuple[str, str | None]:
        return example.text, example.pair

    def summary(self, files: Mapping[str, bytes], num_examples: int) -> str:
        how = "numbers for their similarity" if json.loads(files[RANGE_FILE]) else "texts that belong together"
        return f"Trained to embed texts, on {num_examples:,} examples of {how}."

    def predict(self, model: Any, examples: Sequence[RelatedTexts]) -> Iterable[dict[str, Any]]:
        """Yields the cosine of each pair; of a text alone, its vector."""
        first = model.embed([row.text for row in examples], normalize=True)
        if all(row.pair is None for row in examples):
            for row, vector in zip(examples, first.tolist(), strict=True):
                yield {"text": row.text, "gold": None, "predicted": vector}
            return
        second = model.embed([str(row.pair) for row in examples], normalize=True)
        cosines = (first.astype(np.float64) * second).sum(1).tolist()
        for row, cosine in zip(examples, cosines, strict=True):
            yield {"text": row.text, "pair": row.pair, "gold": row.similarity, "predicted": cosine}

    def findings(self, predictions: Sequence[Mapping[str, Any]]) -> list[str]:
        """The pairs whose cosine and number differ most in rank, or the pairs that are farthest apart."""
        cosines = np.array([one["predicted"] for one in predictions])
        if not len(cosines) or cosines.ndim > 1:
            return []
        if predictions[0]["gold"] is None:
            title, far = "The pairs that belong together with the lowest cosines:\n", -cosines
        else:
            title = "The pairs whose similarity and cosine differ most in rank:\n"
            gold = np.array([one["gold"] for one in predictions])
            far = np.abs(agreement.ranks(gold) - agreement.ranks(cosines))
        rows = []
        for index in np.argsort(-far, kind="stable")[:SHOWN]:
            one = predictions[index]
            texts = [excerpt(one[key], SHOWN_TEXT) for key in ("text", "pair")]
            rows.append([*texts, "" if one["gold"] is None else f"{one['gold']:g}", f"{one['predicted']:.3f}"])
        return [title, *table(["text", "second text", "similarity", "cosine"], rows)]


def _choose_best(config: EvalConfig, task: Task) -> None:
    """Fills in `best_by`, or checks that the validation file defines that score."""
    has_numbers = bool(task.held_out["similarity_weights"].any())
    kind, usual = ("similarities", "embedding_spearman") if has_numbers else ("texts to be found", "embedding_ndcg_10")
    if config.best_by is None:
        config.best_by = usual
    needs_numbers = any(word in config.best_by for word in ("_spearman", "_loss"))
    if config.best_by in {score.name for score in task.scores} and needs_numbers != has_numbers:
        raise ConfigError(
            f"eval.best_by={config.best_by} is undefined, because the validation file has {kind}: give"
            f" eval.best_by={usual}."
        )


def _negatives(config: EmbeddingRunConfig) -> str:
    parts, rows = config.train.grad_accumulation_steps, config.train.batch_size
    of = f"the whole batch of {rows:,} rows, over all devices"
    if parts > 1:
        of = f"a microbatch of {rows // parts:,} rows, over all devices: the {parts} of a step do not see each other"
    return f"negatives    of {of}"
