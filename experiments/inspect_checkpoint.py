"""Looks inside a model: a run, a checkpoint, or a folder of Hugging Face or Google.

python -m experiments.inspect_checkpoint runs/articles
python -m experiments.inspect_checkpoint runs/articles/checkpoints/1000 --diff=runs/articles/checkpoints/2000
python -m experiments.inspect_checkpoint runs/articles --over_time --output=over_time.png
python -m experiments.inspect_checkpoint runs/articles --html=page.html --text='Paris is the [MASK] of France.'
"""

import functools
import sys

from absl import flags

from bert_jax.errors import ConfigError
from bert_jax.inspection.differences import compare_parameters
from bert_jax.inspection.over_time import over_time
from bert_jax.inspection.over_time_picture import draw_over_time
from bert_jax.inspection.over_time_tables import over_time_lines
from bert_jax.inspection.page.document import write_page
from bert_jax.inspection.parameter_tables import difference_lines, source_text, tree_lines
from bert_jax.inspection.parameters import open_parameters, parameter_tree
from experiments import sentences
from experiments.lines import read_lines

_STEP = flags.DEFINE_integer(
    "step", None, "Which checkpoint of a run; by default the best if it is kept, else the newest."
)
_DIFF = flags.DEFINE_string("diff", None, "Another model: print what changed from the first one to this.")
_OVER_TIME = flags.DEFINE_bool("over_time", False, "Show how the model of a run changed over its kept checkpoints.")
_INPUT = flags.DEFINE_string(
    "input",
    None,
    "With --over_time: a file with a text on each line, two or more; by default held-out texts of the run's corpus.",
)
_OUTPUT = flags.DEFINE_string("output", "over_time.png", "With --over_time: the picture to write.")
_HTML = flags.DEFINE_string("html", None, "Write a page about the model to this file. It needs no network.")
_TEXT = flags.DEFINE_string("text", None, "With --html: the text to show the model with; each [MASK] is filled.")
_PAIR = flags.DEFINE_string("pair", None, "With --html: the second text of a pair, such as the passage of a question.")

# What a flag goes with.
_PARTNERS = {"text": "html", "pair": "html", "html": "text", "input": "over_time", "output": "over_time"}


def main(argv: list[str]) -> None:
    path = argv[1]
    _check_flags()
    if _DIFF.value is not None:
        first, second = open_parameters(path, _STEP.value), open_parameters(_DIFF.value)
        names = [source_text(one.source, one.step) for one in (first, second)]
        print("\n".join(difference_lines(compare_parameters(first, second), *names)))
    elif _OVER_TIME.value:
        _show_development(path)
    elif _HTML.value is not None:
        text = _TEXT.value if _PAIR.value is None else (_TEXT.value, _PAIR.value)
        write_page(path, _HTML.value, text, _STEP.value, _note)
        print(f"The page is in {_HTML.value}")
    else:
        print("\n".join(tree_lines(parameter_tree(open_parameters(path, _STEP.value)))))


def _check_flags() -> None:
    given = [name for name in ("diff", "over_time", "html") if flags.FLAGS[name].value not in (None, False)]
    if len(given) > 1:
        raise ConfigError(f"--{given[0]} and --{given[1]} ask for different things: give one of them.")
    for name, partner in _PARTNERS.items():
        if flags.FLAGS[name].present and flags.FLAGS[partner].value in (None, False):
            raise ConfigError(f"--{name} needs --{partner}: {flags.FLAGS[partner].help}")
    if _OVER_TIME.value and _STEP.value is not None:
        raise ConfigError("--step has no effect with --over_time, which shows all steps: leave it out.")


def _note(line: str) -> None:
    print(line, file=sys.stderr)


def _show_development(path: str) -> None:
    texts = None if _INPUT.value is None else [line for line in read_lines(_INPUT.value) if line.strip()]
    found = over_time(path, texts, _note)
    print("\n".join(over_time_lines(found)))
    draw_over_time(found, _OUTPUT.value)
    print(f"The picture is {_OUTPUT.value}")


if __name__ == "__main__":
    sentences.run(main, functools.partial(sentences.parse_flags, argument="the folder of a model"))
