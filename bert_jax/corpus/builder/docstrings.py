"""A real corpus on every machine with Python: the docstrings of the standard library and of installed packages.

A document is one module; its paragraphs are those of its docstrings, with their line breaks removed. Whole packages
are held out for validation, so that no held-out module has a sibling in training.
"""

import ast
import hashlib
import os
import re
import sysconfig
import warnings
from collections.abc import Iterator

SKIPPED_FOLDERS = {"__pycache__", "test", "tests", "testing", "site-packages", "dist-packages", "idlelib", "_vendor"}
UNIT_BYTES = 4 << 20
VALIDATION_SHARE = 0.06
LARGEST_VALIDATION_PACKAGE = 0.02


def groups() -> list[tuple[tuple[str, ...], bool]]:
    """Returns runs of files, each with whether they are held out. The order does not depend on the file system."""
    packages: dict[str, list[tuple[str, int]]] = {}
    for root, prefix in ((sysconfig.get_paths()["stdlib"], "stdlib/"), (sysconfig.get_paths()["purelib"], "")):
        for folder, folders, files in os.walk(root):
            folders[:] = sorted(set(folders) - SKIPPED_FOLDERS)
            for file in sorted(files):
                if file.endswith(".py") and not file.startswith("test_"):
                    path = os.path.join(folder, file)
                    package = prefix + os.path.relpath(path, root).split(os.sep)[0].removesuffix(".py")
                    packages.setdefault(package, []).append((path, os.path.getsize(path)))
    held_out = _held_out({name: sum(size for _, size in files) for name, files in packages.items()})
    # Small packages share a unit; a large one is split into several.
    result: list[tuple[tuple[str, ...], bool]] = []
    for validation in (False, True):
        run, run_bytes = [], 0
        for name in sorted(packages):
            if (name in held_out) != validation:
                continue
            for path, size in packages[name]:
                run.append(path)
                run_bytes += size
                if run_bytes >= UNIT_BYTES:
                    result.append((tuple(run), validation))
                    run, run_bytes = [], 0
        if run:
            result.append((tuple(run), validation))
    return result


def _held_out(package_bytes: dict[str, int]) -> set[str]:
    """Takes packages in hash order until their share is reached, except any that would dominate the held-out text."""
    total, chosen, chosen_bytes = sum(package_bytes.values()), set(), 0
    for name in sorted(package_bytes, key=lambda name: hashlib.sha256(name.encode()).digest()):
        if chosen_bytes >= VALIDATION_SHARE * total:
            break
        if package_bytes[name] <= LARGEST_VALIDATION_PACKAGE * total:
            chosen.add(name)
            chosen_bytes += package_bytes[name]
    return chosen


def name(file: str) -> str:
    """The path of a file, relative to the folder of its library."""
    roots = (sysconfig.get_paths()["purelib"], sysconfig.get_paths()["stdlib"])
    return os.path.relpath(file, next(root for root in roots if file.startswith(root + os.sep)))


def read(file: str) -> Iterator[str]:
    """Yields the document of a source file, one line per paragraph of its docstrings; nothing if it does not parse."""
    with open(file, "rb") as handle:
        source = handle.read()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # other people's invalid escapes
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return  # a template, or a file for another Python version
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    texts = [doc for node in ast.walk(tree) if isinstance(node, kinds) and (doc := ast.get_docstring(node))]
    lines = [line for doc in texts for paragraph in re.split(r"\n\s*\n", doc) if (line := _one_line(paragraph))]
    yield "\n".join(lines)


def _one_line(paragraph: str) -> str:
    """Joins the lines of a paragraph, without rules such as `-----` under headings."""
    lines = (line.strip() for line in paragraph.split("\n"))
    return " ".join(" ".join(line for line in lines if not re.fullmatch(r"[-=~^*#+|_.\s]*", line)).split())
