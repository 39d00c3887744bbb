"""Files with a token and its tag on each line, and empty lines between sentences.

The columns are those of CoNLL 2003 (https://aclanthology.org/W03-0419) and its kin, separated by tabs or blanks, or
those of CoNLL-U (https://universaldependencies.org/format.html).
"""

import dataclasses
import itertools
import re
from collections.abc import Iterator

from bert_jax.data.tables.column_names import TAGS, TOKENS
from bert_jax.data.tables.columns import Columns, plain
from bert_jax.data.tables.lines import lines
from bert_jax.data.tables.record import Record
from bert_jax.errors import CorpusError, did_you_mean, quoted

CONLL_U = ("ID", "FORM", "LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC")
DOCUMENT = "-DOCSTART-"  # begins a document in the files of CoNLL 2003


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a file has its columns.

    Attributes:
      separator: a tab, or a blank, which stands for several, too.
      names: of the columns, from CoNLL-U or a header; else their numbers, from 1.
      token: the index of the column of tokens.
      tag: that of the tags; None if there are none.
      guessed: whether one of the two is a guess.
      header: the number of the line with the names; 0 if there is none.
      first: the number of the first line with columns.
    """

    separator: str
    names: tuple[str, ...]
    token: int
    tag: int | None
    guessed: bool
    header: int
    first: int

    @property
    def columns(self) -> Columns:
        tags = {} if self.tag is None else {"tags": self.names[self.tag]}
        return Columns({"tokens": self.names[self.token]} | tags, self.guessed, self.names)

    def is_comment(self, line: str) -> bool:
        """Whether a line that may begin a sentence is a comment. `#` is a token, too: such a line has all columns."""
        if self.separator == "\t":
            return line.startswith("# ") and "\t" not in line
        return line.startswith("# ") and len(_split(line, self.separator)) != len(self.names)


def find_layout(file: str, token_column: str, tag_column: str, has_tags: bool) -> Layout:
    """Looks at the first line of columns.

    Args:
      file: its path.
      token_column: the name or number of a column; empty: the first, or FORM.
      tag_column: the same; empty: the last, or UPOS.
      has_tags: whether there must be tags.

    Raises:
      CorpusError: there is no such line, no such column, or no column of tags.
    """
    number, line = _first_line(file)
    separator = "\t" if "\t" in line else " "
    cells, where = _split(line, separator), f"{file}, line {number}"
    names, token, tag, header = tuple(str(i + 1) for i in range(len(cells))), 0, len(cells) - 1, 0
    if len(cells) == len(CONLL_U) and separator == "\t" and re.fullmatch(r"1(-\d+)?|0\.1", cells[0]):
        names, token, tag = CONLL_U, CONLL_U.index("FORM"), CONLL_U.index("UPOS")
    elif _is_header(cells):
        names, header = tuple(cells), number
    token = _place(token_column, names, "token", where) if token_column else token
    tag = _place(tag_column, names, "tag", where) if tag_column else tag
    if tag == token and has_tags:
        raise CorpusError(
            f"{where}: tokens and tags are in the same column, the {_ordinal(tag)} of {len(cells)}: write a token, a"
            " tab and its tag on each line, or choose others by data.token_column and data.tag_column."
        )
    is_guess = not (token_column and (tag_column or tag == token))
    return Layout(separator, names, token, None if tag == token else tag, is_guess, header, number)


def sentences(file: str, layout: Layout) -> Iterator[Record]:
    """Yields the sentences of a file as records of `tokens` and, if the layout has them, `tags`.

    Raises:
      CorpusError: a line has more or fewer columns than the first, or no tag; or there are no sentences.
    """
    words: list[tuple[str, str]] = []
    begins, count = 0, 0
    for number, line in itertools.chain(lines(file), [(0, "")]):
        if _is_blank(line) or line.startswith(DOCUMENT):
            if words:
                yield _sentence(words, layout, f"{file}, line {begins}")
                words, count = [], count + 1
        elif number != layout.header and (words or not layout.is_comment(line)):
            word = _word(line, layout, f"{file}, line {number}")
            begins = begins if words else number
            words += [word] if word else []
    if not count:
        raise _none(file)


def _sentence(words: list[tuple[str, str]], layout: Layout, where: str) -> Record:
    values = {"tokens": [token for token, _ in words]}
    if layout.tag is not None:
        values["tags"] = [tag for _, tag in words]
    return Record(values, where)


def _word(line: str, layout: Layout, where: str) -> tuple[str, str] | None:
    """The token and tag of a line; None for the lines of CoNLL-U that are no words."""
    cells = _split(line, layout.separator)
    if len(cells) != len(layout.names):
        found = f"{len(cells)} column{'s' if len(cells) > 1 else ''}, but line {layout.first} has {len(layout.names)}"
        raise CorpusError(f"{where} has {found}: mend it, and separate columns by tabs if tokens hold blanks.")
    if layout.names == CONLL_U and not cells[0].isdecimal():
        if re.fullmatch(r"\d+[-.]\d+", cells[0]):
            return None  # a range of the words that follow, or a node without a word
        raise CorpusError(f"{where} has the ID {quoted(cells[0])}, which CoNLL-U does not have: mend it.")
    token, tag = cells[layout.token], "" if layout.tag is None else cells[layout.tag].strip(" ")
    if layout.tag is not None and (not tag or " " in tag):
        raise CorpusError(f"{where} has the tag {quoted(tag)}: give each token a line, and a tag without blanks.")
    return token, tag


def _split(line: str, separator: str) -> list[str]:
    # Only tabs and blanks separate: other white space may be a token.
    return line.split("\t") if separator == "\t" else re.split(" +", line.strip(" "))


def _is_blank(line: str) -> bool:
    return not line.strip(" \t")


def _first_line(file: str) -> tuple[int, str]:
    """The first line of columns: the first that cannot be a comment, or else, in a file of such lines, the first."""
    maybe = None
    for number, line in lines(file):
        if not _is_blank(line):
            if not line.startswith(("# ", DOCUMENT)):
                return number, line
            maybe = maybe or (number, line)
    if maybe is None:
        raise _none(file)
    return maybe


def _none(file: str) -> CorpusError:
    return CorpusError(f"{file} has no sentences: check the file.")


def _is_header(cells: list[str]) -> bool:
    names = [plain(cell) for cell in cells]
    return len(cells) > 1 and names[0] in TOKENS[0] and all(name in TAGS[0] for name in names[1:])


def _place(column: str, names: tuple[str, ...], role: str, where: str) -> int:
    folded = [name.casefold() for name in names]
    if column.casefold() in folded:
        return folded.index(column.casefold())
    if column.isdecimal() and 1 <= int(column) <= len(names):
        return int(column) - 1
    near = did_you_mean(column, names)
    raise CorpusError(
        f"{where} has no column {quoted(column)}, only {', '.join(names)}: correct data.{role}_column.{near}"
    )


def _ordinal(index: int) -> str:
    return ("first", "second", "third")[index] if index < 3 else f"{index + 1}th"
