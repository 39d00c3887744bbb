"""A trained model to use: opened from its folder, without the mesh, the data or the flags it was trained with."""

import dataclasses
import json
from typing import Any

import jax
import numpy as np
from etils import epath

from bert_jax import configuration
from bert_jax.batch import Batch
from bert_jax.errors import TokenizerError
from bert_jax.model.bert import BertForPretraining
from bert_jax.tasks.pretraining import PretrainingConfig
from bert_jax.tokenization import Tokenizer, from_files
from bert_jax.training.checkpoints import read_params


@dataclasses.dataclass(frozen=True)
class Guess:
    """One word for a mask, and its probability."""

    word: str
    probability: float


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """A pretrained model.

    Attributes:
      config: of the run that made it.
      params: arrays by name.
      tokenizer: its vocabulary.
      step: after how many steps it was saved.
    """

    config: PretrainingConfig
    params: Any
    tokenizer: Tokenizer
    step: int

    def fill_mask(self, text: str, top: int = 5) -> list[list[Guess]]:
        """The `top` likeliest words for each `[MASK]` in `text`, in order.

        Raises:
          TokenizerError: no `[MASK]` in it, or more tokens than the model has positions for.
        """
        ids = [self.tokenizer.cls_id, *self.tokenizer.encode_masked(text), self.tokenizer.sep_id]
        masked = [i for i, token in enumerate(ids) if token == self.tokenizer.mask_id]
        if not masked:
            raise TokenizerError("There is no [MASK] in the text: put one where a word is missing.")
        if self.config.model.positions == "learned" and len(ids) > self.config.model.max_positions:
            raise TokenizerError(
                f"The text has {len(ids)} tokens, the model takes {self.config.model.max_positions}: shorten it."
            )
        logits = self._mlm_logits(single_row(ids, masked))[0]
        probabilities = np.asarray(jax.nn.softmax(logits, axis=-1))
        best = np.argsort(-probabilities, axis=-1)[:, :top]
        return [
            [Guess(self.tokenizer.decode([i]).strip(), float(row[i])) for i in order]
            for row, order in zip(probabilities, best, strict=True)
        ]

    def _mlm_logits(self, batch: Batch) -> jax.Array:
        return BertForPretraining(self.config.model).apply({"params": self.params}, batch).mlm_logits


def single_row(ids: list[int], masked_positions: list[int]) -> Batch:
    """One example of one segment, special tokens included, as a batch of one row."""
    length, slots = len(ids), len(masked_positions)
    row = np.arange(length, dtype=np.int32)[None]
    return {
        "token_ids": np.array([ids], np.int32),
        "segment_ids": np.zeros((1, length), np.int32),
        "sequence_ids": np.ones((1, length), np.int32),
        "position_ids": row,
        "masked_positions": np.array([masked_positions], np.int32),
        "masked_targets": np.zeros((1, slots), np.int32),
        "masked_weights": np.ones((1, slots), np.float32),
        "summary_positions": np.zeros((1, 1), np.int32),
        "nsp_labels": np.zeros((1, 1), np.int32),
        "nsp_weights": np.zeros((1, 1), np.float32),
        "source_ids": np.zeros((1, 1), np.int32),
        "document_ids": np.zeros((1, 1), np.int32),
        "example_keys": np.zeros((1, 1), np.uint32),
    }


def load(workdir: epath.PathLike) -> Pretrained:
    """Opens the newest checkpoint of a run.

    Args:
      workdir: the run's folder, or its `checkpoints/`, which stands alone.

    Raises:
      CheckpointError: none there, or damaged.
    """
    workdir = epath.Path(workdir)
    step, params, assets = read_params(workdir if workdir.name == "checkpoints" else workdir / "checkpoints")
    config = configuration.from_dict(PretrainingConfig, json.loads(assets["config.json"]))
    files = {name.removeprefix("tokenizer/"): file for name, file in assets.items() if name.startswith("tokenizer/")}
    return Pretrained(config, params, from_files(files), step)
