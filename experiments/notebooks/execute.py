"""Executes notebooks from top to bottom, and keeps what they show.

    python -m experiments.notebooks.execute experiments/notebooks/first_steps.ipynb

Outputs are rewritten in place: pictures with a palette, so that a notebook stays small, and without what a notebook
stores about the machine: when cells ran, versions, names of folders. What a run prints of its own speed stays. A
notebook runs in its own folder, where the paths of its parameters begin.
"""

import base64
import io
import pathlib
from collections.abc import Mapping
from typing import Any

import nbclient
import nbformat
from absl import app
from PIL import Image

COLORS = 256  # of a picture's palette
TIMEOUT = 3600  # seconds that a cell may take


def execute(notebook: Any, folder: pathlib.Path, parameters: Mapping[str, Any] | None = None) -> None:
    """Executes a notebook in place.

    Args:
      notebook: from `nbformat.read`.
      folder: where it runs.
      parameters: take the place of those that the cell with the tag `parameters` sets.

    Raises:
      nbclient.exceptions.CellExecutionError: a cell fails.
    """
    if parameters:
        (cell,) = (one for one in notebook.cells if "parameters" in one.metadata.get("tags", ()))
        cell.source += "".join(f"\n{name} = {value!r}" for name, value in parameters.items())
    client = nbclient.NotebookClient(
        notebook,
        timeout=TIMEOUT,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute()
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        if "outputs" in cell:
            cell.outputs = _joined(cell.outputs)
        for output in cell.get("outputs", ()):
            if output.output_type == "stream":
                output.text = output.text.replace(f"{folder.resolve()}/", "")
            if "image/png" in output.get("data", ()):
                output.data["image/png"] = _smaller(output.data["image/png"])


def _joined(outputs: list[Any]) -> list[Any]:
    """The outputs of a cell, in which lines that were printed one after the other are one output.

    Those of logs, too: Jupyter would show them in red, as if they were errors.
    """
    found: list[Any] = []
    for output in outputs:
        if output.output_type == "stream":
            output.name = "stdout"
        if found and output.output_type == "stream" and found[-1].output_type == "stream":
            found[-1].text += output.text
        else:
            found.append(output)
    return found


def _smaller(picture: str) -> str:
    """A PNG in base64, with a palette."""
    image = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")
    file = io.BytesIO()
    image.quantize(COLORS, dither=Image.Dither.NONE).save(file, format="png", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def main(argv: list[str]) -> None:
    for path in map(pathlib.Path, argv[1:]):
        notebook = nbformat.read(path, as_version=4)
        execute(notebook, path.parent)
        nbformat.write(notebook, path)


if __name__ == "__main__":
    app.run(main)
