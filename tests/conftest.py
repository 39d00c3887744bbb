"""A small corpus with something to learn in it, made once for all tests."""

import json
import os

import jax
import numpy as np
import pytest

from bert_jax.corpus.builder.prepare import prepare_corpus
from bert_jax.corpus.store import Corpus
from bert_jax.model.config import ModelConfig
from bert_jax.tasks.pretraining import PretrainingConfig


@pytest.fixture(scope="session", autouse=True)
def compilation_cache(tmp_path_factory):
    """Many tests run the same small model: it is compiled once, also for their processes and for other workers."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "compiled"
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"


def make_documents(count: int, seed: int = 0) -> list[str]:
    """Documents of 3 to 60 sentences; each document has its own topic words, each sentence a few fixed phrases."""
    rng = np.random.default_rng(seed)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(rng.choice(letters, rng.integers(2, 9))) for _ in range(400)]
    documents = []
    for _ in range(count):
        topic = rng.choice(words, 12)
        sentences = []
        for _ in range(rng.integers(3, 61)):
            first = int(rng.integers(0, 12))
            body = [topic[(first + i) % 12] for i in range(rng.integers(1, 6))]
            sentences.append(("the " + " and ".join(body) + " end.").capitalize())
        documents.append("\n".join(sentences))
    return documents


@pytest.fixture(scope="session")
def text_file(tmp_path_factory):
    """120 documents in BERT's format: a sentence a line, a blank line between documents."""
    file = tmp_path_factory.mktemp("text") / "documents.txt"
    file.write_text("\n\n".join(make_documents(120)) + "\n")
    return file


@pytest.fixture(scope="session")
def jsonl_files(tmp_path_factory):
    """The pattern of three files with 40 documents each."""
    folder = tmp_path_factory.mktemp("jsonl")
    documents = make_documents(120, seed=1)
    for part in range(3):
        rows = [
            json.dumps({"id": f"{part}-{i}", "text": text, "lang": "en"}) + "\n"
            for i, text in enumerate(documents[40 * part : 40 * part + 40])
        ]
        (folder / f"part{part}.jsonl").write_text("".join(rows))
    return f"{folder}/*.jsonl"


@pytest.fixture(scope="session")
def corpus(text_file, tmp_path_factory) -> Corpus:
    """That text as a corpus with a vocabulary of 300."""
    return prepare_corpus(
        f"text:{text_file}", corpus_folder(tmp_path_factory), vocab_size=300, num_workers=1, validation_fraction=0.1
    )


def corpus_folder(tmp_path_factory):
    return tmp_path_factory.getbasetemp() / "corpus"


@pytest.fixture(scope="session")
def corpus_path(corpus, tmp_path_factory) -> str:
    """Where `corpus` is."""
    return str(corpus_folder(tmp_path_factory))


@pytest.fixture
def config(corpus_path) -> PretrainingConfig:
    """A run of seconds."""
    config = PretrainingConfig(model=ModelConfig(num_layers=2, hidden_size=32, num_heads=2, max_positions=64))
    config.data.corpus = corpus_path
    config.data.sequence_length = 64
    config.data.max_examples = 4
    config.data.short_probability = 0.5
    config.optimizer.learning_rate = 1e-3
    config.train.num_steps = 12
    config.train.batch_size = 8
    config.train.log_every = 1
    config.train.checkpoint_every = 4
    config.eval.every = 6
    config.eval.num_targets = 300
    return config
