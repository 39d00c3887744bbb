"""How examples are made from a corpus: the config of `batches.py`, and the shares of the corpus' sources."""

import dataclasses
import math

import numpy as np

from bert_jax.errors import ConfigError, choice_problem, did_you_mean

EXAMPLES = ("bert", "balanced", "sentence_order", "full_sentences", "candidates")
MASKING = ("token", "whole_word", "span")


@dataclasses.dataclass
class DataConfig:
    """How examples are made from a corpus."""

    corpus: str = ""  # folder made by experiments.prepare_corpus
    sequence_length: int = 128  # S, tokens of a row
    # bert: pairs as released; balanced: the same, but pairs whose label was forced do not count in the NSP loss;
    # sentence_order: neighbouring segments, swapped or not (ALBERT); full_sentences: one segment, no pairs (RoBERTa);
    # candidates: a segment and its next as two sequences of a row, to be told from the next ones of other rows
    examples: str = "bert"
    nsp_temperature: float = 1.0  # candidates: what their scores, inner products of pooled vectors, are divided by
    nsp_group_size: int = 8  # candidates: rows whose second segments compete; a batch is cut into such groups
    short_probability: float = 0.1  # share of documents cut to a random shorter length (short_seq_prob)
    masking: str = "token"  # what is chosen as a whole: a token, a whole word, or a span of words (SpanBERT)
    mask_rate: float = 0.15  # share of an example's tokens that is predicted
    mask_share: float = 0.8  # share of the predicted tokens that becomes [MASK]
    random_share: float = 0.1  # share that becomes a random token; the rest stays as it is
    max_predictions: int | None = None  # K, predictions of a row; none: mask_rate * S, rounded up to a multiple of 4
    max_examples: int | None = None  # N, examples packed into a row; 1: no packing; none: S / 32
    source_weights: str = ""  # shares of rows by source, as in en=0.7,de=0.3; empty: by size and exponent
    source_exponent: float = 1.0  # share ~ size ** exponent: 1 as they are, 0.7 as multilingual BERT, 0 equal
    phases: str = ""  # changes at given steps, as in 90000: sequence_length=512 batch_size=64; 95000: mask_rate=0.1
    prefetch: int = 2  # batches made ahead, in a thread

    @property
    def row_predictions(self) -> int:
        if self.max_predictions is not None:
            return self.max_predictions
        # Two sequences round their numbers up, each on its own.
        most = int(np.ceil(self.mask_rate * self.sequence_length)) + (self.examples == "candidates")
        return -(-most // 4) * 4

    @property
    def row_examples(self) -> int:
        if self.examples == "candidates":
            return 2
        return max(1, self.sequence_length // 32) if self.max_examples is None else self.max_examples

    @property
    def example_predictions(self) -> int:
        """Predictions of one example at most; where two share a row that was not measured for them, half of it each."""
        halved = self.examples == "candidates" and self.max_predictions is not None
        return self.row_predictions // 2 if halved else self.row_predictions

    @property
    def group_rows(self) -> int:
        """Rows that belong together: no device, process or part of a batch may divide them."""
        return self.nsp_group_size if self.examples == "candidates" else 1

    def problems(self) -> list[str]:
        """Sentences about what cannot work."""
        found = []
        if not 8 <= self.sequence_length <= 1 << 16:  # room for a pair; positions of 16 bits in `masking.py`
            found.append(f"data.sequence_length={self.sequence_length} must lie between 8 and {1 << 16}.")
        for name, choices in (("examples", EXAMPLES), ("masking", MASKING)):
            found += choice_problem(f"data.{name}", getattr(self, name), choices)
        if not 0 < self.mask_rate < 1:
            found.append(f"data.mask_rate={self.mask_rate} must lie between 0 and 1.")
        for name in ("short_probability", "mask_share", "random_share", "source_exponent"):
            if not 0 <= (value := getattr(self, name)) <= 1:
                found.append(f"data.{name}={value} must lie between 0 and 1.")
        if self.mask_share + self.random_share > 1 + 1e-9:
            found.append(
                f"data.mask_share={self.mask_share} and data.random_share={self.random_share} are more than 1 together."
            )
        for name in ("max_predictions", "max_examples", "prefetch"):
            if (value := getattr(self, name)) is not None and value < 1:
                found.append(f"data.{name}={value} must be at least 1.")
        if not 0 < self.nsp_temperature < math.inf:
            found.append(f"data.nsp_temperature={self.nsp_temperature} must be above 0, and finite.")
        if self.nsp_group_size < 2:
            found.append(f"data.nsp_group_size={self.nsp_group_size} must be at least 2: one candidate is no choice.")
        if self.examples == "candidates" and self.row_predictions < 2:
            found.append(f"data.max_predictions={self.max_predictions} must be at least 2: a row holds two sequences.")
        try:
            given_weights(self.source_weights)
        except ConfigError as error:
            found.append(str(error))
        return found


def given_weights(text: str) -> dict[str, float]:
    """`en=0.7,de=0.3` as a dictionary; empty text gives an empty one.

    Raises:
      ConfigError: not of that form, or no weight above 0.
    """
    weights = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = part.partition("=")
        try:
            weights[name.strip()] = float(value)
        except ValueError:
            raise ConfigError(f"data.source_weights={text!r} is not of the form en=0.7,de=0.3.") from None
    if weights and (not all(0 <= value < float("inf") for value in weights.values()) or not sum(weights.values())):
        raise ConfigError(f"data.source_weights={text!r}: weights are numbers from 0 on, one of them above 0.")
    return weights


def source_shares(config: DataConfig, names: tuple[str, ...], sizes: np.ndarray) -> np.ndarray:
    """The share of rows that each source gets, float64 [sources], summing to 1.

    Args:
      config: its `source_weights`, or else its `source_exponent`, decides (Devlin et al. 2019, multilingual BERT;
        Conneau et al. 2020, arXiv 1911.02116).
      names: of the sources.
      sizes: [sources], what one epoch of each gives; a source of size 0 has nothing to take a share of.

    Raises:
      ConfigError: a weight for a source that is not there, or for one without text.
    """
    weights = given_weights(config.source_weights)
    for name in weights:
        if name not in names:
            raise ConfigError(
                f"data.source_weights names {name!r}, the corpus has {', '.join(names)}.{did_you_mean(name, names)}"
            )
    if weights:
        shares = np.array([weights.get(name, 0.0) for name in names])
        shares[sizes == 0] = 0
        if not shares.any():
            raise ConfigError(f"data.source_weights={config.source_weights!r} takes only sources without text.")
    else:
        shares = np.where(sizes > 0, np.maximum(sizes, 1).astype(np.float64) ** config.source_exponent, 0.0)
    return shares / shares.sum()
