import dataclasses
import itertools
import json

import jax
import numpy as np
import pytest

from bert_jax import load, lock, sharding
from bert_jax.corpus.builder.prepare import prepare_corpus
from bert_jax.errors import ConfigError, CorpusError, LockError
from bert_jax.objectives.masked_words import sources_of_predictions
from bert_jax.reporting import write_report
from bert_jax.tasks.pretraining import Pretraining, PretrainingConfig, open_batches, pretrain
from bert_jax.training.bad_steps import TrainingError
from bert_jax.training.placed import PlacedTask
from bert_jax.training.planning import budget, forecast
from bert_jax.training.program import Program
from bert_jax.training.run import Options, check_config, prepare
from bert_jax.training.task import microbatches
from bert_jax.training.workdir.checkpoints import SavedParams, read_best, read_params
from bert_jax.training.workdir.metrics import read_metrics
from tests.conftest import make_documents

TIMES = (
    "train/tokens_per_second",
    "train/flops_per_second",
    "train/mfu",
    "train/data_wait",
    "train/seconds",
    "eval/seconds",
)


def results(workdir):
    """Every logged value but the times, and the checksums of the last checkpoint: what must be equal bit for bit."""
    rows = [{k: v for k, v in row.items() if k not in TIMES} for row in read_metrics(workdir)]
    last = max(int(p.name) for p in (workdir / "checkpoints").iterdir() if p.name.isdigit())
    about = json.loads((workdir / "checkpoints" / str(last) / "about" / "metadata").read_text())
    return rows, last, about["checksums"]


@pytest.fixture(scope="module")
def straight(corpus, corpus_path, tmp_path_factory):
    """A run that nobody interrupts."""
    workdir = tmp_path_factory.mktemp("runs") / "straight"
    config = PretrainingConfig()
    shrink(config, corpus_path)
    pretrain(config, workdir)
    return workdir


def shrink(config, corpus_path):
    config.model = dataclasses.replace(config.model, num_layers=2, hidden_size=32, num_heads=2, max_positions=64)
    config.data = dataclasses.replace(
        config.data, corpus=corpus_path, sequence_length=64, max_predictions=None, max_examples=4, phases=""
    )
    config.data = dataclasses.replace(config.data, ramp_from=None, ramp_increment=None, ramp_steps=0)
    config.optimizer = dataclasses.replace(config.optimizer, warmup_steps=None, phases="")
    config.train = dataclasses.replace(
        config.train, num_steps=12, batch_size=8, log_every=1, checkpoint_every=4, time_budget=None
    )
    config.eval = dataclasses.replace(config.eval, every=6, num_targets=300)


def test_logs_every_promised_value(straight):
    rows = {row["step"]: {} for row in read_metrics(straight)}
    for row in read_metrics(straight):
        rows[row["step"]] |= row
    assert sorted(rows) == list(range(1, 13))
    for name in ("loss", "mlm_loss", "nsp_loss", "nsp_accuracy", "grad_norm", "learning_rate", *TIMES[:-1]):
        name = name.removeprefix("train/")
        assert all(f"train/{name}" in row for row in rows.values()), name
    for name in ("mlm_loss", "mlm_accuracy", "nsp_accuracy", "nsp_majority", "unigram_mlm_loss"):
        assert [step for step in rows if f"eval/{name}" in rows[step]] == [6, 12]
    assert rows[12]["eval/nsp_majority"] == 0.5
    assert all(0 <= row["train/data_wait"] <= 1 for row in rows.values())
    for row in rows.values():
        assert row["train/loss"] == pytest.approx(row["train/mlm_loss"] + row["train/nsp_loss"], rel=1e-6)


def test_the_workdir_holds_what_is_promised(straight, corpus):
    assert {"config.json", "run.json", "metrics.jsonl", "tensorboard", "tokenizer", "checkpoints"} <= {
        p.name for p in straight.iterdir()
    }
    written = json.loads((straight / "config.json").read_text())
    assert written["task"] == "pretraining"
    config = written["config"]
    assert config["model"]["vocab_size"] == corpus.tokenizer.vocab_size
    assert config["train"]["num_steps"] == 12
    assert sorted(p.name for p in (straight / "checkpoints").iterdir() if p.name.isdigit()) == ["12", "4", "8"]
    _, _, assets = read_params(straight / "checkpoints")
    assert assets["tokenizer/vocab.txt"] == (straight / "tokenizer" / "vocab.txt").read_bytes()


