"""Folders of Hugging Face `transformers` and sentence-transformers, read and written.

Nothing in a folder is run: no pickle is opened, and no module that a config names is imported.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from bert_jax import storage
from bert_jax.errors import ConfigError, quoted
from bert_jax.foreign_files import parse_json, read_small
from bert_jax.interop.families.registry import family_of
from bert_jax.interop.hugging_face_config import read_config, write_config
from bert_jax.interop.parameters import named_tensors
from bert_jax.interop.released import PROBLEMS, ReleasedModel, assemble
from bert_jax.interop.safetensors import WEIGHTS, open_safetensors, write_safetensors
from bert_jax.interop.token_limit import FIELDS as LIMITS
from bert_jax.interop.token_limit import token_limit
from bert_jax.model.config import ModelConfig
from bert_jax.objectives.labels import Labels
from bert_jax.objectives.objective import Objective
from bert_jax.tokenization import load_tokenizer

CONFIG, MODULES = "config.json", "modules.json"
MAX_JSON_BYTES = 10_000_000
POOLING_MODES = {"pooling_mode_cls_token": "cls", "pooling_mode_mean_tokens": "mean", "pooling_mode_max_tokens": "max"}


def is_hugging_face(folder: epath.Path) -> bool:
    """Whether a folder looks like one of `transformers` or sentence-transformers."""
    return (folder / MODULES).exists() or ((folder / CONFIG).exists() and not (folder / "checkpoints").exists())


def read_folder(folder: epath.PathLike) -> ReleasedModel:
    """Opens a folder of `transformers` or sentence-transformers.

    Raises:
      CheckpointError: the weights are missing, damaged, or of another model.
      ConfigError: the config is missing or not supported.
      TokenizerError: the tokenizer is missing or damaged.
    """
    root = epath.Path(folder)
    modules = _sentence_modules(root)
    folder = root / modules.get("Transformer", "")
    if not (folder / CONFIG).exists():
        raise ConfigError(f"There is no {CONFIG} in {folder}.")
    given = read_config(_read_json(folder / CONFIG))
    model = assemble(given, open_safetensors(folder), load_tokenizer(folder))
    files = {
        name: read_small(folder / name, MAX_JSON_BYTES, ConfigError) for name, _ in LIMITS if (folder / name).exists()
    }
    limit = token_limit(files, model.max_tokens)
    assert limit is not None  # positions are one
    return dataclasses.replace(
        model,
        max_tokens=limit,
        pooling=_pooling(root / modules["Pooling"] / CONFIG) if "Pooling" in modules else "",
        normalize="Normalize" in modules,
    )


def _sentence_modules(root: epath.Path) -> dict[str, str]:
    """The folders of a sentence-transformers model by the kind of module; empty if it is none."""
    if not (root / MODULES).exists():
        return {}
    found = {}
    for entry in _read_json(root / MODULES, list):
        kind, path = (str(entry.get(name, "")) if isinstance(entry, dict) else "" for name in ("type", "path"))
        kind = kind.rpartition(".")[2]
        if kind not in ("Transformer", "Pooling", "Normalize"):
            raise ConfigError(f"{root / MODULES} has the module {quoted(kind)}, which is not supported.")
        if path.startswith("/") or ".." in path.split("/") or "\\" in path:
            raise ConfigError(f"{root / MODULES} names {quoted(path)}, which is not a folder inside.")
        found[kind] = path
    return found


def _pooling(path: epath.Path) -> str:
    values = _read_json(path)
    chosen = [name for name, value in values.items() if name.startswith("pooling_mode_") and value is True]
    if len(chosen) != 1 or chosen[0] not in POOLING_MODES:
        raise ConfigError(
            f"{path} has the pooling {quoted(', '.join(chosen))}: only one of {', '.join(POOLING_MODES)} is read."
        )
    return POOLING_MODES[chosen[0]]


def _read_json(path: epath.Path, kind: type = dict) -> Any:
    return parse_json(path, read_small(path, MAX_JSON_BYTES, ConfigError), ConfigError, kind)


def architecture(config: ModelConfig, objectives: Sequence[Objective]) -> str:
    """Returns the class of `transformers` with this body and these heads.

    Raises:
      ConfigError: there is none.
    """
    return family_of(config).class_of(_heads(objectives))


def _heads(objectives: Sequence[Objective]) -> list[str]:
    return ["tokens" if isinstance(one, Labels) and one.of_tokens else one.name for one in objectives]


def write_folder(
    folder: epath.PathLike,
    config: ModelConfig,
    params: Any,
    objectives: Sequence[Objective],
    files: dict[str, bytes],
    sentence_pooling: str = "",
    max_tokens: int = 0,
    normalize: bool = False,
    token_ids: Mapping[str, int] | None = None,
) -> None:
    """Writes a folder that `AutoModel` and `AutoTokenizer` of `transformers` open.

    Args:
      folder: is made; files in it are replaced.
      config: the config of the body.
      params: the parameters of the body and of the objectives' heads.
      objectives: those whose heads are written.
      files: other files by name: the tokenizer in Hugging Face's form, the model card.
      sentence_pooling: `mean`, `max` or `cls`, to write a folder for sentence-transformers; empty: for `transformers`.
      max_tokens: the longest input; 0: as many as the model has positions.
      normalize: with `sentence_pooling`, whether embeddings have length 1.
      token_ids: the ids of special tokens, by their names in `config.json`: `pad_token_id`, `cls_token_id`, ….

    Raises:
      ConfigError: no family of Hugging Face's has the model.
      CheckpointError: the parameters do not fit the config, or are not finite.
    """
    if max_tokens and config.positions == "rotary":
        config = dataclasses.replace(config, max_positions=max_tokens)  # nothing else says what it was trained for
    values = write_config(config) | {"architectures": [architecture(config, objectives)]}
    values |= {name: i for name, i in (token_ids or {}).items() if name in family_of(config).token_ids}
    for one in objectives:
        if isinstance(one, Labels):
            values["id2label"] = {str(i): name for i, name in enumerate(one.names)}
            values["label2id"] = {name: i for i, name in enumerate(one.names)}
            values["problem_type"] = next(theirs for theirs, ours in PROBLEMS.items() if ours == one.choose)
    infos, makers = named_tensors(params, config, _heads(objectives))
    folder = epath.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_safetensors(folder / WEIGHTS, infos, makers)
    for name, content in files.items():
        storage.write_bytes(folder / name, content)
    if sentence_pooling:
        _write_modules(folder, sentence_pooling, config.hidden_size, max_tokens, normalize)
    storage.write_json(folder / CONFIG, values)


def _write_modules(folder: epath.Path, pooling: str, width: int, max_tokens: int, normalize: bool) -> None:
    """Writes what sentence-transformers needs beside the model."""
    package = "sentence_transformers.models"
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": f"{package}.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": f"{package}.Pooling"},
    ]
    if normalize:
        modules.append({"idx": 2, "name": "2", "path": "2_Normalize", "type": f"{package}.Normalize"})
        (folder / "2_Normalize").mkdir(exist_ok=True)
    modes = {mode: ours == pooling for mode, ours in POOLING_MODES.items()}
    storage.write_json(folder / MODULES, modules)
    storage.write_json(folder / "sentence_bert_config.json", {"max_seq_length": max_tokens, "do_lower_case": False})
    (folder / "1_Pooling").mkdir(exist_ok=True)
    storage.write_json(folder / "1_Pooling" / CONFIG, {"word_embedding_dimension": width, **modes})
