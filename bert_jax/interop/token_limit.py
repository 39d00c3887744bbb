"""The number of tokens that a released folder allows in a text."""

from collections.abc import Mapping

from bert_jax.errors import TokenizerError, quoted
from bert_jax.foreign_files import parse_json

# `transformers` writes int(1e30) where there is no limit.
ABSURD = 1_000_000_000
FIELDS = (("sentence_bert_config.json", "max_seq_length"), ("tokenizer_config.json", "model_max_length"))


def token_limit(files: Mapping[str, bytes], positions: int | None) -> int | None:
    """Returns the most tokens of a text, special tokens included: the smallest limit that the folder states.

    These are `max_seq_length` of `sentence_bert_config.json`, `model_max_length` of `tokenizer_config.json`, and the
    positions of the model. Truncation in `tokenizer.json` is ignored: it was set for training.

    Args:
      files: the folder's files by name; others are ignored.
      positions: the number of positions of the model; None if it has no limit.

    Raises:
      TokenizerError: a file is not a JSON object, or a limit is not a positive number.
    """
    limits = [] if positions is None else [positions]
    for name, field in FIELDS:
        value = parse_json(name, files[name], TokenizerError).get(field) if name in files else None
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 1:
            raise TokenizerError(f"{name} has {field}={quoted(str(value))}: set it to a positive number of tokens.")
        if value < ABSURD:
            limits.append(int(value))
    return min(limits, default=None)
