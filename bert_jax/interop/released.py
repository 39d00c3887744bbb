"""Released models: what folders of other projects hold, put together.

The heads are those that the weights have; a missing pooler is never made up.
"""

import dataclasses

from bert_jax.errors import CheckpointError, ConfigError
from bert_jax.interop.hugging_face_config import ForeignConfig
from bert_jax.interop.parameters import FileParameters, open_parameters
from bert_jax.interop.tensors import TensorFile
from bert_jax.model.config import ModelConfig
from bert_jax.objectives.choices import Choices
from bert_jax.objectives.labels import NUMBER, ONE, SEVERAL, Labels
from bert_jax.objectives.masked_words import MaskedWords
from bert_jax.objectives.objective import Objective
from bert_jax.objectives.sentence_pairs import SentencePairs
from bert_jax.objectives.spans import Spans
from bert_jax.tokenization import Tokenizer

PROBLEMS = {"single_label_classification": ONE, "multi_label_classification": SEVERAL, "regression": NUMBER}


@dataclasses.dataclass(frozen=True)
class ReleasedModel:
    """A model from a folder of another project.

    Attributes:
      config: the config of the body.
      parameters: its parameters, and those of the heads that are there, to be read.
      objectives: what these heads predict.
      tokenizer: the tokenizer.
      max_tokens: the longest input that the folder states, with special tokens.
      pooling: how it was made to embed texts: `mean`, `cls`, `max`; empty if the folder does not say.
      normalize: whether its embeddings have length 1.
    """

    config: ModelConfig
    parameters: FileParameters
    objectives: tuple[Objective, ...]
    tokenizer: Tokenizer
    max_tokens: int
    pooling: str = ""
    normalize: bool = False


def assemble(given: ForeignConfig, file: TensorFile, tokenizer: Tokenizer) -> ReleasedModel:
    """Puts a model together: the heads are those that the weights have.

    Raises:
      CheckpointError: the weights are damaged or of another model.
      ConfigError: the labels are not supported.
    """
    config = given.model
    assert config.vocab_size is not None
    if tokenizer.vocab_size > config.vocab_size:
        raise CheckpointError(
            f"The vocabulary has {tokenizer.vocab_size:,} pieces, but the weights have {config.vocab_size:,}: one of"
            " them belongs to another model."
        )
    # The tensors of a multiple choice are those of a single label too: as in `transformers`, only the class tells.
    classifier = given.family.classifier(given.architecture)
    parameters = open_parameters(file, config, given.family, classifier=classifier)
    return ReleasedModel(config, parameters, _objectives(given, parameters), tokenizer, config.max_positions)


def _objectives(given: ForeignConfig, parameters: FileParameters) -> tuple[Objective, ...]:
    """What can be predicted: BERT's heads that read pooled examples need a pooler."""
    found: list[Objective] = []
    heads = {name.partition("/")[0] for name in parameters.shapes}
    can_pool = given.model.head_transform == "all" or "bert/pooler/dense/bias" in parameters.shapes
    # Without a class, as in Google's folders, a classifier that cannot pool labels tokens.
    of_tokens = "TokenClassification" in given.architecture or not (given.architecture or can_pool)
    # Without a transform, a bias and a table of its own, the head of words has no parameters: only the class tells.
    is_bare = "MaskedLM" in given.architecture and not given.family.table(given.model)["mlm"]
    if "mlm" in heads or is_bare:
        found.append(MaskedWords())
    if "nsp" in heads and can_pool:
        found.append(SentencePairs())
    if "label" in heads and (of_tokens or can_pool):
        (size,) = parameters.shapes["label/dense/bias"]
        found.append(_labels(given, size, of_tokens))
    if "choice" in heads and can_pool:
        found.append(Choices())
    if "span" in heads:
        found.append(Spans())
    return tuple(found)


def _labels(given: ForeignConfig, size: int, of_tokens: bool) -> Labels:
    choose = PROBLEMS.get(given.problem, NUMBER if size == 1 and not of_tokens else ONE)
    if choose == NUMBER and size > 1:
        raise ConfigError(f"problem_type='regression' with {size} labels is not supported: only one number is.")
    names = given.labels if len(given.labels) == size else tuple(f"LABEL_{i}" for i in range(size))  # their names
    return Labels(names=names, choose=choose, of_tokens=of_tokens)
