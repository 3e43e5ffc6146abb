# Tested in tests/reporting/test_display.py.
"""The style of all charts: readable in print, on a phone and without colour."""

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

FONT = "DejaVu Sans"  # ships with matplotlib, so charts are the same on every machine
MAX_LABEL_CHARS = 40  # characters of a label at an axis or upright: longer ones leave no room for bars
MAX_LINE_CHARS = 90  # characters of any other line of text: the width of a chart
TITLE_CHARS = 86  # characters of a line of the title, which has a larger font
PANEL_WIDTH = 8.0  # inches of a figure with several panels
PANEL_HEIGHT = 2.0  # inches of each panel
# Settings that do not affect the look, or are chosen for each figure.
UNMANAGED_RC_PARAMS = ("backend", "backend_fallback", "interactive", "toolbar", "datapath", "svg.fonttype")
RIGHT_TO_LEFT_CLASSES = ("R", "AL", "AN")  # bidirectional classes of Unicode
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
def _get_rc_params() -> dict[str, Any]:
    """Return all settings of a chart: the defaults of matplotlib, independent of the user's matplotlibrc, and ours."""
    defaults = {name: value for name, value in mpl.rcParamsDefault.items() if name not in UNMANAGED_RC_PARAMS}
    return defaults | _RC


@contextmanager
def use_chart_style() -> Iterator[None]:
    """Draw in the style of the reports, without warnings about names that the font or the layout cannot show."""
    settings = _get_rc_params()
    with mpl.rc_context(settings), warnings.catch_warnings():  # type: ignore[arg-type]  # matplotlib checks the names
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        warnings.filterwarnings("ignore", "constrained_layout not applied", UserWarning)
        yield


class LiteralTextFigure(Figure):
    """A figure that draws every text literally: in names from the data, `$` does not start a formula."""

    def draw(self, renderer: RendererBase) -> None:
        """Draw the figure."""
        with use_chart_style():
            self._disable_math_text()
            super().draw(renderer)

    def get_tightbbox(  # type: ignore[override]  # the stubs of Figure and of its base disagree
        self, renderer: RendererBase | None = None, **options: Any
    ) -> BboxBase:
        """Return the bounding box of everything drawn."""
        with use_chart_style():
            self._disable_math_text()
            return super().get_tightbbox(renderer, **options)

    def _disable_math_text(self) -> None:
        for text in self.findobj(Text):
            text.set_parse_math(False)
            max_chars = MAX_LABEL_CHARS if text.get_rotation() else MAX_LINE_CHARS
            lines = [_truncate_middle(line, max_chars) for line in text.get_text().split("\n")]
            text.set_text("\n".join(lines))
        for axis in (axis for axes in self.axes for axis in (axes.xaxis, axes.yaxis)):
            formatter = axis.get_major_formatter()
            if isinstance(formatter, FixedFormatter):
                formatter.seq = [_truncate_middle(label, MAX_LABEL_CHARS) for label in formatter.seq]


def _truncate_middle(text: str, max_chars: int) -> str:
    return text if len(text) <= max_chars else f"{text[: max_chars * 2 // 3]}…{text[-(max_chars // 3) :]}"


def font_supports(text: str) -> bool:
    """Whether the font can draw every character in its order and form, without shaping.

    Examples
    --------
    >>> (font_supports("São Paulo €"), font_supports("東京"), font_supports("שלום"), font_supports("नमस्ते"),
    ...  font_supports("🧵"))
    (True, False, False, False, False)
    """
    characters = _get_font_characters()
    return all(
        ord(char) in characters
        and unicodedata.bidirectional(char) not in RIGHT_TO_LEFT_CLASSES
        and not unicodedata.combining(char)
        for char in text
        if char not in "\n\t"
    )


@cache
def _get_font_characters() -> frozenset[int]:
    return frozenset(get_font(findfont(FONT)).get_charmap())


def create_axes(ax: Axes | None, *, width: float = 8.0, height: float = 3.2) -> Axes:
    """Return `ax`, or the axes of a new figure of `width` × `height` inches in the style of the reports."""
    if ax is not None:
        return ax
    with use_chart_style():
        return plt.subplots(figsize=(width, height), layout="constrained", FigureClass=LiteralTextFigure)[1]


def create_panels(count: int) -> list[Axes]:
    """Return `count` axes of a new figure, one below the other on one horizontal axis."""
    size = (PANEL_WIDTH, PANEL_HEIGHT * count + 0.6)
    with use_chart_style():
        panels = plt.subplots(
            count, sharex=True, squeeze=False, figsize=size, layout="constrained", FigureClass=LiteralTextFigure
        )[1]
        return list(panels[:, 0])


def set_title(ax: Axes, sentence: str, *, characters: int = TITLE_CHARS) -> None:
    """Write the answer above the chart, left aligned and wrapped."""
    lines: list[str] = []
    line = ""
    for word in _split_words(sentence, characters):
        if line and len(line) + 1 + len(word) > characters:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    ax.set_title("\n".join([*lines, line]), loc="left", fontsize=11, color=INK, parse_math=False)


def _split_words(sentence: str, characters: int) -> Iterator[str]:
    for word in sentence.split():
        yield from (word[start : start + characters] for start in range(0, len(word), characters))


def to_axis_value(time: str | float) -> Any:
    """Return the position of a time on an axis: a number or a date, which matplotlib converts."""
    return np.datetime64(time) if isinstance(time, str) else time


def format_date_axis(ax: Axes, time: str | float) -> None:
    """Format the ticks of a time axis as short dates; numbers stay as they are."""
    if isinstance(time, str):
        locator = AutoDateLocator(maxticks=8)
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def mark_event(ax: Axes, position: Any, title: str) -> None:
    """Mark an event with a dotted line and an upright title."""
    ax.axvline(position, color=MUTED, linestyle=":", linewidth=1.2)
    ax.annotate(
        title, (position, 0.02), xycoords=("data", "axes fraction"), rotation=90, va="bottom", ha="right", fontsize=8,
        color=MUTED, parse_math=False, zorder=2,
        bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.5},
    )  # fmt: skip
