"""Dropout whose masks are a hash of (seed, step, site, example, position in the example, feature).

A mask does not depend on where an example stands in a batch, how it was packed, how a batch is split over devices or
accumulated, and needs no key to be carried along. Each element costs 8 bits of a 32-bit hash ("lowbias32", Wellons).
"""

import zlib

import flax.linen as nn
import jax
import jax.numpy as jnp

LEVELS = 256  # 8 bits an element: the rate is rounded to a 256th, and the scale corrects for it
GOLDEN = 0x9E3779B9


def mix(x: jax.Array) -> jax.Array:
    """A bijection of uint32 in which every input bit reaches every output bit."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)


def token_keys(seed: jax.Array, step: jax.Array, batch: dict[str, jax.Array]) -> jax.Array:
    """One uint32 key for each token, [B, S], from which all its masks in one step are drawn."""
    slot = jnp.maximum(batch["sequence_ids"] - 1, 0)
    example = jnp.take_along_axis(batch["example_keys"], slot, axis=1)
    run = mix(jnp.asarray(seed, jnp.uint32) ^ mix(jnp.asarray(step, jnp.uint32) + jnp.uint32(GOLDEN)))
    return mix(mix(example ^ run) + batch["position_ids"].astype(jnp.uint32) * jnp.uint32(GOLDEN))


def keys_at(keys: jax.Array | None, positions: jax.Array) -> jax.Array | None:
    """The keys [B, N] of the tokens at `positions` [B, N]; none of none."""
    return None if keys is None else jnp.take_along_axis(keys, positions, axis=1)


class Dropout(nn.Module):
    """Zeroes a share of elements and scales the others up. The site is the module's own path in the model."""

    rate: float

    def _site(self) -> jax.Array:
        return jnp.uint32(zlib.crc32("/".join(self.path).encode()))

    def _apply(self, x: jax.Array, random_bytes: jax.Array) -> jax.Array:
        dropped = round(self.rate * LEVELS)
        scale = jnp.asarray(LEVELS / (LEVELS - dropped), x.dtype)
        return jnp.where(random_bytes >= dropped, x * scale, jnp.zeros((), x.dtype))

    def __call__(self, x: jax.Array, keys: jax.Array | None) -> jax.Array:
        """Drops features of `x` [B, S, F] by `keys` [B, S]; no keys means evaluation."""
        if keys is None or self.rate == 0:
            return x
        size = x.shape[-1]
        words = -(-size // 4)
        # Each hashed word serves four features, `words` apart.
        word = mix(mix(keys ^ self._site())[..., None] + jnp.arange(words, dtype=jnp.uint32) * jnp.uint32(GOLDEN))
        shift = jnp.arange(0, 32, 8, dtype=jnp.uint32)[:, None]
        return self._apply(x, ((word[..., None, :] >> shift) & 255).reshape(*x.shape[:-1], 4 * words)[..., :size])


class AttentionDropout(Dropout):
    """The same for attention probabilities: an element belongs to a head and a pair of tokens."""

    def __call__(self, probabilities: jax.Array, keys: jax.Array | None) -> jax.Array:
        """Drops elements of `probabilities` [B, heads, S, S] (queries, keys) by the tokens' `keys` [B, S]."""
        if keys is None or self.rate == 0:
            return probabilities
        batch, heads, queries, others = probabilities.shape
        words = -(-heads // 4)
        query = mix(keys ^ self._site())[:, None, :, None] + (
            jnp.arange(words, dtype=jnp.uint32) * jnp.uint32(GOLDEN)
        ).reshape(1, words, 1, 1)
        word = mix(query ^ (keys * jnp.uint32(GOLDEN))[:, None, None, :])
        shift = jnp.arange(0, 32, 8, dtype=jnp.uint32)[:, None, None]
        random_bytes = ((word[:, :, None] >> shift) & 255).reshape(batch, 4 * words, queries, others)
        return self._apply(probabilities, random_bytes[:, :heads])
