"""Predicts labels, tags or answers with a fine-tuned model: a JSON object on each line, with what is predicted.

    python -m experiments.predict --model=runs/sentiment --input=new.txt --output=predictions.jsonl

The input has any form that training reads (.txt has a text on each line). Its labels are not read, unless --labelled
says that it has some: then they stand beside the predictions as `gold`, and the scores are printed. A tagger finds the
entities of texts, and the tag of each word of files with words. The input may be of any size. Line N of the output is
about row N of the input, also where a text is empty; those are counted. Columns are found as in training: name them if
they cannot be guessed, as in --config.data.text_column=review. The same command goes on where an interrupted one
stopped.
"""

from absl import flags

import bert_jax
from bert_jax.configuration import meanings
from bert_jax.errors import counted
from bert_jax.labelled_results import evaluate, write_predictions
from bert_jax.reporting.run_scores import against, as_text_or_undefined
from bert_jax.tasks.registry import TASKS
from experiments import sentences
from experiments.config_flags import replace

_MODEL = flags.DEFINE_string("model", None, "A fine-tuned run, or one of its checkpoints.", required=True)
_INPUT = flags.DEFINE_string("input", None, "A file of texts or questions, or a pattern of files.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "The .jsonl file to write.", required=True)
# Those of the input may have other names than those of the training files.
_COLUMNS = {
    name: flags.DEFINE_string(f"config.{name}", None, meaning)
    for name, meaning in {
        name: text for kind in TASKS.values() for name, text in meanings(kind.config_class).items()
    }.items()
    if name.startswith("data.") and name.endswith("_column")
}
_LABELLED = flags.DEFINE_bool("labelled", False, "The input has labels: write them as gold, and print the scores.")


def main(_: list[str]) -> None:
    model = bert_jax.load(_MODEL.value)
    if model.run is not None:
        replace(model.run, {name: flag.value for name, flag in _COLUMNS.items() if flag.value is not None})
    count = write_predictions(model, _INPUT.value, _OUTPUT.value, print, _LABELLED.value)
    print(f"{_OUTPUT.value}: {counted(count, 'prediction')}")
    if _LABELLED.value:
        found = evaluate(model, _INPUT.value)
        for score in (score for objective in model.objectives for score in objective.scores):
            baseline = against(found.get(score.baseline), score.baseline_title)
            print(f"{score.title:<40} {as_text_or_undefined(found.get(score.name)):>9}  {baseline}".rstrip())


if __name__ == "__main__":
    sentences.run(main)
