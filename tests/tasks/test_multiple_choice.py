"""Multiple choice, from files to the right candidate."""

import json

import numpy as np
import pytest

from bert_jax import load
from bert_jax.errors import CheckpointError, ConfigError, CorpusError
from bert_jax.labelled_results import evaluate, predictions
from bert_jax.model.config import ModelConfig
from bert_jax.reporting import write_report
from bert_jax.tasks.multiple_choice import MultipleChoice, MultipleChoiceConfig
from bert_jax.training.run import prepare, run
from tests.tasks.test_pretraining import results

KIND = MultipleChoice()


def make_questions(words, count, seed):
    """Of two to four candidates, the right one has the first word in it."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        texts = [rng.choice(words[1:], rng.integers(1, 6)).tolist() for _ in range(rng.integers(2, 5))]
        answer = int(rng.integers(len(texts)))
        texts[answer].insert(int(rng.integers(len(texts[answer]) + 1)), words[0])
        question = " ".join(rng.choice(words[1:], rng.integers(1, 4)))
        found.append({"question": question, "candidates": list(map(" ".join, texts)), "answer": answer})
    return found


def write(file, rows):
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return str(file)


@pytest.fixture(scope="module")
def words(corpus):
    return [piece for piece in corpus.tokenizer.vocabulary if piece.isalpha() and len(piece) > 2][:20]


@pytest.fixture(scope="module")
def files(words, tmp_path_factory):
    folder = tmp_path_factory.mktemp("questions")
    for name, count, seed in (("train", 300, 0), ("validation", 60, 1)):
        write(folder / f"{name}.jsonl", make_questions(words, count, seed))
    return folder


def make_config(files, corpus_path):
    """From scratch; runs of seconds. A row is longer than the model's positions, an example is not."""
    config = MultipleChoiceConfig(
        model=ModelConfig(num_layers=1, hidden_size=32, num_heads=2, max_positions=32, pooling="max", dropout=0.0)
    )
    config.data.train, config.data.validation = f"{files}/train.jsonl", f"{files}/validation.jsonl"
    config.data.tokenizer, config.data.sequence_length = f"{corpus_path}/tokenizer", 128
    config.data.longest_example, config.data.max_examples = 32, 12
    config.train.num_steps, config.train.batch_size, config.train.log_every = 6, 4, 1
    config.train.checkpoint_every, config.eval.every = 3, 6
    return config


@pytest.fixture
def settings(files, corpus_path):
    return make_config(files, corpus_path)


@pytest.fixture(scope="module")
def trained(files, corpus_path, tmp_path_factory):
    config = make_config(files, corpus_path)
    config.model.initializer_range = 0.2
    config.optimizer.learning_rate = 1e-2
    config.train.num_steps, config.train.num_epochs, config.train.log_every = None, 6.0, 20
    config.train.checkpoint_every = config.eval.every = 1000
    folder = tmp_path_factory.mktemp("trained") / "run"
    return folder, run(KIND, config, folder)


def test_it_learns_and_says_so_beside_a_guess(trained):
    folder, scores = trained
    assert 0.25 < scores["eval/choice_guess"] < 0.5
    assert scores["eval/choice_accuracy"] > 0.9
    text = write_report(folder)
    for part in ("multiple choice, accuracy", "candidates of each of 300 questions", "| candidates | questions |"):
        assert part in text, part


def test_a_loaded_model_chooses_as_the_run_was_scored(trained, files):
    folder, scores = trained
    model, path = load(folder), files / "validation.jsonl"
    assert model.max_tokens == 32
    found = list(predictions(model, path, True, []))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    hits = [one["gold"] == one["predicted"] for one in found]
    assert np.mean(hits) == pytest.approx(scores["eval/choice_accuracy"], abs=1e-6)
    assert evaluate(model, path)["choice_loss"] == pytest.approx(scores["eval/choice_loss"], rel=1e-4)
    for one, row in zip(found, rows, strict=True):
        assert (one["question"], one["candidates"], one["gold"]) == tuple(row.values())
        assert one["predicted"] == np.argmax(one["probabilities"])
        choice = model.choose(row["question"], row["candidates"])
        assert choice.probabilities == pytest.approx(one["probabilities"], rel=1e-4, abs=1e-6)
    (new,) = list(predictions(model, write(files / "new.jsonl", [{"question": "a", "candidates": ["b"]}]), False, []))
    assert ("gold" in new, new["predicted"], new["probabilities"]) == (False, 0, [1.0])


