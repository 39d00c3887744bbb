"""The parts of a report that are specific to pretraining: the corpus, and held-out sentences with filled masks."""

from collections.abc import Mapping, Sequence
from typing import Any

from bert_jax.corpus import summary
from bert_jax.corpus.store import Corpus, open_corpus
from bert_jax.data.batches import Batches
from bert_jax.data.config import DataConfig
from bert_jax.errors import BertJaxError, ConfigError
from bert_jax.markdown import code, plain, table
from bert_jax.tasks.filled_masks import FilledMask, fill_held_out_masks
from bert_jax.tokenization.tokenizer import MASK
from bert_jax.training.task import Report


def pretraining_report(
    data: DataConfig, model: Any | None, epochs: Mapping[str, float], fingerprints: Mapping[str, str]
) -> Report:
    """Returns these parts of a report. It says so if the corpus or the model is no longer available."""
    gone = "" if model else "The run has no readable checkpoint."
    try:
        corpus = _corpus_of(data, fingerprints)
    except BertJaxError as error:
        return Report([f"Corpus: `{data.corpus}`.\n"], _filled_masks([], f"{gone} {error}".strip()))
    filled = fill_held_out_masks(model, corpus) if model else []
    return Report(_corpus(data, corpus, epochs), _filled_masks(filled, gone, corpus.sources))


def _corpus_of(data: DataConfig, fingerprints: Mapping[str, str]) -> Corpus:
    """Opens the corpus at its last known path, and checks that it is the same one."""
    corpus = open_corpus(data.corpus)
    if corpus.fingerprint != fingerprints.get("corpus", corpus.fingerprint).split()[0]:  # of the first phase
        raise ConfigError(f"The corpus in {data.corpus} is not the one that this run was trained on.")
    return corpus


def _corpus(data: DataConfig, corpus: Corpus, epochs: Mapping[str, float]) -> list[str]:
    head = ["source", "training documents", "tokens", "held-out documents", "tokens", "unknown", "tokens a word"]
    head += ["passes in training", "unused in a pass", "from"]
    unused = Batches(corpus.train, corpus.sources, corpus.tokenizer, data, seed=0, batch_size=1).unused
    rows = []
    for source, left in zip(corpus.manifest["sources"], unused, strict=True):
        name = source["name"]
        counts = [f"{source['splits'][s][k]:,}" for s in ("train", "validation") for k in ("documents", "tokens")]
        counts += summary.text_shares(source)
        passes = f"{epochs[name]:.2f}" if name in epochs else ""
        rows.append([name, *counts, passes, f"{100 * left:.1f} %", f"`{source['spec']}`"])
    about = f"fingerprint `{corpus.fingerprint}`, vocabulary of {corpus.tokenizer.vocab_size:,}"
    return ["## Corpus\n", f"`{data.corpus}`, {about}.\n", *table(head, rows, numbers=True)]


def _filled_masks(filled: list[FilledMask], gone: str, sources: Sequence[str] = ()) -> list[str]:
    if not filled:
        return ["## Filled masks\n", f"None. {gone or 'No held-out sentence is suitable.'}\n"]
    right = sum(row.guesses[0][0] == row.answer for row in filled)
    lines = [
        "## Filled masks\n",
        f"Held-out sentences with one word masked, and the model's five guesses, with the correct word in bold. It is"
        f" the first guess in {right} of {len(filled)} sentences.\n",
    ]
    for row in filled:
        guesses = ", ".join(
            f"{f'**{code(word)}**' if word == row.answer else code(word)} {100 * share:.0f} %"
            for word, share in row.guesses
        )
        source = f"{row.source}: " if len(sources) > 1 else ""
        lines += [
            f"- {source}{f'`{MASK}`'.join(map(plain, row.text.split(MASK)))}  ",
            f"  *{plain(row.answer)}*: {guesses}",
        ]
    missing = [name for name in sources if name not in {row.source for row in filled}]
    return [*lines, "", *([f"None from {', '.join(missing)}: no held-out sentence is suitable.\n"] if missing else [])]
