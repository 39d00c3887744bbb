"""Dropout with masks that are a hash of (seed, step, site, example, position in the example, feature).

A mask does not depend on where an example is in the batch, how it was packed, how the batch is split over devices or
into microbatches. No key is passed from module to module. An element takes 8 bits of a 32-bit hash (`hashing.mix32`).
"""

import zlib

import flax.linen as nn
import jax
import jax.numpy as jnp

from bert_jax.hashing import GOLDEN32, mix32

LEVELS = 256  # 8 bits per element: the rate is rounded to a multiple of 1/256, and the scale accounts for it


def token_keys(seed: jax.Array, step: jax.Array, batch: dict[str, jax.Array]) -> jax.Array:
    """Returns a uint32 key for each token, [B, S], from which all its masks in this step are drawn."""
    slot = jnp.maximum(batch["example_ids"] - 1, 0)
    example = jnp.take_along_axis(batch["example_keys"], slot, axis=1)
    run = mix32(jnp.asarray(seed, jnp.uint32) ^ mix32(jnp.asarray(step, jnp.uint32) + GOLDEN32))
    return mix32(mix32(example ^ run) + batch["position_ids"].astype(jnp.uint32) * GOLDEN32)


def keys_at(keys: jax.Array | None, positions: jax.Array) -> jax.Array | None:
    """Returns the keys [B, N] of the tokens at `positions` [B, N]; None if `keys` is None."""
    return None if keys is None else jnp.take_along_axis(keys, positions, axis=1)


class Dropout(nn.Module):
    """Zeroes a share of the elements and scales up the others. The site is the path of the module in the model."""

    rate: float

    def _site(self) -> jax.Array:
        return jnp.uint32(zlib.crc32("/".join(self.path).encode()))

    def _apply(self, x: jax.Array, random_bytes: jax.Array) -> jax.Array:
        dropped = round(self.rate * LEVELS)
        scale = jnp.asarray(LEVELS / (LEVELS - dropped), x.dtype)
        return jnp.where(random_bytes >= dropped, x * scale, jnp.zeros((), x.dtype))

    def __call__(self, x: jax.Array, keys: jax.Array | None) -> jax.Array:
        """Drops features of `x` [B, S, F] according to `keys` [B, S]; None means evaluation."""
        if keys is None or self.rate == 0:
            return x
        size = x.shape[-1]
        words = -(-size // 4)
        # Each hashed word serves four features, `words` apart.
        word = mix32(mix32(keys ^ self._site())[..., None] + jnp.arange(words, dtype=jnp.uint32) * GOLDEN32)
        shift = jnp.arange(0, 32, 8, dtype=jnp.uint32)[:, None]
        return self._apply(x, ((word[..., None, :] >> shift) & 255).reshape(*x.shape[:-1], 4 * words)[..., :size])


class AttentionDropout(Dropout):
    """Dropout for attention probabilities, where an element belongs to a head and a pair of tokens."""

    def __call__(self, probabilities: jax.Array, keys: jax.Array | None, others: jax.Array | None) -> jax.Array:
        """Drops elements of `probabilities` [B, heads, …, queries, others], with the keys of both: [B, …, tokens]."""
        if keys is None or others is None or self.rate == 0:
            return probabilities
        heads, words = probabilities.shape[1], -(-probabilities.shape[1] // 4)
        of_head = (jnp.arange(words, dtype=jnp.uint32) * GOLDEN32).reshape(1, words, *(1,) * keys.ndim)
        query = mix32(keys ^ self._site())[:, None, ..., :, None] + of_head
        word = mix32(query ^ (others * GOLDEN32)[:, None, ..., None, :])
        shift = jnp.arange(0, 32, 8, dtype=jnp.uint32).reshape(1, 1, 4, *(1,) * keys.ndim)
        random_bytes = ((word[:, :, None] >> shift) & 255).reshape(word.shape[0], 4 * words, *word.shape[2:])
        return self._apply(probabilities, random_bytes[:, :heads])
