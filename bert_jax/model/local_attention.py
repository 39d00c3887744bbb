"""Attention with a window, in blocks of queries: its cost grows with the window, not with the length of the row."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from bert_jax.model.layout import Layout


def block_size(window: int) -> int:
    """Returns how many queries share their keys in a layer with a window."""
    return max(window, 32)


def by_blocks(
    between: Callable[[jax.Array, jax.Array, jax.Array, Layout, Layout], jax.Array],
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    layout: Layout,
    window: int,
) -> jax.Array:
    """Computes attention with a window in blocks of queries, so that its cost grows with S · window, not S².

    A block of queries attends to the keys from `window` before its first to `window` after its last. That leaves none
    out, since the tokens of an example are neighbours.
    """
    length, size = query.shape[-2], block_size(window)
    count = -(-length // size)

    def blocks(x: jax.Array, axis: int) -> jax.Array:
        """[…, S, …] to […, blocks, block, …], filled up with zeros: padding."""
        widths = [(0, 0)] * x.ndim
        widths[axis] = (0, count * size - length)
        return jnp.pad(x, widths).reshape(*x.shape[:axis], count, size, *x.shape[axis + 1 :])

    def reach(x: jax.Array, axis: int, outside: int = 0) -> jax.Array:
        """The same with the ends of the neighbouring blocks: […, blocks, window + block + window, …]."""
        middle = blocks(x, axis)
        edge = jnp.full_like(jax.lax.slice_in_dim(middle, 0, 1, axis=axis), outside)
        before = jnp.concatenate([edge, jax.lax.slice_in_dim(middle, 0, count - 1, axis=axis)], axis)
        after = jnp.concatenate([jax.lax.slice_in_dim(middle, 1, count, axis=axis), edge], axis)
        before = jax.lax.slice_in_dim(before, size - window, size, axis=axis + 1)
        after = jax.lax.slice_in_dim(after, 0, window, axis=axis + 1)
        return jnp.concatenate([before, middle, after], axis + 1)

    keys = layout.dropout_keys
    queries = Layout(
        blocks(layout.example_ids, 1), blocks(layout.position_ids, 1), None if keys is None else blocks(keys, 1)
    )
    others = Layout(
        reach(layout.example_ids, 1, outside=-1),  # nobody's, not even padding's
        reach(layout.position_ids, 1),
        None if keys is None else reach(keys, 1),
    )
    context = between(blocks(query, 2), reach(key, 2), reach(value, 2), queries, others)
    return context.reshape(*query.shape[:2], count * size, -1)[:, :, :length]
