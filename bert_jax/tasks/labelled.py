"""The common part of the tasks on labelled examples: starting point, tokenizer, rows, the stream and the held-out set.

A task says how its files become examples, how examples become tokens and columns, and what is learned from them;
`classification.py` is a short one.
"""

import abc
import dataclasses
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Protocol, TypeVar

from bert_jax import hashing
from bert_jax.data.labelled import LabelledStream, LabelledTexts, OnePhase, Rows
from bert_jax.data.labelled_files import LabelledConfig
from bert_jax.data.subsets import subset
from bert_jax.errors import ConfigError, CorpusError, counted
from bert_jax.interop.families.registry import nearest_family
from bert_jax.model.config import ModelConfig
from bert_jax.objectives.learner import Learner
from bert_jax.optim.optimizer import OptimizerConfig
from bert_jax.sharding import MeshConfig
from bert_jax.tasks.probes import open_probes
from bert_jax.tasks.starting_point import (
    inherit_model,
    open_start,
    read_starting_point,
    tokenizer_files,
    tokenizer_from,
)
from bert_jax.tokenization import Tokenizer, load_tokenizer
from bert_jax.training.config import EvalConfig, TrainConfig
from bert_jax.training.task import RunConfig, Task, TaskKind
from bert_jax.training.workdir.warm_start import Start

TRAIN, VALIDATION, TEST = "train", "validation", "test"


@dataclasses.dataclass
class LabelledRunConfig:
    """The sections of a run on labelled examples; each task adds its own `data`."""

    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)
    eval: EvalConfig = dataclasses.field(default_factory=EvalConfig)
    mesh: MeshConfig = dataclasses.field(default_factory=MeshConfig)


class LabelledRun(RunConfig, Protocol):
    """The complete config of a run on labelled examples."""

    @property
    def model(self) -> ModelConfig: ...
    @property
    def data(self) -> LabelledConfig: ...


Config = TypeVar("Config", bound=LabelledRun)


