"""The look that all charts share: readable in print, on a phone and without colour."""

from __future__ import annotations

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

INK, MUTED, ACCENT, GOOD, BAD, SHADE = "#1b1f24", "#6e7781", "#0969da", "#1a7f37", "#a40e26", "#ddf4ff"


def new_axes(ax: Axes | None, *, width: float = 8.0, height: float = 3.2) -> Axes:
    """Return `ax`, or the axes of a new figure in the house's look (inches)."""
    if ax is not None:
        return ax
    with mpl.rc_context(_RC):
        return plt.subplots(figsize=(width, height), layout="constrained")[1]


def new_panels(count: int, *, width: float = 8.0, height: float = 2.0) -> list[Axes]:
    """Return the axes of a new figure in the house's look, one below the other on the same horizontal axis (inches)."""
    with mpl.rc_context(_RC):
        size = (width, height * count + 0.6)
        return list(plt.subplots(count, sharex=True, squeeze=False, figsize=size, layout="constrained")[1][:, 0])


def title_of(ax: Axes, sentence: str, *, characters: int = 86) -> None:
    """Write the answer above the chart, left aligned, broken into lines."""
    lines, line = [], ""
    for word in sentence.split():
        if line and len(line) + 1 + len(word) > characters:
            lines, line = [*lines, line], word
        else:
            line = f"{line} {word}".strip()
    ax.set_title("\n".join([*lines, line]), loc="left", fontsize=11, color=INK, parse_math=False)


def place_of(time: str | float) -> float | np.datetime64:
    """Return where a time lies on the axis."""
    return np.datetime64(time) if isinstance(time, str) else time


def date_axis(ax: Axes, time: str | float) -> None:
    """Write dates briefly where times are dates."""
    if isinstance(time, str):
        dates = AutoDateLocator(maxticks=8)
        ax.xaxis.set_major_locator(dates)
        ax.xaxis.set_major_formatter(ConciseDateFormatter(dates))


def mark_event(ax: Axes, place: float | np.datetime64, title: str) -> None:
    """Mark an event by a dotted line, its title upright beside it."""
    ax.axvline(place, color=MUTED, linestyle=":", linewidth=1.2)
    ax.annotate(
        title, (place, 0.02), xycoords=("data", "axes fraction"), rotation=90, va="bottom", ha="right", fontsize=8,
        color=MUTED, parse_math=False, zorder=2,
        bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.5},
    )  # fmt: skip


_RC = {
    **sns.axes_style("whitegrid"),
    "axes.edgecolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": "#eaeef2",
    "font.size": 10,
    "svg.hashsalt": "rca",
}
