"""Embeds texts: a vector for each line of a file, in a NumPy file.

python -m experiments.embed --model=runs/articles --input=sentences.txt --output=vectors.npy
"""

from absl import flags

import bert_jax
from bert_jax import storage
from bert_jax.errors import counted
from bert_jax.pretrained import POOLINGS
from experiments import sentences
from experiments.lines import read_lines

_MODEL = flags.DEFINE_string("model", None, "A run, a checkpoint, or a folder of Hugging Face.", required=True)
_INPUT = flags.DEFINE_string("input", None, "A file with a text on each line.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "The .npy file to write: float32 [lines, width].", required=True)
_POOLING = flags.DEFINE_enum("pooling", None, POOLINGS, "How to pool; by default as the folder says, else mean.")
_NORMALIZE = flags.DEFINE_bool("normalize", None, "Divide each vector by its length; by default as the folder says.")

_WIDTH = flags.DEFINE_integer("width", None, "How many numbers of each vector to keep; by default all.")


def main(_: list[str]) -> None:
    texts, model = read_lines(_INPUT.value), bert_jax.load(_MODEL.value)
    vectors = model.embed(texts, _POOLING.value, _NORMALIZE.value, _WIDTH.value)
    storage.write_array(_OUTPUT.value, vectors)
    print(f"{_OUTPUT.value}: {counted(len(vectors), 'vector')} of width {vectors.shape[1]}")


if __name__ == "__main__":
    sentences.run(main)
