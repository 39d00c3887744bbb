"""Where documents come from: parses `--source`, and splits each source into units of work.

Units depend on the sources alone, and not on the number of workers. This is why any number of workers builds the same
corpus. `reading.py` reads a unit.
"""

import dataclasses
import fnmatch
import re
from collections.abc import Iterator, Sequence

from etils import epath

from bert_jax import hashing
from bert_jax.corpus.builder import docstrings, opening
from bert_jax.errors import CorpusError, did_you_mean

# The keys that each kind takes in brackets.
KEYS = {
    "docstrings": ("lang",),
    "text": ("lang", "encoding"),
    "jsonl": ("text", "id", "lang", "encoding"),
    "parquet": ("text", "id", "lang"),
    "tfds": ("text", "id", "lang"),
}
FORMS = "docstrings, text:GLOB, jsonl:GLOB, parquet:GLOB or tfds:NAME[:SPLIT]"
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
      language: the code for sentence splitting; a record's own field `lang` takes precedence.
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
    sources: list[Source] = []
    for spec in specs:
        match = SPEC.fullmatch(spec)
        kind, pattern = (match["kind"], match["pattern"] or "") if match else ("", "")
        if kind not in KEYS or (kind == "docstrings") == bool(pattern):
            raise CorpusError(
                f"--source={spec} is not one of {FORMS}, optionally with NAME= in front."
                + (did_you_mean(kind, KEYS) if kind not in KEYS else "")
            )
        assert match is not None  # otherwise the kind is empty, which is no key of KEYS
        keys = _keys(spec, kind, match["keys"] or "")
        taken = {source.name for source in sources}
        name = match["name"]
        if name is None:
            name = _unique(_default_name(kind, pattern), taken)
        elif not NAME.fullmatch(name):
            raise CorpusError(f"--source={spec}: a name consists of letters, digits, '_' and '-'.")
        elif name in taken:
            raise CorpusError(f"--source={spec}: the name {name} is taken: give each source its own.")
        chosen = {"text": "text", "id": "id"} | {"language": keys.pop("lang", language)} | keys
        sources.append(Source(len(sources), name, spec, kind, pattern, **chosen))
    return sources


def _keys(spec: str, kind: str, written: str) -> dict[str, str]:
    keys = {}
    for item in filter(None, (item.strip() for item in written.split(","))):
        key, _, value = item.partition("=")
        if key not in KEYS[kind] or not value:
            taken = ", ".join(f"{k}=…" for k in KEYS[kind])
            near = did_you_mean(key, KEYS[kind]) if key not in KEYS[kind] else ""
            raise CorpusError(f"--source={spec}: {kind} takes [{taken}], not {item}.{near}")
        keys[key] = opening.check_encoding(value) if key == "encoding" else value
    return keys


def _default_name(kind: str, pattern: str) -> str:
    """The name of the file or data set, or of the last folder before the first wildcard."""
    if kind == "tfds":
        name, _ = split_dataset(pattern)
        name = name.rstrip("/").rpartition("/")[2] if _is_folder(name) else name
    else:
        folder, wildcard = split_pattern(pattern)
        name = folder.rstrip("/").rpartition("/")[2]
        name = name if wildcard else name.split(".")[0]
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or kind


def _unique(name: str, taken: set[str]) -> str:
    candidates = (name if i == 1 else f"{name}-{i}" for i in range(1, len(taken) + 2))
    return next(candidate for candidate in candidates if candidate not in taken)


def split_pattern(pattern: str) -> tuple[str, str]:
    """Splits a pattern into a fixed folder and a part with wildcards, which is empty if the pattern has none."""
    parts = pattern.split("/")
    wild = next((i for i, part in enumerate(parts) if re.search(r"[*?\[]", part)), len(parts))
    return "/".join(parts[:wild]) or ("/" if wild and wild < len(parts) else ""), "/".join(parts[wild:])


def split_dataset(pattern: str) -> tuple[str, str]:
    """Splits `NAME[:SPLIT]` into name and split, which is `train` by default."""
    match = re.fullmatch(r"(?P<name>.+?)(?::(?P<split>[A-Za-z_]\w*(\[[^\]]*\])?))?", pattern, re.DOTALL)
    assert match is not None  # any text that is not empty matches: the split is optional
    return match["name"], match["split"] or "train"


def _is_folder(name: str) -> bool:
    return (epath.Path(name) / "dataset_info.json").exists()


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
    cut = {"text": _ranges, "jsonl": _ranges, "parquet": _row_groups}[source.kind]
    return [unit for file, name in _files(source) for unit in cut(source, file, name)]


