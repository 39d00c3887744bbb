"""What a run that goes on from another costs on the text of that other."""

import copy
import json

import pytest

from bert_jax.corpus.builder.prepare import prepare_corpus
from bert_jax.errors import ConfigError, CorpusError
from bert_jax.model.config import ModelConfig
from bert_jax.reporting import write_report
from bert_jax.tasks.pretraining import Pretraining, pretrain
from bert_jax.training.placed import PlacedTask
from bert_jax.training.run import prepare
from bert_jax.training.workdir.metrics import read_metrics
from tests.conftest import make_documents

QUIET = {"num_workers": 1, "validation_fraction": 0.2, "progress": lambda _: None}


@pytest.fixture(scope="module")
def other_path(corpus_path, tmp_path_factory):
    """Other text of two sources, with the vocabulary of the first."""
    folder = tmp_path_factory.mktemp("other")
    for name, seed in (("one", 5), ("two", 6)):
        (folder / f"{name}.txt").write_text("\n\n".join(make_documents(40, seed)) + "\n")
    specs = [f"{name}=text:{folder}/{name}.txt" for name in ("one", "two")]
    prepare_corpus(specs, folder / "corpus", tokenizer=f"{corpus_path}/tokenizer", **QUIET)
    return str(folder / "corpus")


@pytest.fixture
def going_on(config, corpus_path, other_path, tmp_path):
    """A run of the first corpus, and the config of one that goes on from it on other text."""
    pretrain(config, tmp_path / "old")
    assert min(row["step"] for row in read_metrics(tmp_path / "old")) == 1  # nothing is scored before random parameters
    config.model, config.train.init_from = ModelConfig(), str(tmp_path / "old")
    config.data.corpus, config.eval.corpus = other_path, corpus_path
    config.train.num_steps, config.eval.every = 6, 3
    return config


def scored(workdir):
    return {row["step"]: row for row in read_metrics(workdir) if "eval/mlm_loss" in row}


def test_the_old_text_is_scored_where_the_old_model_stood_and_along_the_way(going_on, corpus_path, tmp_path):
    result = pretrain(going_on, tmp_path / "run")
    old, new = scored(tmp_path / "old")[12], scored(tmp_path / "run")
    assert list(new) == [0, 3, 6]
    for name in ("mlm_loss", "mlm_accuracy", "nsp_accuracy"):
        assert new[0][f"eval/eval_corpus_{name}"] == pytest.approx(old[f"eval/{name}"], rel=1e-5)
    assert abs(new[0]["eval/mlm_loss"] - old["eval/mlm_loss"]) > 1e-3
    assert new[6]["eval/eval_corpus_mlm_loss"] == result["eval/eval_corpus_mlm_loss"] != new[0]["eval/mlm_loss"]
    assert "eval/mlm_loss/one" in result
    assert not [name for name in result if "eval_corpus" in name and "/" in name.removeprefix("eval/")]
    text = write_report(tmp_path / "run")
    assert "|  | before training | model | baseline | better by |" in text
    first, last = (f"{new[step]['eval/eval_corpus_mlm_loss']:.3f}" for step in (0, 6))
    assert f"| masked language model, loss in nats, on {corpus_path} | {first} | {last} |  |  |" in text
    fingerprints = json.loads((tmp_path / "run" / "run.json").read_text())["data_fingerprints"]
    assert len(fingerprints["eval_corpus"]) == len(fingerprints["corpus"])


