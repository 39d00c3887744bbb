"""How to make examples from a corpus: the config of `batches.py`, and the shares of the sources."""

import dataclasses
import math

import numpy as np

from bert_jax.configuration import setting, split_phases
from bert_jax.data.kinds import KINDS, Kind
from bert_jax.errors import ConfigError, choice_problem, did_you_mean
from bert_jax.training.config import EvalConfig

MASKING = ("token", "whole_word", "span")
MAX_PREFETCH, MAX_TARGETS = 10_000, 100_000_000  # batches, and held-out targets, in memory
_MOVES = "the folder may move; its content is compared by fingerprint"


def _without_corpora(phases: str) -> list[tuple[int, list[str]]]:
    """The phases in the text of `data.phases`, without their corpora."""
    return [
        (start, [change for change in changes.split() if not change.startswith("corpus=")])
        for start, changes in split_phases(phases, "data.phases")
    ]


def _until(phases: str, step: int) -> list[tuple[int, list[str]]]:
    """Those of them that begin before a step."""
    return [(start, changes) for start, changes in _without_corpora(phases) if start < step]


@dataclasses.dataclass
class DataConfig:
    """How to make examples from a corpus."""

    # the folder that experiments.prepare_corpus built
    corpus: str = setting("", may_change=_MOVES)
    sequence_length: int = 128  # S, tokens per row
    # bert: pairs as in the released code; balanced: the same, but pairs with a forced label do not count in the NSP
    # loss; sentence_order: neighbouring segments, swapped or not (ALBERT); full_sentences: one segment, no pairs
    # (RoBERTa); candidates: a segment and its next one as two sequences in a row; the next ones of other rows compete
    examples: str = "bert"
    nsp_temperature: float = 1.0  # candidates: divides the scores, which are inner products of pooled vectors
    nsp_group_size: int = 8  # candidates: how many rows make a group, whose second segments compete
    short_probability: float = 0.1  # share of documents whose examples have a random, shorter length (short_seq_prob)
    # what is masked as a unit: token, whole_word, or span (of words, as in SpanBERT); to WordPiece, each Chinese
    # character is a word
    masking: str = "token"
    mask_rate: float = 0.15  # share of tokens to predict
    mask_share: float = 0.8  # share of the predicted tokens that become [MASK]
    random_share: float = 0.1  # share that become a random token; the rest stay as they are
    max_predictions: int | None = None  # K, predictions per row; none: mask_rate * S, rounded up to a multiple of 4
    max_examples: int | None = None  # N, examples packed into a row; 1: no packing; none: S / 32
    source_weights: str = ""  # share of rows per source, as in en=0.7,de=0.3; empty: by size and source_exponent
    source_exponent: float = 1.0  # share ~ size ** exponent; 1: by size, 0.7: as in multilingual BERT, 0: all equal
    # changes at given steps, as in 90000: sequence_length=512 batch_size=64; 95000: mask_rate=0.1
    phases: str = setting(
        "", may_change="the folder of a corpus in it, as for data.corpus", fixed=_without_corpora, until=_until
    )
    # rows per step at first, if they grow to train.batch_size; each size is held equally long, and compiled once; none:
    # they do not grow
    ramp_from: int | None = None
    ramp_increment: int | None = None  # the rows that each size has more than the one before; none: ramp_from
    ramp_steps: int = 0  # steps until there are train.batch_size rows
    prefetch: int = setting(2, may_change="waiting only")  # batches prepared ahead, in a thread

    @property
    def kind(self) -> Kind:
        """The kind of examples.

        Raises:
          ConfigError: there is no such kind.
        """
        if problems := choice_problem("data.examples", self.examples, KINDS):
            raise ConfigError(*problems)
        return KINDS[self.examples]

    @property
    def row_predictions(self) -> int:
        """K."""
        if self.max_predictions is not None:
            return self.max_predictions
        # Two sequences round up separately.
        most = int(np.ceil(self.mask_rate * self.sequence_length)) + self.kind.is_split
        return -(-most // 4) * 4

    @property
    def row_examples(self) -> int:
        """N."""
        if self.kind.is_split:
            return 2
        return max(1, self.sequence_length // 32) if self.max_examples is None else self.max_examples

    @property
    def example_predictions(self) -> int:
        """The most predictions in one example. The two examples of a split pair share a given `max_predictions`."""
        halved = self.kind.is_split and self.max_predictions is not None
        return self.row_predictions // 2 if halved else self.row_predictions

    @property
    def group_rows(self) -> int:
        """The size of groups of rows that no device, process or microbatch may split."""
        return self.nsp_group_size if self.kind.is_split else 1

    def problems(self) -> list[str]:
        """Error messages about values that cannot work."""
        found = []
        if not 8 <= self.sequence_length <= 1 << 16:  # room for a pair; `masking.py` has 16 bits for positions
            found.append(f"data.sequence_length={self.sequence_length} must lie between 8 and {1 << 16}.")
        for name, choices in (("examples", KINDS), ("masking", MASKING)):
            found += choice_problem(f"data.{name}", getattr(self, name), choices)
        if not 0 < self.mask_rate < 1:
            found.append(f"data.mask_rate={self.mask_rate} must lie between 0 and 1.")
        for name in ("short_probability", "mask_share", "random_share", "source_exponent"):
            if not 0 <= (value := getattr(self, name)) <= 1:
                found.append(f"data.{name}={value} must lie between 0 and 1.")
        if self.mask_share + self.random_share > 1 + 1e-9:
            found.append(
                f"data.mask_share={self.mask_share} and data.random_share={self.random_share} must sum to at most 1."
            )
        for name, most in (("max_predictions", self.sequence_length), ("max_examples", self.sequence_length)):
            if (value := getattr(self, name)) is not None and not 1 <= value <= most:
                found.append(f"data.{name}={value} must lie between 1 and data.sequence_length={most}.")
        if not 1 <= self.prefetch <= MAX_PREFETCH:
            found.append(f"data.prefetch={self.prefetch} must lie between 1 and {MAX_PREFETCH}.")
        if not 0 < self.nsp_temperature < math.inf:
            found.append(f"data.nsp_temperature={self.nsp_temperature} must be above 0 and finite.")
        if self.nsp_group_size < 2:
            found.append(
                f"data.nsp_group_size={self.nsp_group_size} must be at least 2: a single candidate is no choice."
            )
        if self.examples in KINDS and self.kind.is_split and self.row_predictions < 2:
            found.append(
                f"data.max_predictions={self.max_predictions} must be at least 2, because a row holds two sequences."
            )
        try:
            given_weights(self.source_weights)
        except ConfigError as error:
            found.append(str(error))
        return found


@dataclasses.dataclass
class HeldOutConfig(EvalConfig):
    """The fixed held-out set, and when to score it.

    The set depends on the corpus, this section, `data.examples`, `data.sequence_length` and `data.nsp_group_size`. Its
    sources have the shares of their held-out text.
    """

    num_targets: int = 20_000  # masked tokens in the set; its last row (candidates: group of rows) may exceed it
    mask_rate: float = 0.15  # share of tokens to predict; independent of data.mask_rate, so that runs compare
    seed: int = 0  # of the pairs and masks; use the same seed for runs you want to compare
    # another corpus with the same vocabulary, whose held-out set is scored, too, as eval/eval_corpus_…: the old text of
    # a run with train.init_from, to see what the new text costs there
    corpus: str = setting("", may_change=_MOVES, fixed=bool)

    def problems(self) -> list[str]:
        """Error messages about values that cannot work."""
        found = super().problems()
        if not 0 < self.num_targets <= MAX_TARGETS:
            found.append(f"eval.num_targets={self.num_targets} must lie between 1 and {MAX_TARGETS}.")
        if not 0 < self.mask_rate < 1:
            found.append(f"eval.mask_rate={self.mask_rate} must lie between 0 and 1.")
        if not 0 <= self.seed < 2**31:
            found.append(f"eval.seed={self.seed} must lie between 0 and 2**31.")
        return found


def given_weights(text: str) -> dict[str, float]:
    """Parses `en=0.7,de=0.3` into a dictionary, which is empty for empty text.

    Raises:
      ConfigError: the text does not have this form, or no weight is above 0.
    """
    weights = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = part.partition("=")
        try:
            weights[name.strip()] = float(value)
        except ValueError:
            raise ConfigError(f"data.source_weights={text!r} is not of the form en=0.7,de=0.3.") from None
    if weights and (not all(0 <= value < float("inf") for value in weights.values()) or not sum(weights.values())):
        raise ConfigError(
            f"data.source_weights={text!r}: weights must be finite and at least 0, and one of them above 0."
        )
    return weights


def source_shares(config: DataConfig, names: tuple[str, ...], sizes: np.ndarray) -> np.ndarray:
    """Computes the share of rows of each source, float64 [sources], summing to 1.

    Args:
      config: `source_weights` or, if that is empty, `source_exponent` decides (Devlin et al. 2019, multilingual BERT;
        Conneau et al. 2020, arXiv 1911.02116).
      names: of the sources.
      sizes: [sources], the rows in one epoch of each source; a source of size 0 gets no share.

    Raises:
      ConfigError: a weight names an unknown source, or all weights are for sources without text.
    """
    weights = given_weights(config.source_weights)
    for name in weights:
        if name not in names:
            raise ConfigError(
                f"data.source_weights names {name!r}, but the corpus has {', '.join(names)}.{did_you_mean(name, names)}"
            )
    if weights:
        shares = np.array([weights.get(name, 0.0) for name in names])
        shares[sizes == 0] = 0
        if not shares.any():
            raise ConfigError(f"data.source_weights={config.source_weights!r} selects only sources without text.")
    else:
        shares = np.where(sizes > 0, np.maximum(sizes, 1).astype(np.float64) ** config.source_exponent, 0.0)
    return shares / shares.sum()
