"""Where documents come from: each source lists units of work, each unit yields documents.

Units depend on the source alone, never on the number of workers: that is what makes a corpus the same for any
number of them.
"""

import collections
import dataclasses
import glob
import json
from collections.abc import Iterator

from etils import epath

from bert_jax.data import docstrings, text
from bert_jax.errors import CorpusError

KINDS = ("docstrings", "text:GLOB", "jsonl:GLOB")


@dataclasses.dataclass(frozen=True)
class Unit:
    """A part of a source that one worker reads from begin to end.

    Attributes:
      source: index of the source.
      kind: one of `docstrings`, `text`, `jsonl`.
      files: paths, read in this order.
      validation: whether its documents are held out; None leaves that to each document's own hash.
    """

    source: int
    kind: str
    files: tuple[str, ...]
    validation: bool | None = None


@dataclasses.dataclass(frozen=True)
class Document:
    """One document: lines are paragraphs; `language` is a two-letter code."""

    id: str
    text: str
    language: str


def units(spec: str, source: int) -> list[Unit]:
    """The units of one `--source`.

    Raises:
      CorpusError: an unknown kind, or a pattern that matches nothing.
    """
    kind, _, pattern = spec.partition(":")
    if kind == "docstrings" and not pattern:
        return [Unit(source, kind, files, held_out) for files, held_out in docstrings.groups()]
    if kind not in ("text", "jsonl") or not pattern:
        raise CorpusError(f"--source={spec} is not one of {', '.join(KINDS)}.")
    files = sorted(glob.glob(pattern, recursive=True))
    if not files:
        raise CorpusError(f"--source={spec} matches no file: check the pattern, and quote it in the shell.")
    return [Unit(source, kind, (file,)) for file in files]


def documents(unit: Unit, language: str, counts: collections.Counter[str]) -> Iterator[Document]:
    """Reads a unit; what the text policy changed is added to `counts`."""
    read = {"docstrings": _docstrings, "text": _text, "jsonl": _jsonl}[unit.kind]
    for file in unit.files:
        for document in read(file, language, counts):
            if document.text.strip():
                yield document
            else:
                counts["empty_documents"] += 1


def _docstrings(file, language, counts):
    for identifier, content in docstrings.read(file):
        yield Document(identifier, text.clean(content, counts), language)


def _text(file, language, counts):
    """Blank lines separate documents; a line is a sentence (BERT's format) or a whole paragraph."""
    name, lines, number = epath.Path(file).name, [], 0
    with open(file, "rb") as handle:
        for raw in handle:
            # Decoded one line at a time, so that a file of any size needs one document's memory.
            line = text.decode(raw, counts)
            if line.strip():
                lines.append(line.rstrip("\n"))
            elif lines:
                yield Document(f"{name}:{number}", "\n".join(lines), language)
                lines, number = [], number + 1
    if lines:
        yield Document(f"{name}:{number}", "\n".join(lines), language)


def _jsonl(file, language, counts):
    """One JSON object a line with the field `text`, and `id` and `lang` where they are there."""
    name = epath.Path(file).name
    with open(file, "rb") as handle:
        for number, raw in enumerate(handle):
            if not raw.strip():
                continue
            try:
                record = json.loads(raw.decode("utf-8", errors="replace"))
                fields = {key: record.get(key) for key in ("text", "id", "lang")}
            except (ValueError, AttributeError):
                fields = {}
            if not isinstance(fields.get("text"), str) or not isinstance(fields["lang"] or "", str):
                raise CorpusError(
                    f"{file}, line {number + 1}, is not a JSON object with text in its field 'text': mend or remove it."
                )
            identifier = f"{name}:{number}" if fields["id"] is None else str(fields["id"])
            yield Document(identifier, text.clean(fields["text"], counts), fields["lang"] or language)
