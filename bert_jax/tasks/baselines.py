"""What the scores of pretraining are read against: words guessed by their frequency, and the more frequent label."""

import jax
import jax.numpy as jnp
import numpy as np

from bert_jax.batch import Batch
from bert_jax.data.config import DataConfig
from bert_jax.data.corpus import Corpus


def sources_of_predictions(batch: Batch) -> jax.Array:
    """The source of each predicted position [B, K]; any where unused."""
    slot = jnp.take_along_axis(batch["sequence_ids"], batch["masked_positions"], axis=1) - 1
    return jnp.take_along_axis(batch["source_ids"], jnp.maximum(slot, 0), axis=1)


def unigram_losses(batches: list[Batch], token_counts: np.ndarray, frame_ids: tuple[int, ...]) -> np.ndarray:
    """−log share, in nats, of each target of the batches under the training split's token counts.

    Special tokens, which are never targets, have no share; each other token counts once more than it occurs.
    """
    counts = np.asarray(token_counts, np.float64) + 1
    counts[list(frame_ids)] = 0
    targets = np.concatenate([b["masked_targets"][b["masked_weights"] > 0] for b in batches])
    return -np.log(counts[targets] / counts.sum())


def baselines(batches: list[Batch], corpus: Corpus, data: DataConfig) -> dict[str, float]:
    """What the scores are read against: words guessed by frequency, and always the more frequent label, or chance."""
    guesses = unigram_losses(batches, corpus.train.token_counts, corpus.tokenizer.frame_ids)
    found = {"eval/unigram_mlm_loss": float(guesses.mean())}
    if len(corpus.sources) > 1:
        sources = np.concatenate([np.asarray(sources_of_predictions(b))[b["masked_weights"] > 0] for b in batches])
        for i, name in enumerate(corpus.sources):
            if (sources == i).any():
                found[f"eval/unigram_mlm_loss/{name}"] = float(guesses[sources == i].mean())
    labels = np.concatenate([b["nsp_labels"][b["nsp_weights"] > 0] for b in batches])
    if data.examples == "candidates":
        found["eval/nsp_chance"] = 1 / data.nsp_group_size
    elif len(labels):
        found["eval/nsp_majority"] = float(max(labels.mean(), 1 - labels.mean()))
    return found
