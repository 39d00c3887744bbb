"""Which columns of a table hold the text, the second text, the label, the tokens, the tags, or questions and answers.

A column that the user names is taken. The others are guessed by the usual names of `column_names.py`. Case, blanks, `_`
and `-` do not matter: `Sentence 1` is `sentence1`.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from bert_jax.data.tables.column_names import (
    CANDIDATE,
    CANDIDATES,
    CHOICE_ANSWERS,
    CHOICE_CONTEXTS,
    CHOICE_QUESTIONS,
    DOCUMENTS,
    LABELS,
    NEGATIVES,
    PAIRS,
    PASSAGE_ANSWERS,
    PASSAGE_QUESTIONS,
    PASSAGES,
    SENTENCE_LABELS,
    SUMMARIES,
    TAGS,
    TEXTS,
    TOKENS,
)
from bert_jax.data.tables.record import Record
from bert_jax.errors import CorpusError, did_you_mean, quoted

SHOWN = 20  # columns in a message


@dataclasses.dataclass(frozen=True)
class Columns:
    """The columns of a table that are used, by what they hold.

    Attributes:
      roles: the name of the column of each role, such as {"text": "review", "label": "sentiment"}.
      guessed: whether any of them is a guess.
      known: all columns of the table.
    """

    roles: dict[str, str]
    guessed: bool
    known: tuple[str, ...]

    @property
    def line(self) -> str:
        """For the opening lines of a run."""
        roles = ", ".join(f"{role}={name}" for role, name in self.roles.items())
        guess = f" (guessed from {_shown(self.known)})" if self.guessed else ""
        return f"columns      {roles}{guess}"


def with_roles(
    records: Iterable[Record], find: Callable[[Record], Columns], lines: list[str]
) -> Iterator[tuple[Record, dict[str, str]]]:
    """Yields records with the columns of their roles, which are found in the first record.

    Args:
      records: of one table.
      find: finds the columns.
      lines: which they are is appended to it, unless it has been told.
    """
    roles: dict[str, str] = {}
    for record in records:
        if not roles:
            columns = find(record)
            roles = columns.roles
            if columns.line not in lines:
                lines.append(columns.line)
        yield record, roles


def text_columns(first: Record, text: str = "", pair: str = "", label: str = "", has_label: bool = True) -> Columns:
    """Finds the columns of texts or pairs and their labels: the roles `text`, `pair` and `label`.

    The pair is there if the table has one, but not if the text alone is named: that asks for single texts. A label is
    text, a number, a truth value or a list of labels, so that a column of other values is no guess.

    Args:
      first: the first record of the table.
      text: the column of the text; empty: guess it, like the others.
      pair: the column of the second text.
      label: the column of the label or score.
      has_label: whether there must be a label; without, it is left out where it cannot be found.

    Raises:
      CorpusError: a named column is missing; a column cannot be guessed, or several may be meant.
    """
    named = {"text": text, "pair": pair, "label": label}
    _check_named(first, named)
    label = label or _guess(first, "label", LABELS, {text, pair}, _is_label, has_label)
    if not text:
        pairs = _pairs(first, {name for name in _of_kind(first, _is_text) if name != label}, pair)
        if len(pairs) > 1:
            raise _ambiguous(first, [" and ".join(map(quoted, both)) for both in pairs], "the pair", "text")
        if pairs:
            text, pair = pairs[0]
        else:
            text = _guess(first, "text", TEXTS, {pair, label}, _is_text, True)
    return _columns(first, named, {"text": text, "pair": pair, "label": label})


def token_columns(first: Record, tokens: str = "", tags: str = "", has_tags: bool = True) -> Columns:
    """Finds the columns of lists of tokens and of their tags: the roles `tokens` and `tags`.

    Args:
      first: the first record of the table.
      tokens: the column of the tokens; empty: guess it, like the tags.
      tags: the column of the tags.
      has_tags: whether there must be tags; without, they are left out where they cannot be found.

    Raises:
      CorpusError: as in `text_columns`.
    """
    _check_named(first, {"token": tokens, "tag": tags})
    tokens_found = tokens or _guess(first, "token", TOKENS, {tags}, _is_list, True)
    tags_found = tags or _guess(first, "tag", TAGS, {tokens_found}, _is_list, has_tags)
    return _columns(first, {"tokens": tokens, "tags": tags}, {"tokens": tokens_found, "tags": tags_found})


def related_columns(first: Record, text: str = "", pair: str = "", negative: str = "", label: str = "") -> Columns:
    """Finds the columns of texts that belong together: the roles `text`, `pair`, `negative` and `label`.

    The text is always there, the others where the table has them. A text that is named alone asks for single texts.

    Args:
      first: the first record of the table.
      text: the column of the text; empty: guess it, like the others.
      pair: the column of a text that belongs to it.
      negative: the column of a text that does not.
      label: the column of a label or a number that says how the two belong together.

    Raises:
      CorpusError: as in `text_columns`.
    """
    named = {"text": text, "pair": pair, "negative": negative, "label": label}
    _check_named(first, named)
    texts = set(_of_kind(first, _is_text)) - {negative, label}
    pairs = [] if text else _pairs(first, texts, pair)
    if len(pairs) > 1:
        raise _ambiguous(first, [" and ".join(map(quoted, both)) for both in pairs], "the pair", "text")
    if pairs:
        text, pair = pairs[0]
    elif not text:
        text = _guess(first, "text", TEXTS, {pair, negative, label}, _is_text, True)
    if pair:
        negative = negative or _guess(first, "negative", NEGATIVES, {text, pair, label}, _is_text, False)
        # The answer to a question says nothing of how it belongs to its passage.
        taken = {text, pair, negative} | {name for name in first.values if plain(name) == "answer"}
        label = label or _guess(first, "label", LABELS, taken, _is_label, False)
    found = {"text": text, "pair": pair, "negative": negative, "label": label}
    return _columns(first, named, found)


def document_columns(
    first: Record, document: str = "", summary: str = "", sentence_label: str = "", has_summary: bool = True
) -> Columns:
    """Finds the columns of documents and their summaries: the roles `document`, `summary` and `sentence_label`.

    Args:
      first: the first record of the table.
      document: the column of the text, or of the list of sentences; empty: guess it, like the others.
      summary: the column of the summary, or of a list of several ones.
      sentence_label: the column of a list of numbers, one for each sentence; left out where there is none.
      has_summary: whether there must be a summary; without, it and the labels are left out.

    Raises:
      CorpusError: as in `text_columns`.
    """
    named = {"document": document, "summary": summary, "sentence_label": sentence_label}
    _check_named(first, named)
    fits = _is_text_or_list
    document = document or _guess(first, "document", DOCUMENTS, {summary, sentence_label}, fits, True)
    if has_summary:
        summary = summary or _guess(first, "summary", SUMMARIES, {document, sentence_label}, fits, True)
        taken = {document, summary}
        sentence_label = sentence_label or _guess(first, "sentence_label", SENTENCE_LABELS, taken, _is_list, False)
    found = {"document": document, "summary": summary, "sentence_label": sentence_label}
    return _columns(first, named, found)


def choice_columns(
    first: Record,
    question: str = "",
    context: str = "",
    candidates: str = "",
    answer: str = "",
    has_answer: bool = True,
) -> Columns:
    """Finds the columns of questions with candidates: the roles `context`, `question`, `candidates` and `answer`.

    Args:
      first: the first record of the table.
      question: the column of the question, or of what is to be continued; empty: guess it, like the others.
      context: the column of a text that stands before the question; left out where there is none, or where the question
        is named.
      candidates: the column of the list of candidates, or the columns of the candidates, separated by commas.
      answer: the column of the right candidate.
      has_answer: whether there must be an answer; without, it is left out.

    Raises:
      CorpusError: as in `text_columns`.
    """
    named = {"context": context, "question": question, "candidates": candidates, "answer": answer}
    _check_named(first, {role: name for role, name in named.items() if role != "candidates"})
    if not candidates:
        single = [name for name in first.values if CANDIDATE.fullmatch(plain(name)) and name not in named.values()]
        taken = {question, context, answer}
        found = _guess(first, "candidates", CANDIDATES, taken, _is_list_or_dictionary, len(single) < 2)
        candidates = found or ",".join(single)
    several = candidates.split(",") if candidates not in first.values else [candidates]
    for name in several:
        _check_named(first, {"candidates": name})
    if has_answer and not answer:
        answer = _guess(first, "answer", CHOICE_ANSWERS, {question, context, *several}, _is_label, True)
    if not question:
        question = _guess(first, "question", CHOICE_QUESTIONS, {context, answer, *several}, _is_text, True)
        context = context or _guess(first, "context", CHOICE_CONTEXTS, {question, answer, *several}, _is_text, False)
    found = {"context": context, "question": question, "candidates": candidates, "answer": answer}
    return _columns(first, named, found)


def passage_columns(
    first: Record, question: str = "", context: str = "", answers: str = "", has_answers: bool = True
) -> Columns:
    """Finds the columns of questions, of the passages they are about, and of their answers.

    The roles are `question`, `context` and `answers`.

    Args:
      first: the first record of the table.
      question: the column of the question; empty: guess it, like the others.
      context: the column of the passage.
      answers: the column of the answers.
      has_answers: whether there must be answers; without, they are left out where they cannot be found.

    Raises:
      CorpusError: as in `text_columns`.
    """
    named = {"question": question, "context": context, "answers": answers}
    _check_named(first, named)
    found = dict(named)
    for role, tiers, fits, needed in (
        ("question", PASSAGE_QUESTIONS, _is_text, True),
        ("context", PASSAGES, _is_text, True),
        ("answers", PASSAGE_ANSWERS, _is_any, has_answers),
    ):
        found[role] = found[role] or _guess(first, role, tiers, set(found.values()), fits, needed)
    return _columns(first, named, found)


def _columns(first: Record, named: dict[str, str], found: dict[str, str]) -> Columns:
    """The columns that are there, given those that the user names and those that are found, by role."""
    roles = {role: name for role, name in found.items() if name}
    return Columns(roles, any(name != named[role] for role, name in roles.items()), tuple(first.values))


def _check_named(first: Record, named: dict[str, str]) -> None:
    for role, name in named.items():
        if name and name not in first.values:
            near = did_you_mean(name, first.values)
            raise CorpusError(
                f"{first.where} has no column {quoted(name)}, only {_shown(first.values)}: correct data.{role}_column."
                f"{near}"
            )
    if twice := [name for name in named.values() if name and list(named.values()).count(name) > 1]:
        fields = " and ".join(f"data.{role}_column" for role, name in named.items() if name == twice[0])
        raise CorpusError(f"{fields} are both {quoted(twice[0])}: name two columns, or leave one empty.")


def _pairs(first: Record, is_text: set[str], pair: str) -> list[tuple[str, str]]:
    """The columns whose names belong together; with the second column `pair`, if that is named."""
    found = []
    for names in PAIRS:
        one, two = (sorted(name for name in is_text if plain(name) == wanted) for wanted in names)
        found += [(a, b) for a in one for b in two if pair in ("", b)]
    return found


def _guess(
    first: Record,
    role: str,
    tiers: Sequence[Iterable[str]],
    taken: set[str],
    fits: Callable[[Any], bool],
    needed: bool,
) -> str:
    """The column for a role whose values fit; empty if none is needed and it is not clear which."""
    free = [name for name in _of_kind(first, fits) if name not in taken]
    for tier in tiers:
        found = [name for name in free if plain(name) in tier]
        if len(found) == 1:
            return found[0]
        if found and needed:
            raise _ambiguous(first, list(map(quoted, found)), f"the {role}", role)
        if found:
            return ""
    if not needed:
        return ""
    header = "" if len(first.values) > 3 else ", or add a first line with names if the file has none"
    raise CorpusError(
        f"{first.where}: no column has a name that is usual for the {role} (the columns are {_shown(first.values)}):"
        f" name it by data.{role}_column{header}."
    )


def _ambiguous(first: Record, found: list[str], what: str, role: str) -> CorpusError:
    return CorpusError(
        f"{first.where}: {' or '.join(found)} may be {what} (the columns are {_shown(first.values)}): choose by"
        f" data.{role}_column."
    )


def plain(name: str) -> str:
    """Returns the name of a column as it is compared."""
    return re.sub(r"[\s_.-]", "", name.casefold())


def _shown(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(name if re.fullmatch(r"\w[\w .#-]{0,40}", name) else quoted(name) for name in names[:SHOWN]) + more


def _of_kind(first: Record, fits: Callable[[Any], bool]) -> list[str]:
    return [name for name, value in first.values.items() if value is None or fits(value)]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_label(value: Any) -> bool:
    return isinstance(value, str | int | float) or (_is_list(value) and not any(isinstance(v, dict) for v in value))


def _is_text_or_list(value: Any) -> bool:
    return _is_text(value) or _is_list(value)


def _is_list_or_dictionary(value: Any) -> bool:
    return isinstance(value, list | dict)


def _is_any(value: Any) -> bool:
    return True


def _is_list(value: Any) -> bool:
    return isinstance(value, list)
