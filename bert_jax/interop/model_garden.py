"""The variables of TF 2's model garden (github.com/tensorflow/models, `official/nlp`), by their names in TF 1.

TF 2 names a variable after the attributes that lead to it. Two generations of the encoder are known, `BertEncoder`,
whose layers are numbered, and `BertEncoderV2`, by itself or as a part of `BertPretrainer`, `BertPretrainerV2`,
`BertClassifier` or `BertTokenClassifier`.
"""

import re
from collections.abc import Iterable

from bert_jax.errors import CheckpointError, quoted

SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
NOT_LEARNED = re.compile(r"optimizer/.*|.*/\.OPTIMIZER_SLOT/.*|" + GRAPH)
QUERY = re.compile(
    r"((?:.*/)?)(?:layer_with_weights-(\d{1,6})|_transformer_layers/\d{1,6})/_attention_layer/_query_dense/kernel"
)
NUMBERED = re.compile(r"encoder/layer_with_weights-(\d{1,6})/")
FIRST_LAYERS = ("_embedding_layer", "_position_embedding_layer", "_type_embedding_layer", "_embedding_norm_layer")
# A pretrainer's head for next sentences has a pooler of its own; the encoder's is then there, but never trained.
POOLER = "encoder/_pooler_layer/"
POOLER_OF_HEAD = r"^head/(next_sentence\.\.pooler_dense|classification_heads/0/dense)/"
# Applied in order, once the encoder is called `encoder` and what is beside it `head`.
RENAMES = (
    (r"^encoder/_embedding_layer/embeddings$", "bert/embeddings/word_embeddings"),
    (r"^encoder/_position_embedding_layer/embeddings$", "bert/embeddings/position_embeddings"),
    (r"^encoder/_type_embedding_layer/embeddings$", "bert/embeddings/token_type_embeddings"),
    (r"^encoder/_embedding_norm_layer/", "bert/embeddings/LayerNorm/"),
    (r"^encoder/_pooler_layer/", "bert/pooler/dense/"),
    (r"^encoder/_transformer_layers/(\d+)/", r"bert/encoder/layer_\1/"),
    (r"^(bert/encoder/layer_\d+)/_attention_layer/_(query|key|value)_dense/", r"\1/attention/self/\2/"),
    (r"^(bert/encoder/layer_\d+)/(_attention_layer/_output|_attention_output)_dense/", r"\1/attention/output/dense/"),
    (r"^(bert/encoder/layer_\d+)/_attention_layer_norm/", r"\1/attention/output/LayerNorm/"),
    (r"^(bert/encoder/layer_\d+)/_(intermediate|output)_dense/", r"\1/\2/dense/"),
    (r"^(bert/encoder/layer_\d+)/_output_layer_norm/", r"\1/output/LayerNorm/"),
    (POOLER_OF_HEAD, "bert/pooler/dense/"),
    (r"^head/masked_lm/dense/", "cls/predictions/transform/dense/"),
    (r"^head/masked_lm/layer_norm/", "cls/predictions/transform/LayerNorm/"),
    (r"^head/masked_lm/(output_bias\.Sbias|bias)$", "cls/predictions/output_bias"),
    (r"^head/masked_lm/embedding_table$", "cls/predictions/decoder"),
    (r"^head/classification_heads/0/out_proj/", "cls/seq_relationship/"),
    (r"^head/layer_with_weights-1/(out_proj/)?(kernel|bias)$", r"classifier/\2"),
)
# `BertPretrainer`, which numbers its heads.
OLD_PRETRAINER = (
    (r"^head/layer_with_weights-2/", "head/masked_lm/"),
    (r"^head/layer_with_weights-1/layer_with_weights-0/", "cls/seq_relationship/"),
)


def tf1_names(names: Iterable[str]) -> dict[str, str]:
    """Maps names in TF 1 to the names of a checkpoint: the same, unless it is one of TF 2.

    What TF 2 stores of its optimiser is left out. Names that are not BERT's stay recognisably so.

    Raises:
      CheckpointError: it is a checkpoint of TF 2 without such an encoder, or with several, or has a variable twice.
    """
    names = list(names)
    if GRAPH not in names and not any(name.endswith(SUFFIX) for name in names):
        return {name: name for name in names}
    names = [name for name in names if not NOT_LEARNED.fullmatch(name)]
    encoder, last = _find_encoder(names)
    short = _distinct((_shortened(name.removesuffix(SUFFIX), encoder, last), name) for name in names)
    if any(re.match(POOLER_OF_HEAD, name) for name in short):
        short = {name: full for name, full in short.items() if not name.startswith(POOLER)}
    renames = (*(OLD_PRETRAINER if "head/layer_with_weights-2/embedding_table" in short else ()), *RENAMES)
    found = _distinct((_renamed(name, renames), full) for name, full in short.items())
    # A table that is used twice is stored once, under either name.
    if "cls/predictions/decoder" in found and "bert/embeddings/word_embeddings" not in found:
        found["bert/embeddings/word_embeddings"] = found.pop("cls/predictions/decoder")
    return found


def _find_encoder(names: list[str]) -> tuple[str, int]:
    """Returns what is before the layers' names, and the number of the last layer if layers are numbered."""
    queries = [match for name in names if (match := QUERY.fullmatch(name.removesuffix(SUFFIX)))]
    encoders = {match[1] for match in queries}
    if len(encoders) != 1:
        example = quoted(names[0] if names else GRAPH)
        raise CheckpointError(
            "The checkpoint is a TF 2 object checkpoint, but not of a BERT of the model garden: it has"
            f" {len(encoders) or 'no'} encoders of the known form, and for example {example};"
            " load it in TensorFlow, and save its variables under the names of TF 1."
        )
    return encoders.pop(), max(int(match[2] or 0) for match in queries)


def _shortened(name: str, encoder: str, last: int) -> str:
    """Calls the encoder `encoder` and what is beside it `head`; layers get their names in `BertEncoderV2`."""
    beside = encoder[: encoder[:-1].rfind("/") + 1]
    if not name.startswith(encoder):
        return f"head/{name[len(beside) :]}" if "/" in name and name.startswith(beside) else name
    name = f"encoder/{name[len(encoder) :]}"
    match = NUMBERED.match(name)
    if match is None:
        return name
    number, rest = int(match[1]), name[match.end() :]
    if number < len(FIRST_LAYERS):
        return f"encoder/{FIRST_LAYERS[number]}/{rest}"
    if number == last + 1:
        return f"{POOLER}{rest}"
    return f"encoder/_transformer_layers/{number - len(FIRST_LAYERS)}/{rest}"


def _renamed(name: str, renames: Iterable[tuple[str, str]]) -> str:
    for pattern, replacement in renames:
        name = re.sub(pattern, replacement, name)
    return name


def _distinct(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, full in pairs:
        if name in found:
            raise CheckpointError(
                f"{quoted(full)} and {quoted(found[name])} are the same variable: remove one of them."
            )
        found[name] = full
    return found
