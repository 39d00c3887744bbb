"""Sentences with a tag for each word, from files of any form, in the scheme that a model learns."""

import collections
import dataclasses
import itertools
from collections.abc import Iterator, Sequence

from etils import epath

from bert_jax.configuration import setting
from bert_jax.data.character_spans import span_columns, spans_as_tags
from bert_jax.data.labelled_files import WindowedConfig
from bert_jax.data.tables import Record, read_table, read_tagged, tagged_columns, tagged_problem, text_columns
from bert_jax.data.tables.tables import find, suffix
from bert_jax.data.tables.tagged import LIST_FORMS
from bert_jax.data.tables.tfds import PREFIX
from bert_jax.data.words import split_words
from bert_jax.errors import CorpusError, choice_problem, did_you_mean, quoted
from bert_jax.objectives import entities, tags
from bert_jax.objectives.tags import BARE, LETTERS, OUTSIDE, Violation

FIRST, ALL = "first", "all"


@dataclasses.dataclass
class TaggedTextsConfig(WindowedConfig):
    """Sentences with a tag for each word."""

    token_column: str = ""  # column of the words, by number from 1 or by name; empty: guessed, and told
    tag_column: str = ""  # column of the tags; empty: guessed
    # scheme of the tags in the files: iob1, iob2, bioes, bilou, or bare (each tag a class by itself); none: told from
    # those of the training file
    file_scheme: str | None = setting(None, chosen=True)
    scheme: str | None = setting(None, chosen=True)  # the scheme that is learned; none: that of the files
    # whether to rewrite tags that break the rules of their scheme, as conlleval reads them, and count them; else the
    # first one ends the run
    repair: bool = False
    tag_pieces: str = FIRST  # pieces of a word that learn its tag: first or all; the first decides what is predicted
    strict: bool = False  # score only entities whose tags keep to the scheme; else as conlleval reads them

    def problems(self) -> list[str]:
        """Error messages about values that cannot work."""
        found = super().problems() + choice_problem("data.tag_pieces", self.tag_pieces, (FIRST, ALL))
        for name in ("file_scheme", "scheme"):
            if (value := getattr(self, name)) is not None:
                found += choice_problem(f"data.{name}", value, LETTERS)
        if self.scheme and self.file_scheme and (self.scheme == BARE) != (self.file_scheme == BARE):
            found.append(
                f"data.scheme={self.scheme} cannot be made of data.file_scheme={self.file_scheme}: bare tags mark no"
                " entities."
            )
        return found

    def form_problem(self, name: str, path: str) -> list[str]:
        return tagged_problem(name, path)


@dataclasses.dataclass(frozen=True)
class TaggedSentence:
    """A sentence of a file.

    Attributes:
      words: its words.
      tags: those of the file; None if they are unknown.
      text: the text that was split into words; None if the file has words.
      where: its place for error messages.
    """

    words: tuple[str, ...]
    tags: tuple[str, ...] | None
    text: str | None
    where: str


def read_sentences(
    path: epath.PathLike, config: TaggedTextsConfig, lines: list[str], labelled: bool = True
) -> Iterator[TaggedSentence]:
    """Yields the sentences of a file, in order.

    Args:
      path: see `tables.read_tagged`. Without labels, also a file of texts: `.txt` with one on each line, or a table.
      config: names the columns.
      lines: lines for the log are appended to it: which columns are read.
      labelled: whether each word must have a tag; else tags are not read.

    Raises:
      CorpusError: the file cannot be read, or words and tags differ in number.
    """
    if not labelled and (column := _text_column(str(path), config.token_column)):
        for record in read_table(path):
            text = record.values.get(column)
            if not isinstance(text, str):
                raise CorpusError(f"{record.where}: {quoted(column)} is no text: mend the row, or remove it.")
            yield TaggedSentence(words_of(text), None, text, record.where)
        return
    if labelled and (spans := _span_columns(str(path), config)):
        yield from _of_spans(path, *spans, lines)
        return
    columns = (config.token_column, config.tag_column if labelled else "", labelled)
    if (line := tagged_columns(path, *columns).line) not in lines:
        lines.append(line)
    for record in read_tagged(path, *columns):
        found = tuple(record.values["tags"]) if labelled else None
        yield TaggedSentence(tuple(record.values["tokens"]), found, None, record.where)


def words_of(text: str) -> tuple[str, ...]:
    """Returns the words of a plain text; see `words.split_words`."""
    return tuple(text[word.start : word.end] for word in split_words(text))


def _text_column(path: str, named: str) -> str:
    """The column of texts in a file of new texts; empty if the file has words."""
    if not (first := _first_row(path)):
        return "text" if not path.startswith(PREFIX) and suffix(find(path)[0]) == ".txt" else ""
    if isinstance(first.values.get(named), str):
        return named
    if any(isinstance(value, list) for value in first.values.values()) and not span_columns(first):
        return ""
    return text_columns(first, has_label=False).roles["text"]


def _span_columns(path: str, config: TaggedTextsConfig) -> tuple[str, str] | None:
    first = _first_row(path)
    return span_columns(first, config.token_column, config.tag_column) if first else None


