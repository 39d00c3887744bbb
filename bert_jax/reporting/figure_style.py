"""The size and style of pictures. They are made in the size in which a paper prints them, with letters to match."""

from matplotlib.axes import Axes

COLUMN, PAGE = 3.3, 6.8  # inches: a column, and the width of a page with two
DPI = 150  # a page is about 1,000 pixels wide on a screen
TITLE, NORMAL, SMALL = 8.5, 7.5, 6.5  # points


def dress(axis: Axes, title: str = "", x: str = "", y: str = "") -> None:
    """Gives a chart a title, names of its axes, a pale grid, and no frame where nothing is measured."""
    axis.set_title(title, loc="left", fontsize=TITLE)
    axis.set_xlabel(x, fontsize=NORMAL)
    axis.set_ylabel(y, fontsize=NORMAL)
    axis.tick_params(labelsize=SMALL, which="both")
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
