"""Embeddings, from files to vectors: texts that belong together share a word."""

import dataclasses
import json

import numpy as np
import pytest

from bert_jax import load
from bert_jax.errors import ConfigError, CorpusError
from bert_jax.labelled_results import evaluate, predictions
from bert_jax.model.config import ModelConfig
from bert_jax.objectives import agreement
from bert_jax.reporting import write_report
from bert_jax.tasks.embedding import Embedding, EmbeddingRunConfig
from bert_jax.training.run import prepare, run
from tests.tasks.test_pretraining import results

KIND = Embedding()


def write(file, rows):
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def files(corpus, tmp_path_factory):
    """Pairs and triplets whose members share a word of their own, pairs with numbers, single texts."""
    folder = tmp_path_factory.mktemp("related")
    words = [piece for piece in corpus.tokenizer.vocabulary if piece.isalpha() and len(piece) > 2][:24]
    rng = np.random.default_rng(0)

    def text(word):
        some = [word, *rng.choice(words[20:], rng.integers(1, 4))]
        return " ".join(rng.permutation(some))

    for name, count in (("train", 200), ("validation", 60)):
        topics = rng.integers(0, 20, (count, 2))
        write(folder / f"{name}.jsonl", [{"anchor": text(words[a]), "positive": text(words[a])} for a, _ in topics])
        write(
            folder / f"{name}_triplets.jsonl",
            [
                {"anchor": text(words[a]), "positive": text(words[a]), "negative": text(words[(a + 1) % 20])}
                for a, _ in topics
            ],
        )
        same = [(a, a if i % 2 else b) for i, (a, b) in enumerate(topics.tolist())]
        write(
            folder / f"{name}_numbers.jsonl",
            [{"sentence1": text(words[a]), "sentence2": text(words[b]), "score": 5.0 * (a == b)} for a, b in same],
        )
        write(folder / f"{name}_texts.jsonl", [{"text": text(words[a])} for a, _ in topics])
    return folder


@pytest.fixture
def settings(files, corpus_path):
    """From scratch; runs of seconds."""
    config = EmbeddingRunConfig(
        model=ModelConfig(num_layers=1, hidden_size=32, num_heads=2, max_positions=64, pooling="mean")
    )
    config.data.train, config.data.validation = f"{files}/train.jsonl", f"{files}/validation.jsonl"
    config.data.tokenizer, config.data.sequence_length = f"{corpus_path}/tokenizer", 64
    config.train.num_steps, config.train.batch_size, config.train.log_every = 12, 8, 1
    config.train.checkpoint_every, config.eval.every = 4, 6
    return config


def to_learn(config, steps=60):
    config.model.initializer_range, config.model.dropout, config.optimizer.learning_rate = 0.2, 0.0, 1e-2
    config.train.num_steps, config.train.log_every = steps, 10
    config.train.checkpoint_every = config.eval.every = 1000
    return config


@pytest.fixture(scope="module")
def trained(files, corpus_path, tmp_path_factory):
    """A run on pairs, and its scores."""
    config = to_learn(settings.__wrapped__(files, corpus_path))
    config.embedding.matryoshka_sizes, config.eval.best_by = "8", "embedding_ndcg_10"
    folder = tmp_path_factory.mktemp("trained") / "run"
    return folder, run(KIND, config, folder)


def test_it_learns_and_says_so_beside_random_order(trained):
    folder, scores = trained
    assert scores["eval/embedding_ndcg_10"] > 3 * scores["eval/embedding_random_ndcg_10"]
    assert scores["eval/embedding_mrr"] > 3 * scores["eval/embedding_random_mrr"]
    assert scores["eval/embedding_ndcg_10/8"] > 2 * scores["eval/embedding_random_ndcg_10"]
    assert "eval/embedding_spearman" not in scores
    text = write_report(folder)
    for part in ("retrieval, nDCG@10", "(random)", "200 examples of texts that belong together", "lowest cosines"):
        assert part in text, part


