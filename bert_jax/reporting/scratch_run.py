"""The run from scratch beside a run that started from another model."""

from bert_jax.errors import ConfigError
from bert_jax.reporting.run_record import RunRecord, read_run
from bert_jax.tasks.from_scratch import FOLDER


def read_scratch_run(run: RunRecord) -> RunRecord | None:
    """Returns the run from scratch in the folder of a run; None if there is none, or if it is not finished."""
    try:
        found = read_run(run.path / FOLDER)
    except ConfigError:
        return None
    return found if found.is_finished and found.evaluation else None
