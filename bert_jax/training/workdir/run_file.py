"""`run.json`, read and checked: what a run was started on, with which versions, and each of its starts."""

from typing import Any

from etils import epath

from bert_jax import storage

RUN_FILE = "run.json"
# What is read of it; a file of another version may lack any of these.
RUN_FORM = {
    "summary?": str,
    "scores?": [
        {"name": str, "title": str, "lower_is_better?": bool, "baseline?": str, "baseline_title?": str},
    ],
    "files?": [str],
    "data_fingerprints?": {str: str},
    "versions?": {str: str},
    "starts?": [
        {"step": int, "first_checkpoint?": int, "matrix_peak?": float}
        | dict.fromkeys(("time?", "command?", "git_commit?", "devices?", "jax?"), str)
        | dict.fromkeys(("num_devices?", "num_processes?"), int)
    ],
}


def read_record(workdir: epath.Path) -> dict[str, Any]:
    """Returns the content of a workdir's `run.json`; empty if there is none.

    Raises:
      DamagedFileError: it has another form, or names a file outside the workdir.
    """
    file = workdir / RUN_FILE
    about = storage.read_json(file, RUN_FORM) if file.exists() else {}
    for name in about.get("files") or []:
        storage.check_inside(name, file)
    return about
