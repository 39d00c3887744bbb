"""Sweeps: which runs, killed and continued, the best by the held-out score, and its test score alone."""

import json
import pathlib
import re
import signal

import pytest

from bert_jax.errors import ConfigError
from bert_jax.tasks.classification import ClassificationConfig
from experiments import sweeps
from experiments.configs import finetune_classification
from tests.experiments.scripts import Scripts
from tests.experiments.test_seeds import FLAGS, flags  # noqa: F401
from tests.tasks.test_pretraining import results

RUNS = [f"learning_rate={rate}/seed_{seed}" for rate in ("0.001", "0.01") for seed in (1, 2)]


def axes(text):
    return sweeps.parse_axes(text, ClassificationConfig())


def test_fields_are_named_whole_or_by_their_last_part():
    found = axes("learning_rate=2e-5,5e-5; train.batch_size=16 ;num_steps=100,none")
    assert found == {
        "optimizer.learning_rate": (2e-5, 5e-5),
        "train.batch_size": (16,),
        "train.num_steps": (100, None),
    }
    sweep = sweeps.make_sweep(found | {"train.seed": (3, 5)}, ClassificationConfig(), None)
    assert len(sweep.combinations) == 4
    assert sweep.seeds == (3, 5)
    assert sweep.folder(sweep.combinations[0]) == "learning_rate=2e-05,batch_size=16,num_steps=100"
    own = sweeps.with_settings(finetune_classification.get_config(), sweep.combinations[0], 3)
    assert (own.train.num_steps, own.train.num_epochs, own.train.seed) == (100, None, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rat=1", "no config field 'learning_rat'.*Did you mean learning_rate"),
        ("batch_size", "write it as learning_rate="),
        ("batch_size=1.5", "must be int"),
        ("batch_size=1;train.batch_size=2", "names train.batch_size twice"),
        ("optimizer.phases=;", "write it as"),
        ("validation=a.tsv", "cannot vary data.validation"),
        (";", "is empty"),
    ],
)
def test_what_cannot_be_swept_is_told(text, message):
    with pytest.raises(ConfigError, match=message):
        axes(text)


def test_seeds_alone_are_no_sweep_and_folders_must_differ():
    config = ClassificationConfig()
    for text, seeds, message in (
        ("seed=1,2", None, "nothing but the seed"),
        ("seed=1,2;batch_size=4,8", 2, "so does --num_seeds"),
        ("init_from=a/b,a_b", None, "share the folder"),
    ):
        with pytest.raises(ConfigError, match=message):
            sweeps.make_sweep(axes(text), config, seeds)


def test_the_grid_is_that_of_bert():
    config = finetune_classification.get_config()
    found = sweeps.bert_grid(config, 768)
    assert {name: len(values) for name, values in found.items()} == {
        "train.batch_size": 2,
        "optimizer.learning_rate": 3,
        "train.num_epochs": 3,
    }
    assert 1e-4 in sweeps.bert_grid(config, 256)["optimizer.learning_rate"]
    config.train.num_epochs, config.train.num_steps = None, 100
    assert "train.num_epochs" not in sweeps.bert_grid(config, 768)


def test_a_killed_sweep_goes_on_and_a_seed_gives_the_same_bits_in_it_and_alone(
    flags,  # noqa: F811
    tmp_path,
    monkeypatch,
):
    compiled, quick = tmp_path / "compiled", {"XLA_FLAGS": "--xla_backend_optimization_level=0"}
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(compiled))
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    own = [*flags, "--config.train.seed=1", "--config.train.num_steps=8"]  # of equal flags, the last counts
    sweep = [*own, "--sweep=learning_rate=1e-3,1e-2", f"--workdir={tmp_path}/sweep"]

    def steps():
        """The compiled training steps."""
        return {path.name for path in compiled.iterdir() if re.match(r"jit_train_step-\w+-cache", path.name)}

    with Scripts(tmp_path) as scripts:
        # Two saves a run: killed in the third run.
        code, printed = scripts.run(
            "finetune", *sweep, env=quick, fatal=("bert_jax.training.workdir.checkpoints:Checkpoints.save", 6)
        )
        assert code == -signal.SIGKILL, printed
        assert [(tmp_path / "sweep" / run / "report.md").exists() for run in RUNS] == [True, True, False, False]
        assert len(steps()) == 1  # the rate and the seed are no part of it
        code, printed = scripts.run("finetune", *sweep, env=quick)
        assert code == 0, printed
        assert f"run 2 of 4: {tmp_path}/sweep/{RUNS[1]} is finished" in printed
        assert len(steps()) == 1
        report = (tmp_path / "sweep/report.md").read_text()
        alone = [flag for flag in own if not flag.startswith("--num_seeds")]
        code, printed = scripts.run(
            "finetune", *alone, "--config.optimizer.learning_rate=1e-2", f"--workdir={tmp_path}/alone", env=quick
        )
        assert code == 0, printed
        assert results(tmp_path / "alone") == results(tmp_path / "sweep" / RUNS[2])
        assert results(tmp_path / "alone") != results(tmp_path / "sweep" / RUNS[3])
        code, printed = scripts.run("finetune", *sweep, env=quick)
        assert (code, printed.count(" is finished\n")) == (0, 3), printed
        assert (tmp_path / "sweep/report.md").read_text() == report
        train = next(flag for flag in flags if flag.startswith("--train=")).partition("=")[2]
        changed = tmp_path / "train.tsv"
        text = pathlib.Path(train).read_text()
        changed.write_text(text[:-2] + text[-3] + "\n")  # of the same name and size
        code, printed = scripts.run("finetune", *sweep, f"--train={changed}", env=quick)
        assert (code, "was started on other data (train was" in printed) == (2, True), printed
    best = re.search(r"^- `(learning_rate=\S+)`", report, re.MULTILINE)[1]
    for run in RUNS:
        scores = json.loads((tmp_path / "sweep" / run / "predictions/scores.json").read_text())["scores"]
        assert set(scores) == ({"validation", "test"} if run.startswith(f"{best}/") else {"validation"})
    assert "A sweep: 2 combinations of settings, 4 runs." in report
    assert "no other run of the sweep has seen the test split" in report
    assert (tmp_path / "sweep/sweep.png").exists()


def test_sizes_are_a_sweep_and_epochs_below_the_least_steps_run_once(flags, tmp_path):  # noqa: F811
    quick = {"XLA_FLAGS": "--xla_backend_optimization_level=0"}
    own = [f for f in flags if not f.startswith(("--num_seeds", "--config.train.num_steps", "--config.train.num_ep"))]
    own += ["--config.train.min_steps=8", "--config.optimizer.warmup_steps=0", "--config.eval.best_by=label_accuracy"]
    with Scripts(tmp_path) as scripts:
        code, printed = scripts.run(
            "finetune",
            *own,
            "--num_train_examples=6,30",
            "--sweep=num_epochs=1,2",
            f"--workdir={tmp_path}/sweep",
            env=quick,
        )
    assert code == 0, printed
    assert "subset       6 of 60 training texts, drawn by seed 0; labels keep their shares" in printed
    assert sorted(path.name for path in (tmp_path / "sweep").iterdir() if path.is_dir()) == [
        "num_train_examples=30,num_epochs=1",
        "num_train_examples=6,num_epochs=1",
    ]
    report = (tmp_path / "sweep/report.md").read_text()
    assert "`num_train_examples=6,num_epochs=2` is left out: num_epochs=1 already takes the 8 steps" in report
    assert report.count("Test scores of `") == 2  # the best of each size
