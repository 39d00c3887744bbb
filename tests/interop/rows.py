"""Unpacked rows of different lengths, random parameters, and what our model makes of them: one side of comparisons."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from bert_jax.model.config import ModelConfig
from bert_jax.model.intermediates import with_intermediates
from bert_jax.optim.optimizer import OptimizerConfig, make_optimizer
from bert_jax.training.step import Randomness
from tests.model.composites import pretraining, pretraining_learner

# Settings of the optimiser's comparison: rates change from step to step, gradients are clipped. Where a gradient is
# zero but for rounding (a key's bias cancels in the softmax), Adam steps by noise / (noise + epsilon): an epsilon of
# 1e-6 would compare noise.
RATES = (1e-3, 8e-4, 6e-4, 4e-4, 2e-4)
OPTIMIZER = OptimizerConfig(b1=0.9, b2=0.98, epsilon=1e-4, weight_decay=0.1, clip_norm=1.0)
NO_DROPOUT = Randomness(jnp.uint32(0), jnp.int32(0), dropout=False)


def padded_batch(config: ModelConfig, lengths: list[int], sequence_length: int, predictions: int, seed: int = 0):
    """A row for each length, with random tokens, some of them to be predicted; padding to `sequence_length`."""
    rng = np.random.default_rng(seed)
    rows, size = len(lengths), (len(lengths), sequence_length)
    real = np.arange(sequence_length) < np.array(lengths)[:, None]
    used = np.array([min(predictions, length // 3) for length in lengths])
    slots = np.arange(predictions) < used[:, None]
    chosen = np.zeros(slots.shape, np.int32)
    for row, (length, count) in enumerate(zip(lengths, used, strict=True)):
        chosen[row, :count] = rng.permutation(length)[:count]
    token_types = np.sort(rng.integers(0, max(config.num_token_types, 1), size), axis=1)
    return {
        "token_ids": np.where(real, rng.integers(1, config.vocab_size, size), 0).astype(np.int32),
        "token_type_ids": np.where(real, token_types, 0).astype(np.int32),
        "example_ids": real.astype(np.int32),
        "position_ids": np.where(real, np.arange(sequence_length), 0).astype(np.int32),
        "masked_positions": chosen,
        "masked_targets": np.where(slots, rng.integers(1, config.vocab_size, slots.shape), 0).astype(np.int32),
        "masked_weights": slots.astype(np.float32),
        "cls_positions": np.zeros((rows, 1), np.int32),
        "nsp_labels": rng.integers(0, 2, (rows, 1)).astype(np.int32),
        "nsp_weights": np.ones((rows, 1), np.float32),
        "example_keys": rng.integers(0, 2**32, (rows, 1), dtype=np.uint32),
    }


def random_params(model: nn.Module, batch, seed: int = 0):
    """Parameters with nothing left at zero or one, and weights wide enough for attention to choose."""
    shapes = jax.eval_shape(lambda: nn.meta.unbox(model.init(jax.random.key(0), batch)["params"]))
    rng = np.random.default_rng(seed)

    def one(path, leaf):
        values = rng.normal(size=leaf.shape)
        if leaf.ndim > 1 and path[-1].key != "bias":
            return (0.2 * values).astype(np.float32)
        return (0.1 * values + (path[-1].key == "scale")).astype(np.float32)

    return jax.tree_util.tree_map_with_path(one, shapes)


def loss_and_gradient(config: ModelConfig, batch):
    """The function of parameters to ((total, outcome), gradient) in evaluation."""
    learner = pretraining_learner(config)

    def total(params):
        outcome = learner.loss_fn(params, None, batch, NO_DROPOUT)
        return sum(loss.sum.mean for loss in outcome.losses.values()), outcome

    return jax.jit(jax.value_and_grad(total, has_aux=True))


def observe(config: ModelConfig, params, batch) -> dict:
    """Everything that is compared, by name; padding cut off where there is any."""
    with jax.default_matmul_precision("highest"):
        output, inside = with_intermediates(pretraining(config), params, batch)
        (total, outcome), gradient = loss_and_gradient(config, batch)(params)
    real, used = batch["example_ids"] > 0, batch["masked_weights"] > 0
    return {
        "embeddings": inside.hidden_states[0][real],
        "hidden states": [x[real] for x in inside.hidden_states[1:]],
        "attention maps": [jnp.moveaxis(x, 2, 1)[real] for x in inside.attention_maps],
        "masked-language-model logits": output["mlm"][used],
        "next-sentence logits": output["nsp"][:, 0],
        "masked-language-model loss": outcome.means["mlm_loss"],
        "next-sentence loss": outcome.means["nsp_loss"],
        "total loss": total,
        "gradients": gradient,
    }


def train(config: ModelConfig, params, batch, rates=RATES):
    """Parameters after a step of AdamW at each rate."""
    step = loss_and_gradient(config, batch)
    optimizer = make_optimizer(OPTIMIZER, lambda count: jnp.asarray(rates)[count])
    state = optimizer.init(params)
    with jax.default_matmul_precision("highest"):
        for _ in rates:
            _, gradient = step(params)
            updates, state = optimizer.update(gradient, state, params)
            params = jax.tree.map(lambda x, y: x + y, params, updates)
    return params


def deviation(found, expected) -> float:
    """The largest difference between two trees of arrays, each in units of its expected array's largest number."""

    def one(left, right) -> float:
        left, right = np.asarray(left, np.float64), np.asarray(right, np.float64)
        assert left.shape == right.shape
        return float(np.abs(left - right).max() / np.abs(right).max())

    return max(jax.tree.leaves(jax.tree.map(one, found, expected)))