@pytest.mark.parametrize("stops", [(1,), (4,), (5, 6, 11)])
def test_an_interrupted_run_ends_like_a_straight_one(straight, corpus_path, tmp_path, stops):
    config = PretrainingConfig()
    shrink(config, corpus_path)
    for stop in (*stops, None):
        config.train.stop_after = stop
        pretrain(config, tmp_path / "run")
    assert results(tmp_path / "run") == results(straight)


def test_a_crash_between_checkpoints_ends_like_a_straight_run(straight, corpus_path, tmp_path, monkeypatch):
    """The lines after the last checkpoint are written twice, and read once."""
    config = PretrainingConfig()
    shrink(config, corpus_path)
    evaluate = PlacedTask.evaluate
    calls = []

    def breaks_at_step_6(*args):
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return evaluate(*args)

    monkeypatch.setattr(PlacedTask, "evaluate", breaks_at_step_6)
    with pytest.raises(KeyboardInterrupt):
        pretrain(config, tmp_path / "run")
    assert read_metrics(tmp_path / "run")[-1]["step"] == 6
    pretrain(config, tmp_path / "run")
    assert results(tmp_path / "run") == results(straight)


def test_a_finished_run_stays_as_it_is(straight, corpus_path):
    config = PretrainingConfig()
    shrink(config, corpus_path)
    before = (straight / "metrics.jsonl").read_text()
    scores = pretrain(config, straight)
    assert scores["step"] == 12
    assert (straight / "metrics.jsonl").read_text() == before


def test_another_seed_is_another_run(straight, corpus_path, tmp_path):
    config = PretrainingConfig()
    shrink(config, corpus_path)
    config.train.seed = 1
    pretrain(config, tmp_path / "run")
    mine, theirs = results(tmp_path / "run"), results(straight)
    assert mine[0][0]["train/loss"] != theirs[0][0]["train/loss"]
    assert mine[2] != theirs[2]


def test_another_config_or_corpus_is_refused(straight, corpus_path, jsonl_files, tmp_path):
    config = PretrainingConfig()
    shrink(config, corpus_path)
    config.optimizer.learning_rate = 3.0
    config.model.num_layers = 1
    with pytest.raises(ConfigError, match=r"num_layers was 2 and is 1; optimizer\.learning_rate was 0\.0001 and is 3"):
        pretrain(config, straight)
    shrink(config := PretrainingConfig(), str(tmp_path / "other"))
    prepare_corpus(f"jsonl:{jsonl_files}", tmp_path / "other", vocab_size=300, num_workers=1, validation_fraction=0.1)
    with pytest.raises(ConfigError, match="other data"):
        pretrain(config, straight)


def test_a_time_budget_chooses_the_steps_once(config, tmp_path, monkeypatch):
    monkeypatch.setattr(budget, "MEASURED_SECONDS", 0.5)
    config.train.num_steps, config.train.time_budget = None, 90.0
    config.train.stop_after = 3
    pretrain(config, tmp_path / "run")
    chosen = json.loads((tmp_path / "run" / "config.json").read_text())["config"]["train"]["num_steps"]
    assert chosen > 3
    monkeypatch.setattr(budget, "choose_num_steps", lambda *_: 1 / 0)
    config.train.stop_after = 6
    pretrain(config, tmp_path / "run")
    assert json.loads((tmp_path / "run" / "config.json").read_text())["config"]["train"]["num_steps"] == chosen
    # The measurement left no trace: the same run with the number given is equal.
    straight = dataclasses.replace(config.train, num_steps=chosen, time_budget=None)
    pretrain(dataclasses.replace(config, train=straight), tmp_path / "given")
    left, right = results(tmp_path / "run"), results(tmp_path / "given")
    assert left[0] == right[0]
    assert left[2] == right[2]


