"""The objective, the task and the recipe that CONTRIBUTING.md shows are run, so that the page stays true."""

import dataclasses
import importlib.util
import itertools
import pathlib
import re
import subprocess
import sys
import types

import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax import load
from bert_jax.errors import ConfigError, CorpusError
from bert_jax.model.config import ModelConfig
from bert_jax.reporting import write_report
from bert_jax.tasks.pretraining import pretrain
from bert_jax.tasks.registry import TASKS
from bert_jax.training.run import run
from experiments import config_flags
from tests.tasks.test_pretraining import results
from tests.test_package import floor, imports, room

PAGE = pathlib.Path("CONTRIBUTING.md")
BLOCKS = dict(re.findall(r"^```python\n# (\S+\.py)\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL))
OBJECTIVE, TASK, RECIPE = BLOCKS
STEPS, LEVELS = 2, 3


def dotted(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".")


@pytest.fixture
def files(tmp_path) -> dict[str, pathlib.Path]:
    """The page's files, written out; the paths are those that they would have here."""
    found = {path: tmp_path / path for path in BLOCKS}
    for path, file in found.items():
        file.parent.mkdir(parents=True)
        file.write_text(BLOCKS[path])
    return found


@pytest.fixture
def modules(files, monkeypatch) -> dict[str, types.ModuleType]:
    """The objective and the task, imported as if they were in the package, and the task registered."""
    found = {}
    for path in (OBJECTIVE, TASK):
        spec = importlib.util.spec_from_file_location(dotted(path), files[path])
        found[path] = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, dotted(path), found[path])
        spec.loader.exec_module(found[path])
    kind = found[TASK].Rating()
    monkeypatch.setitem(TASKS, kind.name, kind)
    return found


@pytest.fixture
def rating(modules, files, config, tmp_path):
    """The page's recipe, shrunk to two steps on a few reviews, from a pretrained model of two steps."""
    config.train.num_steps, config.eval.every = STEPS, STEPS
    pretrain(config, tmp_path / "pretrained")
    for name, count in (("train", 30), ("dev", 10)):
        rows = [f"the {'end ' * (i % 7)}and\t{1 + i % LEVELS}\n" for i in range(count)]
        (tmp_path / f"{name}.tsv").write_text("text\tlabel\n" + "".join(rows))
    recipe = config_flags.load(str(files[RECIPE]), modules[TASK].RatingConfig)
    recipe.data = dataclasses.replace(
        recipe.data,
        train=str(tmp_path / "train.tsv"),
        validation=str(tmp_path / "dev.tsv"),
        sequence_length=64,
        num_levels=LEVELS,
    )
    recipe.train = dataclasses.replace(
        recipe.train,
        num_epochs=None,
        num_steps=STEPS,
        batch_size=4,
        log_every=1,
        init_from=str(tmp_path / "pretrained"),
    )
    return recipe


def test_the_page_shows_an_objective_a_task_and_a_recipe():
    assert [path.rpartition("/")[0] for path in BLOCKS] == [
        "bert_jax/objectives",
        "bert_jax/tasks",
        "experiments/configs",
    ]


def test_every_file_that_the_page_names_is_there():
    new = {*BLOCKS, "tests/objectives/test_ratings.py", "tests/tasks/test_rating.py"}
    named = set(re.findall(r"`([\w./-]+\.(?:py|md|sh|yaml)|[\w./-]+/)`", PAGE.read_text()))
    assert new < named
    rooms = {str(path) + "/" for path in pathlib.Path("bert_jax").iterdir()}
    for name in named:
        exists = pathlib.Path(name).exists() or f"bert_jax/{name}" in rooms
        assert exists == (name not in new) or name == "utils.py", name


def test_every_name_that_the_page_says_to_touch_is_there():
    """`NAME` beside the file that has it."""
    for file, names in {
        "bert_jax/optim/optimizer.py": ("OPTIMIZERS", "OptimizerConfig", "make_optimizer"),
        "tests/optim/test_optimizer.py": ("OPTIMIZERS", "expected_weights"),
        "bert_jax/tasks/pretraining.py": ("make_objectives",),
        "bert_jax/data/assembly.py": ("assemble",),
        "bert_jax/objectives/labels.py": ("decode", "judge"),
        "tests/experiments/test_configs.py": ("RECIPES",),
        "tests/test_package.py": ("test_only_the_registry_and_its_own_file_name_a_task",),
    }.items():
        for name in names:
            assert f"`{name}`" in PAGE.read_text()
            assert re.search(rf"\b{name}\b", pathlib.Path(file).read_text()), (file, name)


def test_links_lead_to_files_and_headings():
    text = PAGE.read_text()
    headings = {
        re.sub(r"[^\w ]", "", line).strip().lower().replace(" ", "-") for line in re.findall(r"^#+ .*", text, re.M)
    }
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if "://" not in target:
            assert target.removeprefix("#") in headings or pathlib.Path(target).exists(), target


def test_the_code_is_in_the_house_style(files):
    ours = "lint.isort.known-first-party = ['bert_jax']"  # which modules are ours is otherwise told by their files
    for command in (["check"], ["format", "--check"]):
        options = ["--config", "pyproject.toml", "--config", ours]
        ruff = [sys.executable, "-m", "ruff", *command, *options, *map(str, files.values())]
        done = subprocess.run(ruff, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_code_imports_downwards(files):
    for path in (OBJECTIVE, TASK):
        module = dotted(path)
        assert room(module) == path.split("/")[1]
        assert all(floor(other) <= floor(module) for other in imports(files[path]) - {"bert_jax"})


def test_the_objective_is_the_likelihood_of_each_threshold(modules):
    ratings = modules[OBJECTIVE].Ratings(num_levels=LEVELS)
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(5, 4, LEVELS - 1)).astype(np.float32)
    batch = {"ratings": rng.integers(0, LEVELS, (5, 4)), "rating_weights": np.float32(rng.random((5, 4)) < 0.7)}
    outcome = ratings.outcome(jnp.asarray(logits), {name: jnp.asarray(value) for name, value in batch.items()})
    loss, error, weight = 0.0, 0.0, 0.0
    for place in itertools.product(range(5), range(4)):
        if batch["rating_weights"][place]:
            at_least = 1 / (1 + np.exp(-np.float64(logits[place])))
            level = batch["ratings"][place]
            loss -= np.log(at_least[:level]).sum() + np.log(1 - at_least[level:]).sum()
            error += abs((at_least > 0.5).sum() - level)
            weight += 1
    found = outcome.losses["rating_loss"].sum
    assert (found.total, found.weight) == (pytest.approx(loss, rel=1e-5), weight)
    assert outcome.metrics["rating_error"].total == error


def test_the_task_trains_scores_reports_and_is_loaded(rating, modules, tmp_path):
    kind = TASKS["rating"]
    scores = run(kind, rating, tmp_path / "run")
    assert scores["step"] == STEPS
    assert {"eval/rating_loss", "eval/rating_error", "eval/rating_median_error"} <= scores.keys()
    assert scores["eval/rating_median_error"] == pytest.approx(0.7)  # of 4, 3 and 3 ratings of 1, 2 and 3
    assert "rating, mean absolute error" in write_report(tmp_path / "run")
    model = load(tmp_path / "run")
    assert model.task == "rating"
    assert model.objectives == (modules[OBJECTIVE].Ratings(num_levels=LEVELS),)


def test_the_task_resumes_bit_for_bit_and_then_needs_its_data_alone(rating, tmp_path):
    kind = TASKS["rating"]
    run(kind, rating, tmp_path / "straight")
    rating.train.stop_after = 1
    run(kind, rating, tmp_path / "run")
    rating.train.stop_after = None
    (tmp_path / "pretrained").rename(tmp_path / "gone")
    run(kind, rating, tmp_path / "run")
    assert results(tmp_path / "run") == results(tmp_path / "straight")


def test_the_task_says_what_is_wrong(rating, tmp_path):
    kind = TASKS["rating"]
    rating.data.num_levels = LEVELS - 1
    with pytest.raises(
        CorpusError, match=rf"line 4: the label '{LEVELS}' is not a whole number from 1 to 2: .*num_levels"
    ):
        run(kind, rating, tmp_path / "run")
    rating.data.num_levels, rating.train.init_from, rating.model = 1, "", ModelConfig()
    with pytest.raises(ConfigError, match=r"num_levels=1 must be at least 2.*\n.*Give train.init_from"):
        run(kind, rating, tmp_path / "run")
    assert not (tmp_path / "run").exists()
