"""A tiny model with random parameters, for tests of what is inside a model."""

import dataclasses

from bert_jax.model.config import ModelConfig
from bert_jax.objectives.learner import Learner
from bert_jax.objectives.sentence_pairs import SentencePairs
from bert_jax.pretrained import Pretrained
from bert_jax.tokenization import from_files
from tests.interop.rows import padded_batch, random_params

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "sat", "down", "un", "##happy", ".", "##s", "dog"]
VOCABULARY = {"vocab.txt": "\n".join(WORDS).encode(), "tokenizer_config.json": b'{"do_lower_case": true}'}
CONFIG = ModelConfig(
    vocab_size=len(WORDS) + 2,  # more rows than words, as many released models have
    num_layers=2,
    hidden_size=16,
    num_heads=2,
    intermediate_size=24,
    max_positions=64,
)


def model(*objectives, **changes):
    """A model with these heads, and changes to its config; without heads, it has a pooler."""
    config = dataclasses.replace(CONFIG, **changes)
    batch = padded_batch(config, [12, 7], 12, 3)
    params = random_params(Learner(config, objectives or (SentencePairs(),)).model, batch)
    if not objectives:
        del params["nsp"]
    return Pretrained("here", config, objectives, params, from_files(VOCABULARY), config.max_positions)
