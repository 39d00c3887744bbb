"""`run.json`, read and checked: what a run was started on, with which versions, each of its starts, and detours."""

from collections.abc import Mapping
from typing import Any

from etils import epath

from bert_jax import storage

RUN_FILE = "run.json"
# What is read of it; a file of another version may lack any of these.
_STARTS = [
    {"step": int, "first_checkpoint?": int, "matrix_peak?": float}
    | dict.fromkeys(("time?", "command?", "git_commit?", "devices?", "jax?", "forked_from?"), str)
    | dict.fromkeys(("num_devices?", "num_processes?"), int)
]
RUN_FORM = {
    "summary?": str,
    "scores?": [
        {"name": str, "title": str, "lower_is_better?": bool, "baseline?": str, "baseline_title?": str},
    ],
    "files?": [str],
    "data_fingerprints?": {str: str},
    "versions?": {str: str},
    "starts?": _STARTS,
    "earlier_starts?": _STARTS,  # of the run that this one is forked from, up to there
    # Those that the run has skipped, and those for which it was rewound: their batch, counted as steps are in the logs;
    # to which step, and over how many batches.
    "bad_steps?": [{"step": int, "why": str, "batch?": int, "rewound_to?": int, "batches?": int}],
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


def batch_of(record: Mapping[str, Any], step: int) -> int:
    """Returns which batch of the stream, counted from 0, a run trains on after `step` steps.

    It is that of the same number, unless the run has been rewound, and has passed over batches since.
    """
    bad = record.get("bad_steps") or []
    return step + sum(one.get("batches", 0) for one in bad if one.get("rewound_to", step + 1) <= step)
