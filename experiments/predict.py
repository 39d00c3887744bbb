"""Predicts labels, tags or answers with a fine-tuned model: a JSON object on each line, with what is predicted.

    python -m experiments.predict --model=runs/sentiment --input=new.txt --output=predictions.jsonl

The input has any form that training reads (.txt has a text on each line); its labels are not read. A tagger finds the
entities of texts, and the tag of each word of files with words. The input may be of any size. Line N of the output is
about row N of the input, also where a text is empty; those are counted. The same command goes on where an interrupted
one stopped.
"""

from absl import flags

import bert_jax
from bert_jax.labelled_results import write_predictions
from experiments import sentences

_MODEL = flags.DEFINE_string("model", None, "A fine-tuned run, or one of its checkpoints.", required=True)
_INPUT = flags.DEFINE_string("input", None, "A file of texts or questions, or a pattern of files.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "The .jsonl file to write.", required=True)


def main(_: list[str]) -> None:
    model = bert_jax.load(_MODEL.value)
    count = write_predictions(model, _INPUT.value, _OUTPUT.value, print)
    print(f"{_OUTPUT.value}: predictions of {count:,} examples")


if __name__ == "__main__":
    sentences.run(main)
