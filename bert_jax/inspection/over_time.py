"""How a model developed: what its attention does and how many directions its layers use, at each kept step of a run."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from etils import epath

from bert_jax.corpus.store import Corpus, open_corpus
from bert_jax.errors import BertJaxError, ConfigError
from bert_jax.inspection.attention import HeadSummaries, TextAttention, head_summaries
from bert_jax.inspection.spectra import isotropy
from bert_jax.loading import load
from bert_jax.pretrained import Pretrained
from bert_jax.reporting.run_record import RunRecord, read_run
from bert_jax.training.workdir.checkpoints import SavedParams

NUM_TEXTS, LONGEST_TEXT = 32, 96  # tokens


@dataclasses.dataclass(frozen=True)
class OverTime:
    """A run at n of its steps. The texts are the same at all of them.

    Attributes:
      run: the records of the run, which hold its scores.
      steps: int64 [n].
      distance: float32 [n, L], how far away each layer looks, in tokens: a mean over heads and texts.
      entropy: float32 [n, L], how broadly, in nats.
      even_distance, even_entropy: those of heads that look evenly at all tokens of these texts.
      effective_rank: float32 [n, L + 1], of the vectors of all tokens, for the embeddings and each layer.
      num_texts, num_tokens: what was looked at.
    """

    run: RunRecord
    steps: np.ndarray
    distance: np.ndarray
    entropy: np.ndarray
    even_distance: float
    even_entropy: float
    effective_rank: np.ndarray
    num_texts: int
    num_tokens: int

    def scores(self, name: str) -> np.ndarray:
        """Returns a held-out score at each step, float64 [n]; not a number where there was no evaluation."""
        logged = dict(zip(*self.run.series(f"eval/{name}"), strict=True))
        return np.array([logged.get(float(step), np.nan) for step in self.steps])


def over_time(
    workdir: epath.PathLike, texts: Sequence[str] | None = None, note: Callable[[str], Any] = lambda line: None
) -> OverTime:
    """Looks at each checkpoint that a run has kept; `train.keep_every` keeps them from its beginning on.

    Args:
      workdir: the folder of the run.
      texts: two or more; None: the beginnings of held-out documents of its corpus. One that is longer than the model
        takes loses its end.
      note: is told what is done.

    Raises:
      BertJaxError: there is no run, it has no checkpoint, or there are no texts.
    """
    run, checkpoints = read_run(workdir), epath.Path(workdir).expanduser() / "checkpoints"
    steps = SavedParams(checkpoints).steps
    found, heads, num_tokens = [], [], 0
    for step in steps:
        note(f"step {step:,}")
        bert = load(workdir, step)
        texts = held_out_texts(bert) if texts is None else texts
        heads = _heads(bert, texts)
        spread = isotropy(bert, texts)
        num_tokens = spread.num_tokens
        means = (np.mean([getattr(one, of) for one in heads], axis=(0, 2)) for of in ("distance", "entropy"))
        found.append((*means, spread.effective_rank))
    distance, entropy, rank = (np.array(each, np.float32) for each in zip(*found, strict=True))
    return OverTime(
        run,
        np.array(steps),
        distance,
        entropy,
        even_distance=float(np.mean([one.even_distance for one in heads])),
        even_entropy=float(np.mean([one.even_entropy for one in heads])),
        effective_rank=rank,
        num_texts=len(texts or ()),
        num_tokens=num_tokens,
    )


def _heads(bert: Pretrained, texts: Sequence[str]) -> list[HeadSummaries]:
    """What the heads do with each text. The maps of no more than a batch are in memory at once."""
    found = []
    for batch, places in bert.packed_texts(list(texts)):
        _, maps = bert.intermediates(batch)
        for row, inside in places:
            pieces = [bert.tokenizer.vocabulary[token] for token in batch["token_ids"][row, inside]]
            found.append(head_summaries(TextAttention(pieces, maps[:, row, :, inside, inside])))
    return found


def held_out_texts(bert: Pretrained, count: int = NUM_TEXTS) -> list[str]:
    """Returns the beginnings of some held-out documents of the corpus that a model was trained on, evenly spread.

    Raises:
      ConfigError: it was not trained on a corpus, or that is gone.
    """
    path = getattr(getattr(bert.run, "data", None), "corpus", "")
    if not path:
        raise ConfigError(
            "This run was not trained on a corpus, which would have held-out texts: give texts (--input)."
        )
    try:
        corpus = open_corpus(path)
    except BertJaxError as error:
        raise ConfigError(f"The held-out texts of this run cannot be read: give texts (--input). {error}") from None
    return _beginnings(corpus, count, min(LONGEST_TEXT, bert.max_tokens - 2))


def _beginnings(corpus: Corpus, count: int, length: int) -> list[str]:
    split = corpus.validation
    chosen = np.unique(np.linspace(0, split.num_documents - 1, count).round().astype(np.int64))
    starts = split.sentence_starts[split.document_starts[chosen]]
    ends = np.minimum(starts + length, split.sentence_starts[split.document_starts[chosen + 1]])
    return [corpus.tokenizer.decode(split.token_ids[a:b].tolist()) for a, b in zip(starts, ends, strict=True)]
