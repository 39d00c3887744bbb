"""Linear probes of labelled files while a model trains."""

import collections
import dataclasses
import json

import jax
import numpy as np
import pytest

from bert_jax.data.labelled_files import LabelledText
from bert_jax.errors import BertJaxError, ConfigError, CorpusError
from bert_jax.reporting import write_report
from bert_jax.tasks.pretraining import Pretraining, pretrain
from bert_jax.tasks.probes import SCORED_SHARE, choose, is_scored, open_probes
from bert_jax.training.config import EvalConfig
from bert_jax.training.run import prepare
from bert_jax.training.workdir.checkpoints import read_params
from bert_jax.training.workdir.metrics import read_metrics


def write(path, rows):
    path.write_text("text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows))
    return path


@pytest.fixture(scope="module")
def file(corpus, tmp_path_factory):
    """200 texts of words from one half of the vocabulary or the other: any embedding tells them apart."""
    words = [piece for piece in corpus.tokenizer.vocabulary if piece.isalpha() and len(piece) > 2][:20]
    rng = np.random.default_rng(0)
    rows = []
    for label in rng.choice(2, 200, p=[0.6, 0.4]):
        rows.append((" ".join(rng.choice(words[10 * label : 10 * label + 10], rng.integers(3, 8))), "ab"[label]))
    return write(tmp_path_factory.mktemp("probe") / "probe.tsv", rows)


@pytest.fixture
def probing(config, file):
    config.eval.probes = f"halves={file}"
    return config


def scored(workdir):
    rows = [row for row in read_metrics(workdir) if "eval/seconds" in row]
    return [{name: value for name, value in row.items() if name != "eval/seconds"} for row in rows]


def examples(*labels):
    return [LabelledText(f"text {i}", None, label, f"row {i}") for i, label in enumerate(labels)]


def test_a_run_is_probed_at_each_evaluation_and_trains_as_without(probing, file, tmp_path, capsys):
    result = pretrain(probing, tmp_path / "run")
    shown = capsys.readouterr().err
    assert f"probe        halves: 200 of 200 examples of {file}, 2 labels; " in shown
    assert "eval/probe_halves_accuracy" in shown
    rows = scored(tmp_path / "run")
    assert [row["step"] for row in rows] == [6, 12]
    for row in (*rows, result):
        assert row["eval/probe_halves_accuracy"] > 0.9 > 0.75 > row["eval/probe_halves_majority"] > 0.45
    probing.eval.probes = ""
    pretrain(probing, tmp_path / "without")
    jax.tree.map(
        np.testing.assert_array_equal, *(read_params(tmp_path / name / "checkpoints")[1] for name in ("run", "without"))
    )
    text = write_report(tmp_path / "run")
    values = (f"eval/probe_halves_{name}" for name in ("accuracy", "majority"))
    accuracy, majority = (f"{result[name]:.3f}" for name in values)
    assert f"| accuracy of a linear probe, halves | {accuracy} | {majority} (majority) |" in text


def test_a_resumed_run_is_probed_like_a_straight_one(probing, file, tmp_path):
    pretrain(probing, tmp_path / "straight")
    probing.train.stop_after = 5
    pretrain(probing, tmp_path / "run")
    moved = tmp_path / "moved.tsv"
    moved.write_bytes(file.read_bytes())
    probing.train.stop_after, probing.eval.probes = None, f"halves={moved}"
    pretrain(probing, tmp_path / "run")
    assert scored(tmp_path / "run") == scored(tmp_path / "straight")
    write(moved, [(f"text {i}", i % 2) for i in range(100)])
    with pytest.raises(ConfigError, match=r"was started on other data .probe_halves was"):
        pretrain(probing, tmp_path / "run")
    probing.eval.probes = f"other={file}"
    with pytest.raises(ConfigError, match=r"eval\.probes was"):
        pretrain(probing, tmp_path / "run")


def test_features_are_those_of_each_text_alone(probing, corpus):
    """Packed rows: the mean over an example's own tokens."""
    placed = prepare(Pretraining(), probing)
    (probe,), learner = placed.task.probes, placed.task.learner
    params = jax.tree.map(
        lambda leaf: leaf.value, learner.init(jax.random.key(0)), is_leaf=lambda x: hasattr(x, "value")
    )
    found = np.asarray(learner.features(params, probe.rows))
    row, slot = int(probe.rows["example_ids"].max(1).argmax()), 1
    inside = probe.rows["example_ids"][row] == slot + 1
    alone = {name: np.zeros_like(value[:1]) for name, value in probe.rows.items()}
    for name in ("token_ids", "token_type_ids", "position_ids"):
        alone[name][0, : inside.sum()] = probe.rows[name][row, inside]
    alone["example_ids"][0, : inside.sum()] = 1
    np.testing.assert_allclose(np.asarray(learner.features(params, alone))[0, 0], found[row, slot], atol=1e-5)


def test_examples_are_cut_with_the_shares_of_their_labels():
    rows = examples(*(["a"] * 700 + ["b"] * 300))
    chosen = choose(rows, 100)
    assert collections.Counter(one.label for one in chosen) == {"a": 70, "b": 30}
    assert choose(rows[::-1], 100) == chosen
    assert chosen != rows[:100]
    assert abs(np.mean([is_scored(one) for one in choose(rows, 1000)]) - SCORED_SHARE) < 0.05
    twice = [dataclasses.replace(one, label="b", where="elsewhere") for one in rows]
    assert [is_scored(one) for one in twice] == [is_scored(one) for one in rows]


def test_pairs_and_other_forms_can_be_probed(corpus, tmp_path):
    rows = [{"premise": f"the {i}", "hypothesis": f"and {i % 7}", "label": i % 3} for i in range(300)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = EvalConfig(probes=f"nli={tmp_path}/pairs.jsonl", probe_examples=120)
    (probe,) = open_probes(config, corpus.tokenizer, 64)
    assert (probe.labels >= 0).sum() == 120
    assert probe.labels.max() == 2
    assert probe.rows["token_type_ids"].max() == 1


@pytest.mark.parametrize(
    ("probes", "message"),
    [
        ("=x.tsv", r"^eval\.probes: '=x\.tsv' is not of the form NAME=PATH"),
        ("my probe=x.tsv", r"^eval\.probes: 'my probe=x\.tsv' is not of the form"),
        ("a=x.tsv,a=y.tsv", r"^eval\.probes names a twice: give each file a name of its own\.$"),
        ("a=x.docx", r"^eval\.probes: a=x\.docx has the ending '\.docx', which is none of "),
        ("a=nowhere.tsv", r"^eval\.probes: a: There is no file nowhere\.tsv: check the path\.$"),
    ],
)
def test_what_cannot_be_probed_is_refused(config, tmp_path, probes, message):
    config.eval.probes = probes
    with pytest.raises(BertJaxError, match=message):
        pretrain(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a", "b"] * 20, r"probe\.tsv has 40 examples: give at least 50\.$"),
        (["a"] * 100, r"probe\.tsv: the part that is fitted to has only one label, 'a': give more examples"),
        ([i / 7 for i in range(100)], r"has 100 different labels in 100 examples: give labels that are classes"),
    ],
)
def test_files_that_show_nothing_are_refused(corpus, tmp_path, labels, message):
    file = write(tmp_path / "probe.tsv", [(f"text {i}", label) for i, label in enumerate(labels)])
    with pytest.raises(CorpusError, match=r"^eval\.probes: a: .*" + message):
        open_probes(EvalConfig(probes=f"a={file}"), corpus.tokenizer, 64)


def test_too_few_examples_are_asked_for(config, tmp_path):
    config.eval.probe_examples = 10
    with pytest.raises(ConfigError, match=r"^eval\.probe_examples=10 must be at least 50\.$"):
        pretrain(config, tmp_path / "run")
