"""Tables for a terminal: columns of text."""

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]], num_left: int = 1) -> list[str]:
    """Returns the rows as lines, without blanks at their ends.

    Args:
      rows: the cells of each row, the same number in all.
      num_left: how many columns, from the first on, are aligned to the left; the others are to the right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if column < num_left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
