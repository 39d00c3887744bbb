"""The first documents of each source, read before the work of hours: what can be known of the whole text from them."""

import collections
import dataclasses
import functools
from collections.abc import Callable, Sequence

from bert_jax.corpus import summary
from bert_jax.corpus.builder import reading, text
from bert_jax.corpus.builder.job import Options
from bert_jax.corpus.builder.losses import Losses, LossyTextError, excerpt, unknown_part
from bert_jax.corpus.builder.sources import Source, Unit
from bert_jax.corpus.summary import percent
from bert_jax.tokenization import Tokenizer, WordPieceTokenizer
from bert_jax.tokenization.accents import Marks
from bert_jax.tokenization.normalisation import is_cjk
from bert_jax.tokenization.training import count_words
from bert_jax.tokenization.wordpiece import MAX_WORD_CHARACTERS

# A source is read at the beginning of this many units, about this far.
UNITS, CHARACTERS = 4, 1 << 15
# Removed accents are mentioned above this share of a source's letters.
ACCENTED_SHARE = 0.01


@dataclasses.dataclass(frozen=True)
class FirstDocuments:
    """The first documents of one source: their paragraphs, and what reading changed."""

    source: Source
    lines: list[str]
    losses: Losses

    @functools.cached_property
    def characters(self) -> collections.Counter[str]:
        """How often each character occurs."""
        return collections.Counter("".join(self.lines))

    @functools.cached_property
    def marks(self) -> Marks:
        """What removing accents would do."""
        return Marks.count(self.characters)

    @property
    def is_chinese(self) -> bool:
        """Whether most letters are Chinese characters."""
        return 2 * sum(count for c, count in self.characters.items() if is_cjk(c)) > self.marks.letters


def read(source: Source, units: Sequence[Unit]) -> FirstDocuments:
    """Reads the first documents of some of a source's units.

    Raises:
      CorpusError: a file is damaged, or a record lacks a field.
    """
    losses, kept = Losses(), []
    for unit in units[:: max(1, len(units) // UNITS)][:UNITS]:
        size = 0
        for document in reading.documents(unit, losses.counts):
            document = dataclasses.replace(document, text=document.text[:CHARACTERS])
            losses.add_document(document)
            kept += text.paragraphs(document.text)
            size += len(document.text)
            if size >= CHARACTERS:
                break
    return FirstDocuments(source, kept, losses)


def decide_accents(options: Options, first: Sequence[FirstDocuments]) -> Options:
    """Returns options in which `strip_accents` is decided: see `Options`."""
    if options.tokenizer != "wordpiece" or options.strip_accents is not None or not options.uncased:
        return options
    return dataclasses.replace(options, strip_accents=not any(one.marks.are_letters for one in first))


def check_reading(first: Sequence[FirstDocuments], progress: Callable[[str], None]) -> None:
    """Warns about text that could not be read, or refuses it, as `check_tokens` does."""
    _judge(
        [(one, one.losses.counts | {"characters": one.losses.sizes["characters"], "tokens": 0}) for one in first],
        progress,
    )


def check_tokens(
    first: Sequence[FirstDocuments], tokenizer: Tokenizer | Options, progress: Callable[[str], None]
) -> None:
    """Warns about text that is unknown to a vocabulary, or refuses it.

    Args:
      first: of each source.
      tokenizer: a vocabulary, or how one will be trained.
      progress: is called with each warning.

    Raises:
      LossyTextError: much more than usual is unknown.
    """
    judged = []
    for one in first:
        if isinstance(tokenizer, Tokenizer):
            ids = tokenizer.encode_batch(one.lines)
            tokens, unknown = sum(map(len, ids)), sum(row.count(tokenizer.unk_id) for row in ids)
            lines = (line for line, row in zip(one.lines, ids, strict=True) if tokenizer.unk_id in row)
            part = unknown_part(next(lines), tokenizer) if unknown else ""
        elif tokenizer.tokenizer == "wordpiece":
            words = count_words(one.lines, tokenizer.uncased, tokenizer.strip_accents)
            too_long = {word: n for word, n in words.items() if len(word) > MAX_WORD_CHARACTERS}
            tokens, unknown, part = words.total(), sum(too_long.values()), next(iter(too_long), "")
        else:
            return  # SentencePiece spells any text of frequent characters, and bytes spell any text
        judged.append((one, {"characters": 0, "tokens": tokens, "unknown_tokens": unknown}))
        one.losses.examples["unknown_tokens"] = [{"document": "in the first documents", "text": excerpt(part)}]
    _judge(judged, progress)


def _judge(judged, progress: Callable[[str], None]) -> None:
    refused = []
    for one, numbers in judged:
        warnings, refusals = summary.problems(one.source.name, numbers, one.losses.examples)
        for warning in warnings:
            progress(f"warning: {warning}.")
        refused += refusals
    refuse(refused)


def refuse(reasons: Sequence[str]) -> None:
    """Ends the build if there are reasons to refuse its text.

    Raises:
      LossyTextError: one line for each reason.
    """
    if reasons:
        raise LossyTextError(
            "\n".join(f"{reason}, or build it as it is with --allow_lossy_text." for reason in reasons)
        )


def notes(first: Sequence[FirstDocuments], tokenizer: Tokenizer) -> list[str]:
    """What a user may not expect of WordPiece on this text, in a sentence each."""
    if not isinstance(tokenizer, WordPieceTokenizer):
        return []
    found = []
    if tokenizer.split_cjk and (names := [one.source.name for one in first if one.is_chinese]):
        found.append(
            f"in {', '.join(names)}, each Chinese character is a word of its own to WordPiece, so whole-word masking"
            " masks characters there."
        )
    letters = [one for one in first if one.marks.are_letters]
    shown = ", ".join(
        f"{percent(one.marks.changed / one.marks.letters)} of them in {one.source.name}" for one in letters
    )
    if letters and tokenizer.strip_accents:
        found.append(
            f"the vocabulary removes accents, which drops or changes letters ({shown}); --nostrip_accents or a cased"
            " vocabulary keeps them."
        )
    elif letters and tokenizer.lowercase:
        found.append(
            f"the vocabulary is uncased but keeps accents, because without them letters would be lost ({shown});"
            " --strip_accents removes them."
        )
    if tokenizer.strip_accents:
        found += [
            f"{percent(one.marks.accented_share)} of the letters of {one.source.name} lose an accent, as in BERT's"
            " uncased vocabularies; --nostrip_accents or a cased vocabulary keeps it."
            for one in first
            if one.marks.accented_share > ACCENTED_SHARE
        ]
    return found