def test_the_model_embeds_as_it_was_trained_to(trained, files):
    folder, scores = trained
    model = load(folder)
    assert (model.pooling, model.normalize, model.max_tokens) == ("mean", True, 64)
    rows = [json.loads(line) for line in (files / "validation.jsonl").read_text().splitlines()]
    texts = sorted({row["positive"] for row in rows})
    ranks = model.embed([row["anchor"] for row in rows]) @ model.embed(texts).T
    anchors = [row["anchor"] for row in rows]
    first = [texts[best] in _positives(rows, one) for best, one in zip(ranks.argmax(1), anchors, strict=True)]
    by_anchor = dict(zip(anchors, first, strict=True))
    assert np.mean(list(by_anchor.values())) == pytest.approx(scores["eval/embedding_recall_1"], abs=0.02)
    short = model.embed(texts, width=8)
    np.testing.assert_allclose(np.linalg.norm(short, axis=1), 1, rtol=1e-5)
    whole = model.embed(texts, normalize=False)
    np.testing.assert_allclose(short, whole[:, :8] / np.linalg.norm(whole[:, :8], axis=1, keepdims=True), rtol=1e-5)
    for width in (0, 33):
        with pytest.raises(ConfigError, match="must lie between 1 and the model's 32"):
            model.embed(texts, width=width)
    again = evaluate(model, files / "validation.jsonl")
    # The loss and the accuracy depend on what shares an evaluation batch.
    for name, value in again.items():
        if name in ("embedding_loss", "embedding_accuracy"):
            continue
        assert value == pytest.approx(scores[f"eval/{name}"], abs=1e-5), name


def _positives(rows, anchor):
    return {row["positive"] for row in rows if row["anchor"] == anchor}


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_an_exported_folder_embeds_the_same(settings, tmp_path, pooling):
    settings.model = dataclasses.replace(settings.model, pooling=pooling)
    settings.train.num_steps = 1
    run(KIND, settings, tmp_path / "run")
    model = load(tmp_path / "run")
    texts = ["the end", "and the end of all.", ""]
    expected = model.embed(texts)
    model.save_huggingface(tmp_path / "exported", model.pooling)
    model.save_checkpoint(tmp_path / "own")
    for folder in ("exported", "own"):
        again = load(tmp_path / folder)
        assert (again.pooling, again.normalize) == (pooling, True)
        np.testing.assert_allclose(again.embed(texts), expected, atol=1e-6)
    modules = json.loads((tmp_path / "exported" / "modules.json").read_text())
    assert [one["type"].rpartition(".")[2] for one in modules] == ["Transformer", "Pooling", "Normalize"]
    assert type(load(tmp_path / "own").objectives[0]).__name__ == "Contrastive"


def test_an_interrupted_run_ends_like_a_straight_one(settings, files, tmp_path):
    settings.data.train, settings.embedding.symmetric = f"{files}/train_triplets.jsonl", True
    run(KIND, settings, tmp_path / "straight")
    for stop in (5, None):
        settings.train.stop_after = stop
        run(KIND, settings, tmp_path / "run")
    assert results(tmp_path / "run") == results(tmp_path / "straight")


def test_numbers_are_learned_as_cosines(settings, files, tmp_path):
    config = to_learn(settings)
    config.data.train, config.data.validation = (f"{files}/{name}_numbers.jsonl" for name in ("train", "validation"))
    config.eval.best_by = "embedding_spearman"
    scores = run(KIND, config, tmp_path / "run")
    assert scores["eval/embedding_spearman"] > 0.7
    assert scores["eval/embedding_loss"] < 0.15
    model = load(tmp_path / "run")
    said = list(predictions(model, config.data.validation, True, []))
    gold, cosines = (np.array([one[name] for one in said]) for name in ("gold", "predicted"))
    assert agreement.spearman(gold, cosines.astype(np.float32)) == pytest.approx(
        scores["eval/embedding_spearman"], abs=1e-3
    )
    assert "differ most in rank" in "\n".join(KIND.findings(said))


