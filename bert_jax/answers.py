"""What a loaded model says: guesses, labels, choices, scores, mentions of entities, answers, summaries, encodings."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Guess:
    """A word for a mask, and its probability."""

    word: str
    probability: float


@dataclasses.dataclass(frozen=True, repr=False)
class Label:
    """What a classifier says about a text.

    Attributes:
      names: the most likely label; if a text may have several, those above one half.
      probabilities: the probability of each label.
    """

    names: tuple[str, ...]
    probabilities: dict[str, float]

    @property
    def name(self) -> str:
        """The label; several are joined by commas."""
        return ", ".join(self.names)

    @property
    def probability(self) -> float:
        """The probability of the most likely label."""
        return max(self.probabilities.values())

    def __repr__(self) -> str:
        return f"Label({self.name!r}, {self.probability:.3f}, one of {len(self.probabilities)})"


@dataclasses.dataclass(frozen=True)
class Choice:
    """The right one of a question's candidates.

    Attributes:
      index: the most likely candidate, from 0.
      probabilities: the probability of each candidate.
    """

    index: int
    probabilities: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class TextScore:
    """The pseudo-log-likelihood of a text (Salazar et al. 2020, arXiv 1910.14659).

    Attributes:
      total: the sum over its tokens of the log-probability of each, in nats, when it alone is masked.
      num_tokens: the number of tokens, without special tokens.
    """

    total: float
    num_tokens: int

    @property
    def per_token(self) -> float:
        """The mean over the tokens; 0 for an empty text."""
        return self.total / max(self.num_tokens, 1)


@dataclasses.dataclass(frozen=True, repr=False)
class Encoding:
    """What the model makes of a text of n tokens, special tokens included.

    Attributes:
      pieces: the n pieces.
      hidden_states: float32 [L + 1, n, H], the output of the embeddings, then of each layer.
      attention_maps: float32 [L, heads, n, n], how much each token (third axis) attends to each other.
    """

    pieces: tuple[str, ...]
    hidden_states: np.ndarray
    attention_maps: np.ndarray

    def __repr__(self) -> str:
        return f"Encoding({len(self.pieces)} pieces, hidden_states {self.hidden_states.shape})"


@dataclasses.dataclass(frozen=True)
class Mention:
    """An entity in a text; or a word, if tags are classes of words such as parts of speech.

    Attributes:
      type: of the entity; the tag of the word.
      text: as it stands in the text; given words are joined by blanks.
      start, end: it is `text[start:end]`; of a list of words, `words[start:end]`.
      score: the probability of the tag, a mean over the words of an entity.
    """

    type: str
    text: str
    start: int
    end: int
    score: float


@dataclasses.dataclass(frozen=True)
class PossibleAnswer:
    """A part of the passage that may be the answer.

    Attributes:
      text: `context[start:end]`.
      start, end: its characters in the passage.
      probability: among all candidates, and "no answer" if that is one.
    """

    text: str
    start: int
    end: int
    probability: float


@dataclasses.dataclass(frozen=True, repr=False)
class Answer:
    """The answer to a question.

    Attributes:
      text: `context[start:end]`; empty if the passage has no answer.
      start, end: its characters in the passage; both 0 if there is no answer.
      probability: of this answer, among all candidates.
      candidates: what may be the answer, the most probable first; they are there even if `text` is empty.
      null_score: how much higher "no answer" scores than the best candidate, in nats; infinite without a candidate.
    """

    text: str
    start: int
    end: int
    probability: float
    candidates: tuple[PossibleAnswer, ...]
    null_score: float

    def __repr__(self) -> str:
        return f"Answer({self.text!r}, {self.probability:.3f}, one of {len(self.candidates)})"


@dataclasses.dataclass(frozen=True, repr=False)
class Summary:
    """Some sentences of a document.

    Attributes:
      sentences: the chosen ones, in the order of the document.
      indices: their places in the document, from 0.
      probabilities: float32 [sentences of the document], how likely each belongs into a summary.
    """

    sentences: tuple[str, ...]
    indices: tuple[int, ...]
    probabilities: np.ndarray

    def __str__(self) -> str:
        return " ".join(self.sentences)

    def __repr__(self) -> str:
        return f"Summary({str(self)!r}, {len(self.indices)} of {len(self.probabilities)} sentences)"
