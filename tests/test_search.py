"""Exact search in documents of any number, whose vectors are kept."""

import dataclasses
import json
import os

import numpy as np
import pytest

from bert_jax import load, search
from bert_jax.errors import ConfigError, CorpusError
from bert_jax.search import best, default_folder, open_index, read_texts
from bert_jax.tasks.pretraining import PretrainingConfig, pretrain
from tests.tasks.test_pretraining import shrink

TEXTS = ["the end", "and the", "", "the end", "and end all of the"]


@pytest.fixture(scope="module")
def model(corpus_path, tmp_path_factory):
    config = PretrainingConfig()
    shrink(config, corpus_path)
    config.train.num_steps = 1
    folder = tmp_path_factory.mktemp("search") / "run"
    pretrain(config, folder)
    return load(folder)


@pytest.fixture
def documents(tmp_path):
    file = tmp_path / "documents.jsonl"
    file.write_text("".join(json.dumps({"id": i, "text": text}) + "\n" for i, text in enumerate(TEXTS)))
    return file


@pytest.mark.parametrize("at_once", [1, 7, 1000])
def test_the_best_are_those_of_sorting_all(monkeypatch, at_once):
    """Few different products, so that many tie: of equal ones, the first."""
    monkeypatch.setattr(search, "DOCUMENTS_AT_ONCE", at_once)
    rng = np.random.default_rng(0)
    queries, vectors = (rng.integers(-1, 2, (n, 3)).astype(np.float32) for n in (9, 100))
    for top in (1, 5, 99, 200):
        numbers, scores = best(queries, vectors, top)
        products = queries @ vectors.T
        expected = np.argsort(-products, axis=1, kind="stable")[:, :top]
        np.testing.assert_array_equal(numbers, expected)
        np.testing.assert_array_equal(scores, np.take_along_axis(products, expected, axis=1))


def test_hits_are_in_order_with_their_texts(model, documents, tmp_path, monkeypatch):
    index = open_index(model, documents, tmp_path / "index")
    monkeypatch.setattr(search, "QUERIES_AT_ONCE", 2)
    found = list(search.search(model, index, documents, iter(["the end", "end", "and the"]), top=3))
    assert [query for query, _ in found] == ["the end", "end", "and the"]
    for query, hits in found:
        cosines = model.embed(TEXTS, normalize=True) @ model.embed(query, normalize=True)
        assert [hit.text for hit in hits] == [TEXTS[hit.document] for hit in hits]
        np.testing.assert_allclose([hit.score for hit in hits], np.sort(cosines)[::-1][:3], atol=1e-5)
    assert [hit.document for hit in found[0][1]][:2] == [0, 3]
    assert found[0][1][0].score == pytest.approx(1, abs=1e-5)


def test_documents_are_embedded_once(model, documents, tmp_path, monkeypatch):
    folder = tmp_path / "index"
    assert open_index(model, documents, folder).is_new
    assert not open_index(model, documents, folder).is_new
    # Another text of the same length and time, as a cache by name would not see.
    stat = documents.stat()
    documents.write_text(documents.read_text().replace("and the", "the and"))
    os.utime(documents, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    index = open_index(model, documents, folder)
    assert index.is_new
    np.testing.assert_allclose(index.vectors[1], model.embed("the and", normalize=True), atol=1e-5)
    narrow = open_index(model, documents, folder, width=8)
    assert narrow.is_new
    assert narrow.vectors.shape == (5, 8)
    other = dataclasses.replace(model, pooling="max")
    assert open_index(other, documents, folder, width=8).is_new


def test_an_index_whose_making_was_interrupted_is_made_again(model, documents, tmp_path):
    folder = tmp_path / "index"
    open_index(model, documents, folder)
    documents.write_text(documents.read_text() + '{"text": 5}\n')
    with pytest.raises(CorpusError, match="line 6 has no text in 'text'"):
        open_index(model, documents, folder)
    documents.write_text(documents.read_text().replace("5}", '"5"}'))
    assert len(open_index(model, documents, folder).vectors) == 6


def test_any_number_of_documents_is_read_a_few_at_a_time(model, tmp_path, monkeypatch):
    monkeypatch.setattr(search, "TEXTS_AT_ONCE", 3)
    file = tmp_path / "documents.txt"
    file.write_text("\n".join(TEXTS * 3) + "\n")
    index = open_index(model, file, tmp_path / "index")
    np.testing.assert_allclose(index.vectors, np.tile(model.embed(TEXTS, normalize=True), (3, 1)), atol=1e-5)
    assert list(read_texts(file)) == TEXTS * 3


def test_the_index_lies_beside_a_file_only(documents):
    assert default_folder(documents) == documents.with_name("documents.jsonl.index")
    for other in (documents.with_name("*.jsonl"), documents.with_name("other.jsonl"), "tfds:glue:train"):
        with pytest.raises(ConfigError, match="say where to keep the index"):
            default_folder(other)
