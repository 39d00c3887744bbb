"""Texts that belong together, from tables and from SQuAD's files: pairs, triplets, pairs with a label or a number."""

import dataclasses
from collections.abc import Iterator, Mapping

from etils import epath

from bert_jax.data.labelled_files import LabelledConfig, label_name, number
from bert_jax.data.tables import Columns, Record, read_questions, related_columns
from bert_jax.data.tables.columns import plain
from bert_jax.errors import ConfigError, CorpusError, choice_problem, quoted

TEXTS, PAIRS, TRIPLETS, LABELS, NUMBERS = FORMS = ("texts", "pairs", "triplets", "labels", "numbers")
MEANINGS = {
    TEXTS: "single texts",
    PAIRS: "pairs that belong together",
    TRIPLETS: "pairs that belong together, and a hard negative for each",
    LABELS: "pairs with labels",
    NUMBERS: "pairs with a number for their similarity",
}


@dataclasses.dataclass
class RelatedTextsConfig(LabelledConfig):
    """Texts that belong together, and how their files say so."""

    # what the rows of the training file are: texts, pairs, triplets, labels or numbers; empty: guessed, and told
    form: str = ""
    held_out_form: str = ""  # the same of the validation and test files: pairs, triplets, labels or numbers
    text_column: str = ""  # column of the text; empty: guessed from the usual names, and told
    pair_column: str = ""  # column of the text that belongs to it; empty: guessed; none if data.text_column is given
    negative_column: str = ""  # column of a text that does not; empty: guessed
    label_column: str = ""  # column of the label or number; empty: guessed
    # labels: how similar the texts of a pair are by its label. In training, 1 belongs together, 0 is a hard negative,
    # and others do not count; rows with labels that are not named are left out and counted
    label_values: str = "entailment=1,neutral=0.5,contradiction=0"

    def problems(self) -> list[str]:
        found = super().problems()
        for name, forms in (("form", FORMS), ("held_out_form", FORMS[1:])):
            found += choice_problem(f"data.{name}", getattr(self, name), ("", *forms))
        try:
            values = label_values(self.label_values)
            if 1 not in values.values():
                found.append(f"data.label_values={self.label_values!r} has no label with the value 1: give one.")
        except ConfigError as error:
            found.append(str(error))
        if self.row_examples < 2:
            found.append(
                f"data.max_examples={self.row_examples} has no room for the texts of a pair, which share a row: give at"
                " least 2, or 3 with hard negatives."
            )
        return found

    def told_form(self, path: str) -> str:
        """Returns the form that a file is said to have; empty if it is to be guessed."""
        return self.form if path == self.train else self.held_out_form


@dataclasses.dataclass(frozen=True)
class RelatedTexts:
    """One row of a file.

    Attributes:
      text: the text.
      pair: the second text; None if the row has a text alone.
      negative: a text that does not belong to it; None if there is none.
      similarity: how similar `text` and `pair` are, if the row says so.
      has_label: whether that is from a label.
      where: its place for error messages.
    """

    text: str
    pair: str | None
    negative: str | None
    similarity: float | None
    has_label: bool
    where: str


def label_values(text: str) -> dict[str, float]:
    """Parses `entailment=1,neutral=0.5`.

    Raises:
      ConfigError: the text has another form, or a value is not from 0 to 1.
    """
    found = {}
    for part in text.split(","):
        name, _, value = part.rpartition("=")
        try:
            found[name.strip()] = float(value)
        except ValueError:
            found[""] = 0.0
        if "" in found or not 0 <= found[name.strip()] <= 1:
            form = "entailment=1,neutral=0.5,contradiction=0"
            raise ConfigError(f"data.label_values={text!r} is not of the form {form}.")
    return found


def read_related(
    path: epath.PathLike, config: RelatedTextsConfig, lines: list[str], labelled: bool = True
) -> Iterator[RelatedTexts]:
    """Yields the rows of a file, in order. Questions of SQuAD's files that have no answer are left out.

    Args:
      path: see `tables.read_questions`.
      config: names the columns, and what they say.
      lines: lines for the log are appended to it: which columns are read and, at the end, what was left out.
      labelled: False if labels, numbers and negatives are not read.

    Raises:
      CorpusError: the file cannot be read, a row lacks a value, or a text is empty.
    """
    form, roles, values = "", {}, label_values(config.label_values)
    unanswerable, count, other = 0, 0, {}
    for record in read_questions(path):
        if not form:
            columns = related_columns(
                record, config.text_column, config.pair_column, config.negative_column, config.label_column
            )
            form = _form(record, columns, config.told_form(str(path)), str(path) == config.train)
            form = form if labelled else (PAIRS if "pair" in columns.roles else TEXTS)
            roles = columns.roles
            used = Columns({role: roles[role] for role in _ROLES[form]}, columns.guessed, columns.known)
            for line in (used.line, f"form         {MEANINGS[form]} ({path})"):
                lines += [line] if line not in lines else []
        if record.values.get("is_impossible") is True:
            unanswerable += 1
            continue
        similarity = None
        if form == NUMBERS:
            similarity = number(record.values.get(roles["label"]), record.where)
        elif form == LABELS:
            label = label_name(record.values.get(roles["label"]))
            if label not in values:
                other[label] = other.get(label, 0) + 1
                continue
            similarity = values[label]
        found = {role: record.text(roles[role]) for role in _ROLES[form] if role != "label"}
        row = RelatedTexts(
            found["text"], found.get("pair"), found.get("negative"), similarity, form == LABELS, record.where
        )
        if row.negative is not None and row.negative in (row.text, row.pair):
            raise CorpusError(f"{row.where}: the negative is the text itself or its partner: correct it, or remove it.")
        count += 1
        yield row
    if other and not count:
        raise CorpusError(
            f"{path} has no label of data.label_values={config.label_values}, only {_counts(other)}: name them there."
        )
    if unanswerable:
        lines.append(f"left out     questions of {path} without an answer: {unanswerable:,}")
    if other:
        lines.append(f"left out     rows of {path} with labels that data.label_values does not name: {_counts(other)}")


def _counts(labels: Mapping[str, int]) -> str:
    return ", ".join(f"{quoted(name)} {count:,}" for name, count in list(labels.items())[:5])


_ROLES = {
    TEXTS: ("text",),
    PAIRS: ("text", "pair"),
    TRIPLETS: ("text", "pair", "negative"),
    LABELS: ("text", "pair", "label"),
    NUMBERS: ("text", "pair", "label"),
}


def _form(first: Record, columns: Columns, told: str, is_train: bool) -> str:
    """What the rows of a table are."""
    roles = columns.roles
    if told:
        if missing := [role for role in _ROLES[told] if role not in roles]:
            field = "data.form" if is_train else "data.held_out_form"
            raise CorpusError(
                f"{first.where} has no column that looks like the {missing[0]} of {field}={told}: name it by"
                f" data.{missing[0]}_column."
            )
        return told
    if "pair" not in roles:
        return TEXTS
    if "negative" in roles:
        return TRIPLETS
    if "label" not in roles:
        return PAIRS
    try:
        number(first.values[roles["label"]], "")
    except CorpusError:
        return LABELS
    if plain(roles["text"]) == "premise":
        # In NLI, 0 is often the number of entailment: as a similarity, it would say the opposite.
        raise CorpusError(
            f"{first.where}: {quoted(roles['label'])} may be the numbers of labels, or a similarity: give"
            " data.form=labels with data.label_values=0=1,1=0.5,2=0, or data.form=numbers (and data.held_out_form)."
        )
    return NUMBERS
