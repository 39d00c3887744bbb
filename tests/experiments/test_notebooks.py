"""The notebooks run from top to bottom, here on miniatures; their stored outputs are whole, small, of no machine."""

import json
import os
import pathlib
import re

import nbformat
import pytest

from bert_jax.objectives.masked_words import MaskedWords
from bert_jax.objectives.sentence_pairs import SentencePairs
from experiments.notebooks.execute import execute
from tests.inspection.small import WORDS, model

FOLDER = pathlib.Path("experiments/notebooks").absolute()
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LARGEST = 400_000  # bytes
# The programs of a miniature are small, so making them fast takes longer than running them.
QUICK_COMPILING = "--xla_backend_optimization_level=0"
MACHINES = re.compile(r"(?<![\w.])/(?:home|root|tmp|work|Users|usr|opt|content)/")


def outputs(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", ())]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_outputs_are_those_of_one_run_from_top_to_bottom(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    kinds = {output.output_type for output in outputs(notebook)}
    assert kinds <= {"stream", "execute_result", "display_data"}  # no error
    assert "stderr" not in {output.get("name") for output in outputs(notebook)}  # which pages show in red
    assert any("image/png" in output.get("data", ()) for output in outputs(notebook))
    assert path.stat().st_size < LARGEST
    assert not MACHINES.search(path.read_text())


@pytest.fixture(scope="module")
def reviews(tmp_path_factory):
    """A table of 60 short texts with two labels."""
    file = tmp_path_factory.mktemp("reviews") / "reviews.tsv"
    rows = [f"the {'cat' if i % 2 else 'dog'} sat down {i}\t{i % 2}" for i in range(60)]
    file.write_text("\n".join(["text\tlabel", *rows]))
    return str(file)


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A model that has learned nothing."""
    folder = tmp_path_factory.mktemp("start") / "model"
    model(MaskedWords(), SentencePairs(), num_layers=1).save_checkpoint(folder)
    return str(folder)


def run(name, folder, monkeypatch, **parameters):
    """Executes a notebook with other parameters, and returns what it shows."""
    monkeypatch.setenv("XLA_FLAGS", f"{os.environ.get('XLA_FLAGS', '')} {QUICK_COMPILING}")
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    execute(
        notebook, folder, {key: value if isinstance(value, int) else str(value) for key, value in parameters.items()}
    )
    assert not [output for output in outputs(notebook) if output.output_type == "error"]
    return [output for output in outputs(notebook) if output.output_type != "stream"]


def test_first_steps(tmp_path, monkeypatch):
    shown = run("first_steps", tmp_path, monkeypatch, FOLDER="run", STEPS=1, VOCABULARY=500, WORDS=("the",))
    assert (tmp_path / "run" / "run" / "checkpoints").is_dir()
    assert sum("image/png" in output.data for output in shown) == 2


def test_inspect_checkpoint(start, reviews, tmp_path, monkeypatch):
    words = " ".join(word for word in WORDS if word.isalpha())
    text = "the [MASK] sat down."
    shown = run("inspect_checkpoint", tmp_path, monkeypatch, MODEL=start, TEXT=text, LABELLED=reviews, WORDS=words)
    assert sum("image/png" in output.data for output in shown) == 11


def test_fine_tune_and_explain(start, reviews, tmp_path, monkeypatch):
    shown = run(
        "fine_tune_and_explain",
        tmp_path,
        monkeypatch,
        START=start,
        TRAIN=reviews,
        VALIDATION=reviews,
        WORKDIR="reviews",
        STEPS=1,
    )
    assert sum("image/png" in output.data for output in shown) == 3
    assert json.loads((tmp_path / "reviews" / "config.json").read_text())["task"] == "classification"