def _files(source: Source) -> list[tuple[str, str]]:
    """The paths in order, each with its name relative to the fixed folder. Hidden files are skipped."""
    folder, wildcard = split_pattern(source.pattern)
    literal = epath.Path(source.pattern).expanduser()
    if literal.exists() and not literal.is_dir():
        return [(str(literal), literal.name)]
    if literal.is_dir():
        raise CorpusError(f"--source={source.spec} is a folder: say which files in it, as in {literal}/*.")
    root = epath.Path(folder or ".").expanduser()
    found = _glob(root, wildcard) if wildcard and root.exists() else ()
    pairs = sorted((str(path), str(path.relative_to(root))) for path in found)
    files = [(path, name) for path, name in pairs if "/." not in f"/{name}" and not epath.Path(path).is_dir()]
    if not files:
        raise CorpusError(f"--source={source.spec} matches no file: check the pattern, and quote it in the shell.")
    return files


def _glob(root: epath.Path, wildcard: str) -> Iterator[epath.Path]:
    if "**" not in wildcard:
        yield from root.glob(wildcard)
        return
    # etils does not support `**`, because of large buckets.
    for folder, _, files in root.walk():
        for file in files:
            if _matches(str((folder / file).relative_to(root)).split("/"), wildcard.split("/")):
                yield folder / file


def _matches(names: list[str], patterns: list[str]) -> bool:
    """Whether the parts of a path match those of a pattern; `**` stands for any number of folders."""
    if not patterns or not names:
        return names == patterns
    if patterns[0] == "**":
        return _matches(names, patterns[1:]) or _matches(names[1:], patterns)
    return fnmatch.fnmatchcase(names[0], patterns[0]) and _matches(names[1:], patterns[1:])


def _ranges(source, file, name) -> list[Unit]:
    size = epath.Path(file).stat().length
    form = opening.form(file, source.encoding)
    if form.decompressed or form.converted:
        return [Unit(source, ((file, name),), size * (GZIP_RATIO if form.decompressed else 1))]
    return [
        Unit(source, ((file, name),), min(RANGE_BYTES, size - begin), begin, min(begin + RANGE_BYTES, size))
        for begin in range(0, max(size, 1), RANGE_BYTES)
    ]


def _row_groups(source, file, name) -> list[Unit]:
    import pyarrow
    import pyarrow.parquet  # needed for this kind only

    try:
        with epath.Path(file).open("rb") as handle:
            metadata = pyarrow.parquet.ParquetFile(handle).metadata
    except (pyarrow.ArrowException, OSError) as error:
        raise CorpusError(f"{file} is not a parquet file, or is damaged ({error}): restore or remove it.") from error
    columns = metadata.schema.to_arrow_schema().names
    if source.text not in columns:
        raise CorpusError(
            f"{file} has no column '{source.text}': give parquet[text=…]:{source.pattern}, one of {', '.join(columns)}."
        )
    result, row = [], 0
    for group in range(metadata.num_row_groups):
        facts = metadata.row_group(group)
        end = row + facts.num_rows
        result.append(Unit(source, ((file, name),), facts.total_byte_size, row, end, str(group)))
        row = end
    return result


def _dataset_units(source) -> list[Unit]:
    import tensorflow_datasets as tfds  # needed for this kind only

    name, split = split_dataset(source.pattern)
    try:
        if _is_folder(name):
            builder = tfds.builder_from_directory(name)
        else:
            # Given by name, it may be downloaded. ArrayRecord can be read without TensorFlow.
            builder = tfds.builder(name, file_format="array_record")
            builder.download_and_prepare()
        if split.partition("[")[0] not in builder.info.splits:
            raise CorpusError(
                f"--source={source.spec} has no such split: give one of {', '.join(builder.info.splits)}."
            )
        if source.text not in builder.info.features:
            fields = ", ".join(sorted(builder.info.features))
            raise CorpusError(
                f"--source={source.spec} has no field '{source.text}': give tfds[text=…], one of {fields}."
            )
        records = len(builder.as_data_source(split=split))
        facts = builder.info.splits[split.partition("[")[0]]
        size = max(1, facts.num_bytes // max(facts.num_examples, 1))
    except CorpusError:
        raise
    except Exception as error:  # TFDS and the libraries under it may raise anything
        reason = " ".join(str(error).split())[:300]
        raise CorpusError(f"--source={source.spec} cannot be read by TensorFlow Datasets: {reason}") from error
    step, files = max(1, RANGE_BYTES // size), ((str(builder.data_dir), builder.info.name),)
    ends = [(begin, min(begin + step, records)) for begin in range(0, records, step)]
    return [Unit(source, files, size * (end - begin), begin, end, split) for begin, end in ends]


def fingerprint(units: Sequence[Unit]) -> str:
    """A hash of the files, sizes and ranges that a source consists of; the same on any machine."""
    return hashing.fingerprint(
        [[[name for _, name in u.files], u.size, u.begin, u.end, u.part, u.validation] for u in units]
    )
