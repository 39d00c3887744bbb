"""Summaries, from files to chosen sentences."""

import json
import pathlib

import numpy as np
import pytest

from bert_jax import load
from bert_jax.errors import CheckpointError, ConfigError, CorpusError
from bert_jax.labelled_results import evaluate, predictions
from bert_jax.model.config import ModelConfig
from bert_jax.objectives.extracts import Document
from bert_jax.reporting import write_report
from bert_jax.tasks.extractive_summarization import ExtractiveSummarization, ExtractiveSummarizationConfig
from bert_jax.tokenization import load_tokenizer
from bert_jax.training.run import prepare, run
from tests.tasks.test_pretraining import results

KIND = ExtractiveSummarization()


def make_documents(words, count, seed):
    """Documents of 3 to 12 sentences; the summary has the words of two of them."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        sentences = [" ".join(rng.choice(words, rng.integers(3, 9))) for _ in range(rng.integers(3, 13))]
        chosen = sorted(rng.choice(len(sentences), 2, replace=False).tolist())
        summary = "\n".join(sentences[i] for i in chosen)
        found.append(
            {"sentences": sentences, "summary": summary, "labels": [int(i in chosen) for i in range(len(sentences))]}
        )
    return found


def write(file, rows):
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return str(file)


@pytest.fixture(scope="module")
def words(corpus):
    return [piece for piece in corpus.tokenizer.vocabulary if piece.isalpha() and len(piece) > 2][:20]


@pytest.fixture
def settings(words, corpus_path, tmp_path):
    """From scratch; runs of seconds."""
    config = ExtractiveSummarizationConfig(
        model=ModelConfig(num_layers=1, hidden_size=32, num_heads=2, max_positions=64, dropout=0.0)
    )
    config.data.train = write(tmp_path / "train.jsonl", make_documents(words, 12, 0))
    config.data.validation = write(tmp_path / "validation.jsonl", make_documents(words, 6, 1))
    config.data.tokenizer, config.data.sequence_length = f"{corpus_path}/tokenizer", 64
    config.data.num_sentences, config.data.window_overlap = 2, 24
    config.train.num_steps, config.train.batch_size, config.train.log_every = 6, 4, 1
    config.train.checkpoint_every, config.eval.every = 3, 6
    return config


@pytest.fixture(scope="module")
def memorised(words, corpus_path, tmp_path_factory):
    """A run that learns few documents, longer and shorter than a window, by heart."""
    folder = tmp_path_factory.mktemp("memorised")
    config = ExtractiveSummarizationConfig(
        model=ModelConfig(
            num_layers=2, hidden_size=32, num_heads=2, max_positions=64, dropout=0.0, attention_dropout=0.0,
            initializer_range=0.1,
        )
    )  # fmt: skip
    config.data.train = config.data.validation = write(folder / "documents.jsonl", make_documents(words, 8, 0))
    config.data.tokenizer, config.data.sequence_length = f"{corpus_path}/tokenizer", 64
    config.data.num_sentences, config.data.window_overlap = 2, 24
    config.optimizer.learning_rate = 5e-3
    config.train.num_steps, config.train.batch_size, config.train.log_every = 150, 8, 50
    config.train.checkpoint_every = config.eval.every = 1000
    return folder / "run", run(KIND, config, folder / "run")


def test_it_learns_which_sentences_make_the_summary(memorised):
    folder, scores = memorised
    assert scores["eval/summary_oracle_rouge1"] == pytest.approx(1)
    assert scores["eval/summary_rouge1"] > 0.95
    assert scores["eval/summary_lead_rouge1"] < 0.8
    assert scores["eval/summary_loss"] < 0.1 < scores["eval/summary_share_loss"]
    text = write_report(folder)
    for part in ("(the first 2)", "ROUGE-L of the labelled sentences", "summarize each of 8 documents", "the model |"):
        assert part in text, part


def test_a_loaded_model_summarizes_as_the_run_was_scored(memorised):
    folder, scores = memorised
    model = load(folder)
    path = pathlib.Path(model.run.data.validation)
    found = list(predictions(model, path, True, []))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for name, key in (("rouge", ""), ("lead_rouge", "lead_"), ("oracle_rouge", "oracle_")):
        mean = np.mean([one[name]["rougeL"] for one in found])
        assert mean == pytest.approx(scores[f"eval/summary_{key}rougeL"], abs=1e-6)
    assert evaluate(model, path)["summary_rouge2"] == pytest.approx(scores["eval/summary_rouge2"], abs=1e-6)
    for one, row in zip(found, rows, strict=True):
        assert (one["sentences"], one["gold"]) == (row["sentences"], [row["summary"]])
        assert one["predicted"] == [row["sentences"][i] for i in one["chosen"]]
        assert len(one["probabilities"]) == len(row["sentences"])
        summary = model.summarize(row["sentences"])
        assert list(summary.indices) == one["chosen"]
        np.testing.assert_allclose(summary.probabilities, one["probabilities"], rtol=1e-4, atol=1e-6)
    other = write(path.parent / "other.jsonl", [{"sentences": ["the end"], "summary": "qqq"}])
    with pytest.raises(CorpusError, match=r"other\.jsonl labels no sentence"):
        evaluate(model, other)
    new = next(iter(predictions(model, path, False, [])))
    assert ("gold" in new, new["chosen"], "rouge" in new) == (False, found[0]["chosen"], False)


def test_summaries_of_texts_of_any_length(memorised, words):
    model = load(memorised[0])
    text = "  ".join(f"The {word} came. It left again!" for word in words * 5)
    summary = model.summarize(text, sentences=3)
    assert len(summary.probabilities) == 200
    assert len(summary.sentences) == 3
    assert list(summary.indices) == sorted(summary.indices)
    assert all(sentence in text for sentence in summary.sentences)
    assert str(summary) == " ".join(summary.sentences)
    assert repr(summary).endswith("3 of 200 sentences)")
    assert len(model.summarize(text, block_trigrams=True, sentences=200).sentences) == len(words) + 1
    together = model.summarize([["One.", "Two.", "Three."], [], ["Four."]])
    assert [one.indices for one in together][1:] == [(), (0,)]
    assert model.summarize(["One.", "Two.", "Three."]).indices == together[0].indices
    assert model.summarize("").sentences == model.summarize([]).sentences == ()
    with pytest.raises(ConfigError, match="sentences=0 must be at least 1"):
        model.summarize(text, sentences=0)
    with pytest.raises(CheckpointError, match="not trained to label texts"):
        model.classify(["a"])


def test_the_model_can_be_written_in_our_own_format_but_hugging_face_has_no_such_head(memorised, tmp_path):
    model = load(memorised[0])
    model.save_checkpoint(tmp_path / "own")
    sentences = ["The end.", "And the end.", "Then."]
    again = load(tmp_path / "own").summarize(sentences)
    assert again.indices == model.summarize(sentences).indices
    with pytest.raises(ConfigError, match="no BERT with the head summary: leave it out"):
        model.save_huggingface(tmp_path / "theirs")


def test_an_interrupted_run_ends_like_a_straight_one(settings, tmp_path):
    run(KIND, settings, tmp_path / "straight")
    for stop in (2, None):
        settings.train.stop_after = stop
        run(KIND, settings, tmp_path / "run")
    assert results(tmp_path / "run") == results(tmp_path / "straight")


def test_sentences_are_labelled_by_their_summary_where_a_file_has_no_labels(settings, words, tmp_path):
    rows = make_documents(words, 12, 0)
    lines: list[str] = []
    given = list(KIND.read(settings, settings.data.train, lines))
    for row in rows:
        del row["labels"]
    found = list(KIND.read(settings, write(tmp_path / "plain.jsonl", rows), lines))
    best = [Document(one.sentences, one.references).best(2) for one in found]
    assert [tuple(np.flatnonzero(one.labels)) for one in found] == best
    # The summary is made of the labelled sentences, so the greedy choice finds nearly all of them.
    same = np.mean([one.labels == other.labels for one, other in zip(found, given, strict=True)])
    assert same > 0.7


def test_a_document_longer_than_the_model_keeps_all_its_sentences(settings, corpus_path, tmp_path):
    """60 sentences of 20 tokens, of which the first and the 56th are wanted; a model of 512."""
    sentences = [f"{'the ' * 19}end" for _ in range(60)]
    labels = np.isin(np.arange(60), [0, 55]).astype(int).tolist()
    file = write(tmp_path / "long.jsonl", [{"sentences": sentences, "summary": "the end", "labels": labels}])
    settings.data.sequence_length = settings.model.max_positions = 512
    lines: list[str] = []
    examples = list(KIND.read(settings, file, lines))
    tokenizer = load_tokenizer(f"{corpus_path}/tokenizer")
    labelled = KIND.encode(settings, KIND.objectives(settings, {}), examples, tokenizer, "train", lines)
    assert labelled.token_columns["summary_weights"].sum() == 60
    assert labelled.token_columns["summary_labels"].sum() == 2
    assert "windows      3 for 1 train document: long ones have several" in lines


def test_what_is_cut_or_empty_is_told(settings, words, tmp_path):
    rows = [*make_documents(words, 4, 2), {"sentences": ["the " * 200], "summary": "qqq"}]
    for row in rows:
        row.pop("labels", None)
    settings.data.train = write(tmp_path / "cut.jsonl", rows)
    lines = prepare(KIND, settings).task.stream.lines
    assert any(line == "cut          train sentences that do not fit in a row: 1" for line in lines)
    assert any(line.endswith("of them in summaries; documents without: 1") for line in lines)
    settings.data.train = write(tmp_path / "nothing.jsonl", [{"sentences": ["the end"], "summary": "qqq"}])
    with pytest.raises(CorpusError, match=r"nothing\.jsonl labels no sentence, so that nothing can be learned"):
        prepare(KIND, settings)


def test_findings_have_a_row_for_each_choice_and_for_a_to_z_only_where_that_differs(memorised):
    model = load(memorised[0])
    documents = [Document(("A cat.", "The end."), ("The end.",), (0, 1)), Document(("猫。",), ("猫",), (1,))]
    first, both = (KIND.findings(list(KIND.predict(model, some))) for some in (documents[:1], documents))
    assert sum("a-z and 0-9 alone" in line for line in first) == 0
    assert [line for line in both if "labelled sentences" in line] == [
        "| the labelled sentences | 1.000 | 0.500 | 1.000 | 1.000 |",
        "| the labelled sentences, a-z and 0-9 alone | 0.500 | 0.500 | 0.500 | 0.500 |",
    ]
