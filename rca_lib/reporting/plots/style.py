"""The look that all charts share: readable in print, on a phone and without colour."""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter
from matplotlib.transforms import BboxBase

FONT = "DejaVu Sans"  # comes with matplotlib: charts are the same on every machine
LONGEST_NAME, LONGEST_LINE = (
    40,
    90,
)  # characters beside an axis or upright, and elsewhere: longer names leave no room for bars
# What is not a matter of looks, or is chosen for each picture.
NOT_OURS = ("backend", "backend_fallback", "interactive", "toolbar", "datapath", "svg.fonttype")
INK, MUTED, ACCENT, GOOD, BAD, SHADE = "#1b1f24", "#6e7781", "#0969da", "#1a7f37", "#a40e26", "#ddf4ff"


_RC = {
    **sns.axes_style("whitegrid"),
    "axes.edgecolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": "#eaeef2",
    "font.family": ["sans-serif"],
    "font.sans-serif": [FONT],
    "font.size": 10,
    "svg.hashsalt": "rca",
    "text.parse_math": False,
    "timezone": "UTC",
}


@cache
def _settings() -> dict[str, Any]:
    """Return every setting of a chart: matplotlib's own defaults, whatever the user's matplotlibrc says, and ours."""
    return {name: value for name, value in mpl.rcParamsDefault.items() if name not in NOT_OURS} | _RC


@contextmanager
def house_style() -> Iterator[None]:
    """Draw in the house's look; what a name makes of a chart is no cause for a warning in a report."""
    with mpl.rc_context(_settings()), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        warnings.filterwarnings("ignore", "constrained_layout not applied", UserWarning)
        yield


class Chart(Figure):
    """A figure that draws every text as it stands: names from the data may hold `$`, which would begin a formula."""

    def draw(self, renderer: RendererBase) -> None:
        """Draw."""
        with house_style():
            self._take_literally()
            super().draw(renderer)

    def get_tightbbox(self, renderer: RendererBase | None = None, **options: Any) -> BboxBase:
        """Return the box around everything."""
        with house_style():
            self._take_literally()
            return super().get_tightbbox(renderer, **options)

    def _take_literally(self) -> None:
        for text in self.findobj(Text):
            text.set_parse_math(False)
            longest = LONGEST_NAME if text.get_rotation() else LONGEST_LINE
            lines = [_shorten(line, longest) for line in text.get_text().split("\n")]
            text.set_text("\n".join(lines))
        for axis in (axis for axes in self.axes for axis in (axes.xaxis, axes.yaxis)):
            names = axis.get_major_formatter()
            if isinstance(names, FixedFormatter):
                names.seq = [_shorten(name, LONGEST_NAME) for name in names.seq]


def _shorten(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest * 2 // 3]}…{text[-(longest // 3) :]}"


def can_draw(text: str) -> bool:
    """Whether the font has every character, in the order and form in which it stands.

    Examples
    --------
    >>> can_draw("São Paulo €"), can_draw("東京"), can_draw("שלום"), can_draw("नमस्ते"), can_draw("🧵")
    (True, False, False, False, False)
    """
    known = _characters()
    return all(
        ord(letter) in known
        and unicodedata.bidirectional(letter) not in ("R", "AL", "AN")
        and not unicodedata.combining(letter)
        for letter in text
        if letter not in "\n\t"
    )


@cache
def _characters() -> frozenset[int]:
    return frozenset(get_font(findfont(FONT)).get_charmap())


def new_axes(ax: Axes | None, *, width: float = 8.0, height: float = 3.2) -> Axes:
    """Return `ax`, or the axes of a new figure in the house's look (inches)."""
    if ax is not None:
        return ax
    with house_style():
        return plt.subplots(figsize=(width, height), layout="constrained", FigureClass=Chart)[1]


def new_panels(count: int, *, width: float = 8.0, height: float = 2.0) -> list[Axes]:
    """Return the axes of a new figure in the house's look, one below the other on the same horizontal axis (inches)."""
    size = (width, height * count + 0.6)
    with house_style():
        panels = plt.subplots(count, sharex=True, squeeze=False, figsize=size, layout="constrained", FigureClass=Chart)[
            1
        ]
        return list(panels[:, 0])


def title_of(ax: Axes, sentence: str, *, characters: int = 86) -> None:
    """Write the answer above the chart, left aligned, broken into lines."""
    lines, line = [], ""
    for word in _split(sentence, characters):
        if line and len(line) + 1 + len(word) > characters:
            lines, line = [*lines, line], word
        else:
            line = f"{line} {word}".strip()
    ax.set_title("\n".join([*lines, line]), loc="left", fontsize=11, color=INK, parse_math=False)


def _split(sentence: str, characters: int) -> Iterator[str]:
    for word in sentence.split():
        yield from (word[at : at + characters] for at in range(0, len(word), characters))


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
