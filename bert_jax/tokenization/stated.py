"""What the small files beside a vocabulary state about it: names of special tokens, added tokens, options, the class.

As in `transformers`, an `added_tokens_decoder` in `tokenizer_config.json` makes `special_tokens_map.json` and
`added_tokens.json` void; without one, the names of the map are used rather than those of the config.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from absl import logging

from bert_jax.errors import TokenizerError, quoted
from bert_jax.foreign_files import parse_json
from bert_jax.tokenization.tokenizer import NAME_FIELDS, SURROGATE
from bert_jax.tokenization.wordpiece import CONFIG_FILE

NAMES_FILE, ADDED_FILE, MODEL_CONFIG_FILE = "special_tokens_map.json", "added_tokens.json", "config.json"
SIDE_FILES = (CONFIG_FILE, NAMES_FILE, ADDED_FILE, MODEL_CONFIG_FILE)
FLAGS = ("single_word", "lstrip", "rstrip")
# Whether each option may be null, which leaves it open.
OPTIONS = {"do_lower_case": True, "strip_accents": True, "tokenize_chinese_chars": False, "add_prefix_space": True}
ROBERTA, XLM_ROBERTA, CAMEMBERT = "RobertaTokenizer", "XLMRobertaTokenizer", "CamembertTokenizer"
# The classes of the kinds of models that are read.
CLASSES = {
    "bert": "BertTokenizer",
    "distilbert": "DistilBertTokenizer",
    "roberta": ROBERTA,
    "xlm-roberta": XLM_ROBERTA,
    "camembert": CAMEMBERT,
}
# Classes that stand for any `tokenizer.json`.
GENERIC = ("PreTrainedTokenizer", "TokenizersBackend", "")


@dataclasses.dataclass(frozen=True)
class Stated:
    """What the files state.

    Attributes:
      kind: the class in `transformers`, without its ending `Fast`; empty if unknown.
      is_named: whether a file names this class; else it follows from the kind of model.
      names: the spellings of the special tokens that are stated, by ours, such as `[MASK]`.
      extra: further special tokens.
      mentioned: names that are special if the vocabulary has them.
      added: tokens by id, each as in `tokenizer.json`.
      added_from: the file that gives `added`, for messages.
      options: the stated ones of `OPTIONS`.
      exact_file: the file that our own export names as the exact form of its tokenizer.
    """

    kind: str = ""
    is_named: bool = False
    names: Mapping[str, str] = dataclasses.field(default_factory=dict)
    extra: tuple[str, ...] = ()
    mentioned: tuple[str, ...] = ()
    added: Mapping[int, dict[str, Any]] = dataclasses.field(default_factory=dict)
    added_from: str = CONFIG_FILE
    options: Mapping[str, bool] = dataclasses.field(default_factory=dict)
    exact_file: str = ""

    @property
    def is_generic(self) -> bool:
        """Whether the class leaves everything to the `tokenizer.json`."""
        return self.kind in GENERIC


EXACT_FILE = "bert_jax_reads"  # the field of `exact_file` in tokenizer_config.json


def read_stated(files: Mapping[str, bytes]) -> Stated:
    """Reads the files beside a vocabulary.

    Args:
      files: by name; only `SIDE_FILES` are read, none is needed.

    Raises:
      TokenizerError: a file is not a JSON object, or a value is not of its kind.
    """
    config, names_map, added_map, model = (
        parse_json(name, files[name], TokenizerError) if name in files else {} for name in SIDE_FILES
    )
    names, extra, mentioned = _names(CONFIG_FILE, config)
    if "added_tokens_decoder" in config:
        added, added_from = _decoder(config["added_tokens_decoder"]), CONFIG_FILE
        _say_ignored(names, names_map, added, added_map)
    else:
        theirs, more, others = _names(NAMES_FILE, names_map)
        for token in names.keys() & theirs.keys():
            if names[token] != theirs[token]:
                logging.warning(
                    "%s names %s where %s names %s: the latter is used.",
                    *(CONFIG_FILE, quoted(names[token]), NAMES_FILE, quoted(theirs[token])),
                )
        names, extra, mentioned = names | theirs, more or extra, (*mentioned, *others)
        added, added_from = _added({*names.values(), *extra}, added_map), ADDED_FILE
    kind, is_named = _kind(config, model)
    return Stated(
        kind=kind,
        is_named=is_named,
        names=names,
        extra=tuple(dict.fromkeys(extra)),
        mentioned=tuple(dict.fromkeys(mentioned)),
        added=added,
        added_from=added_from,
        options=_options(config),
        exact_file=str(config.get(EXACT_FILE, "")),
    )


def _names(file: str, values: Mapping[str, Any]) -> tuple[dict[str, str], tuple[str, ...], tuple[str, ...]]:
    """The names of the five, of further special tokens, and of those that are special if they are there."""
    given = {name: value for name, value in values.items() if name.endswith("_token") and value is not None}
    names = {token: _text(file, field, given[field]) for field, token in NAME_FIELDS.items() if field in given}
    others = [value for name, value in given.items() if name not in NAME_FIELDS and isinstance(value, str | dict)]
    mentioned = tuple(_text(file, "a special token", value) for value in others)
    extra: list[str] = []
    for field in ("extra_special_tokens", "additional_special_tokens"):
        listed = values.get(field) or []
        listed = list(listed.values()) if isinstance(listed, dict) and field.startswith("extra") else listed
        if not isinstance(listed, list):
            raise TokenizerError(f"{file} has {field} that are not a list: list their names.")
        extra += [_text(file, field, value) for value in listed]
    return names, tuple(extra), mentioned


def _text(file: str, field: str, value: Any) -> str:
    """The text of a token, which is given alone or as an object."""
    text = value.get("content") if isinstance(value, dict) else value
    if not isinstance(text, str) or not text or SURROGATE.search(text):
        raise TokenizerError(f"{file} has {field}={quoted(text)}, which is not the text of a token: restore it.")
    return text


def _token(i: int, content: str, special: bool, values: Mapping[str, Any]) -> dict[str, Any]:
    flags = {name: values.get(name, False) for name in FLAGS} | {"normalized": values.get("normalized", not special)}
    if odd := [name for name, value in flags.items() if not isinstance(value, bool)]:
        raise TokenizerError(f"{CONFIG_FILE} has {odd[0]}={quoted(flags[odd[0]])} of a token: set it to true or false.")
    return {"id": i, "content": content, **flags, "special": special}


def _decoder(values: Any) -> dict[int, dict[str, Any]]:
    """The tokens of `added_tokens_decoder`."""
    if not isinstance(values, dict):
        raise TokenizerError(f"{CONFIG_FILE} has an added_tokens_decoder that is not a JSON object: restore it.")
    added = {}
    for key, value in values.items():
        if not (key.isascii() and key.isdigit() and len(key) < 10 and isinstance(value, dict)):
            raise TokenizerError(
                f"{CONFIG_FILE} has {quoted(key)} in added_tokens_decoder, which is not an id with a token: restore it."
            )
        content = _text(CONFIG_FILE, "a token in added_tokens_decoder", value)
        added[int(key)] = _token(int(key), content, value.get("special") is True, value)
    return added


def _added(special: set[str], values: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    """The tokens of an `added_tokens.json`."""
    added: dict[int, dict[str, Any]] = {}
    for name, i in values.items():
        if type(i) is not int or i < 0 or i in added or not name or SURROGATE.search(name):
            raise TokenizerError(
                f"{ADDED_FILE} gives {quoted(name)} the id {quoted(i)}, which is not a free id:"
                " restore the file that belongs to this vocabulary."
            )
        added[i] = _token(i, name, name in special, {})
    return added


def _options(config: Mapping[str, Any]) -> dict[str, bool]:
    found = {}
    for name, may_be_null in OPTIONS.items():
        value = config.get(name)
        if name in config and not isinstance(value, bool) and not (value is None and may_be_null):
            raise TokenizerError(f"{CONFIG_FILE} has {name}={quoted(value)}: set it to true or false.")
        if isinstance(value, bool):
            found[name] = value
    return found


def _kind(config: Mapping[str, Any], model: Mapping[str, Any]) -> tuple[str, bool]:
    """The class, and whether a file names it."""
    by_model = model.get("model_type")
    by_model = CLASSES.get(by_model, "") if isinstance(by_model, str) else ""
    for values in (config, model):
        if isinstance(name := values.get("tokenizer_class"), str):
            return name.removesuffix("Fast"), True
    return by_model, False


def _say_ignored(
    names: Mapping[str, str],
    names_map: Mapping[str, Any],
    added: Mapping[int, dict[str, Any]],
    added_map: Mapping[str, Any],
) -> None:
    """Says what is void because tokenizer_config.json has an `added_tokens_decoder`, if it differs from that."""
    other = {token: name for token, name in _names(NAMES_FILE, names_map)[0].items() if name != names.get(token, name)}
    other_added = [name for name, i in added_map.items() if added.get(i, {}).get("content") != name]
    for file, wrong in ((NAMES_FILE, [*other.values()]), (ADDED_FILE, other_added)):
        if wrong:
            logging.warning(
                "%s differs from the added_tokens_decoder or the names in %s, for example in %s: it is not used.",
                *(file, CONFIG_FILE, quoted(wrong[0])),
            )
