"""The body with heads, for tests of the model; each prediction is named as its head."""

from bert_jax.data.config import DataConfig
from bert_jax.model.composite import Composite, MakeHead
from bert_jax.model.config import ModelConfig
from bert_jax.model.heads import ExampleLabelsHead, SpansHead, TokenLabelsHead
from bert_jax.objectives.choices import Choices
from bert_jax.objectives.learner import Learner
from bert_jax.tasks.pretraining import make_objectives


def pretraining_learner(config: ModelConfig) -> Learner:
    """Masked words and sentence pairs."""
    return Learner(config, make_objectives(DataConfig()))


def pretraining(config: ModelConfig) -> Composite:
    """Heads `mlm` and `nsp`."""
    return pretraining_learner(config).model


def sequence(config: ModelConfig, num_labels: int) -> Composite:
    """A head `label` on each example."""
    return _one_head(config, "label", lambda name: ExampleLabelsHead(config, num_labels, config.dropout, name=name))


def tokens(config: ModelConfig, num_labels: int) -> Composite:
    """A head `label` on each token."""
    return _one_head(config, "label", lambda name: TokenLabelsHead(config, num_labels, config.dropout, name=name))


def spans(config: ModelConfig) -> Composite:
    """A head `span`."""
    return _one_head(config, "span", lambda name: SpansHead(config, name=name))


def choices(config: ModelConfig) -> Composite:
    """A head `choice`."""
    return _one_head(config, "choice", Choices().head(config))


def _one_head(config: ModelConfig, name: str, make: MakeHead) -> Composite:
    return Composite(config, ((name, make),))
