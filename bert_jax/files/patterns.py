"""The files that a pattern stands for, locally and in buckets.

A part of the pattern with `*`, `?` or `[…]` stands for all names that match it, `**` for any number of folders. A part
that is the name of something is that thing: a folder called `[2023]` needs no escapes.
"""

import fnmatch
import os
import re
import stat
from collections.abc import Iterator

from etils import epath

from bert_jax.errors import CorpusError


def split(pattern: str) -> tuple[str, str]:
    """Splits a pattern into a fixed folder and a part with wildcards, which is empty if the pattern has none."""
    parts = pattern.split("/")
    wild = next((i for i in range(len(parts)) if _is_wild(parts, i)), len(parts))
    return "/".join(parts[:wild]) or ("/" if wild and wild < len(parts) else ""), "/".join(parts[wild:])


def _is_wild(parts: list[str], i: int) -> bool:
    """Whether part `i` has wildcards, and nothing is called so."""
    return bool(re.search(r"[*?\[]", parts[i])) and not _path("/".join(parts[: i + 1])).exists()


def _path(text: str) -> epath.Path:
    return epath.Path(text).expanduser()


def files(pattern: str, flag: str) -> list[tuple[str, str]]:
    """Returns the paths in order, each with its name relative to the fixed folder. Hidden files are skipped.

    Links are followed; a folder that `**` reaches twice is read once.

    Args:
      pattern: locally or in a bucket.
      flag: how the user gave it, for errors.

    Raises:
      CorpusError: nothing matches, or a match is a folder, a pipe or a link that leads nowhere.
    """
    folder, wildcard = split(pattern)
    if not wildcard:
        literal = _path(pattern)
        if literal.is_dir():
            raise CorpusError(f"{flag} is a folder: say which files in it, as in {literal}/*.")
        found = {(str(literal), literal.name)} if literal.exists() or _is_link(literal) else set()
    else:
        root = _path(folder or ".")
        parts = wildcard.split("/")
        parts += ["*"] if parts[-1] == "**" else []
        found = {(str(root / name), name) for name in _matches(root, "", parts, set())} if root.is_dir() else set()
    if not found:
        raise CorpusError(f"{flag} matches no file: check the pattern, and quote it in the shell.")
    for path, _ in found:
        _check_file(path)
    return [(path, printable(name)) for path, name in sorted(found)]


def printable(name: str) -> str:
    """A file name as text. Names are bytes, and those that are not UTF-8 (`caf\\xe9`) cannot be written as text."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _matches(root: epath.Path, below: str, parts: list[str], seen: set[str]) -> Iterator[str]:
    """Yields the names of files below `root / below` that match the parts of a pattern; `seen` are folders of `**`."""
    folder, (part, *rest) = root / below, parts
    if part == "**":
        real = os.path.realpath(folder) if "://" not in str(folder) else str(folder)
        if real in seen:
            return  # a link to a folder above, or to one that has been read
        seen.add(real)
        yield from _matches(root, below, rest, set())
        rest = parts
    try:
        children = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise CorpusError(
            f"The folder {folder} cannot be read ({error.strerror or error}): mend or exclude it."
        ) from None
    for child in sorted(children, key=lambda path: (_is_link(path), path.name)):
        if part not in ("**", child.name) and not fnmatch.fnmatchcase(child.name, part):
            continue
        name = f"{below}/{child.name}" if below else child.name
        if child.is_dir():
            if rest:
                yield from _matches(root, name, rest, seen)
        elif not rest:
            yield name


def _is_link(path: epath.Path) -> bool:
    return "://" not in str(path) and os.path.islink(path)


def _check_file(path: str) -> None:
    try:
        mode = epath.Path(path).stat().mode
    except OSError as error:
        if _is_link(epath.Path(path)):
            raise CorpusError(
                f"{path} is a link that leads nowhere ({os.readlink(path)}): mend or remove it, or exclude it by the"
                " pattern."
            ) from None
        raise CorpusError(f"{path} cannot be read ({error.strerror or error}): mend or exclude it.") from None
    if mode is not None and not stat.S_ISREG(mode):  # buckets hold files only
        kind = "a pipe" if stat.S_ISFIFO(mode) else "a device or a socket"
        raise CorpusError(
            f"{path} is {kind}, not a file, and files are read several times: write its text to a file, or exclude it"
            " by the pattern."
        )
