"""The names of BERT's variables in TensorFlow, and the tensors of Hugging Face's BERT that they are.

TF 1 stores variables by name: Google's released checkpoints, and what was trained from them
(github.com/google-research/bert). TF 2 stores them by their place among Python objects: `model_garden.py` gives them
the names that they have in TF 1.
"""

import dataclasses
import re
from collections.abc import Iterable
from math import prod

import numpy as np

from bert_jax.errors import CheckpointError, quoted
from bert_jax.interop import model_garden

# Modules there and here; the last part of a name says what of the module it is.
_LAYER, _THEIR_LAYER = r"bert/encoder/layer_(0|[1-9]\d{0,5})/", r"bert.encoder.layer.\1."
MODULES = (
    (r"bert/embeddings/LayerNorm", "bert.embeddings.LayerNorm"),
    (_LAYER + r"attention/self/(query|key|value)", _THEIR_LAYER + r"attention.self.\2"),
    (_LAYER + r"attention/output/(dense|LayerNorm)", _THEIR_LAYER + r"attention.output.\2"),
    (_LAYER + r"(intermediate/dense|output/dense|output/LayerNorm)", _THEIR_LAYER + r"\2"),
    (r"bert/pooler/dense", "bert.pooler.dense"),
    (r"cls/predictions/transform/(dense|LayerNorm)", r"cls.predictions.transform.\1"),
    (r"cls/predictions", "cls.predictions"),
    (r"cls/seq_relationship", "cls.seq_relationship"),
    (r"cls/squad", "qa_outputs"),
    (r"(classifier)?", "classifier"),  # in the released code a bare `output_weights`
)
LEAVES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "output_weights": "weight",
    "output_bias": "bias",
}
TABLES = (
    (r"bert/embeddings/(word|position|token_type)_embeddings", r"bert.embeddings.\1_embeddings.weight"),
    (r"cls/predictions/decoder", "cls.predictions.decoder.weight"),
)
# What is not learned: counters, and scales of half-precision losses. An optimiser's numbers are called like their
# variable with one part more; `adam_m` and `adam_v` are the released code's.
COUNTERS = {"global_step", "save_counter", "beta1_power", "beta2_power", "current_loss_scale", "good_steps"}
SLOT = re.compile(r"(.+)/([^/]+)")


@dataclasses.dataclass(frozen=True)
class Source:
    """Where a tensor of Hugging Face's comes from.

    Attributes:
      variable: the variable of the checkpoint.
      form: `kernel`, from inputs to outputs; `vector`; or `table`, which is taken as it is.
      num_inputs: of the axes of a kernel, how many are inputs; -1 for all but the last.
    """

    variable: str
    form: str
    num_inputs: int = -1

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Returns the shape of the tensor from the shape of the variable."""
        if self.form == "vector":
            return (prod(shape),)
        if self.form == "kernel":
            return prod(shape[self.num_inputs :]), prod(shape[: self.num_inputs])
        return shape

    def arranged(self, array: np.ndarray) -> np.ndarray:
        """Returns the tensor, in the memory of the variable."""
        shape = self.shape(array.shape)
        return array.reshape(shape[::-1]).T if self.form == "kernel" else array.reshape(shape)


def find_sources(names: Iterable[str]) -> dict[str, Source]:
    """Maps the names of the tensors of Hugging Face's BERT to the variables of a checkpoint.

    Counters and the optimiser's variables are left out.

    Args:
      names: all names of the checkpoint.

    Raises:
      CheckpointError: a variable is not BERT's, or there are two for the same tensor.
    """
    by_tf1_name = model_garden.tf1_names(names)
    sources: dict[str, Source] = {}
    unknown = []
    for tf1_name, variable in by_tf1_name.items():
        if (found := _their_name(tf1_name)) is not None:
            theirs, form = found
            if theirs in sources:
                raise CheckpointError(
                    f"{quoted(variable)} and {quoted(sources[theirs].variable)} are both {theirs}: remove one of them."
                )
            is_split = form == "kernel" and "/self/" in tf1_name  # into heads, in TF 2
            sources[theirs] = Source(variable, form, 1 if is_split else -1)
        elif not _is_of_training(tf1_name, by_tf1_name):
            unknown.append(variable)
    if unknown:
        more = f" and {len(unknown) - 1} more" if unknown[1:] else ""
        raise CheckpointError(
            f"The checkpoint has {quoted(unknown[0])}{more}, which Google's BERT does not have: ALBERT, ELECTRA and"
            " models with layers of their own are not read."
        )
    return sources


def _their_name(tf1_name: str) -> tuple[str, str] | None:
    """Returns a variable's name in Hugging Face and its form; None if it is not BERT's."""
    for pattern, theirs in TABLES:
        if match := re.fullmatch(pattern, tf1_name):
            return match.expand(theirs), "table"
    module, _, leaf = tf1_name.rpartition("/")
    if leaf not in LEAVES:
        return None
    for pattern, theirs in MODULES:
        if match := re.fullmatch(pattern, module):
            form = {"kernel": "kernel", "output_weights": "table"}.get(leaf, "vector")
            return f"{match.expand(theirs).replace('/', '.')}.{LEAVES[leaf]}", form
    return None


def _is_of_training(tf1_name: str, names: Iterable[str]) -> bool:
    if tf1_name in COUNTERS:
        return True
    match = SLOT.fullmatch(tf1_name)
    if match is None:
        return False
    return match[2] in ("adam_m", "adam_v") or (match[1] in names and _their_name(match[1]) is not None)