def test_it_learns(config, tmp_path):
    config.model = dataclasses.replace(
        config.model, hidden_size=64, positions="sinusoidal", initializer_range=0.1, dropout=0.0, attention_dropout=0.0
    )
    config.train.num_steps, config.eval.every = 600, 600
    config.train.log_every = config.train.checkpoint_every = 200
    config.optimizer.learning_rate, config.optimizer.warmup_ratio = 3e-3, 0.05
    config.data.short_probability = 0.1
    scores = pretrain(config, tmp_path / "run")
    assert scores["eval/mlm_loss"] < scores["eval/unigram_mlm_loss"] - 0.3


def test_a_loss_that_is_not_finite_stops_the_run_and_is_not_saved(config, tmp_path):
    config.optimizer.learning_rate, config.optimizer.warmup_ratio = 1e30, 0.0
    config.train.checkpoint_every = 1
    with pytest.raises(TrainingError, match=r"at step 2, the first that is not finite: start a new workdir"):
        pretrain(config, tmp_path / "run")
    step, params, _ = read_params(tmp_path / "run" / "checkpoints")
    assert step == 1
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))
    assert [row["step"] for row in read_metrics(tmp_path / "run")] == [1]


def test_a_step_that_goes_wrong_is_named_though_it_is_read_later(config, tmp_path):
    config.optimizer.learning_rate, config.optimizer.warmup_ratio = 1e30, 0.0
    config.train.log_every = config.train.checkpoint_every = 10
    with pytest.raises(TrainingError, match=r"at step 2, the first"):
        pretrain(config, tmp_path / "run")


def test_a_score_that_is_not_finite_ends_each_start_with_an_error(config, tmp_path):
    """The update of the last step is the first that matters: its state is finite, and useless."""
    config.optimizer.learning_rate, config.optimizer.warmup_steps = 1e30, 1
    config.optimizer.warmup_ratio, config.train.num_steps, config.train.checkpoint_every = 0.0, 2, 1
    for _ in range(2):
        with pytest.raises(TrainingError, match=r"After step 2, eval/mlm_loss is nan"):
            pretrain(config, tmp_path / "run")
    assert "NaN" not in (tmp_path / "run" / "metrics.jsonl").read_text()


@pytest.mark.parametrize("best_by", ["", "mlm_loss"])
def test_the_last_state_is_saved_before_an_evaluation_that_fails(best_by, config, tmp_path, monkeypatch):
    """The next start has nothing to train, scores it, and ends like a run that was not interrupted."""
    config.train.num_steps, config.eval.every, config.eval.best_by = 4, 2, best_by
    config.train.keep_checkpoints = 1
    straight = pretrain(config, tmp_path / "straight")
    evaluate, calls = PlacedTask.evaluate, itertools.count(1)

    def fails(self, program, params, step):
        values = evaluate(self, program, params, step)
        if next(calls) == 2:
            raise KeyboardInterrupt
        return values

    monkeypatch.setattr(PlacedTask, "evaluate", fails)
    with pytest.raises(KeyboardInterrupt):
        pretrain(config, tmp_path / "run")
    assert pretrain(config, tmp_path / "run")["eval/mlm_loss"] == straight["eval/mlm_loss"]
    assert results(tmp_path / "run") == results(tmp_path / "straight")
    folders = [tmp_path / name / "checkpoints" for name in ("run", "straight")]
    assert [sorted(path.name for path in folder.iterdir()) for folder in folders] == [["4"]] * 2
    found, expected = map(SavedParams, folders)
    assert found.scores == expected.scores != {}
    assert read_best(folders[0]) == read_best(folders[1])


def test_an_update_that_is_not_finite_is_named_and_neither_scored_nor_saved(config, tmp_path, monkeypatch):
    broken = Program.train_step

    def train_step(self, state, batch, step):
        state, metrics = broken(self, state, batch, step)
        if int(state.step) == 4:
            state.params["bert"]["embeddings"]["word"] *= np.inf
        return state, metrics

    monkeypatch.setattr(Program, "train_step", train_step)
    config.train.checkpoint_every, config.eval.every = 2, 4
    config.train.num_steps = 4
    with pytest.raises(TrainingError, match=r"update of step 4 left .* in params/bert/embeddings/word: start"):
        pretrain(config, tmp_path / "run")
    assert [p.name for p in (tmp_path / "run" / "checkpoints").iterdir()] == ["2"]
    assert not [row for row in read_metrics(tmp_path / "run") if "eval/seconds" in row]


