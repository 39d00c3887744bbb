"""All families of models, by `model_type`, and the one that can express a model."""

from bert_jax.interop.families.bert import Bert, DistilBert, Roberta
from bert_jax.interop.families.eurobert import EuroBert
from bert_jax.interop.families.family import Family
from bert_jax.interop.families.modernbert import ModernBert
from bert_jax.interop.families.nomic_bert import NomicBert
from bert_jax.model.config import ModelConfig

BERT = Bert()
_ROBERTA = Roberta()
WRITTEN: tuple[Family, ...] = (BERT, ModernBert(), NomicBert(), EuroBert())
FAMILIES: dict[str, Family] = {
    "bert": BERT,
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
    "distilbert": DistilBert(),
    **{family.model_type: family for family in WRITTEN[1:]},
}


def nearest_family(config: ModelConfig) -> Family:
    """Returns the family of the body of a model, or the one with the fewest differences; of several, the first."""
    return min(WRITTEN, key=lambda family: len(family.misfits(config)))


def family_of(config: ModelConfig) -> Family:
    """Returns the family of the body of a model.

    Raises:
      ConfigError: there is none.
    """
    family = nearest_family(config)
    family.check(config)
    return family
