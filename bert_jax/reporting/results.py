"""The predictions of a finished run on labelled examples, and its scores on the test split.

workdir/
  predictions/validation.jsonl, predictions/test.jsonl      an object for each example
  predictions/scores.json      the step of the model, and its scores by split
"""

import json
from collections.abc import Iterator
from typing import Any

from etils import epath

from bert_jax import storage
from bert_jax.errors import BertJaxError
from bert_jax.labelled_results import evaluate, predictions
from bert_jax.markdown import table
from bert_jax.pretrained import Pretrained
from bert_jax.reporting.run_record import RunRecord
from bert_jax.reporting.run_scores import against, as_text_or_undefined, scores_of
from bert_jax.reporting.scratch_run import read_scratch_run
from bert_jax.tasks.labelled import TEST, VALIDATION, LabelledKind

FOLDER, SCORES = "predictions", "scores.json"


def write_results(workdir: epath.PathLike, model: Pretrained, test: bool = True) -> None:
    """Writes the predictions and scores of a run's model, unless they are there.

    Args:
      workdir: the folder of the run.
      model: its model.
      test: whether to score the test split, if there is one.

    Raises:
      BertJaxError: a file of examples cannot be read any more.
    """
    folder = epath.Path(workdir) / FOLDER
    before = read_results(workdir)
    scores = before["scores"] if before.get("step") == model.step else {}
    wanted = (VALIDATION, TEST) if test else (VALIDATION,)
    missing = [split for split in wanted if getattr(model.run.data, split) and split not in scores]
    if not missing:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for split in missing:
        path = getattr(model.run.data, split)
        scores[split] = evaluate(model, path)
        storage.write_bytes(folder / f"{split}.jsonl", storage.json_lines(predictions(model, path, True, [])))
    storage.write_json(folder / SCORES, {"step": model.step, "scores": scores})


def read_results(workdir: epath.PathLike) -> dict[str, Any]:
    """Returns the content of `scores.json`; empty if it is not there."""
    file = epath.Path(workdir) / FOLDER / SCORES
    return storage.read_json(file) if file.exists() else {}


def read_predictions(workdir: epath.PathLike, split: str) -> Iterator[dict[str, Any]]:
    """Yields the predictions of a split; none if they are not there."""
    file = epath.Path(workdir) / FOLDER / f"{split}.jsonl"
    if file.exists():
        with file.open() as lines:
            yield from map(json.loads, lines)


def results_section(run: RunRecord, kind: LabelledKind[Any], model: Pretrained, test: bool = True) -> list[str]:
    """Writes the predictions of a run's model, and returns their part of the report, as lines of Markdown."""
    try:
        write_results(run.path, model, test)
    except BertJaxError as error:
        return ["## Predictions\n", f"None: {error}\n"]
    lines, scores = [], read_results(run.path)["scores"]
    if TEST in scores:
        lines += ["## Test scores\n", f"By the model of step {model.step:,}.\n", *test_scores_table(run)]
    for split in scores:
        found = kind.findings(list(read_predictions(run.path, split)))
        if found:
            lines += [f"## Predictions on the {split} split\n", f"All are in `{FOLDER}/{split}.jsonl`.\n", *found]
    return lines


def test_scores(run: RunRecord | None) -> dict[str, float]:
    """Returns a finished run's scores on the test split, by name; empty without a run or a test split."""
    return read_results(run.path).get("scores", {}).get(TEST, {}) if run else {}


def test_scores_table(run: RunRecord) -> list[str]:
    """Returns the scores of a run on its test split, beside their baselines, as lines of Markdown."""
    own, beside, rows = test_scores(run), test_scores(read_scratch_run(run)), []
    for score in scores_of(run):  # of a file with numbers, none of retrieval
        shown = [as_text_or_undefined(one.get(score.name)) for one in (own, beside) if one]
        rows.append([score.title, *shown, against(own.get(score.baseline), score.baseline_title)])
    return table(["", "model", *(["from scratch"] if beside else []), "baseline"], rows, numbers=True)
