"""Folders of Google's released BERT: `bert_config.json`, `vocab.txt` and a TensorFlow checkpoint.

Whether the vocabulary keeps upper case is not in the folder.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from etils import epath

from bert_jax.errors import CheckpointError, ConfigError, quoted
from bert_jax.interop.google_names import find_sources
from bert_jax.interop.hugging_face_config import read_config
from bert_jax.interop.released import ReleasedModel, assemble
from bert_jax.interop.tensor_bundle import TensorBundle
from bert_jax.interop.tensors import TensorInfo
from bert_jax.tokenization import load_tokenizer

CONFIG, VOCABULARY, LATEST, INDEX_SUFFIX = "bert_config.json", "vocab.txt", "checkpoint", ".index"
MAX_CONFIG_BYTES = 1 << 20


class GoogleTensors:
    """The parameters of a TensorFlow checkpoint as those of Hugging Face's BERT; a `TensorFile`.

    Names, shapes and order of axes are theirs: those of `BertForPreTraining`, or the body with `classifier` or
    `qa_outputs`. Counters and the optimiser's variables are left out.

    Attributes:
      infos: all tensors, by name.
    """

    def __init__(self, prefix: epath.Path):
        """Opens `prefix`.index.

        Raises:
          CheckpointError: a file is missing or damaged, or a variable is not BERT's or is not stored as numbers.
        """
        self._bundle = TensorBundle(prefix)
        try:
            self._sources = find_sources([*self._bundle.infos, *self._bundle.unreadable])
        except CheckpointError as error:
            raise CheckpointError(f"{prefix}{INDEX_SUFFIX}: {error}") from None
        for source in self._sources.values():
            if source.variable in self._bundle.unreadable:
                self._bundle.read(source.variable)  # says why not
        self._infos = {
            name: TensorInfo(source.shape(info.shape), info.dtype)
            for name, source in self._sources.items()
            for info in [self._bundle.infos[source.variable]]
        }

    @property
    def infos(self) -> Mapping[str, TensorInfo]:
        return self._infos

    def read(self, name: str) -> np.ndarray:
        """Reads one tensor into an array of its own, whose axes may be in Fortran order.

        Raises:
          CheckpointError: the data are damaged, or have changed since the file was opened.
        """
        source = self._sources[name]
        return source.arranged(self._bundle.read(source.variable))


def is_google_folder(folder: epath.Path) -> bool:
    """Returns whether a folder has Google's config and a TensorFlow checkpoint."""
    return (folder / CONFIG).exists() and any(folder.glob(f"*{INDEX_SUFFIX}"))


def find_checkpoint(folder: epath.Path) -> epath.Path:
    """Returns the prefix of the checkpoint of a folder: the only one, or the one that its file `checkpoint` names.

    Raises:
      CheckpointError: there is none, or it is not clear which.
    """
    names = sorted(path.name.removesuffix(INDEX_SUFFIX) for path in folder.glob(f"*{INDEX_SUFFIX}"))
    if not names:
        raise CheckpointError(f"{folder} has no TensorFlow checkpoint, *.index and *.data-…: check the folder.")
    if len(names) == 1:
        return folder / names[0]
    latest = _latest(folder / LATEST)
    if latest not in names:
        shown = ", ".join(quoted(name) for name in names[:5]) + (", …" if names[5:] else "")
        raise CheckpointError(
            f"{folder} has {len(names)} checkpoints ({shown}), and its file {LATEST!r} names none of them: leave one,"
            f" or name it there as model_checkpoint_path."
        )
    return folder / latest


def read_google_config(folder: epath.Path, gelu: str = "gelu") -> dict[str, Any]:
    """Returns the contents of `bert_config.json` as those of Hugging Face's `config.json`.

    Most fields have the same names there. Values are not checked; optional ones may be None.

    Args:
      folder: a folder of Google's.
      gelu: what `hidden_act: gelu` is: `gelu`, with the error function, as the first models were trained and as
        Hugging Face reads all of them; or `gelu_new`, with tanh, as the code computes it since 2019.

    Raises:
      ConfigError: the file is missing, too large, or no JSON object.
    """
    path = folder / CONFIG
    try:
        with path.open("rb") as file:
            content = file.read(MAX_CONFIG_BYTES + 1)
        values = json.loads(content) if len(content) <= MAX_CONFIG_BYTES else None
    except OSError as error:
        raise ConfigError(f"{path} cannot be opened ({error.strerror}): check the folder.") from None
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise ConfigError(f"{path} is not a JSON object of at most {MAX_CONFIG_BYTES:,} bytes: download it again.")
    values = {"model_type": "bert", "layer_norm_eps": 1e-12, **values}
    if values.get("hidden_act", "gelu") == "gelu":
        values["hidden_act"] = gelu
    elif values["hidden_act"] is None:
        values["hidden_act"] = "linear"  # what no activation means there
    return values


def read_google_folder(folder: epath.Path) -> ReleasedModel:
    """Opens a folder of Google's.

    Raises:
      CheckpointError: the weights are missing, damaged, or of another model.
      ConfigError: the config is damaged or not supported.
      TokenizerError: the vocabulary is missing or damaged.
    """
    given = read_config(read_google_config(folder))
    return assemble(given, GoogleTensors(find_checkpoint(folder)), load_tokenizer(folder))


def _latest(path: epath.Path) -> str:
    """Returns the name in a file such as `model_checkpoint_path: "/tmp/model.ckpt-1000"`, empty if there is none."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_CONFIG_BYTES).decode(errors="replace")
    except OSError:
        return ""
    match = re.search(r'^model_checkpoint_path: *"([^"\n]*)"', text, re.MULTILINE)
    return match[1].replace("\\", "/").rpartition("/")[2] if match else ""
