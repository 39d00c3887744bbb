"""Rates and initial values that keep the best learning rate from width to width: µP (Yang et al. 2022).

µP (arXiv 2203.03466, table 8) says how initial values, multipliers and Adam's rates depend on the width H, so that
every layer learns at the same pace at any H. Relative to a model of width B, `optimizer.base_width`:

  array                                    initial values   its rate with Adam   with Muon
  matrices of the body, heads' transforms  √(B / H)         B / H                √(B / H)
  what computes outputs                    B / H            B / H
  embeddings, norms, biases                1                1

Muon's rate differs because the largest singular value of its step grows as √H, that of Adam's as H. The word table is
both an embedding and the output matrix. The paper multiplies its logits by B / H; here the norm before it has that
multiplier in its scale and bias, which gives the same training and a model of the usual form.

The paper's other change, attention scaled by the head size and not by its root, makes no difference where the head size
is that of the base model. So let the number of heads and the width of feed-forward grow with H.
"""

from typing import Any

import jax
import optax

from bert_jax.optim.matrices import body_width, in_encoder
from bert_jax.optim.parameters import path_names

WORDS = "mlm"  # the head that scores words by the word table


def rescaled(params: Any, base_width: int) -> Any:
    """Multiplies the initial values of parameters by their factor."""

    def one(path: tuple, leaf: jax.Array) -> jax.Array:
        return leaf * {"hidden": (ratio := _ratio(path, leaf, base_width)) ** 0.5, "output": ratio}.get(
            _role(path), 1.0
        )

    return jax.tree_util.tree_map_with_path(one, params)


def scale_by_width(base_width: int, muon: bool) -> optax.GradientTransformation:
    """Multiplies updates by the factor of their rate; `muon`: those of the encoder's matrices are Muon's.

    Weight decay belongs after it, so that a weight loses the same share at any width.
    """

    def one(path: tuple, update: jax.Array, by_muon: bool) -> jax.Array:
        ratio = _ratio(path, update, base_width)
        return update * (ratio**0.5 if muon and by_muon else ratio)

    def update(
        updates: optax.Updates, state: optax.OptState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, optax.OptState]:
        return jax.tree_util.tree_map_with_path(one, updates, in_encoder(updates)), state

    return optax.GradientTransformation(optax.init_empty_state, update)


def describe_widths(params: Any, base_width: int | None, muon: bool) -> list[str]:
    """Describes the factors in a line; no line without a base width."""
    if not base_width:
        return []
    paths = jax.tree_util.tree_leaves_with_path(params)
    ratio = next(_ratio(path, leaf, base_width) for path, leaf in paths if _role(path) == "hidden")
    rates = f"{ratio**0.5:.3g} in the encoder, else × {ratio:.3g}" if muon else f"{ratio:.3g}"
    return [f"widths       matrices start × {ratio**0.5:.3g}, outputs × {ratio:.3g}; their rates × {rates}"]


def _ratio(path: tuple, leaf: Any, base_width: int) -> float:
    """Returns B / H for arrays that depend on the width, else 1."""
    role = _role(path)
    return base_width / (body_width(path, leaf.shape) if role == "hidden" else leaf.shape[0]) if role else 1.0


def _role(path: tuple) -> str:
    """Returns `hidden`, `output`, or an empty string for arrays that are the same at any width."""
    names = path_names(path)
    if names[-1] == "kernel":
        return "hidden" if names[0] == "bert" or names[-2] == "transform" else "output"
    return "output" if names[:2] == (WORDS, "norm") else ""
