"""`eval.best_by` and `eval.patience`: the best checkpoint, and runs that end early."""

import math
import shutil

import pytest

from bert_jax import load
from bert_jax.errors import ConfigError
from bert_jax.reporting import write_report
from bert_jax.reporting.report import best_line
from bert_jax.reporting.run_record import read_run
from bert_jax.scores import Score
from bert_jax.tasks.pretraining import Pretraining, PretrainingConfig, pretrain
from bert_jax.training.best import Best
from bert_jax.training.config import EvalConfig
from bert_jax.training.loop import Schedule
from bert_jax.training.placed import PlacedTask
from bert_jax.training.run import Options, check_config, prepare
from bert_jax.training.workdir.checkpoints import read_best
from bert_jax.training.workdir.metrics import read_metrics
from bert_jax.training.workdir.warm_start import open_start
from tests.tasks.test_pretraining import results, shrink

SCORES = (Score("dev_loss", "loss", lower_is_better=True), Score("accuracy", "accuracy"))
NAN, INF = math.nan, math.inf


def after(best, *values):
    for step, value in enumerate(values, 1):
        best = best.after(step, {} if value is None else {f"eval/{best.by}": value})
    return best


@pytest.mark.parametrize(
    ("by", "values", "step", "since"),
    [
        ("accuracy", [0.7, 0.9, 0.8, 0.75, 0.72], 2, 3),
        ("dev_loss", [0.9, 0.4, 0.6], 2, 1),
        ("dev_loss", [0.6, 0.4, 0.3], 3, 0),
        ("accuracy", [0.7, 0.9, 0.9], 2, 1),  # of equal ones, the earlier
        ("accuracy", [0.0, 0.0], 1, 1),
        ("accuracy", [NAN, 0.5, NAN, INF, None], 2, 3),
        ("dev_loss", [-INF, NAN, 0.5], 3, 0),
        ("accuracy", [NAN, None], None, 2),
    ],
)
def test_the_best_is_the_first_of_the_highest_or_lowest_finite_scores(by, values, step, since):
    best = after(Best.of_run(EvalConfig(best_by=by), SCORES), *values)
    assert (best.step, best.evaluations_since) == (step, since)
    assert best.value == (None if step is None else values[step - 1])
    assert [best.ends_run(patience) for patience in (None, since + 1)] == [False, False]
    assert since == 0 or best.ends_run(since)


def test_a_score_that_is_not_there_is_told_with_those_that_are(config):
    assert Best.of_run(EvalConfig(), SCORES) is None
    with pytest.raises(ConfigError, match=r"best_by='acuracy' is not .* dev_loss, accuracy: .*Did you mean accuracy\?"):
        Best.of_run(EvalConfig(best_by="acuracy"), SCORES)
    config.eval.best_by = "nsp_acuracy"
    with pytest.raises(ConfigError, match="which has mlm_loss, mlm_accuracy, nsp_accuracy: choose one"):
        prepare(Pretraining(), config)


@pytest.mark.parametrize(
    ("best_by", "patience", "message"),
    [("", 2, "eval.patience needs a score to wait for"), ("mlm_loss", 0, "eval.patience=0 must be above 0")],
)
def test_patience_without_a_score_or_a_number_is_refused(config, best_by, patience, message):
    config.eval.best_by, config.eval.patience = best_by, patience
    with pytest.raises(ConfigError, match=message):
        check_config(Pretraining(), config)


def script(monkeypatch):
    """Takes the held-out scores from the table that it returns, step -> score."""
    table, now, due = {2: 0.7, 4: 0.9, 6: 0.8, 8: 0.75, 10: 0.72}, [], Schedule.evaluates

    def evaluates(self, step):
        now.append(step)
        return due(self, step)

    monkeypatch.setattr(Schedule, "evaluates", evaluates)
    monkeypatch.setattr(PlacedTask, "evaluate", lambda self, *_: defined(table[now[-1]]))
    return table


def defined(score):
    """What an evaluation returns: a score that is undefined is left out."""
    return {} if math.isnan(score) else {"eval/mlm_accuracy": score}


