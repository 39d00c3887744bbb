"""Folders of other projects, whichever it is."""

from etils import epath

from bert_jax.interop.google import is_google_folder, read_google_folder
from bert_jax.interop.hugging_face import is_hugging_face, read_folder
from bert_jax.interop.released import ReleasedModel


def is_released(path: epath.Path) -> bool:
    """Whether a folder looks like a model of another project."""
    return is_hugging_face(path) or is_google_folder(path)


def read_released(path: epath.Path) -> ReleasedModel:
    """Opens a model of another project. If a folder holds both, Hugging Face's is read.

    Raises:
      CheckpointError: the weights are missing, damaged, or of another model.
      ConfigError: the config is missing, damaged or not supported.
      TokenizerError: the tokenizer is missing or damaged.
    """
    return read_folder(path) if is_hugging_face(path) else read_google_folder(path)
