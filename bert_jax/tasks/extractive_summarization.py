"""Extractive summarization: the sentences of a document that make a summary of it (Liu 2019, arXiv 1903.10318).

An encoder chooses sentences; to write new ones takes a decoder, which this package does not have.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bert_jax.data.documents import DocumentsConfig, make_windows, read_documents
from bert_jax.data.labelled import LabelledTexts
from bert_jax.errors import CorpusError, counted
from bert_jax.markdown import excerpt, table
from bert_jax.objectives.extracts import ASCII, KINDS, Document
from bert_jax.objectives.summary_sentences import SummarySentences
from bert_jax.tasks.labelled import TRAIN, LabelledKind, LabelledRunConfig
from bert_jax.tokenization import Tokenizer

SHOWN_SUMMARIES, SHOWN_TEXT = 5, 400  # documents, characters
TITLES = {"rouge": "the model", "lead_rouge": "the first sentences", "oracle_rouge": "the labelled sentences"}


@dataclasses.dataclass
class ExtractiveSummarizationConfig(LabelledRunConfig):
    """The complete config of a run."""

    data: DocumentsConfig = dataclasses.field(default_factory=DocumentsConfig)


class ExtractiveSummarization(LabelledKind[ExtractiveSummarizationConfig]):
    """Scores the sentences of a document in context, and chooses the highest."""

    name = "extractive_summarization"
    config_class = ExtractiveSummarizationConfig
    noun = "document"

    def read(
        self, config: ExtractiveSummarizationConfig, path: str, lines: list[str], labelled: bool = True
    ) -> Iterator[Document]:
        for document in read_documents(path, config.data, lines, labelled):
            if labelled and document.labels is None:
                best = set(document.best(config.data.num_sentences))
                yield dataclasses.replace(
                    document, labels=tuple(int(i in best) for i in range(len(document.sentences)))
                )
            else:
                yield document

    def objectives(self, config: ExtractiveSummarizationConfig, files: Mapping[str, bytes]) -> tuple[SummarySentences]:
        return (SummarySentences(num_sentences=config.data.num_sentences, block_trigrams=config.data.block_trigrams),)

    def encode(
        self,
        config: ExtractiveSummarizationConfig,
        objectives: Sequence[Any],
        examples: Sequence[Document],
        tokenizer: Tokenizer,
        split: str,
        lines: list[str],
    ) -> LabelledTexts:
        data = config.data
        windows = make_windows([one.sentences for one in examples], tokenizer, data.sequence_length, data.overlap)
        labels = np.array([label for one in examples for label in one.labels or ()], np.float32)
        if not labels.any():
            raise CorpusError(f"{getattr(data, split)} labels no sentence, so that nothing can be learned or scored.")
        unlabelled = sum(not any(one.labels or ()) for one in examples)
        documents = counted(len(examples), f"{split} document")
        lines.append(
            f"sentences    {len(labels):,} in {documents}, {int(labels.sum()):,} of them in summaries;"
            f" documents without: {unlabelled:,}"
        )
        if (count := len(windows.document)) > len(examples):
            lines.append(f"windows      {count:,} for {documents}: long ones have several")
        if windows.num_cut:
            lines.append(f"cut          {split} sentences that do not fit in a row: {windows.num_cut:,}")
        labelled = windows.labelled(labels)
        if split == TRAIN:
            return labelled
        return dataclasses.replace(labelled, columns={"summary_documents": windows.at_first(examples)})

    def input_of(self, example: Document) -> tuple[str, ...]:
        return example.sentences

    def summary(self, files: Mapping[str, bytes], num_examples: int) -> str:
        return f"Trained to choose the sentences that summarize each of {num_examples:,} documents."

    def predict(self, model: Any, examples: Sequence[Document]) -> Iterator[dict[str, Any]]:
        for one, said in zip(examples, model.summarize([one.sentences for one in examples]), strict=True):
            found = {
                "sentences": list(one.sentences),
                "gold": list(one.references) or None,
                "predicted": list(said.sentences),
                "chosen": list(said.indices),
                "probabilities": [float(p) for p in said.probabilities],
            }
            if one.references:
                labelled = [i for i, label in enumerate(one.labels or ()) if label]
                lead = one.lead(model.run.data.num_sentences)
                choices = zip(TITLES, (said.indices, lead, labelled), strict=True)
                found |= {name: one.rouge(chosen) for name, chosen in choices}
            yield found

    def findings(self, predictions: Sequence[Mapping[str, Any]]) -> list[str]:
        differ = any(one["rouge"][kind] != one["rouge"][kind + ASCII] for one in predictions for kind in KINDS)
        rows = [
            [f"{title}{of}", *(f"{np.mean([one[name][kind + end] for one in predictions]):.3f}" for kind in KINDS)]
            for end, of in (("", ""), (ASCII, ", a-z and 0-9 alone"))[: 1 + differ]
            for name, title in TITLES.items()
        ]
        shown = [
            [
                *(excerpt(text, SHOWN_TEXT) for text in (" ".join(one["predicted"]), one["gold"][0])),
                f"{one['rouge']['rouge1']:.3f}",
            ]
            for one in predictions[:SHOWN_SUMMARIES]
        ]
        return [
            f"F1 of the summaries of {len(predictions):,} documents; of several references, the nearest counts:\n",
            *table(["summary", *KINDS.values()], rows, True),
            "The first documents:\n",
            *table(["chosen", "reference", KINDS["rouge1"]], shown),
        ]