def make_config(corpus_path):
    """Ten steps, scored every second one; only one checkpoint is kept besides the best."""
    config = PretrainingConfig()
    shrink(config, corpus_path)
    config.train.num_steps, config.train.checkpoint_every, config.train.keep_checkpoints = 10, 3, 1
    config.train.log_every = 3
    config.eval.every, config.eval.best_by = 2, "mlm_accuracy"
    return config


@pytest.fixture
def scripted(monkeypatch):
    return script(monkeypatch)


@pytest.fixture
def short(corpus_path, scripted):
    """A run that is best at step 4."""
    return make_config(corpus_path)


@pytest.fixture(scope="module")
def straight(corpus, corpus_path, tmp_path_factory):
    """That run, done; tests only read it."""
    folder = tmp_path_factory.mktemp("best") / "straight"
    with pytest.MonkeyPatch.context() as monkeypatch:
        script(monkeypatch)
        scores = pretrain(make_config(corpus_path), folder)
    assert (scores["step"], scores["eval/mlm_accuracy"]) == (4, 0.9)
    return folder


def killed_after(step, start=0):
    """Options of a start that dies after `step`, without saving more."""
    steps = iter(range(start + 1, step + 1))

    def die():
        if next(steps) == step:
            raise KeyboardInterrupt
        return False

    return Options(should_stop=die)


def die(config, workdir, step, start=0):
    with pytest.raises(KeyboardInterrupt):
        pretrain(config, workdir, killed_after(step, start))


def saved(workdir):
    return sorted(int(path.name) for path in (workdir / "checkpoints").iterdir() if path.name.isdigit())


def test_the_best_is_kept_beside_the_last_and_opened(straight, tmp_path):
    """Step 4 is saved although no checkpoint is due, and outlives those of steps 6, 9 and 10."""
    assert saved(straight) == [4, 10]
    assert read_best(straight / "checkpoints") == Best("mlm_accuracy", False, 4, 0.9, 3)
    for path in (straight, straight / "checkpoints"):
        assert repr(load(path)).endswith(", step 4)")
        assert open_start(path).step == 4
        assert load(path, step=10).step == 10
    assert open_start(straight / "checkpoints" / "10").step == 10
    shutil.copytree(straight, tmp_path / "run")
    text = write_report(tmp_path / "run")
    assert "best checkpoint by mlm_accuracy is that of step 4 of 10, with 0.900; `load` opens it." in text
    assert "| model | after step 10 |" in text
    assert "| 0.900 | 0.720 |" in text


def test_without_a_score_to_choose_by_the_last_is_opened(short, tmp_path):
    short.eval.best_by, short.train.keep_every = "", 6
    assert pretrain(short, tmp_path / "run")["step"] == 10
    assert saved(tmp_path / "run") == [6, 10]
    assert load(tmp_path / "run").step == 10
    assert best_line(read_run(tmp_path / "run")) == ""


def test_a_better_one_replaces_the_best(short, scripted, tmp_path):
    scripted |= {8: 0.95}
    short.train.checkpoint_every = 100
    die(short, tmp_path / "run", 7)
    assert saved(tmp_path / "run") == [4]
    pretrain(short, tmp_path / "run")
    assert saved(tmp_path / "run") == [8, 10]
    assert load(tmp_path / "run").step == 8


def test_the_last_may_be_the_best_and_a_tie_or_nan_never_is(short, scripted, tmp_path):
    scripted |= {2: NAN, 4: 0.5, 6: 0.5, 8: NAN, 10: 0.6}
    die(short, tmp_path / "run", 9)
    assert 4 in saved(tmp_path / "run")
    assert load(tmp_path / "run").step == 4
    pretrain(short, tmp_path / "run")
    assert saved(tmp_path / "run") == [10]
    assert load(tmp_path / "run").step == 10


