"""Where documents come from: parses `--source`, and splits each source into units of work.

Units depend on the sources alone, and not on the number of workers. This is why any number of workers builds the same
corpus. `reading.py` reads a unit.
"""

import dataclasses
import os
import re
from collections.abc import Sequence

from etils import epath

from bert_jax import hashing, storage
from bert_jax.corpus.builder import docstrings, naming, parquet
from bert_jax.errors import CorpusError, choice_problem, did_you_mean
from bert_jax.files import data_sets, opening, patterns

# The keys that each kind takes in brackets.
RECORD = ("text", "id", "lang_field", "lang")
KEYS = {
    "docstrings": ("lang",),
    "text": ("documents", "lang", "encoding"),
    "jsonl": (*RECORD, "encoding"),
    "csv": (*RECORD, "header", "delimiter", "quotes", "encoding"),
    "tsv": (*RECORD, "header", "quotes", "encoding"),
    "parquet": RECORD,
    "tfds": RECORD,
}
# The values that a key takes, if it does not take any.
BLANK_LINES, LINES, FILES = ("blank_lines", "lines", "files")
CHOICES = {"documents": (BLANK_LINES, LINES, FILES), "header": ("yes", "no"), "quotes": ("yes", "no")}
FORMS = "docstrings, text:GLOB, jsonl:GLOB, csv:GLOB, tsv:GLOB, parquet:GLOB or tfds:NAME[:SPLIT]"
SPEC = re.compile(r"(?:(?P<name>[^=:\[]*)=)?(?P<kind>[a-z]+)(?:\[(?P<keys>[^\]]*)\])?(?::(?P<pattern>.+))?", re.DOTALL)
NAME = re.compile(r"[A-Za-z0-9_-]+")
# Plain files are split into ranges of this many bytes, TFDS data sets into runs of records of about this size.
RANGE_BYTES = 16 << 20
# A typical compression ratio, for the share of text to sample and the estimate of the time left.
GZIP_RATIO = 4


@dataclasses.dataclass(frozen=True)
class Source:
    """One `--source`.

    Attributes:
      index: its position among the sources.
      name: as given, or derived from the pattern.
      spec: the text of the flag.
      kind: a key of `KEYS`.
      pattern: of files, or the name of a TFDS data set; empty for docstrings.
      text: the field of a record that holds its text.
      id: the field of a record that holds its id, if it has one.
      language: the code for sentence splitting; a record's own takes precedence.
      language_field: the field of a record that holds its language, if it has one.
      documents: what separates the documents of plain text: `blank_lines`, `lines` or `files`.
      header: whether the first row of a CSV or TSV file names the columns; without it, their names are 1, 2, ….
      delimiter: separates the columns of a row.
      quotes: whether a quoted field may hold delimiters and line ends.
      encoding: of the files; empty: found by the first bytes of each, see `opening.py`.
    """

    index: int
    name: str
    spec: str
    kind: str
    pattern: str
    text: str
    id: str
    language: str
    language_field: str = "lang"
    documents: str = BLANK_LINES
    header: bool = True
    delimiter: str = ","
    quotes: bool = True
    encoding: str = ""


@dataclasses.dataclass(frozen=True)
class Unit:
    """A part of a source, which one worker reads as a whole.

    Attributes:
      source: the source it is a part of.
      files: pairs of a path and the file's name in ids, in reading order.
      size: the approximate number of bytes of text.
      begin: the first byte of a plain file, or the first record of a row group or TFDS split.
      end: one past the last byte or record; -1 means all.
      part: the row group of a parquet file, or the split of a TFDS data set.
      validation: whether the documents are held out; None: the hash of each document decides.
    """

    source: Source
    files: tuple[tuple[str, str], ...]
    size: int
    begin: int = 0
    end: int = -1
    part: str = ""
    validation: bool | None = None


def parse(specs: Sequence[str], language: str) -> list[Source]:
    """Parses `--source` flags.

    Args:
      specs: of the form `[NAME=]KIND[key=value,…][:PATTERN]`.
      language: the language of sources without `lang=`.

    Raises:
      CorpusError: a kind or key is unknown, a pattern is missing, or a name is malformed or taken.
    """
    found: list[Source] = []
    for spec in specs:
        match = SPEC.fullmatch(spec)
        kind, pattern = (match["kind"], match["pattern"] or "") if match else ("", "")
        if kind not in KEYS or (kind == "docstrings") == bool(pattern):
            raise CorpusError(
                f"--source={spec} is not one of {FORMS}, optionally with NAME= in front."
                + (did_you_mean(kind, KEYS) if kind not in KEYS else "")
            )
        assert match is not None  # otherwise the kind is empty, which is no key of KEYS
        name = match["name"]
        if name is not None and not NAME.fullmatch(name):
            raise CorpusError(f"--source={spec}: a name consists of letters, digits, '_' and '-'.")
        if name is not None and name in {source.name for source in found}:
            raise CorpusError(f"--source={spec}: the name {name} is taken: give each source its own.")
        keys = _keys(spec, kind, match["keys"] or "")
        chosen = {
            "text": keys.get("text", "text"),
            "id": keys.get("id", "id"),
            "language": keys.get("lang", language),
            "language_field": keys.get("lang_field", "lang"),
            "documents": keys.get("documents", BLANK_LINES),
            "header": keys.get("header", "yes") == "yes",
            "delimiter": "\t" if kind == "tsv" else keys.get("delimiter", ","),
            "quotes": keys.get("quotes", "no" if kind == "tsv" else "yes") == "yes",
            "encoding": keys.get("encoding", ""),
        }
        found.append(Source(len(found), name or "", spec, kind, pattern, **chosen))
    names = naming.tell_apart([source.name for source in found], [_candidates(source) for source in found])
    return [dataclasses.replace(source, name=name) for source, name in zip(found, names, strict=True)]


