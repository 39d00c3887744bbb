"""Compares runs, finished or not: their curves in one picture, scores, speed, cost and settings in one table.

python -m experiments.compare_runs runs/a runs/b --x=tokens
"""

from absl import app, flags

from bert_jax.reporting.comparison import write_comparison
from bert_jax.reporting.run_record import X_AXES
from experiments import sentences

_OUTPUT = flags.DEFINE_string("output", "comparison", "Folder to write to; an earlier comparison there is replaced.")
_X = flags.DEFINE_enum("x", "step", list(X_AXES), "What the curves are drawn over.")


def main(argv):
    print(write_comparison(argv[1:], _OUTPUT.value, _X.value))
    print(f"The comparison is in {_OUTPUT.value}/comparison.md")


if __name__ == "__main__":
    app.run(sentences.errors_as_sentences(main))
