"""What is held out of the sources, and why that may be nothing or everything: said once the sources have been read."""

import math
import re
from collections.abc import Callable, Sequence

from bert_jax import storage
from bert_jax.corpus.builder.job import Job, Options
from bert_jax.corpus.builder.sources import BLANK_LINES, Source, Unit
from bert_jax.errors import CorpusError
from bert_jax.files import opening

# How much of a file is searched for a blank line before the work begins.
SEARCHED_BYTES = 4 << 20
MEND = (
    "give text[documents=lines] if each line is a document, text[documents=files] if each file is one, or separate the"
    " documents by blank lines"
)


def check_blank_lines(sources: Sequence[Source], units: dict[int, list[Unit]], progress: Callable[[str], None]) -> None:
    """Looks whether a text file that is a source of its own has blank lines, which separate its documents.

    Raises:
      CorpusError: it has none, and there is no other text to train on or to hold out.
    """
    for source in sources:
        files = {file for unit in units[source.index] for file, _ in unit.files}
        if source.kind != "text" or source.documents != BLANK_LINES or len(files) > 1:
            continue
        (file,) = files
        begin = _begin(file, source.encoding)
        if begin is None or re.search(rb"\n[ \t\r]*\n", begin.strip()):
            continue
        if len(begin) < SEARCHED_BYTES:
            message = f"{file} has no blank lines, so it is one document of {_size(len(begin))}"
            if len(sources) == 1:
                raise CorpusError(f"{message}, and no other can be held out: {MEND}.")
        else:
            message = f"{file} has no blank line in its first {_size(len(begin))}, which are thus one document"
        progress(f"warning: {message}: {MEND}.")


def _begin(file: str, encoding: str) -> bytes | None:
    """The first bytes of a text; None if there are none, or if reading will say what is wrong with it."""
    try:
        with opening.open_text(file, 0, encoding) as handle:
            begin = handle.read(SEARCHED_BYTES)
    except (CorpusError, *opening.DAMAGES):
        return None
    return begin if begin.strip() else None


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:.1f} MB" if num_bytes >= 1e5 else f"{num_bytes:,} bytes"


def check(sources: Sequence[Source], jobs: Sequence[Job], options: Options) -> None:
    """Checks that each source has text, and that some of it is held out and some is not.

    Raises:
      CorpusError: the first thing that is wrong, with its cause.
    """
    found = [storage.read_json(job.file("documents.json")) for job in jobs]
    for source in sources:
        own = [each for job, each in zip(jobs, found, strict=True) if job.unit.source.index == source.index]
        if not sum(each["documents"] for each in own):
            left_out = {kind: sum(each[kind] for each in own) for kind in ("empty_documents", "oversized_records")}
            shown = ", ".join(f"{count:,} {kind.replace('_', ' ')}" for kind, count in left_out.items() if count)
            raise CorpusError(
                f"--source={source.spec} holds no text{f' ({shown})' if shown else ''}: check its files, or remove it."
            )
    if any(job.unit.validation is not None for job in jobs):
        return  # these hold out whole packages
    found = [each for each in found if each["documents"]]
    total, held_out = sum(each["documents"] for each in found), sum(each["held_out"] for each in found)
    lowest, highest = min(each["lowest"] for each in found), max(each["highest"] for each in found)
    if 0 < held_out < total:
        return
    if total == 1:
        raise CorpusError(
            f"The sources hold one document, and at least one must be held out besides: {_more_documents(sources, 1)}."
        )
    if lowest == highest:
        kinds = [source.kind for source in sources if source.kind != "text"]
        raise CorpusError(
            f"All {total:,} documents have the id {found[0]['id']!r}, and documents of one id are held out together:"
            f" name another field, or none to name them by their places, as in {kinds[0]}[id=none]."
        )
    if held_out:
        problem, fraction = f"All {total:,} documents are held out", math.floor(highest * 1e4) / 1e4
    else:
        problem, fraction = f"None of the {total:,} documents is held out", math.ceil(lowest * 1e4 + 1e-9) / 1e4
    works = f"give {fraction:g}, or " if lowest < fraction <= highest else ""
    raise CorpusError(
        f"{problem} at --validation_fraction={options.validation_fraction}: {works}{_more_documents(sources, total)}."
    )


def _more_documents(sources: Sequence[Source], total: int) -> str:
    is_text = any(source.kind == "text" and source.documents == BLANK_LINES for source in sources)
    # So few documents may be meant to be more.
    return f"add text{', or ' + MEND if is_text and total < 20 else ''}"