def _first_row(path: str) -> Record | None:
    """The first row of a table; None if the file has a token on each line."""
    file = path if path.startswith(PREFIX) else find(path)[0]
    return next(read_table(file)) if file.startswith(PREFIX) or suffix(file) in LIST_FORMS else None


def _of_spans(path: epath.PathLike, text: str, spans: str, lines: list[str]) -> Iterator[TaggedSentence]:
    if (line := f"columns      text={text}, spans of characters={spans}") not in lines:
        lines.append(line)
    total = 0
    for record in read_table(path):
        words, found, widened = spans_as_tags(record, text, spans)
        total += widened
        yield TaggedSentence(words, found, record.values[text], record.where)
    if total:
        lines.append(f"widened      entities of {path} that begin or end within a word, to whole words: {total:,}")


def tell_scheme(sentences: Sequence[TaggedSentence], path: str) -> str:
    """Returns the scheme of the tags of a training file.

    Raises:
      CorpusError: they are of no scheme that is known.
    """
    given = [one.tags or () for one in sentences]
    if found := tags.unreadable(given):
        raise CorpusError(
            f"{_place(sentences[found.sentence], found.word)}: {found.problem}: spell all tags so, or give"
            " data.file_scheme=bare if each tag is a class by itself."
        )
    try:
        return tags.detect(given)
    except CorpusError as error:
        raise CorpusError(f"{path}: {error}") from None


def tag_names(sentences: Sequence[TaggedSentence], scheme: str) -> list[str]:
    """Returns the tags to learn, sorted: of a scheme with entities, each of its letters for each type, and `O`."""
    known = {tag for one in sentences for tag in one.tags or ()}
    if scheme == BARE:
        return sorted(known)
    types = {found.type for tag in known if (found := tags.read(tag)) and found.letter != OUTSIDE}
    return sorted({OUTSIDE} | {f"{letter}-{kind}" if kind else letter for letter in LETTERS[scheme] for kind in types})


def learned_tags(
    sentences: Sequence[TaggedSentence], config: TaggedTextsConfig, what: str, lines: list[str]
) -> list[list[str]]:
    """Checks the tags of sentences, repairs them if `config.repair`, and writes them in the scheme to be learned.

    Args:
      sentences: with tags.
      config: its schemes are known.
      what: the split, for the log.
      lines: lines for the log are appended to it.

    Raises:
      CorpusError: a tag breaks the rules of the scheme of the files; says where.
    """
    source, target = config.file_scheme or BARE, config.scheme or config.file_scheme or BARE
    given = [list(one.tags or ()) for one in sentences]
    if config.repair and source != BARE:
        _refuse(sentences, [one for one in tags.check(given, source) if not tags.read(_at(given, one))], source, "")
        given, count = entities.repair(given, source)
        if count:
            lines.append(f"repaired     {count:,} {what} tags that break the rules of {source}")
    else:
        _refuse(sentences, tags.check(given, source), source, ", or give data.repair=true")
    return given if source == target else entities.convert(given, source, target)


def _at(given: Sequence[Sequence[str]], place: Violation) -> str:
    return given[place.sentence][place.word]


def _refuse(sentences: Sequence[TaggedSentence], found: list[Violation], scheme: str, remedy: str) -> None:
    if found:
        first = found[0]
        place = _place(sentences[first.sentence], first.word)
        more = f", the first of {len(found):,} such faults" if len(found) > 1 else ""
        remedy = "" if scheme == BARE else remedy
        raise CorpusError(f"{place} is not {scheme}: {first.problem}{more}: correct it{remedy}.")


def tag_ids(sentences: Sequence[TaggedSentence], written: Sequence[Sequence[str]], names: Sequence[str]) -> list[int]:
    """Returns the index of the tag of each word in `names`.

    Raises:
      CorpusError: a tag is none of them; says where.
    """
    places = {name: i for i, name in enumerate(names)}
    for one, given in zip(sentences, written, strict=True):
        for i, tag in enumerate(given):
            if tag not in places:
                raise CorpusError(
                    f"{_place(one, i)}: the tag {quoted(tag)} does not occur in the training file: correct it, or add"
                    f" examples of it there.{did_you_mean(tag, names)}"
                )
    return [places[tag] for tag in itertools.chain(*written)]


def _place(sentence: TaggedSentence, word: int) -> str:
    return f"{sentence.where}, word {word + 1} ({quoted(sentence.words[word])})"


def describe_tags(written: Sequence[Sequence[str]], scheme: str, names: Sequence[str]) -> str:
    """Says in a line for the log what there is to learn."""
    if scheme == BARE:
        counts = collections.Counter(itertools.chain(*written))
        what = f"{len(names)} tags"
    else:
        counts = collections.Counter(one.type for tags in written for one in entities.entities(tags))
        what = f"{scheme}, {sum(counts.values()):,} entities of {len(counts)} types"
    shown = ", ".join(f"{name} {count:,}" for name, count in counts.most_common(8))
    return f"tags         {what}: {shown}{', …' if len(counts) > 8 else ''}"
