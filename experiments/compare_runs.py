"""Compares runs, finished or not: curves in one figure; scores, speed, cost and settings in one table.

python -m experiments.compare_runs runs/a runs/b --x=tokens
"""

from absl import app, flags

from bert_jax.reporting.comparison import write_comparison
from bert_jax.reporting.run_record import X_AXES
from experiments import sentences

_OUTPUT = flags.DEFINE_string("output", "comparison", "Folder to write to; an earlier comparison there is replaced.")
_X = flags.DEFINE_enum("x", "step", list(X_AXES), "The x axis of the curves.")


def main(argv: list[str]) -> None:
    print(write_comparison(argv[1:], _OUTPUT.value, _X.value))
    print(f"The comparison is in {_OUTPUT.value}/comparison.md")


if __name__ == "__main__":
    app.run(sentences.exit_on_error(main))
