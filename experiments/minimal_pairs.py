"""Scores a model on minimal pairs such as BLiMP: how often is the good sentence likelier, by phenomenon?

python -m experiments.minimal_pairs --model=runs/articles --pairs=pairs.jsonl

The file has a pair a line: {"good": "The cats sleep.", "bad": "The cats sleeps.", "phenomenon": "agreement"}.
"""

from absl import flags

import bert_jax
from bert_jax.minimal_pairs import accuracies, accuracy_table, read_pairs
from experiments import sentences

_MODEL = flags.DEFINE_string("model", None, "A run, a checkpoint, or a folder of Hugging Face.", required=True)
_PAIRS = flags.DEFINE_string("pairs", None, "JSON Lines with good, bad and, optionally, phenomenon.", required=True)


def main(_: list[str]) -> None:
    pairs = read_pairs(_PAIRS.value)
    print(accuracy_table(accuracies(bert_jax.load(_MODEL.value), pairs)))


if __name__ == "__main__":
    sentences.run(main)
