"""How the sources share the text that a vocabulary is trained on."""

import collections

import numpy as np
import pytest
from etils import epath

from bert_jax.corpus.builder import scanning
from bert_jax.corpus.builder.job import Options
from bert_jax.corpus.builder.prepare import prepare_corpus
from bert_jax.data.config import DataConfig, source_shares
from tests.corpus.builder.test_prepare import files

QUIET = {"progress": lambda line: None, "validation_fraction": 0.1}


@pytest.mark.parametrize("exponent", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("limit", [10**3, 10**4, 10**9])
def test_samples_are_drawn_and_weighted_as_training_draws_rows(monkeypatch, exponent, limit):
    sizes = [50_000, 8_000, 300]
    monkeypatch.setitem(scanning.SAMPLE_BYTES, "wordpiece", limit)
    options = Options(source=("text:x",), source_exponent=exponent)
    sampled = [share * size for share, size in zip(scanning.sample_shares(options, sizes), sizes, strict=True)]
    assert sum(sampled) <= min(limit, sum(sizes)) * (1 + 1e-9)
    weights = scanning.source_weights(options, dict(enumerate(sizes)), dict(enumerate(sampled)))
    counted = np.array([weights[i] * sampled[i] for i in range(3)])
    assert counted.sum() == pytest.approx(sum(sampled))
    expected = source_shares(DataConfig(source_exponent=exponent), ("a", "b", "c"), np.array(sizes))
    np.testing.assert_allclose(counted / counted.sum(), expected)


def test_sources_without_a_sample_have_no_weight():
    options = Options(source=("text:x",), source_exponent=0.5)
    assert scanning.source_weights(options, {0: 100, 1: 9}, {0: 50, 1: 0}) == {0: 1.0, 1: 0.0}


@pytest.mark.parametrize(
    ("tokenizer", "options"),
    [
        ("wordpiece", {"vocab_size": 70, "character_coverage": 1.0}),
        ("sentencepiece", {"vocab_size": 70, "character_coverage": 1.0}),
        ("sentencepiece-bpe", {"vocab_size": 70, "character_coverage": 1.0}),
        ("bpe", {"vocab_size": 300}),
    ],
)
def test_a_small_source_gets_its_words_by_a_small_exponent(tmp_path, tokenizer, options):
    large = " ".join(f"{a}{b}{c}oria" for a in "bdfgklmn" for b in "aeiou" for c in "prstv")
    small = "zweihundert jahre zwischenzeitlich"
    (tmp_path / "large.txt").write_text("\n\n".join([large] * 60))
    (tmp_path / "small.txt").write_text("\n\n".join([small] * 8))
    specs = [f"text:{tmp_path}/large.txt", f"text:{tmp_path}/small.txt"]
    built = [
        prepare_corpus(
            specs,
            tmp_path / f"{exponent}-{workers}",
            tokenizer=tokenizer,
            source_exponent=exponent,
            num_workers=workers,
            **QUIET,
            **options,
        )
        for exponent, workers in ((1.0, 1), (0.0, 1), (0.0, 2))
    ]
    fewest = [len(one.tokenizer.encode(small)) for one in built]
    assert fewest[1] < fewest[0]
    assert files(tmp_path / "0.0-1") == files(tmp_path / "0.0-2")
    assert built[1].manifest["options"]["source_exponent"] == 0.0


class Sampled:
    """A unit with a sample of equal lines."""

    def __init__(self, folder, source, line, count):
        self.index = source
        self.unit = type("Unit", (), {"source": type("Source", (), {"index": source})})
        (folder / f"{source}.sample.txt").write_text(f"{line}\n" * count)
        self.file = lambda name: epath.Path(folder / f"{source}.{name}")


def test_a_sample_that_is_larger_than_intended_is_thinned_in_all_sources(tmp_path, monkeypatch):
    monkeypatch.setitem(scanning.SAMPLE_BYTES, "sentencepiece", 4000)
    options = Options(source=("text:x",), tokenizer="sentencepiece")
    sampled = [Sampled(tmp_path, 0, "0 words", 3000), Sampled(tmp_path, 1, "1 words", 1000)]
    lines = collections.Counter(scanning._lines(options, sampled, {0: 1.0, 1: 3.0}, lambda line: None))
    assert {text: count / 500 for text, count in lines.items()} == pytest.approx({"0 words": 1, "1 words": 1}, abs=0.1)


def test_byte_level_vocabularies_are_cased_unless_told():
    for chosen, uncased in (({}, False), ({"lowercase": True}, True), ({"tokenizer": "wordpiece"}, True)):
        options = Options(**{"source": ("text:x",), "tokenizer": "bpe"} | chosen)
        assert options.uncased is options.as_json()["lowercase"] is uncased


def test_text_without_spaces_takes_more_of_the_sample_of_bytes(tmp_path, monkeypatch):
    monkeypatch.setitem(scanning.SAMPLE_BYTES, "bpe", 100_000)
    options, said = Options(source=("text:x",), tokenizer="bpe"), []
    kept = {
        line: len(list(scanning._lines(options, [Sampled(tmp_path, 0, line, 9000)], {0: 1.0}, said.append)))
        for line in ("some text with spaces", "没有空格的文字")
    }
    assert kept["some text with spaces"] == 9000
    assert kept["没有空格的文字"] == pytest.approx(200_000 / 16 / 22, rel=0.1)
    assert not said


def test_training_that_takes_long_says_how_far_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(scanning, "SECONDS_BETWEEN_LINES", 0)
    options, said = Options(source=("text:x",), tokenizer="bpe"), []
    units = [Sampled(tmp_path, i, "some text", 10) for i in range(2)]
    assert len(list(scanning._lines(options, units, {0: 1.0, 1: 1.0}, said.append))) == 20
    assert said == [
        "training a vocabulary: 50% of the sample read",
        "training a vocabulary: the sample is read, learning pieces from it",
    ]
