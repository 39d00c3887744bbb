"""The script that looks inside a model."""

import numpy as np
import pytest

from tests.experiments.scripts import Scripts
from tests.inspection.small import model

SCRIPT = "inspect_checkpoint"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two models without heads, the second with another bias."""
    folder = tmp_path_factory.mktemp("models")
    bert = model()
    bert.save_checkpoint(folder / "first")
    pooler = bert.params["bert"]["pooler"]["dense"]
    pooler["bias"] = 2 * np.asarray(pooler["bias"])
    bert.save_checkpoint(folder / "second")
    return folder


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    with Scripts(tmp_path_factory.mktemp("scripts")) as opened:
        yield opened


def test_it_prints_the_parameters_and_what_changed_and_writes_a_page(folder, scripts):
    code, said = scripts.run(SCRIPT, f"{folder}/first")
    assert code == 0, said
    assert said.startswith(f"{folder}/first: ")
    assert "\nbert/encoder/layer_1 " in said
    code, said = scripts.run(SCRIPT, f"{folder}/first", f"--diff={folder}/second")
    assert code == 0, said
    assert f"from {folder}/first\nto   {folder}/second\n" in said
    assert [line.split()[2:4] for line in said.split("\n") if line.startswith("bert/pooler/dense/bias ")] == [
        ["1", "1.0000"]
    ]
    code, said = scripts.run(SCRIPT, f"--html={folder}/page.html", f"{folder}/first", "--text=the cat")
    assert code == 0, said
    assert said.endswith(f"The page is in {folder}/page.html\n")
    assert "<h2>Attention</h2>" in (folder / "page.html").read_text()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "error: Give the folder of a model.\n"),
        (["x", "y"], "error: 'y' is not a flag: give flags in the form --name=value.\n"),
        (["nowhere"], "error: There is no folder nowhere.\n"),
        (
            ["x", "--diff=y", "--over_time"],
            "error: --diff and --over_time ask for different things: give one of",
        ),
        (["x", "--text=a"], "error: --text needs --html: Write a page about the model to this file."),
        (["x", "--html=a"], "error: --html needs --text: With --html: the text to show the model with"),
        (["x", "--output=a"], "error: --output needs --over_time: Show how the model of a run changed"),
        (["x", "--over_time", "--step=3"], "error: --step has no effect with --over_time"),
        (["nowhere", "--over_time"], "error: There is no folder nowhere: give the --workdir of a run.\n"),
        (["x", "--hmtl=a"], "error: There is no flag --hmtl. Did you mean --html?\n"),
    ],
)
def test_what_cannot_work_is_refused_in_a_sentence(scripts, given, said):
    code, printed = scripts.run(SCRIPT, *given)
    assert code == 2, printed
    assert printed.startswith(said), printed
