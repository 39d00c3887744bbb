"""Looks inside a model: a run, a checkpoint, or a folder of Hugging Face or Google.

python -m experiments.inspect_checkpoint runs/articles
python -m experiments.inspect_checkpoint runs/articles/checkpoints/1000 --diff=runs/articles/checkpoints/2000
"""

import functools

from absl import flags

from bert_jax.inspection.parameter_tables import difference_lines, source_text, tree_lines
from bert_jax.inspection.parameters import compare_parameters, open_parameters, parameter_tree
from experiments import sentences

_STEP = flags.DEFINE_integer(
    "step", None, "Which checkpoint of a run; by default the best if it is kept, else the newest."
)
_DIFF = flags.DEFINE_string("diff", None, "Another model: print what changed from the first one to this.")


def main(argv: list[str]) -> None:
    path = argv[1]
    if _DIFF.value is not None:
        first, second = open_parameters(path, _STEP.value), open_parameters(_DIFF.value)
        names = [source_text(one.source, one.step) for one in (first, second)]
        print("\n".join(difference_lines(compare_parameters(first, second), *names)))
        return
    print("\n".join(tree_lines(parameter_tree(open_parameters(path, _STEP.value)))))


if __name__ == "__main__":
    sentences.run(main, functools.partial(sentences.parse_flags, argument="the folder of a model"))
