"""What is said of each family of models in Hugging Face `transformers`: its config, its names, its classes."""

import abc
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from bert_jax.configuration import as_text
from bert_jax.errors import CheckpointError, ConfigError, quoted
from bert_jax.interop.entries import Entry
from bert_jax.interop.families.config_fields import ACTIVATIONS, activation_name, choose, set_field
from bert_jax.model.config import DEFAULTS, ModelConfig

BODY = ("embeddings", "encoder")  # the parts that every model has
# Stored in some checkpoints, but not learned.
BUFFER = re.compile(r"(^|\.)(embeddings\.(position_ids|token_type_ids)|rotary_emb\.\w*inv_freq)$")
MAX_LAYERS = 1000
SHAPES = {
    "vocab_size": "vocab_size",
    "num_hidden_layers": "num_layers",
    "hidden_size": "hidden_size",
    "num_attention_heads": "num_heads",
    "intermediate_size": "intermediate_size",
    "max_position_embeddings": "max_positions",
}
ROPE = (("rope_theta", "rotary_base"), ("rope_theta", "local_rotary_base"), ("factor", "rotary_scale"))
# Model fields that any family has, or that change nothing in a trained model.
FREE = (
    *SHAPES.values(),
    *("activation", "layer_norm_epsilon", "initializer_range", "initializer", "dtype", "phases", "remat"),
    *("dropout", "embedding_dropout", "feed_forward_dropout", "attention_dropout"),
)
OF_HEADS = ("head_transform", "head_bias", "output_bias", "tied_output", "logit_cap", "pooling")
Allowed = Collection[Any]  # the values of a model field that a family has


