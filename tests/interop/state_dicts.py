"""Parameters as state dicts of PyTorch: whole, in memory."""

from bert_jax.interop.families.registry import BERT, family_of
from bert_jax.interop.parameters import named_tensors, read_parameters
from bert_jax.interop.tensors import Arrays

TWINS = BERT.twins(None)


def from_state_dict(tensors, config, parts=("pooler", "mlm", "nsp"), classifier="label"):
    return read_parameters(Arrays(tensors), config, family_of(config), parts, classifier)


def to_state_dict(params, config):
    """With the decoder's copies, as PyTorch's own state dict has them."""
    infos, makers = named_tensors(params, config)
    tensors = {name: make() for name, make in zip(infos, makers, strict=True)}
    twins = family_of(config).twins(config).items()
    return tensors | {twin: tensors[name] for twin, name in twins if "mlm" in params}