def _keys(spec: str, kind: str, written: str) -> dict[str, str]:
    keys = {}
    for item in filter(None, (item.strip() for item in written.split(","))):
        key, _, value = item.partition("=")
        if key not in KEYS[kind] or not value:
            taken = ", ".join(f"{k}=…" for k in KEYS[kind])
            near = did_you_mean(key, KEYS[kind]) if key not in KEYS[kind] else ""
            raise CorpusError(f"--source={spec}: {kind} takes [{taken}], not {item}.{near}")
        if problems := choice_problem(key, value, CHOICES.get(key, (value,))):
            raise CorpusError(f"--source={spec}: {problems[0]}")
        if key == "delimiter" and len(value) > 1:
            raise CorpusError(f"--source={spec}: delimiter={value} must be one character.")
        keys[key] = opening.check_encoding(value) if key == "encoding" else value
    return keys


def _candidates(source: Source) -> list[str]:
    if source.kind != "tfds":
        return naming.of_files(source.kind, source.pattern)
    name, split = _data_set(source)
    return naming.of_data_set(name.rstrip("/").rpartition("/")[2] if data_sets.is_folder(name) else name, split)


def _data_set(source) -> tuple[str, str]:
    name, split = data_sets.split_name(source.pattern)
    return name, split or "train"


def units(source: Source) -> list[Unit]:
    """Returns the units of one source, in the order of its documents.

    Raises:
      CorpusError: the pattern matches nothing, or data cannot be read.
    """
    if source.kind == "docstrings":
        result = []
        for files, held_out in docstrings.groups():
            size = sum(epath.Path(file).stat().length for file in files)
            named = tuple((file, docstrings.name(file)) for file in files)
            result.append(Unit(source, named, size, validation=held_out))
        return result
    if source.kind == "tfds":
        return _dataset_units(source)
    files = patterns.files(source.pattern, f"--source={source.spec}")
    if source.documents == FILES:
        return _runs(source, files)
    cut = {"text": _ranges, "jsonl": _ranges, "csv": _whole, "tsv": _whole, "parquet": _row_groups}[source.kind]
    return [unit for file, name in files for unit in cut(source, file, name)]


def _ranges(source, file, name) -> list[Unit]:
    size = epath.Path(file).stat().length
    form = opening.form(file, source.encoding)
    if form.decompressed or form.converted:
        return [Unit(source, ((file, name),), size * (GZIP_RATIO if form.decompressed else 1))]
    return [
        Unit(source, ((file, name),), min(RANGE_BYTES, size - begin), begin, min(begin + RANGE_BYTES, size))
        for begin in range(0, max(size, 1), RANGE_BYTES)
    ]


def _whole(source, file, name) -> list[Unit]:
    """A file whose rows may hold line ends, so that no part of it can be read alone."""
    size = epath.Path(file).stat().length
    is_compressed = opening.form(file, source.encoding).decompressed
    return [Unit(source, ((file, name),), size * (GZIP_RATIO if is_compressed else 1))]


def _runs(source, files) -> list[Unit]:
    """Runs of whole files of about `RANGE_BYTES`."""
    result, run, run_bytes = [], [], 0
    for file, name in files:
        run.append((file, name))
        run_bytes += _whole(source, file, name)[0].size
        if run_bytes >= RANGE_BYTES or (file, name) == files[-1]:
            result.append(Unit(source, tuple(run), run_bytes))
            run, run_bytes = [], 0
    return result


def _row_groups(source, file, name) -> list[Unit]:
    hints = {
        source.text: f"give another, as in parquet[text=…]:{source.pattern}",
        source.language_field: f"give another, as in parquet[lang_field=…]:{source.pattern}, or none",
    }
    parquet.check_columns(file, hints)
    result, row = [], 0
    for group, (rows, size) in enumerate(parquet.row_groups(file)):
        result.append(Unit(source, ((file, name),), size, row, row + rows, str(group)))
        row += rows
    return result


def _dataset_units(source) -> list[Unit]:
    flag, (name, split) = f"--source={source.spec}", _data_set(source)
    with data_sets.readable(flag):
        builder = data_sets.open_builder(name, split, flag)
        if source.text not in builder.info.features:
            fields = ", ".join(sorted(builder.info.features))
            raise CorpusError(f"{flag} has no field '{source.text}': give tfds[text=…], one of {fields}.")
        records = len(builder.as_data_source(split=split))
        facts = builder.info.splits[split.partition("[")[0]]
        size = max(1, facts.num_bytes // max(facts.num_examples, 1))
    step, files = max(1, RANGE_BYTES // size), ((str(builder.data_dir), builder.info.name),)
    ends = [(begin, min(begin + step, records)) for begin in range(0, records, step)]
    return [Unit(source, files, size * (end - begin), begin, end, split) for begin, end in ends]


def fingerprint(units: Sequence[Unit]) -> str:
    """A hash of the files, sizes and ranges that a source consists of; the same on any machine."""
    return hashing.fingerprint(
        [[[name for _, name in u.files], u.size, u.begin, u.end, u.part, u.validation] for u in units]
    )


def modified(units: Sequence[Unit]) -> str:
    """A hash of when each file of a source was last written, to the nanosecond for local files."""
    files = {file for unit in units for file in unit.files}
    return hashing.fingerprint(sorted((name, _modified(file)) for file, name in files))


def _modified(file: str) -> int | float:
    if storage.is_remote(file):
        return epath.Path(file).stat().mtime
    # The folder of a data set changes with whatever else is put into it.
    return 0 if os.path.isdir(file) else os.stat(file).st_mtime_ns