@pytest.mark.parametrize("at", [1, 2])  # the evaluation of the start, that of step 3
def test_a_run_that_starts_over_scores_its_start_once(going_on, tmp_path, monkeypatch, at):
    evaluate, calls = PlacedTask.evaluate, []

    def breaks_once(*args):
        calls.append(1)
        if len(calls) == at:
            raise KeyboardInterrupt
        return evaluate(*args)

    monkeypatch.setattr(PlacedTask, "evaluate", breaks_once)
    with pytest.raises(KeyboardInterrupt):
        pretrain(going_on, tmp_path / "run")
    going_on.train.stop_after = 2
    pretrain(going_on, tmp_path / "run")
    going_on.train.stop_after = None
    pretrain(going_on, tmp_path / "run")
    assert [row["step"] for row in read_metrics(tmp_path / "run") if "eval/mlm_loss" in row] == [0, 3, 6]
    pretrain(going_on, tmp_path / "straight")
    times = ("step", "eval/seconds")
    for step, row in scored(tmp_path / "straight").items():
        other = scored(tmp_path / "run")[step]
        assert {k: v for k, v in row.items() if k not in times} == {k: v for k, v in other.items() if k not in times}


@pytest.mark.parametrize("examples", ["full_sentences", "candidates"])
def test_it_is_scored_for_other_kinds_of_examples(config, corpus_path, other_path, tmp_path, examples):
    """Either corpus may have several sources; nothing but the held-out rows is needed."""
    config.data.examples, config.data.nsp_group_size, config.model.num_layers = examples, 4, 1
    for training, other in ((corpus_path, other_path), (other_path, corpus_path)):
        config.data.corpus, config.eval.corpus = training, other
        placed = prepare(Pretraining(), copy.deepcopy(config))
        names = [score.name for score in placed.task.scores if score.name.startswith("eval_corpus_")]
        assert names[:2] == ["eval_corpus_mlm_loss", "eval_corpus_mlm_accuracy"]
        assert placed.task.other_held_out.rows.keys() == placed.task.held_out.keys()


def test_what_cannot_be_scored_is_refused(going_on, text_file, corpus_path, other_path, tmp_path):
    prepare_corpus(f"text:{text_file}", tmp_path / "wide", vocab_size=320, **QUIET)
    going_on.eval.corpus = str(tmp_path / "wide")
    with pytest.raises(ConfigError, match=r"^eval\.corpus=.*wide has another vocabulary than data\.corpus=.*: prepare"):
        pretrain(going_on, tmp_path / "run")
    going_on.eval.corpus = other_path
    with pytest.raises(ConfigError, match=r"is the training corpus, which is scored anyway: leave it out\.$"):
        pretrain(going_on, tmp_path / "run")
    going_on.eval.corpus = str(tmp_path / "nowhere")
    with pytest.raises(CorpusError, match=r"There is no corpus at .*nowhere"):
        pretrain(going_on, tmp_path / "run")
    (tmp_path / "one.txt").write_text("The end.\n\n" * 30)
    tokenizer = f"{corpus_path}/tokenizer"
    prepare_corpus(f"text:{tmp_path}/one.txt", tmp_path / "poor", tokenizer=tokenizer, **QUIET)
    going_on.eval.corpus = str(tmp_path / "poor")
    with pytest.raises(CorpusError, match=r"^eval\.corpus=.*poor: "):
        pretrain(going_on, tmp_path / "run")


def test_it_may_move_but_not_change(going_on, corpus_path, other_path, tmp_path):
    going_on.train.stop_after = 2
    pretrain(going_on, tmp_path / "run")
    (tmp_path / "moved").symlink_to(corpus_path)
    going_on.eval.corpus, going_on.train.stop_after = str(tmp_path / "moved"), 3
    pretrain(going_on, tmp_path / "run")
    (tmp_path / "text.txt").write_text("\n\n".join(make_documents(40, 9)))
    prepare_corpus(f"text:{tmp_path}/text.txt", tmp_path / "else", tokenizer=f"{corpus_path}/tokenizer", **QUIET)
    going_on.eval.corpus = str(tmp_path / "else")
    with pytest.raises(ConfigError, match=r"was started on other data .eval_corpus was"):
        pretrain(going_on, tmp_path / "run")
    going_on.eval.corpus = ""
    with pytest.raises(ConfigError, match=r"eval\.corpus was"):
        pretrain(going_on, tmp_path / "run")
