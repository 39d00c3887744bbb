"""Which columns of a table hold the text, the second text, the label, the tokens, the tags, or questions and answers.

A column that the user names is taken. The others are guessed by the names that GLUE, SNLI, SuperGLUE and the data sets
of Hugging Face and TFDS use. Case, blanks, `_` and `-` do not matter: `Sentence 1` is `sentence1`.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from bert_jax.data.tables.record import Record
from bert_jax.errors import CorpusError, did_you_mean, quoted

# Names of one line are equally good; two of them in a table are ambiguous. Earlier lines win.
TEXTS = (
    ("text", "sentence"),
    (
        *("review", "reviewtext", "reviewbody", "content", "comment", "commenttext", "tweet", "post", "message"),
        *("utterance", "utt", "query", "question", "passage", "document", "article", "abstract", "description"),
        *("body", "phrase", "premise", "sentence1", "sentencea", "texta", "text1", "input"),
    ),
    ("title", "headline", "subject"),
)
PAIRS = (
    ("sentence1", "sentence2"),
    ("sentencea", "sentenceb"),
    ("text1", "text2"),
    ("texta", "textb"),
    ("text", "text2"),
    ("text", "textpair"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "passage"),
    ("question", "sentence"),
    ("question", "context"),
    ("question", "answer"),
    ("query", "passage"),
    ("query", "document"),
    ("#1string", "#2string"),  # MRPC's own files
)
LABELS = (
    ("labeltext", "labelname", "goldlabel"),  # names beside numbers; the consensus beside each annotator's label
    ("label", "labels"),
    (
        *("target", "category", "categories", "class", "intent", "sentiment", "polarity", "emotion", "topic", "tag"),
        *("score", "similarity", "similarityscore", "relatednessscore", "entailmentlabel", "entailmentjudgment"),
        *("stars", "star", "starrating", "rating", "overall", "isduplicate", "duplicate", "quality", "gold", "answer"),
    ),
)
TOKENS = (("tokens", "token", "words", "word", "form"),)
TAGS = (
    (
        *("tags", "tag", "nertags", "nertag", "ner", "postags", "postag", "pos", "upos", "xpos", "chunktags", "chunks"),
        *("labels", "label", "entity", "entities"),
    ),
)
PASSAGE_QUESTIONS = (("question", "questiontext", "query", "querytext"),)
PASSAGES = (("context", "contexttext"), ("passage", "passagetext", "paragraph", "document", "article"), ("text",))
PASSAGE_ANSWERS = (("answers",), ("answer", "answertext", "goldanswers"))
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
    roles = {role: name for role, name in {"text": text, "pair": pair, "label": label}.items() if name}
    return Columns(roles, any(roles[role] != named[role] for role in roles), tuple(first.values))


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
    roles = {"tokens": tokens_found} | ({"tags": tags_found} if tags_found else {})
    return Columns(roles, list(roles.values()) != [tokens, tags], tuple(first.values))


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
    for role, tiers, fits, needed in (
        ("question", PASSAGE_QUESTIONS, _is_text, True),
        ("context", PASSAGES, _is_text, True),
        ("answers", PASSAGE_ANSWERS, _is_any, has_answers),
    ):
        taken = {name for name in named.values() if name}
        named[role] = named[role] or _guess(first, role, tiers, taken, fits, needed)
    roles = {role: name for role, name in named.items() if name}
    return Columns(roles, list(roles.values()) != [question, context, answers], tuple(first.values))


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


def _is_any(value: Any) -> bool:
    return True


def _is_list(value: Any) -> bool:
    return isinstance(value, list)
