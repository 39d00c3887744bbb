"""Packed rows for all tests of the model."""

import numpy as np
import pytest

from bert_jax.data.batches import Batches
from bert_jax.data.config import DataConfig


@pytest.fixture(scope="module")
def packed(corpus):
    """Four rows of three or four examples each."""
    config = DataConfig(sequence_length=128, max_examples=4, short_probability=1.0)
    source = Batches(corpus.train, corpus.sources, corpus.tokenizer, config, 0, 64)
    batch = source.batch(0)
    full = np.flatnonzero(batch["example_ids"].max(1) >= 3)[:4]
    assert len(full) == 4
    return {name: value[full] for name, value in batch.items()}
