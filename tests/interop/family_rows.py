"""What our model makes of masked words in padded rows and in packed ones: one side of the families' comparisons."""

import dataclasses
from collections.abc import Sequence

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


def padded_and_packed(config: ModelConfig, lengths: list[int]) -> tuple[Rows, Rows]:
    """The same examples, a row for each and two in a row, in arrays of the same shapes."""
    examples, predictions = len(lengths), 4
    half = examples // 2
    width = max(first + second for first, second in zip(lengths[:half], lengths[half:], strict=True))
    batch = padded_batch(config, lengths, width, predictions)
    batch = {name: value for name, value in batch.items() if not name.startswith("nsp_")}
    for name, value in batch.items():
        if value.shape[1] < width:  # of examples or predictions: twice as many in a packed row
            batch[name] = np.pad(value, ((0, 0), (0, value.shape[1])))
    tokens, slots = np.nonzero(batch["example_ids"]), np.nonzero(batch["masked_weights"])
    together = {name: value[:half] + 0 for name, value in batch.items()}
    for row, start in enumerate(lengths[:half]):
        other, used = row + half, batch["masked_weights"][row + half] > 0
        for name, value in batch.items():
            at = start if value.shape[1] == width else value.shape[1] // 2
            together[name][row, at:] = value[other, : value.shape[1] - at]
        together["example_ids"][row, start:] *= 2
        together["cls_positions"][row, 1] = start
        together["masked_positions"][row, predictions:] += (start * used[:predictions]).astype(np.int32)
    together = {name: np.concatenate([value, value * 0]) for name, value in together.items()}

    def moved(index: tuple[np.ndarray, np.ndarray], shifts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return index[0] % half, index[1] + shifts[index[0]]

    starts = np.array([0] * half + lengths[:half])
    places = np.array([0] * half + [predictions] * half)
    return Rows(batch, tokens, slots), Rows(together, moved(tokens, starts), moved(slots, places))


def learner(config: ModelConfig) -> Learner:
    """Masked words alone."""
    return Learner(config, (MaskedWords(),))


def parameters(config: ModelConfig, rows: Rows):
    """Random ones, with an empty tree for a head without any."""
    return random_params(learner(config).model, rows.batch)


def step(config: ModelConfig):
    """The function of parameters and rows to ((loss, (embeddings, hidden states, logits)), gradient), without dropout.

    Hidden states and logits are those of plain attention, loss and gradient those of attention in blocks.
    """
    one = learner(config)

    def loss(params, batch, tokens, slots):
        output, inside = with_intermediates(one.model, params, batch)
        states = list(inside.hidden_states)
        if config.norm_position == "pre":
            states[-1] = make_norm(config).apply({"params": params["bert"]["encoder"]["final_norm"]}, states[-1])
        states = [x[tokens] for x in states]
        outcome = one.loss_fn(params, None, batch, NO_DROPOUT)
        return outcome.losses["mlm_loss"].sum.mean, (states[0], states[1:], output["mlm"][slots])

    compiled = jax.jit(jax.value_and_grad(loss, has_aux=True))
    return lambda params, rows: compiled(params, rows.batch, rows.tokens, rows.slots)


def observe(config: ModelConfig, params, layouts: Sequence[Rows], rates=RATES) -> list[dict]:
    """Everything that is compared, by name, for each of some rows of the same shapes."""
    found = []
    with jax.default_matmul_precision("highest"):
        compute = step(config)
        optimizer = make_optimizer(OPTIMIZER, lambda count: jnp.asarray(rates)[count])
        update = jax.jit(optimizer.update)
        for rows in layouts:
            (loss, (embeddings, states, logits)), gradient = compute(params, rows)
            moved, state = params, optimizer.init(params)
            for i in range(len(rates)):
                moves, state = update(gradient if i == 0 else compute(moved, rows)[1], state, moved)
                moved = jax.tree.map(lambda x, y: x + y, moved, moves)
            found.append(
                {
                    "embeddings": embeddings,
                    "hidden states": states,
                    "masked-language-model logits": logits,
                    "masked-language-model loss": loss,
                    "gradients": gradient,
                    f"parameters after {len(rates)} steps of AdamW": moved,
                }
            )
    return found
