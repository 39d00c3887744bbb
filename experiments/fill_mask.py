"""Fills the masks of texts: for each line of a file, the likeliest words for each [MASK], as JSON Lines.

python -m experiments.fill_mask --model=runs/articles --input=sentences.txt --output=guesses.jsonl
"""

from absl import flags

import bert_jax
from bert_jax.errors import BertJaxError, counted
from experiments import sentences
from experiments.lines import read_lines, write_json_lines

_MODEL = flags.DEFINE_string("model", None, "A run, a checkpoint, or a folder of Hugging Face.", required=True)
_INPUT = flags.DEFINE_string("input", None, "A file with a text on each line, with at least one [MASK].", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "The file to write.", required=True)
_TOP = flags.DEFINE_integer("top", 5, "How many words for each mask.", lower_bound=1)


def main(_: list[str]) -> None:
    texts, model = read_lines(_INPUT.value), bert_jax.load(_MODEL.value)
    found = []
    for number, text in enumerate(texts, 1):
        try:
            masks = model.fill_mask(text, _TOP.value)
        except BertJaxError as error:
            raise type(error)(f"{_INPUT.value}:{number}: {error}") from None
        guesses = [{guess.word: guess.probability for guess in mask} for mask in masks]
        found.append({"text": text, "guesses": guesses})
    write_json_lines(_OUTPUT.value, found)
    print(f"{_OUTPUT.value}: {counted(len(found), 'text')}")


if __name__ == "__main__":
    sentences.run(main)
