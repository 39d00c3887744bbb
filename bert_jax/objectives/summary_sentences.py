"""Which sentences of a document make a summary of it (BertSum: Liu 2019, arXiv 1903.10318).

Before each sentence stands a `[CLS]` of its own, from whose vector the sentence is scored.
"""

import dataclasses
from collections.abc import Iterator, Mapping

import jax
import numpy as np
import optax

from bert_jax import losses
from bert_jax.batch import Batch, Column
from bert_jax.losses import Loss, Outcome
from bert_jax.model.composite import MakeHead
from bert_jax.model.config import ModelConfig
from bert_jax.model.flops import head_flops
from bert_jax.model.heads import TokenLabelsHead
from bert_jax.objectives.extracts import KINDS, Document
from bert_jax.objectives.objective import Objective
from bert_jax.scores import Score


@dataclasses.dataclass(frozen=True, kw_only=True)
class SummarySentences(Objective):
    """Binary cross-entropy of each sentence; ROUGE of the sentences with the highest scores.

    Held-out rows have two more columns, from which `judge` and `baselines` put documents together again:
    `summary_places` [B, S], the number of the sentence among those of all documents, at its `[CLS]`; and
    `summary_documents` [B, N], of objects, an `extracts.Document` at the example with which it begins.

    Attributes:
      num_sentences: how many sentences a summary has.
      block_trigrams: whether a sentence is passed over that shares three words in a row with a chosen one.
    """

    name: str = "summary"
    num_sentences: int = 3
    block_trigrams: bool = False

    @property
    def title(self) -> str:
        return "extractive summarization"

    @property
    def columns(self) -> dict[str, Column]:
        return {
            "summary_labels": Column("BS", np.float32),  # 1 at the [CLS] of a sentence that belongs into the summary
            "summary_weights": Column("BS", np.float32),  # 1 at the [CLS] of each sentence, in one of its windows
        }

    def head(self, config: ModelConfig) -> MakeHead:
        return lambda name: TokenLabelsHead(config, 1, config.dropout, name=name)

    def outcome(self, prediction: jax.Array, batch: Batch) -> Outcome:
        values = optax.sigmoid_binary_cross_entropy(prediction[..., 0], batch["summary_labels"])
        loss = losses.weighted_sum(values, batch["summary_weights"])
        return Outcome({f"{self.name}_loss": Loss(loss, self.coefficient)}, {})

    def decode(self, prediction: jax.Array, batch: Batch) -> dict[str, jax.Array]:
        """Returns `scores`, float32 [B, S]."""
        return {"scores": prediction[..., 0]}

    @property
    def scores(self) -> tuple[Score, ...]:
        name, lead = self.name, f"the first {self.num_sentences}"
        found = [
            Score(f"{name}{end}_{kind}", f"{title}{of}", False, f"{name}_lead_{kind}", lead)
            for end, of in (("", ""), ("_oracle", " of the labelled sentences"))
            for kind, title in KINDS.items()
        ]
        title, baseline = "sentences of the summary, loss in nats", "the share of labels"
        return (*found, Score(f"{name}_loss", title, True, f"{name}_share_loss", baseline))

    def judge(self, decoded: Mapping[str, np.ndarray], held_out: Batch) -> dict[str, float]:
        found, oracle = [], []
        for document, scores in documents_of(held_out, decoded["scores"]):
            found.append(document.rouge(document.top(scores, self.num_sentences, self.block_trigrams)))
            oracle.append(document.rouge([i for i, label in enumerate(document.labels or ()) if label]))
        return _means(f"{self.name}_", found) | _means(f"{self.name}_oracle_", oracle)

    def baselines(self, held_out: Batch) -> dict[str, float]:
        """ROUGE of the first sentences, and the loss of giving each sentence the share of labels."""
        found = [
            document.rouge(document.lead(self.num_sentences))
            for document, _ in documents_of(held_out, held_out["summary_labels"])
        ]
        share = float(held_out["summary_labels"][held_out["summary_weights"] > 0].mean())
        entropy = -sum(p * np.log(p) for p in (share, 1 - share) if p)
        return _means(f"{self.name}_lead_", found) | {f"{self.name}_share_loss": float(entropy)}

    def flops(self, config: ModelConfig, batch: Batch) -> float:
        return head_flops(config, float(batch["summary_weights"].sum()), 1)


def documents_of(rows: Batch, values: np.ndarray) -> Iterator[tuple[Document, np.ndarray]]:
    """Yields the documents of held-out rows, in order, each with what its sentences have of `values` [B, S]."""
    places, counted = rows["summary_places"], rows["summary_weights"] > 0
    by_place = np.zeros(places.max(initial=0) + 1, values.dtype)
    by_place[places[counted]] = values[counted]
    row, slot = np.nonzero(rows["summary_documents"])
    first = places[row, rows["cls_positions"][row, slot]]
    for i in np.argsort(first):
        document = rows["summary_documents"][row[i], slot[i]]
        yield document, by_place[first[i] : first[i] + len(document.sentences)]


def _means(begin: str, found: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each kind of ROUGE over documents."""
    return {f"{begin}{kind}": float(np.mean([one[kind] for one in found])) for kind in KINDS if found}