def test_an_interrupted_run_ends_like_a_straight_one(settings, tmp_path):
    run(KIND, settings, tmp_path / "straight")
    for stop in (2, None):
        settings.train.stop_after = stop
        run(KIND, settings, tmp_path / "run")
    assert results(tmp_path / "run") == results(tmp_path / "straight")


def test_transformers_opens_an_export_as_multiple_choice(settings, corpus_path, words, tmp_path):
    transformers = pytest.importorskip("transformers", reason="the extra parity compares with transformers")
    torch = pytest.importorskip("torch", reason="the extra parity compares with PyTorch")
    settings.model.pooling = "cls"
    run(KIND, settings, tmp_path / "run")
    model = load(tmp_path / "run")
    model.save_huggingface(tmp_path / "theirs")
    question, candidates = " ".join(words[:3]), [words[4], " ".join(words[5:8]), words[9]]
    theirs = transformers.AutoModelForMultipleChoice.from_pretrained(tmp_path / "theirs").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "theirs")
    inputs = tokenizer([question] * 3, candidates, return_tensors="pt", padding=True)
    with torch.no_grad():
        logits = theirs(**{name: value[None] for name, value in inputs.items()}).logits
    expected = model.choose(question, candidates).probabilities
    np.testing.assert_allclose(torch.softmax(logits, -1)[0], expected, rtol=1e-4)
    again = load(tmp_path / "theirs").choose(question, candidates)
    assert again.probabilities == pytest.approx(expected, rel=1e-5)


def test_a_question_has_to_fit_in_a_row(settings, words, tmp_path):
    many = {"question": words[0], "candidates": words[:13], "answer": 0}
    settings.data.train = write(tmp_path / "many.jsonl", [many])
    message = r"many\.jsonl, line 1 has 13 candidates, but a row has room for 12 examples: set data\.max_examples=13"
    with pytest.raises(CorpusError, match=message):
        prepare(KIND, settings)
    long = {"question": words[0], "candidates": [f"{words[1]} " * 90, words[2]], "answer": 1}
    settings.data.train = write(tmp_path / "long.jsonl", [long, many | {"candidates": words[:2]}])
    lines = prepare(KIND, settings).task.stream.lines
    assert any(line == "cut          train candidates that do not fit with their questions: 1" for line in lines)
    assert "candidates   2 for each of 2 train questions" in lines
    assert "candidates   2 to 4 for each of 60 validation questions" in lines


def test_a_place_that_is_always_right_is_refused(settings, words, tmp_path):
    rows = [row for row in make_questions(words, 60, 5) if row["answer"] == 0]
    settings.data.validation = write(tmp_path / "same.jsonl", rows)
    with pytest.raises(
        CorpusError, match="nothing has to be learned for a perfect score of 'multiple choice, accuracy'"
    ):
        prepare(KIND, settings)


def test_the_example_must_fit_the_positions_and_the_row_need_not(settings):
    settings.data.longest_example = 33
    with pytest.raises(ConfigError, match=r"data\.longest_example=33 is longer than model\.max_positions=32"):
        prepare(KIND, settings)


def test_the_positions_of_a_checkpoint_are_all_there_are(settings, trained):
    settings.data.tokenizer, settings.train.init_from, settings.data.longest_example = "", str(trained[0]), 40
    with pytest.raises(ConfigError, match=r"train\.init_from has no more, so give data\.longest_example=32\."):
        prepare(KIND, settings)


def test_a_probe_has_no_example_longer_than_the_positions(settings, words, tmp_path):
    rows = "".join(f"{' '.join(words * 5)} {words[i % 7]}\t{i % 2}\n" for i in range(80))
    (tmp_path / "long.tsv").write_text(f"text\tlabel\n{rows}")
    settings.eval.probes = f"long={tmp_path}/long.tsv"
    (probe,) = prepare(KIND, settings).task.probes
    assert probe.rows["position_ids"].max() == 31


def test_a_model_of_multiple_choice_does_not_label_texts(trained):
    with pytest.raises(CheckpointError, match="not trained to label texts"):
        load(trained[0]).classify(["a"])
