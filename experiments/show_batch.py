"""Prints the exact batch of any step of a run, at any later time: text, masks, pairs, packing, sources.

python -m experiments.show_batch --workdir=runs/mini --step=120 --rows=4
"""

from absl import flags

from bert_jax.errors import ConfigError
from bert_jax.reporting.batch_text import batch_text
from bert_jax.tasks.pretraining import Pretraining, open_batches
from bert_jax.training.workdir.folder import Workdir
from bert_jax.training.workdir.run_file import batch_of
from experiments import sentences

_WORKDIR = flags.DEFINE_string("workdir", None, "The run's folder.", required=True)
_STEP = flags.DEFINE_integer("step", None, "The step, counted as in the logs.", required=True, lower_bound=1)
_ROWS = flags.DEFINE_string("rows", "4", "How many rows to print, or which ones: FIRST:END, counted from 0.")
_CORPUS = flags.DEFINE_multi_string(
    "corpus", [], "The folder of a corpus of the run that has moved. Repeat the flag for several, in any order."
)


def main(_: list[str]) -> None:
    folder = Workdir(_WORKDIR.value)
    steps = folder.run_config(Pretraining()).train.num_steps
    if steps is not None and _STEP.value > steps:
        raise ConfigError(f"--step={_STEP.value} is past the end of the run: it has {steps} steps.")
    batches = open_batches(_WORKDIR.value, _CORPUS.value)
    batch = batch_of(folder.record(), _STEP.value - 1) + 1
    size = batches.at(batch - 1)[0].batch_size
    first, colon, end = _ROWS.value.rpartition(":")
    try:
        rows = range(int(first) if colon else 0, int(end))
    except ValueError:
        raise ConfigError(f"--rows={_ROWS.value} is neither a number nor of the form FIRST:END.") from None
    if not 0 <= rows.start < min(rows.stop, size):
        raise ConfigError(f"--rows={_ROWS.value}: the batch has rows 0 to {size - 1}.")
    if batch != _STEP.value:
        print(f"Step {_STEP.value:,} trained on the batch of step {batch:,}, because the run was rewound.")
    print(batch_text(batches, batch, range(rows.start, min(rows.stop, size))))


if __name__ == "__main__":
    sentences.run(main)
