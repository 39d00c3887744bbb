"""Embeddings of texts, so that the cosine of two vectors says whether their texts belong together.

What the objectives on them share: the columns that say which texts of a batch belong together, the head, and the scores
on a held-out set. `contrastive.py` and `similarity.py` are the losses.
"""

import abc
import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from bert_jax.batch import Batch, Column
from bert_jax.model.composite import MakeHead
from bert_jax.model.config import ModelConfig
from bert_jax.model.heads import EmbeddingsHead
from bert_jax.objectives import agreement
from bert_jax.objectives.objective import Objective
from bert_jax.objectives.retrieval import random_order_scores, retrieval_scores
from bert_jax.scores import Score

FIRST, SECOND, NEGATIVE = range(3)  # the roles of texts
RETRIEVAL = {
    "ndcg_10": "nDCG@10",
    "mrr": "mean reciprocal rank",
    "recall_1": "recall@1",
    "recall_10": "recall@10",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Embeddings(Objective, abc.ABC):
    """Vectors of texts in groups: a first text, the second one that belongs to it, and texts that do not.

    The texts of a group may lie in any slots and rows of a batch.

    A group counts for retrieval, in which each first text must find its second one among all second texts and
    negatives, or has a number for how similar its two texts are, or both.

    Attributes:
      matryoshka_sizes: widths to which vectors can be cut (Kusupati et al. 2022, arXiv 2205.13147): the loss is the
        mean over the beginnings of vectors that are so wide, and whole vectors. Empty: whole vectors alone.
    """

    name: str = "embedding"
    matryoshka_sizes: tuple[int, ...] = ()

    @property
    def columns(self) -> dict[str, Column]:
        return {
            "text_groups": Column("BN", np.int32),  # number of the text's group, unique within the batch
            "text_roles": Column("BN", np.int32, 3),  # 0: the first text, 1: the second, 2: one that does not belong
            "text_ids": Column("BN", np.int32),  # number of the text; equal texts have the same
            # number of the text that it belongs to: of a first text, that of the second, and the other way round; of
            # others -1
            "partner_ids": Column("BN", np.int32),
            "group_weights": Column(
                "BN", np.float32
            ),  # 1 if the group's two texts are known to belong together, else 0
            "similarities": Column("BN", np.float32),  # the group's number: how similar its two texts are
            "similarity_weights": Column("BN", np.float32),  # 1 if it has one, else 0
        }

    def head(self, config: ModelConfig) -> MakeHead:
        return lambda name: EmbeddingsHead(config, name=name)

    def decode(self, prediction: jax.Array, batch: Batch) -> dict[str, jax.Array]:
        """Returns `vectors`: float32 [B, N, H], not normalised."""
        return {"vectors": prediction}

    @property
    def scores(self) -> tuple[Score, ...]:
        found = []
        for size in (None, *self.matryoshka_sizes):
            part, said = ("", "") if size is None else (f"/{size}", f", {size} numbers")
            found.append(Score(f"{self.name}_spearman{part}", f"cosine and similarity, Spearman correlation{said}"))
            for name, title in RETRIEVAL.items():
                baseline = f"{self.name}_random_{name}"
                found.append(Score(f"{self.name}_{name}{part}", f"retrieval, {title}{said}", False, baseline, "random"))
        return tuple(found)

    def judge(self, decoded: Mapping[str, np.ndarray], held_out: Batch) -> dict[str, float]:
        found: dict[str, float] = {}
        for size in (None, *self.matryoshka_sizes):
            part = "" if size is None else f"/{size}"
            vectors = normalized(decoded["vectors"][..., :size])
            scores = dict(_retrieval(vectors, held_out))
            if (value := _spearman(vectors, held_out)) is not None:
                scores["spearman"] = value
            found |= {f"{self.name}_{name}{part}": value for name, value in scores.items()}
        return found

    def baselines(self, held_out: Batch) -> dict[str, float]:
        """The scores of documents in random order."""
        _, document_slots, relevant, _ = _retrieval_set(held_out)
        scores = random_order_scores(len(document_slots), relevant)
        return {f"{self.name}_random_{name}": value for name, value in scores.items()}

    def unit_vectors(self, prediction: jax.Array) -> list[jax.Array]:
        """Returns all embeddings of a batch as vectors of length 1, for each size: float32 [B · N, size]."""
        flat = prediction.reshape(-1, prediction.shape[-1]).astype(jnp.float32)
        cut = [flat, *(flat[:, :size] for size in self.matryoshka_sizes)]
        # The root of a sum of squares has no gradient at 0, where unused slots are.
        return [one * jax.lax.rsqrt(jnp.square(one).sum(-1, keepdims=True) + 1e-12) for one in cut]


def normalized(vectors: np.ndarray) -> np.ndarray:
    """Returns vectors [..., H] divided by their length, float64; zeros stay zeros."""
    vectors = vectors.astype(np.float64)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def _spearman(vectors: np.ndarray, held_out: Batch) -> float | None:
    """The correlation of cosines with the numbers of all groups that have one; None if it is undefined."""
    first, second = _two_texts(held_out, held_out["similarity_weights"] > 0)
    if not len(first):
        return None
    # Cosines are of float32 vectors: equal pairs must tie.
    cosines = (vectors[tuple(first.T)] * vectors[tuple(second.T)]).sum(-1).astype(np.float32)
    return agreement.spearman(held_out["similarities"][tuple(first.T)], cosines)


def _retrieval(vectors: np.ndarray, held_out: Batch) -> dict[str, float]:
    query_slots, document_slots, relevant, left_out = _retrieval_set(held_out)
    queries, documents = (vectors[tuple(slots.T)] for slots in (query_slots, document_slots))
    return retrieval_scores(queries, documents, relevant, left_out)


def _retrieval_set(held_out: Batch) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The queries and documents, which are distinct texts, as places [texts, 2]; relevant pairs; pairs left out."""
    counted, roles, ids = held_out["group_weights"] > 0, held_out["text_roles"], held_out["text_ids"]
    first, second = _two_texts(held_out, counted)
    query_ids, query_first = np.unique(ids[tuple(first.T)], return_index=True)
    others = np.argwhere(counted & (roles != FIRST))
    document_ids, document_first = np.unique(ids[tuple(others.T)], return_index=True)
    query = np.searchsorted(query_ids, ids[tuple(first.T)])
    document = np.searchsorted(document_ids, ids[tuple(second.T)])
    relevant = np.unique(np.stack([query, document], axis=1), axis=0)
    # A document that is the query's own text would be found first; it says nothing, unless it is what is looked for.
    itself = np.argwhere(query_ids[:, None] == document_ids) if len(query_ids) else np.zeros((0, 2), np.int64)
    known = {tuple(pair) for pair in relevant.tolist()}
    left_out = np.array([pair for pair in itself.tolist() if tuple(pair) not in known], np.int64).reshape(-1, 2)
    return first[query_first], others[document_first], relevant, left_out


def _two_texts(batch: Batch, counted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The places (row, slot) of the first and of the second text of the groups counted, int64 [groups, 2] each."""
    places = [np.argwhere(counted & (batch["text_roles"] == role)) for role in (FIRST, SECOND)]
    order = [np.argsort(batch["text_groups"][tuple(place.T)], kind="stable") for place in places]
    return places[0][order[0]], places[1][order[1]]
