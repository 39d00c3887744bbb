"""Trained models, opened from their folder without the mesh, the data or the flags of their training."""

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from etils import epath

from bert_jax import configuration
from bert_jax.batch import Batch, cut
from bert_jax.data.labelled import Rows, encode
from bert_jax.errors import CheckpointError, TokenizerError
from bert_jax.objectives.labels import ONE, Labels
from bert_jax.objectives.learner import Learner
from bert_jax.objectives.masked_words import MaskedWords
from bert_jax.objectives.objective import Objective
from bert_jax.tasks.registry import task_named
from bert_jax.tasks.starting_point import tokenizer_from
from bert_jax.tokenization import Tokenizer
from bert_jax.training.workdir.checkpoints import read_params
from bert_jax.training.workdir.folder import task_of

ROWS_AT_ONCE = 16


@dataclasses.dataclass(frozen=True)
class Guess:
    """A word for a mask, and its probability."""

    word: str
    probability: float


@dataclasses.dataclass(frozen=True)
class Label:
    """The most likely label of a text, and the probability of each label."""

    name: str
    probabilities: dict[str, float]

    @property
    def probability(self) -> float:
        """The probability of the most likely label."""
        return self.probabilities[self.name]


@dataclasses.dataclass(frozen=True, repr=False)
class Pretrained:
    """A trained model. Its objectives decide which methods can be used.

    Attributes:
      task: the name of the task that it was trained for.
      config: the config of its run.
      objectives: the objectives that it was trained with.
      params: the parameters, a tree of arrays.
      tokenizer: the tokenizer.
      step: the number of steps after which it was saved.
    """

    task: str
    config: Any
    objectives: Sequence[Objective]
    params: Any
    tokenizer: Tokenizer
    step: int

    def __repr__(self) -> str:
        model = self.config.model
        return (
            f"Pretrained({self.task}, {model.num_layers} layers, width {model.hidden_size},"
            f" {self.tokenizer.vocab_size:,} words, step {self.step:,})"
        )

    def fill_mask(self, text: str, top: int = 5) -> list[list[Guess]]:
        """Returns the `top` most likely words for each `[MASK]` in `text`, in order.

        Raises:
          CheckpointError: the model was not trained to predict words.
          TokenizerError: the text has no `[MASK]`, or more tokens than the model has positions.
        """
        objective = self._objective(MaskedWords, "predict words")
        ids = [self.tokenizer.cls_id, *self.tokenizer.encode_masked(text), self.tokenizer.sep_id]
        masked = [i for i, token in enumerate(ids) if token == self.tokenizer.mask_id]
        if not masked:
            raise TokenizerError("There is no [MASK] in the text: put one in place of a word.")
        limit = self.config.model.longest_row
        if limit is not None and len(ids) > limit:
            raise TokenizerError(f"The text has {len(ids)} tokens, but the model takes at most {limit}: shorten it.")
        # Not compiled, because each text has its own shape.
        logits = self._learner.predict(self.params, single_row(ids, masked))[objective.name][0]
        probabilities = np.asarray(jax.nn.softmax(logits, axis=-1))
        best = np.argsort(-probabilities, axis=-1)[:, :top]
        return [
            [Guess(self.tokenizer.decode([i]).strip(), float(row[i])) for i in order]
            for row, order in zip(probabilities, best, strict=True)
        ]

    def classify(self, texts: Sequence[str | tuple[str, str]]) -> list[Label]:
        """Returns the label of each text, or pair of texts, in order. Texts that do not fit in a row are cut.

        Raises:
          CheckpointError: the model was not trained to assign one label to each text.
        """
        objective = self._objective(Labels, "label texts")
        if objective.choose != ONE or objective.of_tokens:
            raise CheckpointError(f"This model was not trained to label texts: {self!r}.")
        if not texts:
            return []
        data = self.config.data
        pairs = [(text, None) if isinstance(text, str) else text for text in texts]
        index = np.arange(len(pairs))
        rows = Rows(
            encode(pairs, self.tokenizer, data.sequence_length),
            {"index": index, "used": np.ones_like(index)},
            self.tokenizer,
            data.sequence_length,
            data.row_examples,
            stream=(0,),
        )
        found = np.zeros((len(pairs), len(objective.names)))
        for batch in cut(rows.all(), ROWS_AT_ONCE):
            where, used = batch.pop("index"), batch.pop("used") > 0
            found[where[used]] = np.asarray(self._probabilities(self.params, batch, objective.name))[used]
        names = objective.names
        return [Label(names[int(row.argmax())], dict(zip(names, row.tolist(), strict=True))) for row in found]

    @functools.cached_property
    def _learner(self) -> Learner:
        return Learner(self.config.model, tuple(self.objectives))

    @functools.cached_property
    def _probabilities(self) -> Any:
        def probabilities(params: Any, batch: Batch, name: str) -> jax.Array:
            return jax.nn.softmax(self._learner.predict(params, batch)[name], axis=-1)

        return jax.jit(probabilities, static_argnums=2)

    def _objective(self, kind: type, what: str) -> Any:
        """Returns the first objective of a kind.

        Raises:
          CheckpointError: there is none.
        """
        for objective in self.objectives:
            if isinstance(objective, kind):
                return objective
        raise CheckpointError(f"This model was not trained to {what}: {self!r}.")


def single_row(ids: Sequence[int], masked_positions: Sequence[int]) -> Batch:
    """Makes a batch of one row with one example of one segment; `ids` include the special tokens."""
    length = len(ids)
    return {
        "token_ids": np.array([ids], np.int32),
        "token_type_ids": np.zeros((1, length), np.int32),
        "example_ids": np.ones((1, length), np.int32),
        "position_ids": np.arange(length, dtype=np.int32)[None],
        "cls_positions": np.zeros((1, 1), np.int32),
        "example_keys": np.zeros((1, 1), np.uint32),
        "masked_positions": np.array([masked_positions], np.int32),
    }


def load(workdir: epath.PathLike) -> Pretrained:
    """Opens the newest checkpoint of a run of any task.

    Args:
      workdir: the run's folder, or its `checkpoints/`, which is self-contained.

    Raises:
      CheckpointError: there is no checkpoint, or it is damaged.
      ConfigError: the task is unknown, or the config is of another version.
    """
    workdir = epath.Path(workdir)
    step, params, files = read_params(workdir if workdir.name == "checkpoints" else workdir / "checkpoints")
    return _opened(step, params, files)


def _opened(step: int, params: Any, files: Mapping[str, bytes]) -> Pretrained:
    values = json.loads(files["config.json"])
    kind = task_named(task_of(values))
    config = configuration.from_dict(kind.config_class, values["config"])
    return Pretrained(kind.name, config, kind.objectives(config, files), params, tokenizer_from(files), step)