class LabelledKind(TaskKind[Config], abc.ABC):
    """A kind of task that learns from files of labelled examples.

    Attributes:
      noun: what an example is called in messages, in the singular.
      length_field: the config field that sets `longest_example`, for error messages.
      reads_pooled: whether its head reads the pooled vector.
    """

    noun: ClassVar[str] = "text"
    length_field: ClassVar[str] = "data.sequence_length"
    reads_pooled: ClassVar[bool] = False

    def remarks(self, config: Config) -> list[str]:
        pooling, family = config.model.pooling, nearest_family(config.model)
        if not self.reads_pooled or pooling in family.poolings(config.model):
            return []
        if not family.poolings(config.model):
            return [f"export       not to Hugging Face, whose {family.title} has no such head"]
        return [
            f"export       not to Hugging Face, whose {family.title} has no model.pooling={pooling}; model.pooling=cls"
            " can be exported, but learns more slowly if the checkpoint has no pooler"
        ]

    @abc.abstractmethod
    def read(self, config: Config, path: str, lines: list[str], labelled: bool = True) -> Iterator[Any]:
        """Yields the examples of a file, in order. An example is a dataclass of plain values.

        Args:
          config: names the columns.
          path: the file.
          lines: lines to show are appended to it, such as which columns are read.
          labelled: False for new examples, whose labels are unknown.

        Raises:
          CorpusError: a row cannot be used.
        """

    def decide(self, config: Config, train: Sequence[Any]) -> dict[str, bytes]:
        """Returns files that a run keeps of its training examples, such as the names of the labels. None by default."""
        return {}

    def stratum(self, config: Config, example: Any) -> Hashable:
        """Returns what keeps its share in a subset of the training examples, such as the label. Nothing by default."""
        return None

    @abc.abstractmethod
    def encode(
        self,
        config: Config,
        objectives: Sequence[Any],
        examples: Sequence[Any],
        tokenizer: Tokenizer,
        split: str,
        lines: list[str],
    ) -> LabelledTexts:
        """Makes tokens and columns of examples. A long example may become several texts.

        Args:
          config: the config of the run.
          objectives: those of the run.
          examples: the examples of a split.
          tokenizer: makes the tokens.
          split: `train`, `validation` or `test`.
          lines: lines to show are appended to it, such as how many examples are cut.

        Raises:
          CorpusError: an example cannot be used.
        """

    @abc.abstractmethod
    def input_of(self, example: Any) -> Any:
        """Returns what a model sees of an example, hashable: to find examples that are in two splits."""

    @abc.abstractmethod
    def summary(self, files: Mapping[str, bytes], num_examples: int) -> str:
        """Says in a sentence what is learned from the training examples, for the report."""

    @abc.abstractmethod
    def predict(self, model: Any, examples: Sequence[Any]) -> Iterable[dict[str, Any]]:
        """Yields what a trained model says of each example: a JSON object with the example, `gold` and `predicted`.

        Args:
          model: a `pretrained.Pretrained` of this task.
          examples: as `read` yields them; without labels, `gold` is None.
        """

    def findings(self, predictions: Sequence[Mapping[str, Any]]) -> list[str]:
        """Returns what `predict` yielded for a labelled split, summed up as lines of Markdown. None by default."""
        return []

    def phases(self, config: Config) -> tuple[OnePhase]:
        return (OnePhase(config.train.batch_size),)

    def open_start(self, path: str) -> Start:
        return open_start(path)

    def longest_example(self, config: Config) -> int:
        return config.data.sequence_length

    def cut_sizes(self, config: Config) -> dict[str, tuple[str, int]]:
        return config.model.cut_sizes

    def complete(self, config: Config, stored: Config | None) -> None:
        if path := config.train.init_from:
            inherit_model(config.model, stored.model if stored else read_starting_point(path).model, path)

    def problems(self, config: Config) -> list[str]:
        is_given = bool(config.train.init_from)
        found = config.model.length_problems(self.longest_example(config), self.length_field, is_given)
        if not config.train.init_from and not config.data.tokenizer:
            found.append("Give train.init_from (a pretrained run) or, to train from scratch, data.tokenizer.")
        if config.train.init_from and config.data.tokenizer:
            found.append("data.tokenizer has no effect with train.init_from, which has its own: leave it out.")
        return found

    def open(self, config: Config, files: Mapping[str, bytes]) -> Task:
        data, tokenizer = config.data, _tokenizer(config, files)
        lines: list[str] = []
        splits = {
            split: self._read(config, path, lines)
            for split, path in ((TRAIN, data.train), (VALIDATION, data.validation), (TEST, data.test))
            if path
        }
        counts = ", ".join(counted(len(examples), f"{split} {self.noun}") for split, examples in splits.items())
        # What a run knows beforehand, such as the names of the labels, is that of the whole file.
        own = self.decide(config, splits[TRAIN]) | tokenizer_files(tokenizer)
        objectives = tuple(self.objectives(config, own))
        train = splits[TRAIN] = self._some(config, splits[TRAIN], lines)
        trained = self._inputs(train)
        for split, examples in splits.items():
            if split != TRAIN and (known := len(self._inputs(examples) & trained)):
                lines.append(
                    f"warning      {split} {self.noun}s that are training {self.noun}s too, and show memory: {known:,}"
                )
        packed, fingerprints = {}, {}
        # The held-out rows do not depend on the seed. The test split is scored by the finished model; here, its labels
        # are checked.
        for split, seed in ((TRAIN, config.train.seed), (VALIDATION, 0), (TEST, 0)):
            if split in splits:
                labelled = self.encode(config, objectives, splits[split], tokenizer, split, lines)
                packed[split] = Rows(labelled, tokenizer, data.sequence_length, data.row_examples, (seed, len(packed)))
                fingerprints[split] = hashing.fingerprint(list(map(_content, splits[split])))
        fingerprints["tokenizer"] = tokenizer.sha256
        return Task(
            stream=LabelledStream(
                packed[TRAIN], config.train.batch_size, fingerprints, (f"data         {counts}", *lines)
            ),
            learner=Learner(config.model, objectives),
            held_out=packed[VALIDATION].all(),
            files=own,
            summary=self.summary(own, len(train)),
            prefetch=data.prefetch,
            probes=open_probes(config.eval, tokenizer, self.longest_example(config)),
        )

    def _read(self, config: Config, path: str, lines: list[str]) -> list[Any]:
        examples = list(self.read(config, path, lines))
        if not examples:
            raise CorpusError(f"{path} holds no labelled {self.noun}s.")
        return examples

    def _some(self, config: Config, train: list[Any], lines: list[str]) -> list[Any]:
        """Returns `data.num_train_examples` of the training examples; all if it is not given."""
        count, seed = config.data.num_train_examples, config.train.seed
        if count is None:
            return train
        strata = [self.stratum(config, example) for example in train]
        shares = "; labels keep their shares" if len(set(strata)) > 1 else ""
        lines.append(
            f"subset       {count:,} of {counted(len(train), f'training {self.noun}')}, drawn by seed {seed}{shares}"
        )
        return [train[i] for i in subset(strata, count, seed)]

    def _inputs(self, examples: Sequence[Any]) -> set[Any]:
        """What a model sees of each example."""
        return {self.input_of(example) for example in examples}


def _content(example: Any) -> dict[str, Any]:
    """An example without its place in a file, which may move."""
    return {name: value for name, value in dataclasses.asdict(example).items() if name != "where"}


def _tokenizer(config: LabelledRun, files: Mapping[str, bytes]) -> Tokenizer:
    """Returns the tokenizer of a resumed run or of the starting point; fills in the vocabulary size."""
    if files:
        tokenizer = tokenizer_from(files)
    elif config.train.init_from:
        tokenizer = read_starting_point(config.train.init_from).tokenizer
    else:
        tokenizer = load_tokenizer(config.data.tokenizer)
    if config.model.vocab_size is None:
        config.model.vocab_size = tokenizer.vocab_size
    if config.model.vocab_size < tokenizer.vocab_size:
        raise ConfigError(
            f"model.vocab_size={config.model.vocab_size} is smaller than the tokenizer's {tokenizer.vocab_size}:"
            " raise it, or leave it out."
        )
    return tokenizer
