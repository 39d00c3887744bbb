"""Parameter trees and differences as tables for a terminal."""

import math
from collections.abc import Sequence

import numpy as np

from bert_jax.columns import aligned
from bert_jax.corpus.summary import percent
from bert_jax.inspection.differences import Change, Difference, joint_change
from bert_jax.inspection.parameters import ArraySummary, ParameterTree

UNITS = ("bytes", "kB", "MB", "GB", "TB")


def tree_lines(tree: ParameterTree) -> list[str]:
    """Returns a table of all arrays, below the totals of each layer and head."""
    rows = [["", "shape", "dtype", "parameters", "share", "norm", "rms", "largest"]]
    for group, arrays in tree.groups.items():
        rows.append(_tree_row(group, arrays, tree))
        # A head may be one array, without a name below that of the head.
        rows += [_tree_row(f"  {one.name.removeprefix(f'{group}/')}", [one], tree, described=True) for one in arrays]
    rows.append(_tree_row("total", tree.arrays, tree))
    return [f"{source_text(tree.source, tree.step)}: {summary_text(tree)}", "", *aligned(rows), *_warnings(tree)]


def difference_lines(difference: Difference, first: str, second: str) -> list[str]:
    """Returns tables of the layers and of the arrays, the most changed first, and what cannot be compared.

    Args:
      difference: what changed.
      first, second: what the two models are called.
    """
    lines = [f"from {first}", f"to   {second}"]
    changed = [one for one in difference.changes if one.difference != 0]
    num_equal = len(difference.changes) - len(changed)
    if changed:
        whole = joint_change("all that can be compared", difference.changes)
        layers = [one for one in difference.groups if one.difference != 0]
        lines += ["", *_change_table("layer or head", [*layers, whole]), "", *_change_table("array", changed)]
    if num_equal:
        lines += ["", f"equal: {num_equal} of {len(difference.changes)} arrays"]
    for title, names in ((f"only in {first}", difference.only_first), (f"only in {second}", difference.only_second)):
        if names:
            lines += ["", f"{title}: {len(names)} arrays", *(f"  {name}" for name in names)]
    if difference.shapes:
        rows = [[f"  {name}", shape_text(one), "to", shape_text(other)] for name, one, other in difference.shapes]
        lines += ["", f"of another shape: {len(difference.shapes)} arrays", *aligned(rows)]
    return lines


def summary_text(tree: ParameterTree) -> str:
    """Says how many parameters there are, and how many bytes they take."""
    dtypes = ", ".join(dict.fromkeys(str(one.dtype) for one in tree.arrays))
    size = bytes_text(sum(one.num_bytes for one in tree.arrays))
    return f"{tree.size:,} parameters in {len(tree.arrays)} arrays of {dtypes}, {size}"


def source_text(source: str, step: int | None) -> str:
    """Says which checkpoint this is."""
    return source if step is None or source.rstrip("/").endswith(f"/{step}") else f"{source}, step {step:,}"


def shape_text(shape: Sequence[int]) -> str:
    """Returns a shape such as `768 × 3,072`."""
    return " × ".join(f"{size:,}" for size in shape) or "one number"


def bytes_text(count: int) -> str:
    """Returns a number of bytes with three digits."""
    power = min(max(len(str(count)) - 1, 0) // 3, len(UNITS) - 1)
    return f"{count / 1000**power:.3g} {UNITS[power]}"


def number_text(number: float) -> str:
    """Returns a number with four digits."""
    return "∞" if math.isinf(number) else f"{number:.4g}"


def _tree_row(name: str, arrays: Sequence[ArraySummary], tree: ParameterTree, described: bool = False) -> list[str]:
    size, norm = sum(one.size for one in arrays), math.hypot(*(one.norm for one in arrays))
    numbers = (norm, norm / math.sqrt(max(size, 1)), float(np.max([0.0, *(one.largest for one in arrays)])))
    about = [shape_text(arrays[0].shape), str(arrays[0].dtype)] if described else ["", ""]
    return [name, *about, f"{size:,}", percent(size / max(tree.size, 1)), *map(number_text, numbers)]


def _change_table(what: str, changes: Sequence[Change]) -> list[str]:
    rows = [[what, "parameters", "relative change", "cosine", "norm before", "norm after"]]
    for one in changes:
        relative = "from 0" if math.isinf(one.relative) else number_text(one.relative)
        cosine = "" if math.isnan(one.cosine) else f"{one.cosine:.4f}"
        rows.append([one.name, f"{one.size:,}", relative, cosine, number_text(one.before), number_text(one.after)])
    return aligned(rows)


def _warnings(tree: ParameterTree) -> list[str]:
    bad = [one.name for one in tree.arrays if not np.isfinite(one.norm)]
    return ["", f"not finite: {', '.join(bad)}"] if bad else []