def test_raw_text_is_learned_from_by_two_draws_of_dropout(settings, files, tmp_path, capsys):
    """Scored on pairs with numbers; in evaluation the two draws are one, so that there is no loss."""
    settings.data.train, settings.data.validation = f"{files}/train_texts.jsonl", f"{files}/validation_numbers.jsonl"
    scores = run(KIND, settings, tmp_path / "run")
    assert np.isfinite(scores["eval/embedding_spearman"])
    assert "eval/embedding_loss" not in scores
    told = capsys.readouterr().err
    assert "200 texts, each with itself under another draw of dropout" in told
    assert "negatives    of the whole batch of 8 rows, over all devices" in told
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    first = next(row for row in rows if "train/embedding_loss" in row)
    assert 0.01 < first["train/embedding_loss"] < np.log(8 * 4)
    said = next(iter(predictions(load(tmp_path / "run"), f"{files}/train_texts.jsonl", False, [])))
    assert len(said["predicted"]) == 32


def test_microbatches_are_said_to_have_negatives_of_their_own(settings, files):
    settings.train.grad_accumulation_steps = 2
    lines = prepare(KIND, settings).task.stream.lines
    assert "negatives    of a microbatch of 4 rows, over all devices: the 2 of a step do not see each other" in lines


def test_texts_that_the_vocabulary_does_not_know_are_told(settings, tmp_path):
    settings.data.train = str(tmp_path / "train.jsonl")
    write(tmp_path / "train.jsonl", [{"anchor": "안전모 the end", "positive": "한 남자가"}] * 4)
    assert any(
        "of the train tokens are unknown to the vocabulary" in one for one in prepare(KIND, settings).task.stream.lines
    )


def test_the_worst_pairs_are_those_that_differ_most_in_rank():
    gold = [0, 0, 0, 0, 5, 5]
    cosines = [0.1, 0.2, 0.3, 0.9, 0.8, 0.7]
    said = [
        {"text": f"t{i}", "pair": "p", "gold": g, "predicted": c}
        for i, (g, c) in enumerate(zip(gold, cosines, strict=True))
    ]
    lines = [line for line in KIND.findings(said) if "| p |" in line]
    assert [line.split()[1] for line in lines[:2]] == ["t3", "t0"]  # ranks 1.5 and 5, 1.5 and 0
    alone = [one | {"gold": None} for one in said]
    assert [line.split()[1] for line in KIND.findings(alone) if "| p |" in line][:2] == ["t0", "t1"]
    assert KIND.findings([{"text": "t", "gold": None, "predicted": [0.1, 0.2]}]) == []


def test_a_text_of_several_lines_is_one_cell_of_the_table():
    lines = KIND.findings([{"text": "one\ntwo\n", "pair": "three", "gold": 1, "predicted": 0.5}])
    assert "| one two | three | 1 | 0.500 |" in lines


def test_what_cannot_work_is_refused(settings, files, tmp_path):
    def refused(message, error=ConfigError, **changes):
        config = dataclasses.replace(settings, data=dataclasses.replace(settings.data))
        for name, value in changes.items():
            section, _, field = name.partition("__")
            setattr(config, section, dataclasses.replace(getattr(config, section), **{field: value}))
        with pytest.raises(error, match=message):
            prepare(KIND, config)

    refused("has one text alone", CorpusError, data__validation=f"{files}/validation_texts.jsonl")
    refused("eval.best_by=embedding_spearman is undefined", eval__best_by="embedding_spearman")
    numbers = f"{files}/validation_numbers.jsonl"
    refused("give eval.best_by=embedding_spearman", eval__best_by="embedding_mrr", data__validation=numbers)
    refused("is not a score of this run", eval__best_by="embedding_loss")
    refused("temperature=0.0 must be above 0", embedding__temperature=0.0)
    refused("is not a list of widths", embedding__matryoshka_sizes="8,x")
    refused("32 is not below model.hidden_size=32", embedding__matryoshka_sizes="32")
    refused("has no room for the texts of a pair", data__max_examples=1)
    triplets = f"{files}/train_triplets.jsonl"
    refused("no room for 3 texts", data__max_examples=2, data__train=triplets)
    few = tmp_path / "few.jsonl"
    write(few, [{"anchor": "the end", "positive": "the"}])
    refused("nothing has to be learned for a perfect score", CorpusError, data__validation=str(few))
    write(few, [{"sentence1": "the end", "sentence2": "the", "score": 1}] * 2)
    refused("has only one number, 1", CorpusError, data__train=str(few))
    write(few, [{"sentence1": "the end", "sentence2": "the", "label": "neutral"}] * 2)
    refused("has no two texts that belong together", CorpusError, data__train=str(few))