def test_a_stop_is_asked_for_after_each_step(config, tmp_path):
    asked = []
    options = Options(should_stop=lambda: bool(asked.append(1)) or len(asked) == 3)
    assert pretrain(config, tmp_path / "run", options) == {}
    assert [p.name for p in (tmp_path / "run" / "checkpoints").iterdir() if p.name.isdigit()] == ["3"]


def test_a_run_that_stops_tells_where_it_goes_on(config, tmp_path, capsys):
    config.train.stop_after = 2
    pretrain(config, tmp_path / "run")
    assert capsys.readouterr().err.endswith("\nsaved after step 2; the same command resumes\n")
    config.train.stop_after = 12
    pretrain(config, tmp_path / "run")
    assert "saved" not in capsys.readouterr().err


def test_a_start_that_is_refused_leaves_no_folder(config, tmp_path):
    config.model.num_heads = 5
    with pytest.raises(ConfigError):
        pretrain(config, tmp_path / "new" / "run")
    config.model.num_heads, config.data.corpus = 2, str(tmp_path / "nowhere")
    with pytest.raises(CorpusError):
        pretrain(config, tmp_path / "new" / "run")
    assert not (tmp_path / "new").exists()


def test_a_workdir_is_for_one_run_at_a_time(config, tmp_path):
    config.train.num_steps = config.eval.every = 2
    with lock.hold(tmp_path / "run", "a run"):
        with pytest.raises(LockError, match="run is in use by a run, process"):
            pretrain(config, tmp_path / "run")
        pretrain(config, tmp_path / "run", Options(dry_run=True))  # reads only
    assert pretrain(config, tmp_path / "run")
    assert not list((tmp_path / "run").glob("lock-*"))


def test_all_problems_are_told_at_once(config):
    config.model.num_heads = 5
    config.data.sequence_length = 128
    config.train.time_budget = 3.0
    with pytest.raises(ConfigError) as error:
        check_config(Pretraining(), config)
    assert len(str(error.value).split("\n")) == 3


def test_a_vocabulary_larger_than_the_models_is_refused(config):
    config.model.vocab_size = 100
    with pytest.raises(ConfigError, match="smaller than the corpus' vocabulary of 300"):
        prepare(Pretraining(), config)


def test_baselines_are_those_of_the_held_out_set(config):
    task = prepare(Pretraining(), config).task
    found = task.learner.baselines(task.held_out)
    assert found["nsp_majority"] == 0.5
    assert 3 < found["unigram_mlm_loss"] < np.log(300)


def test_the_batch_on_the_device_is_that_of_the_step(config):
    run = prepare(Pretraining(), config)
    work = run.work(3)
    expected = run.task.stream.batch(3)
    assert work.tokens == (expected["example_ids"] > 0).sum()
    jax.tree.map(np.testing.assert_array_equal, work.batch, expected)


@pytest.fixture(scope="module")
def mixed_path(tmp_path_factory):
    """Two sources of different words, with a SentencePiece vocabulary."""
    folder = tmp_path_factory.mktemp("mixed")
    for name, count in (("large", 80), ("small", 30)):
        (folder / f"{name}.txt").write_text("\n\n".join(make_documents(count, seed=count)))
    prepare_corpus(
        [f"{name}=text:{folder}/{name}.txt" for name in ("large", "small")],
        folder / "corpus",
        tokenizer="sentencepiece",
        vocab_size=300,
        num_workers=1,
        validation_fraction=0.15,
        progress=lambda line: None,
    )
    return str(folder / "corpus")