class Family(abc.ABC):
    """A family of models: its `config.json`, the names of its tensors, and its classes.

    Heads are called as in the parameter tree (`mlm`, `nsp`, `label`, `choice`, `span`), and `tokens` for labels of
    tokens.

    Attributes:
      title: the name in messages.
      model_type: the name in `config.json`.
      prefix: the beginning of the names of its classes.
      required: fields of `config.json` that must be there, and the model fields that they are.
      defaults: fields of `config.json` that may be missing, with their values then.
      optional: those that may be missing, and the model fields that they are.
      fixed: options of `config.json` for which only one value is supported.
      activation_field: the field of `config.json` with the activation.
      settings: model fields that all models of the family share, beside `only`.
      only: the values that the family has of a model field. It has others, unless they are in `free`, at their default.
      free: model fields of which the family has all values.
      own_code: `auto_map` may name classes that begin so: code that became that of `transformers`.
      token_ids: the fields of `config.json` with ids of special tokens.
      base: the name of the body in a model with heads.
      word_table: the name of the word embeddings in the body.
      modules: a pattern of the modules of the body.
      layer: a pattern of the names of a layer's tensors, with a group for its number.
      renames: patterns of names in files and names in the table, applied in order, after the body has its name.
      refused: names that only models with other arithmetic have, and what is different in them.
      classes: which heads there are together, in alphabetical order, and how the name of their class ends.
      classifiers: the heads whose output layer is called `classifier`, by a part of the class's name.
    """

    title: ClassVar[str]
    model_type: ClassVar[str]
    prefix: ClassVar[str]
    required: ClassVar[Mapping[str, str]] = SHAPES
    defaults: ClassVar[Mapping[str, Any]] = {}
    optional: ClassVar[Mapping[str, str]]
    fixed: ClassVar[Mapping[str, Any]] = {}
    activation_field: ClassVar[str] = "hidden_act"
    settings: ClassVar[Mapping[str, Any]] = {}
    only: ClassVar[Mapping[str, Allowed]]
    free: ClassVar[Collection[str]] = ()
    own_code: ClassVar[str] = ""
    token_ids: ClassVar[Sequence[str]] = ("pad_token_id",)
    base: ClassVar[str]
    word_table: ClassVar[str]
    modules: ClassVar[str]
    layer: ClassVar[str]
    renames: ClassVar[Sequence[tuple[str, str]]] = ()
    refused: ClassVar[Sequence[tuple[str, str]]] = ()
    classes: ClassVar[Mapping[tuple[str, ...], str]]
    classifiers: ClassVar[Mapping[str, str]] = {"MultipleChoice": "choice", "": "label"}

    def read(self, values: Mapping[str, Any]) -> ModelConfig:
        """Returns the config of a model from the contents of `config.json`, of which no value is null.

        Raises:
          ConfigError: a value is missing, unsupported, or of another type.
        """
        values = {**self.defaults, **values}
        for name, only in self.fixed.items():
            if values.get(name, only) != only:
                raise ConfigError(f"{name}={quoted(values[name])} is not supported: only {only!r} is.")
        if missing := [name for name in self.required if name not in values]:
            more = f" and {len(missing) - 1} more" if missing[1:] else ""
            raise ConfigError(f"config.json lacks {missing[0]}{more}: restore it.")
        config = ModelConfig()
        constants = {name: allowed[0] for name, allowed in self.only.items() if isinstance(allowed, tuple)}
        for ours, value in {**constants, **self.settings}.items():
            setattr(config, ours, value)
        for theirs, ours in {**self.required, **self.optional}.items():
            if theirs in values:
                set_field(config, ours, theirs, values[theirs])
        if config.num_layers > MAX_LAYERS:
            raise ConfigError(
                f"config.json has num_hidden_layers={config.num_layers}: more than {MAX_LAYERS} are not read."
            )
        config.activation = choose(values, self.activation_field, ACTIVATIONS, "gelu")
        self._check_values(config)  # before anything is computed with them
        self.finish(config, values)
        self._check_values(config)
        for ours, allowed in self.misfits(config).items():
            theirs = next(theirs for theirs, name in {**self.required, **self.optional}.items() if name == ours)
            raise ConfigError(f"config.json has {theirs}={quoted(values[theirs])}, not {_shown(allowed)}.")
        return config

    def _check_values(self, config: ModelConfig) -> None:
        if problems := "\n".join(config.problems()):
            for theirs, ours in (*self.required.items(), *self.optional.items(), *ROPE):  # in the file's own names
                problems = re.sub(rf"model\.{ours}\b", theirs, problems)
            raise ConfigError(problems)

    @abc.abstractmethod
    def finish(self, config: ModelConfig, values: Mapping[str, Any]) -> None:
        """Sets the fields of `config` that are no field of `config.json`.

        Raises:
          ConfigError: a value is unsupported, or of another type.
        """

    def write(self, config: ModelConfig) -> dict[str, Any]:
        """Returns the contents of a `config.json` without heads; the inverse of `read`, but for rates of dropout."""
        values = {theirs: getattr(config, ours) for theirs, ours in {**self.required, **self.optional}.items()}
        values["intermediate_size"] = config.feed_forward_size
        values[self.activation_field] = activation_name(config)
        return {"model_type": self.model_type, **values, **self.extras(config)}

    def extras(self, config: ModelConfig) -> dict[str, Any]:
        """Returns fields of `config.json` that are no field of `config`."""
        return {}

    def misfits(self, config: ModelConfig) -> dict[str, Allowed]:
        """Returns the model fields whose values the family's body does not have, and those that it has."""
        found: dict[str, Allowed] = {}
        for name, default in DEFAULTS.items():
            value = getattr(config, name)
            if name == "num_kv_heads" and config.kv_heads == config.num_heads:
                value = None
            allowed = self.only.get(name, (default,))
            if name not in (*FREE, *OF_HEADS, *self.free) and value not in allowed:
                found[name] = allowed
        return found

    def check(self, config: ModelConfig) -> None:
        """Checks that the family has the body of a model.

        Raises:
          ConfigError: it has not.
        """
        if found := self.misfits(config):
            lacks = " and ".join(
                f"no model.{name}={as_text(getattr(config, name))} (only {_shown(allowed)})"
                for name, allowed in found.items()
            )
            raise ConfigError(
                f"Hugging Face's {self.title}, which comes nearest, has {lacks}: save_checkpoint, or"
                " --to=bert_jax:FOLDER, writes any model."
            )
        if config.vocab_size is None:
            raise ConfigError("model.vocab_size is empty: give the number of tokens.")

    @abc.abstractmethod
    def heads(self, config: ModelConfig) -> Mapping[str, Mapping[str, Allowed]]:
        """Returns, for each head, the model fields that decide what it computes, and the values that it has."""

    def poolings(self, config: ModelConfig) -> Allowed:
        """Returns the values of `pooling` with which the family has heads that read pooled examples."""
        return self.heads(config).get("label", {}).get("pooling", ())

    def class_of(self, heads: Sequence[str]) -> str:
        """Returns the name of the class with these heads.

        Raises:
          ConfigError: there is none.
        """
        heads = tuple(sorted(heads))
        if heads in self.classes:
            return self.prefix + self.classes[heads]
        if len(heads) == 1:
            raise ConfigError(
                f"Hugging Face has no {self.title} with the head {heads[0]}: leave it out (heads=[], --heads=)."
            )
        raise ConfigError(
            f"Hugging Face has no {self.title} with the heads {', '.join(heads)} together: leave some out."
        )

    def check_heads(self, config: ModelConfig, heads: Sequence[str]) -> None:
        """Checks that the family's heads compute what those of a model compute.

        Raises:
          ConfigError: one does not.
        """
        there = self.heads(config)
        for head in heads:
            needs = there.get(head, {})
            odd = {name: allowed for name, allowed in needs.items() if getattr(config, name) not in allowed}
            if odd:
                fit = [other for other in heads if not _odd(config, there.get(other, {}))]
                leave_out = f", or write the others alone: heads={','.join(fit)}" if fit else ""
                given = " and ".join(f"model.{name}={as_text(getattr(config, name))}" for name in odd)
                wanted = " and ".join(f"model.{name}={_shown(allowed)}" for name, allowed in odd.items())
                raise ConfigError(
                    f"The head {head!r} of Hugging Face's {self.title} has no {given}: to export it, train with"
                    f" {wanted}{leave_out}."
                )

    @abc.abstractmethod
    def table(
        self, config: ModelConfig, classifier: str = "", num_labels: int = 0, names: Collection[str] = ()
    ) -> dict[str, list[Entry]]:
        """Returns all arrays of a model, by part: the name table, for reading and writing.

        Args:
          config: the config of the model.
          classifier: the head whose output layer is called `classifier` there: `label`, `choice` or `span`; empty if
            there is none.
          num_labels: the number of its outputs.
          names: the names of a file, if the family has several for the same; none: those that `transformers` writes.
        """

    def twins(self, config: ModelConfig) -> Mapping[str, str]:
        """Returns tensors that are stored twice in a state dict; the table has the second name."""
        return {}

    def completed(self, config: ModelConfig, arrays: dict[str, Any]) -> ModelConfig:
        """Adds arrays that only the family has, to those of a model; returns the config of the table."""
        return config

    def file_base(self) -> str:
        """Returns the name of the body in files, if it is another than in the table."""
        return self.base

    def canonical_names(self, names: Iterable[str]) -> dict[str, str]:
        """Returns the names of a file's tensors by their names in the table; buffers are left out.

        A prefix that all names have in front of the model is taken off, such as `module.` or `0.auto_model.`. Layer
        norms may call their weights `gamma` and `beta`. Names that are not in the table are kept as they are.

        Raises:
          CheckpointError: there is no word table, or several, or two tensors have the same place.
        """
        names = [name for name in names if not BUFFER.search(name)]
        tables = [name for name in names if name == self.word_table or name.endswith("." + self.word_table)]
        if len(tables) != 1:
            found = f"{len(tables)}: {quoted(tables[0])} and others" if tables else "none"
            raise CheckpointError(
                f"The weights should have one tensor {self.word_table}, but have {found}: no such model is read."
            )
        body = tables[0].removesuffix(self.word_table)
        outer = body.removesuffix(f"{self.file_base()}.")
        result: dict[str, str] = {}
        for name in names:
            inside = name.removeprefix(body)
            if name.startswith(body) and re.match(rf"({self.modules})\.", inside):
                plain = f"{self.base}.{inside}"
            else:
                plain = name.removeprefix(outer).removeprefix(f"{self.file_base()}.")
            plain = re.sub(r"\.gamma$", ".weight", re.sub(r"\.beta$", ".bias", plain))
            for pattern, replacement in self.renames:
                plain = re.sub(pattern, replacement, plain)
            if plain in result:
                raise CheckpointError(
                    f"The weights have {quoted(name)} and {quoted(result[plain])}, which mean the same."
                )
            result[plain] = name
        for ending, what in self.refused:
            if ending in result:
                raise CheckpointError(
                    f"The weights have {quoted(result[ending])}: models with {what} are not supported."
                )
        return result

    def num_layers(self, names: Iterable[str]) -> int:
        """Returns one more than the highest number of a layer among names of the table."""
        return max((int(match[1]) + 1 for name in names if (match := re.match(self.layer, name))), default=0)

    def classifier(self, architecture: str) -> str:
        """Returns the head that the tensors called `classifier` belong to in a class."""
        return next(head for part, head in self.classifiers.items() if part in architecture)


def _odd(config: ModelConfig, needs: Mapping[str, Allowed]) -> bool:
    return any(getattr(config, name) not in allowed for name, allowed in needs.items())


def _shown(allowed: Allowed) -> str:
    if isinstance(allowed, range):
        return f"{allowed.start} or more"
    return " or ".join(as_text(value) for value in allowed)