def test_undefined_scores_leave_the_last(short, scripted, tmp_path):
    scripted |= dict.fromkeys(scripted, NAN)
    assert pretrain(short, tmp_path / "run")["step"] == 10
    assert saved(tmp_path / "run") == [10]
    assert load(tmp_path / "run").step == 10
    assert best_line(read_run(tmp_path / "run")).startswith("No evaluation had a finite mlm_accuracy")


@pytest.mark.parametrize("deaths", [(5,), (3, 4, 9)])
def test_killed_runs_keep_the_same_best(short, straight, tmp_path, deaths):
    """Also after the best, before the next checkpoint is due."""
    for step in deaths:
        die(short, tmp_path / "run", step, start=max(saved(tmp_path / "run"), default=0) if step > deaths[0] else 0)
        assert 4 not in saved(tmp_path / "run") or load(tmp_path / "run").step == 4
    pretrain(short, tmp_path / "run")
    assert saved(tmp_path / "run") == [4, 10]
    assert read_best(tmp_path / "run" / "checkpoints") == read_best(straight / "checkpoints")
    assert results(tmp_path / "run") == results(straight)


def test_a_best_that_was_never_written_whole_is_found_again(short, straight, tmp_path):
    """The log knows the score of step 4, but the checkpoints are what counts."""
    short.train.keep_checkpoints = 2
    die(short, tmp_path / "run", 5)
    short.train.keep_checkpoints = 1
    assert saved(tmp_path / "run") == [3, 4]
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "4")
    (tmp_path / "run" / "checkpoints" / "4.orbax-checkpoint-tmp").mkdir()
    pretrain(short, tmp_path / "run")
    assert saved(tmp_path / "run") == [4, 10]
    assert results(tmp_path / "run") == results(straight)


def test_a_best_that_was_removed_by_hand_leaves_the_newest(straight, tmp_path):
    shutil.copytree(straight, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "4")
    assert load(tmp_path / "run" / "checkpoints").step == 10


def test_patience_ends_the_run_and_it_stays_ended(short, tmp_path, capfd):
    run = tmp_path / "run"
    short.eval.patience = 2
    assert pretrain(short, run)["step"] == 4
    assert capfd.readouterr().err.endswith(
        "\nstopped early after step 8 of 10: no better mlm_accuracy in 2 evaluations\n"
    )
    assert saved(run) == [4, 8]
    rows = results(run)[0]
    assert [row["step"] for row in rows if "train/loss" in row] == [2, 3, 4, 6, 8]  # also where it may end
    assert pretrain(short, run)["step"] == 4
    told = capfd.readouterr().err
    assert "This run is finished: stopped early after step 8 of 10: no better mlm_accuracy in 2 evaluations." in told
    pretrain(short, run, Options(dry_run=True))
    assert "This run is finished: stopped early after step 8 of 10" in capfd.readouterr().out
    assert (results(run)[0], saved(run)) == (rows, [4, 8])
    text = write_report(run)
    assert "8 of 10 steps (stopped early)" in text
    assert "The run stopped early after step 8 of 10: no better mlm_accuracy in 2 evaluations." in text
    assert read_run(run).restarts == []


def test_a_killed_run_ends_as_early_as_a_straight_one(short, tmp_path):
    """What was waited before the kill counts."""
    short.eval.patience = 2
    pretrain(short, tmp_path / "straight")
    die(short, tmp_path / "run", 7)
    pretrain(short, tmp_path / "run")
    assert results(tmp_path / "run") == results(tmp_path / "straight")
    assert saved(tmp_path / "run") == [4, 8]


def test_more_patience_goes_on_and_the_learning_rates_are_those_of_the_whole_run(short, straight, tmp_path):
    short.eval.patience = 2
    pretrain(short, tmp_path / "run")
    short.eval.patience = None
    assert pretrain(short, tmp_path / "run")["step"] == 4
    found, expected = (
        {row["step"]: row["train/learning_rate"] for row in read_metrics(path) if "train/loss" in row}
        for path in (tmp_path / "run", straight)
    )
    assert found[8] > expected[10]
    assert {step: found[step] for step in expected} == expected
    assert results(tmp_path / "run")[2] == results(straight)[2]