def test_losses_by_source_add_up_and_a_model_of_sentence_pieces_stands_alone(config, mixed_path, tmp_path):
    config.data.corpus, config.data.source_exponent = mixed_path, 0.5
    config.train.num_steps, config.eval.every = 4, 4
    scores = pretrain(config, tmp_path / "run")
    run = prepare(Pretraining(), config)
    sources = np.asarray(sources_of_predictions(run.task.held_out))
    used = run.task.held_out["masked_weights"] > 0
    shares = np.bincount(sources[used], minlength=2) / used.sum()
    assert 0.05 < shares[1] < 0.15  # by size, not by data.source_exponent
    for kind in ("mlm_loss", "unigram_mlm_loss"):
        by_source = [scores[f"eval/{kind}/{name}"] for name in ("large", "small")]
        assert np.dot(shares, by_source) == pytest.approx(scores[f"eval/{kind}"], rel=1e-5)
    rows = [row for row in read_metrics(tmp_path / "run") if "train/loss" in row]
    assert all({"train/mlm_loss/large", "data/epochs/large", "data/epochs/small"} <= row.keys() for row in rows)
    assert rows[-1]["data/epochs/small"] > rows[-1]["data/epochs/large"]
    assert "masked language model on small" in write_report(tmp_path / "run")
    (tmp_path / "run" / "checkpoints").rename(tmp_path / "checkpoints")
    model = load(tmp_path / "checkpoints")
    assert model.tokenizer.sha256 == run.task.stream.fingerprints["tokenizer"]
    assert len(model.fill_mask("The [MASK] end.")[0]) == 5


def test_without_pairs_there_is_no_next_sentence(config, tmp_path):
    config.data.examples = "full_sentences"
    config.train.num_steps, config.eval.every = 4, 4
    scores = pretrain(config, tmp_path / "run")
    assert not [name for row in read_metrics(tmp_path / "run") for name in row if "nsp_" in name]
    assert scores["eval/mlm_loss"] > 0
    report = write_report(tmp_path / "run")
    assert "next sentence, accuracy" not in report


def test_a_run_through_phases_resumes_across_them(config, tmp_path):
    config.data.sequence_length, config.train.batch_size = 32, 8
    config.data.phases = "5: sequence_length=64 batch_size=4; 9: mask_rate=0.3"
    pretrain(config, tmp_path / "straight")
    for stop in (4, 5, 10, None):
        config.train.stop_after = stop
        pretrain(config, tmp_path / "run")
    assert results(tmp_path / "run") == results(tmp_path / "straight")
    batches = open_batches(tmp_path / "run")
    assert [batches.batch(step)["token_ids"].shape for step in (4, 5, 8, 9)] == [(8, 32), (4, 64), (4, 64), (4, 64)]


def test_a_run_through_a_ramp_resumes_inside_it(config, tmp_path, monkeypatch):
    """Stopped inside and at its end, and killed inside, where a phase changes the masks and the sources, too."""
    config.train.batch_size, config.train.grad_accumulation_steps = 8, 2
    config.data.ramp_from, config.data.ramp_increment, config.data.ramp_steps = 4, 2, 8
    config.data.phases = "6: mask_rate=0.3 source_exponent=0.5"
    pretrain(config, tmp_path / "straight")
    for stop in (3, 5, 8, None):
        config.train.stop_after = stop
        pretrain(config, tmp_path / "run")
    assert results(tmp_path / "run") == results(tmp_path / "straight")
    batches = open_batches(tmp_path / "run")
    assert [len(batches.batch(step)["token_ids"]) for step in range(9)] == [4] * 4 + [6] * 4 + [8]

    evaluate, calls = PlacedTask.evaluate, itertools.count(1)

    def breaks_at_step_6(*args):
        if next(calls) == 1:
            raise KeyboardInterrupt
        return evaluate(*args)

    monkeypatch.setattr(PlacedTask, "evaluate", breaks_at_step_6)
    with pytest.raises(KeyboardInterrupt):
        pretrain(config, tmp_path / "killed")
    assert read_metrics(tmp_path / "killed")[-1]["step"] == 6
    pretrain(config, tmp_path / "killed")
    assert results(tmp_path / "killed") == results(tmp_path / "straight")
    assert "12 steps of 4 to 8 rows × 64 tokens" in write_report(tmp_path / "run")


def test_a_ramp_ends_in_the_batches_of_a_run_without_one(config):
    """Of 8 rows in 2 microbatches, 4 are computed at once and 6 in two parts; work is forecast size by size."""
    config.train.grad_accumulation_steps = 2
    config.data.ramp_from, config.data.ramp_increment, config.data.ramp_steps = 4, 2, 8
    run = prepare(Pretraining(), config)
    assert [microbatches(phase, 2) for phase in run.task.stream.phases] == [1, 2, 2]
    work = {step: run.work(step) for step in (0, 4, 8)}
    flops = forecast.total_flops(run.work, run.phase_starts, 2, 10)
    assert flops == pytest.approx(2 * run.work(2).flops + 4 * work[4].flops + 2 * work[8].flops)
    assert work[0].tokens < work[4].tokens < work[8].tokens
    assert forecast.phases_left(run.phase_starts, 2, 10) == [2, 4, 8]
    assert run.held_out_batch_size == 4
    with jax.set_mesh(run.mesh), sharding.rules():
        program = run.program(12)
        loops = [program.compiled(work[step].batch).as_text().count("while(") for step in work]
    assert loops[0] < loops[1] == loops[2]


