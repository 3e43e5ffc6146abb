"""How answers look in a notebook: figures with a text for those who cannot see them, tables with readable numbers."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from rca_lib.audits.formulas import escape_formula
from rca_lib.findings import UNITS, count_noun, show
from rca_lib.reporting.plots.style import can_draw, house_style

WRITTEN = re.compile(r"<!-- (.*?) -->", re.DOTALL)  # a text, before the outlines of its letters
NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
NOTHING = "Not available: nothing earlier to compare with, or the audits lack the column it needs."


@dataclass(frozen=True, slots=True)
class Shown:
    """Something a notebook displays: its data and metadata by media type."""

    data: Mapping[str, str]
    metadata: Mapping[str, Mapping[str, str]]

    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        return dict(self.data), {kind: dict(values) for kind, values in self.metadata.items()}


def show_figure(plot: Callable[..., Axes], result: object, **options: object) -> Shown:
    """Draw a result as SVG; the title, which is the answer, is also its text alternative.

    A result that is None is answered in words.
    """
    if result is None:
        return _text(NOTHING)
    with house_style():
        axes = plot(result, **options)
        picture = _print_svg(axes.figure)
        if not can_draw("".join(WRITTEN.findall(picture))):
            # The reader's fonts have what ours lacks, and browsers set text from right to left and shape it.
            picture = _print_svg(axes.figure, fonttype="none")
    alt = " ".join(axes.get_title(loc="left").split()) or "Chart"
    plt.close(axes.figure)
    return Shown({"image/svg+xml": picture, "text/plain": alt}, {"image/svg+xml": {"alt": alt}})


def _print_svg(figure: Figure, *, fonttype: str = "path") -> str:
    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": fonttype}):
        # `savefig` would draw all of it once more, for what only raster images need.
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})
    return NO_XML.sub("\N{REPLACEMENT CHARACTER}", buffer.getvalue())


def show_table(result: object, *, rows: int = 20) -> Shown:
    """Show a frame, or the `to_frame()` of a result, as a table; text is escaped, numbers are written in their units.

    The units are those the result noted (`mark_units`): what a column is called says nothing of them.
    """
    if result is None:
        return _text(NOTHING)
    frame = result if isinstance(result, pd.DataFrame) else result.to_frame()
    if frame.empty:
        return _text("Nothing to list.")
    text = pd.DataFrame({name: _write_column(frame, name, rows) for name in frame})
    text.columns = [str(name).replace("_", " ") for name in text.columns]
    page = text.to_html(index=False, escape=True, border=0, classes="numbers", justify="unset")
    rest = f"<p>{count_noun(len(frame) - rows, 'more row')}.</p>" if len(frame) > rows else ""
    return Shown({"text/html": page + rest, "text/plain": text.to_string(index=False)}, {})


def save_table(frame: pd.DataFrame, folder: Path | str, name: str) -> None:
    """Write a frame as `name`.csv into a folder, nothing where the folder is empty; no text becomes a formula."""
    if folder:
        # A lone CR would end the row in most readers, and is not quoted.
        lines = frame.map(lambda cell: re.sub("\r\n?", "\n", cell) if isinstance(cell, str) else cell)
        safe = lines.map(escape_formula)
        safe.columns = [escape_formula(name) for name in frame]
        safe.to_csv(Path(folder) / f"{name}.csv", index=False)


def show_words(result: object) -> Shown:
    """Show the answer in words."""
    return _text(NOTHING if result is None else result if isinstance(result, str) else result.summary())


def _text(words: str) -> Shown:
    return Shown({"text/html": f"<p class='answer'>{html.escape(words)}</p>", "text/plain": words}, {})


def _write_column(frame: pd.DataFrame, name: str, rows: int) -> list[str]:
    units, values = frame.attrs.get(UNITS, {}).get(name, ""), frame[name].head(rows)
    each = [units] * len(values) if isinstance(units, str) else units[: len(values)]
    return [_cell(value, unit) for value, unit in zip(values, each, strict=True)]


def _cell(value: object, unit: str) -> str:
    if not isinstance(value, (Mapping, tuple, list)) and pd.isna(value):
        return "–"
    if isinstance(value, pd.Timestamp) and value == value.normalize():
        return f"{value:%Y-%m-%d}"
    if unit == "date" and isinstance(value, str):
        return show(value, unit)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if unit:
            return show(value, unit)
        return f"{value:,.0f}" if value == round(value) and abs(value) >= 1 else f"{value:.3g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} = {part}" for name, part in value.items()) or "everywhere"
    return str(value)
