"""Which tokens of a row belong together, and so attend to each other."""

import flax.struct
import jax
import jax.numpy as jnp

from bert_jax.batch import Batch


@flax.struct.dataclass
class Layout:
    """The layout of examples in rows, which determines which tokens attend to each other.

    Attributes:
      example_ids: int32 [B, S], the example that each token belongs to; 0 is padding. Its tokens are neighbours.
      position_ids: int32 [B, S], the position of each token within its example.
      dropout_keys: uint32 [B, S] from `dropout.token_keys`; None: nothing is dropped.
    """

    example_ids: jax.Array
    position_ids: jax.Array
    dropout_keys: jax.Array | None = None

    @classmethod
    def of(cls, batch: Batch, dropout_keys: jax.Array | None = None) -> "Layout":
        """Returns the layout of a batch."""
        return cls(batch["example_ids"], batch["position_ids"], dropout_keys)

    def distances(self, others: "Layout") -> jax.Array:
        """Returns how far the tokens are from `others`, if they are of the same example: int32 [B, 1, …, S, others]."""
        return jnp.abs(self.position_ids[:, None, ..., :, None] - others.position_ids[:, None, ..., None, :])

    def mask(self, others: "Layout", window: int | None) -> jax.Array:
        """Returns True where a token attends to one of `others`: [B, 1, …, S, others].

        The first line keeps packed examples apart. Padding (0) attends to padding only, so no row of the softmax is
        empty and no example attends to padding.
        """
        alike = self.example_ids[:, None, ..., :, None] == others.example_ids[:, None, ..., None, :]
        return alike if window is None else alike & (self.distances(others) <= window)