def test_sizes_of_a_ramp_are_checked_before_anything_is_compiled(config):
    config.train.batch_size, config.train.grad_accumulation_steps = 12, 3
    config.data.ramp_from, config.data.ramp_steps = 2, 9
    with pytest.raises(
        ConfigError, match=r"ramp to 12 rows, a batch of 10 rows cannot be cut evenly: .* multiples of 4"
    ):
        check_config(Pretraining(), config)
    config.data.ramp_from = 4
    check_config(Pretraining(), config)


def test_phases_are_checked_before_anything_is_compiled(config):
    config.data.phases = "5: sequence_length=128"
    with pytest.raises(ConfigError, match=r"data\.phases: sequence_length=128 is longer than model\.max_pos"):
        check_config(Pretraining(), config)


def test_a_phase_of_another_vocabulary_is_refused(config, mixed_path):
    config.data.phases = f"5: corpus={mixed_path}"
    with pytest.raises(ConfigError, match="another vocabulary"):
        prepare(Pretraining(), config)


def test_the_batches_of_a_run_are_opened_on_its_data_only(straight, config, mixed_path, corpus_path, tmp_path):
    shrink(config := PretrainingConfig(), corpus_path)
    expected = prepare(Pretraining(), config).task.stream.batch(7)
    jax.tree.map(np.testing.assert_array_equal, open_batches(straight).batch(7), expected)
    jax.tree.map(np.testing.assert_array_equal, open_batches(straight, [corpus_path]).batch(7), expected)
    with pytest.raises(ConfigError, match="other data"):
        open_batches(straight, [mixed_path])
    with pytest.raises(ConfigError, match=r"no config\.json"):
        open_batches(tmp_path)
    with pytest.raises(ConfigError, match="no folder"):
        open_batches(tmp_path / "nowhere")


def test_a_warm_up_longer_than_the_run_is_refused(config):
    config.optimizer.warmup_steps = config.train.num_steps
    with pytest.raises(ConfigError, match="never reach its peak"):
        check_config(Pretraining(), config)
    config.optimizer.warmup_steps -= 1
    check_config(Pretraining(), config)


def test_a_dry_run_tells_everything_and_writes_nothing(config, tmp_path, capsys):
    config.data.sequence_length = 32
    config.data.phases = "5: sequence_length=64 batch_size=4"
    assert pretrain(config, tmp_path / "run", Options(dry_run=True)) == {}
    assert not (tmp_path / "run").exists()
    told = capsys.readouterr().out
    for part in (
        "model        vocab_size=300",
        "learning_rate=0.001",
        "starting, 12 steps in all",
        "parameters   ",
        " a device: parameters ",
        "devices      ",
        "from step 1",
        "from step 6",
        "passes over each source: documents",
        "floating-point operations",
        "of the matrix peak",
        f"results      {tmp_path}/run",
    ):
        assert part in told, part


def test_a_dry_run_of_a_run_under_way_tells_where_it_stands(config, tmp_path, capsys):
    config.train.stop_after = 4
    pretrain(config, tmp_path / "run")
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "run").rglob("*")}
    pretrain(config, tmp_path / "run", Options(dry_run=True))
    assert "resuming after step 4, 12 steps in all" in capsys.readouterr().out
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "run").rglob("*")} == before


def test_a_probe_is_asked_at_each_evaluation(config, tmp_path):
    def norm_of_words(task, params):
        return {"word_norm": float(np.linalg.norm(params["bert"]["embeddings"]["word"])), "layers": 2.0}

    pretrain(config, tmp_path / "run", probe=norm_of_words)
    rows = [row for row in read_metrics(tmp_path / "run") if "eval/word_norm" in row]
    assert [row["step"] for row in rows] == [6, 12]
    assert rows[0]["eval/word_norm"] != rows[1]["eval/word_norm"]


