"""What our model makes of masked words in padded rows and in packed ones: one side of the families' comparisons."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from bert_jax.model.config import ModelConfig
from bert_jax.model.intermediates import with_intermediates
from bert_jax.model.norms import make_norm
from bert_jax.objectives.learner import Learner
from bert_jax.objectives.masked_words import MaskedWords
from bert_jax.optim.optimizer import make_optimizer
from tests.interop.rows import NO_DROPOUT, OPTIMIZER, RATES, padded_batch, random_params


@dataclasses.dataclass(frozen=True)
class Rows:
    """Examples in rows.

    Attributes:
      batch: the rows.
      tokens: row and place of each token that is not padding, example after example.
      slots: the same of each prediction.
    """

    batch: dict[str, np.ndarray]
    tokens: tuple[np.ndarray, np.ndarray]
    slots: tuple[np.ndarray, np.ndarray]


def padded(config: ModelConfig, lengths: list[int], sequence_length: int) -> Rows:
    """A row for each length."""
    batch = padded_batch(config, lengths, sequence_length, 4)
    batch = {name: value for name, value in batch.items() if not name.startswith("nsp_")}
    return Rows(batch, np.nonzero(batch["example_ids"]), np.nonzero(batch["masked_weights"]))


def packed(rows: Rows, num_rows: int = 2) -> Rows:
    """The same examples, several in a row."""
    batch = rows.batch
    examples, slots = len(batch["example_ids"]), batch["masked_weights"].shape[1]
    lengths, per_row = (batch["example_ids"] > 0).sum(1), -(-examples // num_rows)
    row, place = np.arange(examples) % num_rows, np.arange(examples) // num_rows
    starts = [int(sum(lengths[j] for j in range(i) if row[j] == row[i])) for i in range(examples)]
    width = max(start + length for start, length in zip(starts, lengths, strict=True))
    shapes = {"masked": per_row * slots, "cls_po": per_row, "exampl_": per_row}
    found = {
        name: np.zeros((num_rows, {"example_keys": per_row}.get(name, shapes.get(name[:6], width))), value.dtype)
        for name, value in batch.items()
    }
    for i, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        inside, own = slice(start, start + length), slice(place[i] * slots, (place[i] + 1) * slots)
        for name in ("token_ids", "token_type_ids", "position_ids"):
            found[name][row[i], inside] = batch[name][i, :length]
        found["example_ids"][row[i], inside] = place[i] + 1
        for name in ("masked_targets", "masked_weights"):
            found[name][row[i], own] = batch[name][i]
        found["masked_positions"][row[i], own] = batch["masked_positions"][i] + start * (batch["masked_weights"][i] > 0)
        found["cls_positions"][row[i], place[i]] = start
        found["example_keys"][row[i], place[i]] = batch["example_keys"][i, 0]
    example, token = rows.tokens
    _, slot = rows.slots
    of_slot = rows.slots[0]
    return Rows(
        found,
        (row[example], np.asarray(starts)[example] + token),
        (row[of_slot], place[of_slot] * slots + slot),
    )


def learner(config: ModelConfig) -> Learner:
    """Masked words alone."""
    return Learner(config, (MaskedWords(),))


def parameters(config: ModelConfig, rows: Rows):
    """Random ones, with an empty tree for a head without any."""
    return random_params(learner(config).model, rows.batch)


def step(config: ModelConfig, rows: Rows):
    """The function of parameters to ((loss, (embeddings, hidden states, logits)), gradient), without dropout.

    Hidden states and logits are those of plain attention, loss and gradient those of attention in blocks.
    """
    one = learner(config)

    def loss(params):
        output, inside = with_intermediates(one.model, params, rows.batch)
        states = list(inside.hidden_states)
        if config.norm_position == "pre":
            states[-1] = make_norm(config).apply({"params": params["bert"]["encoder"]["final_norm"]}, states[-1])
        states = [x[rows.tokens] for x in states]
        outcome = one.loss_fn(params, None, rows.batch, NO_DROPOUT)
        return outcome.losses["mlm_loss"].sum.mean, (states[0], states[1:], output["mlm"][rows.slots])

    return jax.jit(jax.value_and_grad(loss, has_aux=True))


def observe(config: ModelConfig, params, rows: Rows, rates=RATES) -> dict:
    """Everything that is compared, by name."""
    with jax.default_matmul_precision("highest"):
        compute = step(config, rows)
        (loss, (embeddings, states, logits)), gradient = compute(params)
        optimizer = make_optimizer(OPTIMIZER, lambda count: jnp.asarray(rates)[count])
        state = optimizer.init(params)
        for i in range(len(rates)):
            update = gradient if i == 0 else compute(params)[1]
            moves, state = optimizer.update(update, state, params)
            params = jax.tree.map(lambda x, y: x + y, params, moves)
    return {
        "embeddings": embeddings,
        "hidden states": states,
        "masked-language-model logits": logits,
        "masked-language-model loss": loss,
        "gradients": gradient,
        f"parameters after {len(rates)} steps of AdamW": params,
    }
