"""Scores texts: the pseudo-log-likelihood of each line of a file, in all and per token, as JSON Lines.

python -m experiments.score --model=runs/articles --input=sentences.txt --output=scores.jsonl
"""

from absl import flags

import bert_jax
from bert_jax.errors import counted
from experiments import sentences
from experiments.lines import read_lines, write_json_lines

_MODEL = flags.DEFINE_string("model", None, "A run, a checkpoint, or a folder of Hugging Face.", required=True)
_INPUT = flags.DEFINE_string("input", None, "A file with a text on each line.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "The file to write.", required=True)


def main(_: list[str]) -> None:
    texts, model = read_lines(_INPUT.value), bert_jax.load(_MODEL.value)
    found = model.score(texts)
    write_json_lines(
        _OUTPUT.value,
        (
            {"text": text, "total": score.total, "per_token": score.per_token, "tokens": score.num_tokens}
            for text, score in zip(texts, found, strict=True)
        ),
    )
    print(f"{_OUTPUT.value}: {counted(len(found), 'text')}")


if __name__ == "__main__":
    sentences.run(main)
