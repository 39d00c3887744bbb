"""Parameters as state dicts of PyTorch: whole, in memory."""

from bert_jax.interop.names import TWINS
from bert_jax.interop.parameters import named_tensors, read_parameters
from bert_jax.interop.tensors import Arrays


def from_state_dict(tensors, config, parts=("pooler", "mlm", "nsp"), classifier="label"):
    return read_parameters(Arrays(tensors), config, parts=parts, classifier=classifier)


def to_state_dict(params, config):
    """With the decoder's copies, as PyTorch's own state dict has them."""
    infos, makers = named_tensors(params, config)
    tensors = {name: make() for name, make in zip(infos, makers, strict=True)}
    return tensors | {twin: tensors[name] for twin, name in TWINS.items() if "cls.predictions.bias" in tensors}