def test_norms_of_layers_are_logged_at_intervals(config, tmp_path):
    config.train.grad_norms_every, config.train.log_every = 2, 2
    pretrain(config, tmp_path / "run")
    rows = [row for row in read_metrics(tmp_path / "run") if "train/loss" in row]
    assert [row["step"] for row in rows] == [2, 4, 6, 8, 10, 12]
    assert [row["step"] for row in rows if "train/grad_norm/layer_1" in row] == [4, 8, 12]


def test_a_time_budget_goes_through_phases(config, tmp_path, monkeypatch):
    monkeypatch.setattr(budget, "MEASURED_SECONDS", 0.2)
    config.data.sequence_length, config.data.phases = 32, "40: sequence_length=64"
    config.train.num_steps, config.train.time_budget, config.train.stop_after = None, 90.0, 1
    pretrain(config, tmp_path / "run")
    assert json.loads((tmp_path / "run" / "config.json").read_text())["config"]["train"]["num_steps"] > 40


def test_a_time_budget_too_short_for_the_warm_up_is_refused(config, tmp_path, monkeypatch):
    monkeypatch.setattr(budget, "MEASURED_SECONDS", 0.2)
    config.optimizer.warmup_steps = 10**6
    config.train.num_steps, config.train.time_budget = None, 10.0
    with pytest.raises(ConfigError, match="would never reach its peak"):
        pretrain(config, tmp_path / "run")


def test_each_start_is_noted(config, tmp_path):
    config.train.stop_after = 4
    pretrain(config, tmp_path / "run", Options(command="first"))
    config.train.stop_after = None
    pretrain(config, tmp_path / "run", Options(command="second"))
    starts = json.loads((tmp_path / "run" / "run.json").read_text())["starts"]
    assert [(start["step"], start["command"]) for start in starts] == [(0, "first"), (4, "second")]
    assert all(start["matrix_peak"] > 0 and start["num_devices"] == jax.device_count() for start in starts)


def test_pretraining_continues_from_another_run(straight, corpus_path, mixed_path, tmp_path):
    """On the same model and vocabulary: its first held-out scores are the old run's last ones."""
    shrink(config := PretrainingConfig(), corpus_path)
    config.train.init_from, config.train.num_steps = str(straight), 1
    config.optimizer.learning_rate, config.eval.every = 1e-30, 1
    scores = pretrain(config, tmp_path / "run")
    last = [row for row in read_metrics(straight) if "eval/mlm_loss" in row][-1]
    assert {name: scores[name] for name in last if name not in ("step", *TIMES)} == {
        name: last[name] for name in last if name not in ("step", *TIMES)
    }
    config.model.activation, config.model.norm_position = "gelu_tanh", "pre"
    with pytest.raises(
        ConfigError, match=r"norm_position=pre .* which has post(.|\n)*activation=gelu_tanh .* which has gelu:"
    ):
        pretrain(config, tmp_path / "other")
    config.model.activation, config.model.norm_position = "gelu", "post"
    config.data.corpus = mixed_path
    with pytest.raises(ConfigError, match=r"has another vocabulary than train\.init_from"):
        pretrain(config, tmp_path / "other")


def test_a_run_too_short_to_learn_is_told():
    config = PretrainingConfig()
    config.train.num_steps = 136
    (line,) = Pretraining().remarks(config)
    assert "136 steps" in line
    config.train.init_from = "runs/other"
    assert not Pretraining().remarks(config)
    config.train.init_from, config.train.num_steps = "", 10_000
    assert not Pretraining().remarks(config)


@pytest.mark.parametrize("changes", [{"head_transform": "none"}, {"tied_output": False}], ids=str)
def test_factors_by_width_need_the_norm_and_the_table_that_they_act_on(corpus_path, changes):
    config = PretrainingConfig()
    shrink(config, corpus_path)
    config.optimizer.base_width = 16
    assert Pretraining().problems(config) == []
    config.model = dataclasses.replace(config.model, **changes)
    (problem,) = Pretraining().problems(config)
    assert problem.startswith("optimizer.base_width keeps logits right")
