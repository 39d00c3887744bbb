"""A classifier, from files to labels: on texts whose label is a word in them."""

import copy
import dataclasses
import json
import os
import pathlib
import shutil

import jax
import numpy as np
import pytest

from bert_jax import labelled_results, load
from bert_jax.data.labelled_files import LabelledText
from bert_jax.errors import CheckpointError, ConfigError, CorpusError
from bert_jax.labelled_results import evaluate, predictions, write_predictions
from bert_jax.model.config import ModelConfig
from bert_jax.optim import optimizer
from bert_jax.reporting import write_report
from bert_jax.reporting.seeds import write_seeds_report
from bert_jax.tasks.classification import Classification, ClassificationConfig, class_weights
from bert_jax.tasks.pretraining import pretrain
from bert_jax.tasks.starting_point import inherit_model, read_starting_point
from bert_jax.training.run import prepare, run
from bert_jax.training.workdir.checkpoints import read_params
from experiments import config_flags
from experiments.configs import finetune_classification
from tests.tasks.test_pretraining import results

KIND = Classification()


def make_rows(words, count, seed):
    """Texts of one of two words, or of neither, among others."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        label = int(rng.choice(3, p=[0.5, 0.3, 0.2]))
        text = list(rng.choice(words[2:], rng.integers(2, 9)))
        if label < 2:
            text.insert(int(rng.integers(len(text) + 1)), words[label])
        rows.append((" ".join(text), ("first", "second", "neither")[label]))
    return rows


@pytest.fixture(scope="module")
def files(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("labelled")
    words = [piece for piece in corpus.tokenizer.vocabulary if piece.isalpha() and len(piece) > 2][:20]
    for name, count in (("train", 300), ("validation", 90)):
        rows = make_rows(words, count, seed=count)
        (folder / f"{name}.tsv").write_text("text\tlabel\n" + "".join(f"{t}\t{label}\n" for t, label in rows))
    return folder


@pytest.fixture
def settings(files, corpus_path):
    """From scratch; runs of seconds."""
    config = ClassificationConfig(model=ModelConfig(num_layers=1, hidden_size=32, num_heads=2, max_positions=64))
    config.data.train, config.data.validation = f"{files}/train.tsv", f"{files}/validation.tsv"
    config.data.tokenizer, config.data.sequence_length = f"{corpus_path}/tokenizer", 64
    config.train.num_steps, config.train.batch_size, config.train.log_every = 12, 8, 1
    config.train.checkpoint_every, config.eval.every = 4, 6
    return config


@pytest.fixture(scope="module")
def pretrained(corpus_path, tmp_path_factory):
    """A pretrained run of two steps."""
    from bert_jax.tasks.pretraining import PretrainingConfig
    from tests.tasks.test_pretraining import shrink

    config = PretrainingConfig()
    shrink(config, corpus_path)
    config.train.num_steps = 2
    folder = tmp_path_factory.mktemp("pretrained") / "run"
    pretrain(config, folder)
    return folder


def from_pretrained(config, path):
    config.data.tokenizer, config.train.init_from = "", str(path)
    config.model = ModelConfig()
    return config


def test_it_learns_and_says_so_beside_the_majority(settings, tmp_path):
    settings.model = ModelConfig(
        num_layers=1, hidden_size=32, num_heads=2, max_positions=64, pooling="max", initializer_range=0.2, dropout=0.0
    )
    settings.optimizer.learning_rate = 1e-2
    settings.train.num_steps, settings.train.num_epochs, settings.train.log_every = None, 20.0, 10
    settings.train.checkpoint_every = settings.eval.every = 1000
    scores = run(KIND, settings, tmp_path / "run")
    assert scores["eval/label_majority"] == pytest.approx(0.5, abs=0.1)
    assert scores["eval/label_accuracy"] > 0.9
    assert scores["eval/label_macro_f1"] > 0.85 > scores["eval/label_majority_macro_f1"]
    text = write_report(tmp_path / "run")
    for part in ("label, accuracy", "label, macro-F1", "(majority)", "one of 3 labels to each of 300 texts"):
        assert part in text, part
    rows = [line.split("\t") for line in pathlib.Path(settings.data.validation).read_text().splitlines()[1:]]
    said = load(tmp_path / "run").classify([text for text, _ in rows])
    right = np.mean([label.name == gold for label, (_, gold) in zip(said, rows, strict=True)])
    assert right == pytest.approx(scores["eval/label_accuracy"], abs=1e-6)


def test_an_interrupted_run_ends_like_a_straight_one_even_without_its_start(settings, pretrained, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(pretrained, source)
    config = from_pretrained(settings, source)
    run(KIND, config, tmp_path / "straight")
    for stop in (1, 5, None):
        config.train.stop_after = stop
        run(KIND, config, tmp_path / "run")
        shutil.rmtree(source, ignore_errors=True)  # the run has a checkpoint now, and its tokenizer
    assert results(tmp_path / "run") == results(tmp_path / "straight")


def test_the_body_comes_from_the_pretrained_run_and_the_head_is_new(settings, pretrained, tmp_path, capsys):
    config = from_pretrained(settings, pretrained)
    config.optimizer.learning_rate, config.train.num_steps = 1e-30, 1
    run(KIND, config, tmp_path / "run")
    _, before, _ = read_params(pretrained / "checkpoints")
    _, after, files = read_params(tmp_path / "run" / "checkpoints")
    np.testing.assert_array_equal(after["bert"]["embeddings"]["word"], before["bert"]["embeddings"]["word"])
    assert after.keys() == {"bert", "label"}
    assert json.loads(files["labels.json"]) == ["first", "neither", "second"]
    told = capsys.readouterr().err
    assert "start        bert (" in told
    assert "new, at random: label/dense (2 arrays)" in told
    assert "left there: mlm (5 arrays), nsp/dense (2 arrays)" in told


def test_classify_keeps_the_order_and_company_changes_nothing(settings, tmp_path):
    run(KIND, settings, tmp_path / "run")
    model = load(tmp_path / "run" / "checkpoints")
    texts = ["the end", "", "the and the " * 40, ("a pair", "of texts"), "the end"]
    together = model.classify(texts)
    for text, label in zip(texts, together, strict=True):
        (alone,) = model.classify([text])
        assert alone.name == label.name
        assert alone.probabilities == pytest.approx(label.probabilities, rel=1e-5)
        assert sum(label.probabilities.values()) == pytest.approx(1)
        assert label.probability == max(label.probabilities.values())
    assert together[0] == together[4]
    assert model.classify([]) == []
    assert repr(model).endswith("run/checkpoints: 1 layers, width 32, 300 words, label, step 12)")
    with pytest.raises(CheckpointError, match="not trained to predict words"):
        model.fill_mask("the [MASK]")


def test_a_pretrained_model_does_not_classify(pretrained):
    with pytest.raises(CheckpointError, match="not trained to label texts"):
        load(pretrained).classify(["a"])


def test_an_unknown_label_and_a_single_one_are_refused(settings, tmp_path):
    (tmp_path / "odd.tsv").write_text("text\tlabel\na\tfirst\nb\tfrist\n")
    settings.data.validation = f"{tmp_path}/odd.tsv"
    with pytest.raises(CorpusError, match=r"odd\.tsv, line 3: the label 'frist' does not occur.*Did you mean first\?"):
        run(KIND, settings, tmp_path / "run")
    (tmp_path / "one.tsv").write_text("text\tlabel\na\tfirst\nb\tfirst\n")
    settings.data.validation = f"{tmp_path}/one.tsv"
    with pytest.raises(CorpusError, match=r"one\.tsv has only one label, 'first', so that always giving it"):
        run(KIND, settings, tmp_path / "run")
    (tmp_path / "same.tsv").write_text("text\tlabel\na\tx\nb\tx\n")
    settings.data.train = f"{tmp_path}/same.tsv"
    with pytest.raises(CorpusError, match="only one label"):
        run(KIND, settings, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_held_out_rows_depend_on_the_file_alone_and_known_texts_are_counted(settings, files, tmp_path):
    first = prepare(KIND, copy.deepcopy(settings)).task
    lines = (files / "train.tsv").read_text().splitlines()[:4]
    (tmp_path / "known.tsv").write_text((files / "validation.tsv").read_text() + "\n".join(lines[1:]) + "\n")
    assert not [line for line in first.stream.describe(1) if "training texts too" in line]
    settings.train.seed, settings.train.batch_size = 5, 32
    second = prepare(KIND, copy.deepcopy(settings)).task
    for name, value in first.held_out.items():
        np.testing.assert_array_equal(value, second.held_out[name])
    settings.data.validation = f"{tmp_path}/known.tsv"
    told = "\n".join(prepare(KIND, settings).task.stream.describe(1))
    assert "validation texts that are training texts too, and show memory: 3" in told


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: setattr(c.data, "tokenizer", ""), "Give train.init_from"),
        (lambda c: setattr(c.train, "init_from", "{run}"), "has no effect with train.init_from"),
        (lambda c: setattr(c.data, "sequence_length", 128), r"data\.sequence_length=128 is longer than model"),
        (lambda c: setattr(c.train, "num_epochs", 3.0), "Give one of train.num_steps, train.num_epochs"),
        (lambda c: setattr(c.model, "vocab_size", 10), "smaller than the tokenizer's 300"),
        (lambda c: setattr(c.data, "train", "nowhere.tsv"), "There is no file nowhere.tsv"),
        (lambda c: setattr(c.train, "batch_size", 2.5), r"train\.batch_size=2\.5 must be int"),
    ],
)
def test_what_cannot_work_is_told_before_anything_is_written(settings, pretrained, tmp_path, change, message):
    change(settings)
    if settings.train.init_from:
        settings.train.init_from, settings.model = str(pretrained), ModelConfig()
    with pytest.raises((ConfigError, CorpusError), match=message):
        run(KIND, settings, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_another_size_than_the_checkpoints_is_refused(settings, pretrained, tmp_path):
    config = from_pretrained(settings, pretrained)
    config.model.num_layers = 3
    with pytest.raises(ConfigError, match=r"model\.num_layers=3 differs from train\.init_from="):
        run(KIND, config, tmp_path / "run")


def test_a_default_that_is_set_is_not_the_checkpoints(settings, pretrained):
    config = from_pretrained(settings, pretrained)
    KIND.complete(config, None)
    there = read_starting_point(pretrained).model
    assert config.model == there
    config.model = ModelConfig()
    config.model.initializer_range, there.initializer_range = 0.02, 0.06
    inherit_model(config.model, there, "runs/old")
    assert config.model == dataclasses.replace(there, initializer_range=0.02)
    config.model = ModelConfig()
    config.model.num_layers = 12
    with pytest.raises(ConfigError, match=r"model\.num_layers=12 differs from train\.init_from="):
        KIND.complete(config, None)


def test_changed_data_and_another_task_are_refused(settings, files, pretrained, tmp_path):
    settings.train.stop_after = 1
    run(KIND, settings, tmp_path / "run")
    shutil.copy(files / "validation.tsv", tmp_path / "train.tsv")
    settings.data.train = f"{tmp_path}/train.tsv"
    with pytest.raises(ConfigError, match="started on other data"):
        run(KIND, settings, tmp_path / "run")
    with pytest.raises(ConfigError, match="holds a run of the task pretraining, not classification"):
        run(KIND, settings, pretrained)


def rewrite(files, folder, change):
    """The files with other labels, in another folder."""
    folder.mkdir()
    for split in ("train", "validation"):
        rows = [line.split("\t") for line in (files / f"{split}.tsv").read_text().splitlines()[1:]]
        lines = [json.dumps({"text": text, "label": change(text, label)}) for text, label in rows]
        (folder / f"{split}.jsonl").write_text("\n".join(lines))
    return folder


def on(settings, folder, **data):
    settings.data.train, settings.data.validation = f"{folder}/train.jsonl", f"{folder}/validation.jsonl"
    for name, value in data.items():
        setattr(settings.data, name, value)
    return settings


def test_several_labels_are_learned_predicted_and_reported(settings, files, tmp_path):
    folder = rewrite(files, tmp_path / "data", lambda text, label: [label, "long"] if len(text) > 40 else [label])
    settings.data.test = f"{folder}/validation.jsonl"
    scores = run(KIND, on(settings, folder, choose="several"), tmp_path / "run")
    assert {"eval/label_accuracy", "eval/label_micro_f1", "eval/label_majority"} <= scores.keys()
    text = write_report(tmp_path / "run")
    assert "## Test scores" in text
    assert "| label | true | predicted | both | F1 |" in text
    rows = [json.loads(line) for line in (tmp_path / "run/predictions/test.jsonl").read_text().splitlines()]
    assert len(rows) == 90
    assert rows[0].keys() == {"text", "gold", "predicted", "probabilities"}
    assert sorted(rows[0]["probabilities"]) == ["first", "long", "neither", "second"]
    right = np.mean([row["gold"] == row["predicted"] for row in rows])
    assert scores["eval/label_accuracy"] == pytest.approx(right)
    stored = json.loads((tmp_path / "run/predictions/scores.json").read_text())
    assert stored["scores"]["test"]["label_accuracy"] == pytest.approx(right)


def test_numbers_are_learned_and_an_undefined_score_is_left_out(settings, files, tmp_path):
    folder = rewrite(files, tmp_path / "data", lambda text, _: len(text) / 10)
    settings.eval.best_by = "label_spearman"
    scores = run(KIND, on(settings, folder, choose="number"), tmp_path / "run")
    assert {"eval/label_loss", "eval/label_variance", "eval/label_pearson", "eval/label_spearman"} <= scores.keys()
    text = write_report(tmp_path / "run")
    assert "The largest errors" in text
    rows = [json.loads(line) for line in (tmp_path / "run/predictions/validation.jsonl").read_text().splitlines()]
    said = load(tmp_path / "run").regress([row["text"] for row in rows])
    np.testing.assert_allclose(said, [row["predicted"] for row in rows], rtol=1e-4)
    error = np.mean([(row["gold"] - row["predicted"]) ** 2 for row in rows])
    assert scores["eval/label_loss"] == pytest.approx(error, rel=1e-3)


@pytest.mark.parametrize(
    ("change", "data", "message"),
    [
        (lambda *_: "one", {}, "train.jsonl has only one label, 'one': give examples of at least two"),
        (lambda *_: 1, {"choose": "number"}, "has only one number, 1: give different ones"),
        (lambda *_: "x", {"choose": "number"}, "train.jsonl, line 1: the label 'x' is no number"),
        (lambda *_: ["a"], {}, "line 1 has a list of labels: give data.choose=several"),
        (lambda *_: [], {"choose": "several"}, "has no labels"),
        (lambda _, label: label, {"class_weights": "frist=2"}, "names 'frist', which is no label.*Did you mean first"),
    ],
)
def test_labels_that_cannot_be_learned_are_refused(settings, files, tmp_path, change, data, message):
    folder = rewrite(files, tmp_path / "data", change)
    with pytest.raises((CorpusError, ConfigError), match=message):
        prepare(KIND, on(settings, folder, **data))


@pytest.mark.parametrize(
    ("text", "expected"), [("balanced", [5 / 6, 5 / 3, 5 / 6]), ("b=6", [0.5, 3.0, 0.5]), ("a=1,b=1,c=1", [1, 1, 1])]
)
def test_class_weights_have_a_mean_of_one(text, expected):
    weights = class_weights(text, ("a", "b", "c"), np.array([2.0, 1.0, 2.0]))
    np.testing.assert_allclose(weights, expected, rtol=1e-6)


def test_class_weights_weigh_the_training_loss_alone(settings, tmp_path):
    settings.data.class_weights = "second=3"
    task = prepare(KIND, settings).task
    batch = task.stream.batch(0)
    used = batch["label_weights"] > 0
    assert len(np.unique(batch["label_weights"][used])) == 2
    second = batch["labels"] == 2  # of first, neither, second
    assert batch["label_weights"][used & second].min() == pytest.approx(
        3 * batch["label_weights"][used & ~second].max()
    )
    assert set(np.unique(task.held_out["label_weights"])) == {0.0, 1.0}


def test_predictions_of_new_texts_go_on_where_they_stopped(settings, files, tmp_path, monkeypatch):
    run(KIND, settings, tmp_path / "run")
    model = load(tmp_path / "run")
    (tmp_path / "new.txt").write_text("the end\nof all\nthe end\n")
    found = list(predictions(model, tmp_path / "new.txt", False, []))
    assert [row["text"] for row in found] == ["the end", "of all", "the end"]
    assert not any("gold" in row for row in found)
    (tmp_path / "labelled.tsv").write_text("text\tlabel\nthe end\tfirst\n")
    known, new = (list(predictions(model, tmp_path / "labelled.tsv", labelled, [])) for labelled in (True, False))
    assert known == [row | {"gold": "first"} for row in new]
    with pytest.raises(ConfigError, match=r"said\.tsv must end in \.jsonl"):
        write_predictions(model, tmp_path / "new.txt", tmp_path / "said.tsv")
    assert list(predictions(model, tmp_path / "new.txt", False, [], skip=2)) == [found[2]]
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    assert write_predictions(model, tmp_path / "new.txt", whole) == 3
    monkeypatch.setattr(labelled_results, "EXAMPLES_AT_ONCE", 1)
    with monkeypatch.context() as broken:
        said = iter(found[:2])
        broken.setattr(Classification, "predict", lambda *_: [next(said)])
        with pytest.raises(RuntimeError):  # killed after two, in the middle of the third
            write_predictions(model, tmp_path / "new.txt", cut)
    partial = tmp_path / "cut.jsonl.partial"
    partial.write_text(partial.read_text() + '{"text": "th')
    assert not cut.exists()
    assert write_predictions(model, tmp_path / "new.txt", cut) == 3
    assert cut.read_text() == whole.read_text()
    assert not list(tmp_path.glob("*.partial*"))
    partial.write_text(whole.read_text().splitlines(keepends=True)[0])
    about = {"model": model.source, "step": model.step, "input": str(tmp_path / "new.txt")}
    old = [[str(tmp_path / "new.txt"), 23, (tmp_path / "new.txt").stat().st_mtime]]
    partial.with_name("cut.jsonl.partial.json").write_text(json.dumps(about | {"files": old}))
    (tmp_path / "new.txt").write_text("of all\nthe end\nof all\n")  # of the same name and size
    os.utime(tmp_path / "new.txt", (1, 1))
    assert write_predictions(model, tmp_path / "new.txt", cut) == 3
    assert [json.loads(line) for line in cut.read_text().splitlines()] == [found[1], found[0], found[1]]
    (tmp_path / "two.tsv").write_text("review\tcomment\nthe end\tof all\n")
    with pytest.raises(CorpusError, match=r"choose by data\.text_column"):
        write_predictions(model, tmp_path / "two.tsv", tmp_path / "two.jsonl")
    assert not list(tmp_path.glob("two.jsonl*"))  # there is nothing to go on from
    config_flags.replace(model.run, {"data.text_column": "comment"})
    assert write_predictions(model, tmp_path / "two.tsv", tmp_path / "two.jsonl") == 1
    assert json.loads((tmp_path / "two.jsonl").read_text()) == found[1]
    config_flags.replace(model.run, {"data.text_column": ""})
    told = []
    (tmp_path / "holes.txt").write_text("the end\n\n   \n\u200b\nof all\n")
    assert write_predictions(model, tmp_path / "holes.txt", cut, told.append) == 5
    holes = [json.loads(line) for line in cut.read_text().splitlines()]
    assert [row["text"] for row in holes] == ["the end", "", "   ", "\u200b", "of all"]
    np.testing.assert_allclose([sum(row["probabilities"].values()) for row in holes], 1, atol=1e-5)
    assert [holes[0], holes[4]] == found[:2]
    assert told[0].startswith("columns      text=text")
    assert told[1:] == [
        f"empty        rows of {tmp_path}/holes.txt with an empty text, whose predictions mean nothing: 3"
    ]
    scores = evaluate(model, settings.data.validation)
    assert scores["label_majority"] == pytest.approx(0.5, abs=0.1)


def test_several_seeds_have_a_mean_and_a_deviation(settings, tmp_path):
    settings.train.num_steps, settings.data.test = 2, settings.data.validation
    for seed in (0, 1):
        settings.train.seed = seed
        run(KIND, settings, tmp_path / f"runs/seed_{seed}")
        write_report(tmp_path / f"runs/seed_{seed}")
    text = write_seeds_report(tmp_path / "runs", [tmp_path / f"runs/seed_{seed}" for seed in (0, 1)])
    scores = [
        json.loads((tmp_path / f"runs/seed_{i}/predictions/scores.json").read_text())["scores"]["test"]["label_loss"]
        for i in (0, 1)
    ]
    shown = f"{np.mean(scores):.3f} ± {np.std(scores, ddof=1):.3f}"
    assert text.count(f"| label, loss in nats | {shown} |") == 2  # held out and test, which are the same here
    assert "seed_0" in text


@pytest.mark.parametrize(
    ("choose", "rows", "by"),
    [
        ("one", [("a b", "x"), ("c", "y"), ("b", "x")], "label_accuracy"),
        ("several", [("a b", "x,y"), ("c", "y"), ("b", "x")], "label_micro_f1"),
        ("number", [("a b", "1.5"), ("c", "2"), ("b", "4")], "label_spearman"),
    ],
)
def test_the_recipe_keeps_the_best_by_what_the_labels_ask_for(choose, rows, by, corpus_path, tmp_path):
    file = tmp_path / "rows.tsv"
    file.write_text("text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows))
    config = finetune_classification.get_config()
    config.model = ModelConfig(num_layers=1, hidden_size=32, num_heads=2)
    config.data.train = config.data.validation = str(file)
    config.data.tokenizer, config.data.choose = f"{corpus_path}/tokenizer", choose
    prepare(KIND, config)
    assert config.eval.best_by == by
    assert (config.train.num_steps, config.eval.every) == (500, 50)  # three rows are few
    rate = optimizer.make_schedule(config.optimizer, config.train.num_steps)
    assert int(np.argmax([rate(step) for step in range(0, 500, 10)])) == 5  # a tenth is warm-up


def test_labels_are_sorted_by_name_and_weights_go_by_it():
    rows = [LabelledText("a", None, label, "") for label in ("pos", "neg", "pos")]
    names = json.loads(KIND.decide(ClassificationConfig(), rows)["labels.json"])
    assert names == json.loads(KIND.decide(ClassificationConfig(), rows[::-1])["labels.json"]) == ["neg", "pos"]
    weights = class_weights("neg=1,pos=5", names, np.array([1, 2]))
    assert weights[1] == pytest.approx(5 * weights[0])


def test_a_seed_gives_the_same_bits_again_and_another_one_does_not(settings, tmp_path):
    found = {}
    settings.train.num_steps = 2
    for folder, seed in (("first", 1), ("other", 2), ("again", 1)):
        settings.train.seed = seed
        run(KIND, settings, tmp_path / folder)
        found[folder] = read_params(tmp_path / folder / "checkpoints")[1]
        found[f"{folder}, order"] = prepare(KIND, copy.deepcopy(settings)).task.stream.batch(0)["token_ids"]
    same = jax.tree.map(np.array_equal, found["first"], found["again"])
    assert all(jax.tree.leaves(same))
    head = found["first"]["label"]["dense"]["kernel"]
    assert not np.array_equal(head, found["other"]["label"]["dense"]["kernel"])
    np.testing.assert_array_equal(found["first, order"], found["again, order"])
    assert not np.array_equal(found["first, order"], found["other, order"])


def test_an_accuracy_is_shown_with_its_interval_and_the_majority():
    gold = ["0"] * 40 + ["1"] * 31  # WNLI
    said = [*gold[:32], *({"0": "1", "1": "0"}[one] for one in gold[32:])]
    rows = [
        {
            "text": "a",
            "gold": g,
            "predicted": s,
            "probabilities": {"0": 0.6, "1": 0.4} if s == "0" else {"0": 0.4, "1": 0.6},
        }
        for g, s in zip(gold, said, strict=True)
    ]
    told = "\n".join(KIND.findings(rows))
    assert "32 of 71 are right, 0.451 (95 % interval 0.340 to 0.566); the most frequent label alone has 0.563." in told
    assert "Only one label" in "\n".join(KIND.findings([row | {"predicted": "1"} for row in rows]))


def test_numbers_of_named_labels_are_names_in_the_given_order(settings, tmp_path):
    settings.data.label_names = "unacceptable,acceptable"  # not their alphabetical order
    for name, labels in {"train": ["1", "0", "Acceptable"], "validation": ["0", "1"], "test": ["1", "-1"]}.items():
        (tmp_path / f"{name}.tsv").write_text("text\tlabel\n" + "".join(f"a text\t{one}\n" for one in labels))
    rows = list(KIND.read(settings, f"{tmp_path}/train.tsv", []))
    assert [row.label for row in rows] == ["acceptable", "unacceptable", "acceptable"]
    (objective,) = KIND.objectives(settings, KIND.decide(settings, rows))
    assert objective.names == ("unacceptable", "acceptable")
    # The hidden label of a test split is refused, with its row.
    with pytest.raises(CorpusError, match=r"test\.tsv, line 3: the label '-1' is none of data\.label_names=un"):
        list(KIND.read(settings, f"{tmp_path}/test.tsv", []))
    with pytest.raises(CorpusError, match="no example of the label 'unacceptable', which"):
        KIND.decide(settings, rows[:1])


def test_numbers_out_of_their_range_are_refused(settings, tmp_path):
    settings.data.choose, settings.data.number_range = "number", "0,5"
    (tmp_path / "train.tsv").write_text("text\tlabel\na\t0\nb\t2.5\nc\t5\nd\t-1\n")
    with pytest.raises(CorpusError, match=r"line 5: the label -1 does not lie between 0 and 5 \(data\.number_range\)"):
        list(KIND.read(settings, f"{tmp_path}/train.tsv", []))
    settings.data.number_range = ""
    assert [row.label for row in KIND.read(settings, f"{tmp_path}/train.tsv", [])] == [0, 2.5, 5, -1]


def test_a_context_stands_before_the_text(settings, tmp_path):
    settings.data.context_column = "word"
    (tmp_path / "train.tsv").write_text("word\tsentence1\tsentence2\tlabel\nbank\tBy the bank.\tA bank.\tFalse\n")
    (row,) = KIND.read(settings, f"{tmp_path}/train.tsv", [])
    assert (row.text, row.pair) == ("bank By the bank.", "A bank.")
    settings.data.context_column = "wrod"
    with pytest.raises(CorpusError, match=r"has no column 'wrod': correct data\.context_column\. Did you mean word\?"):
        list(KIND.read(settings, f"{tmp_path}/train.tsv", []))


def test_problems_of_named_labels_and_ranges_are_told(settings):
    settings.data.label_names, settings.data.f1_label, settings.data.number_range = "no,yes", "yse", "0,5"
    problems = "\n".join(settings.data.problems())
    assert "data.f1_label='yse' is not one of data.label_names=no,yes. Did you mean yes?" in problems
    assert "data.number_range has no effect without data.choose=number" in problems
    settings.data.choose, settings.data.number_range = "number", "5,0"
    problems = "\n".join(settings.data.problems())
    for part in ("data.label_names has no effect", "data.f1_label has no effect", "data.number_range='5,0' is not"):
        assert part in problems
