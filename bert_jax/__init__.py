"""bert_jax: pretrain, adapt and understand BERT-style encoders in JAX."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bert_jax.loading import load as load

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Imports `load` at its first use, so that tools which only need the version or a config start fast."""
    if name != "load":
        raise AttributeError(f"module 'bert_jax' has no attribute {name!r}")
    from bert_jax.loading import load

    return load
