"""Display of results in a notebook: figures with alternative text, tables with readable numbers, and summaries."""

from __future__ import annotations

import base64
import csv
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

from rca_lib.findings import UNITS_ATTRIBUTE, format_count, format_value
from rca_lib.intake.ledger import Ledger
from rca_lib.io.formula_injection import escape_formula
from rca_lib.questions.agreement import Agreement
from rca_lib.questions.auditor_calibration import AuditorCalibration
from rca_lib.questions.disagreements import Disagreements
from rca_lib.questions.drivers import Drivers
from rca_lib.questions.error_attribution import ErrorAttribution
from rca_lib.questions.error_tagging import ErrorTagging
from rca_lib.questions.portfolio import Portfolio
from rca_lib.questions.quality import Quality
from rca_lib.questions.raters import Raters
from rca_lib.questions.screening import Screening
from rca_lib.reporting.plots.agreement import plot_agreement
from rca_lib.reporting.plots.auditor_calibration import plot_auditor_calibration
from rca_lib.reporting.plots.disagreements import plot_disagreements
from rca_lib.reporting.plots.drivers import plot_drivers
from rca_lib.reporting.plots.error_attribution import plot_error_attribution
from rca_lib.reporting.plots.error_tagging import plot_error_tagging
from rca_lib.reporting.plots.portfolio import plot_portfolio
from rca_lib.reporting.plots.quality import plot_quality
from rca_lib.reporting.plots.raters import plot_raters
from rca_lib.reporting.plots.screening import plot_screening
from rca_lib.reporting.plots.style import font_supports, use_chart_style
from rca_lib.reporting.plots.trend import plot_trend
from rca_lib.reporting.synthetic_notice import SYNTHETIC_NOTICE, render_synthetic_notice
from rca_lib.result import Result
from rca_lib.stats.changepoints.records import Trend

SVG_TEXT_COMMENT = re.compile(r"<!-- (.*?) -->", re.DOTALL)  # matplotlib writes a text before its outlines
INVALID_XML_CHARS = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
CHARTS: Mapping[type[Result], Callable[..., Axes]] = {
    Agreement: plot_agreement,
    AuditorCalibration: plot_auditor_calibration,
    Disagreements: plot_disagreements,
    Drivers: plot_drivers,
    ErrorAttribution: plot_error_attribution,
    ErrorTagging: plot_error_tagging,
    Portfolio: plot_portfolio,
    Quality: plot_quality,
    Raters: plot_raters,
    Screening: plot_screening,
    Trend: plot_trend,
}
NOT_AVAILABLE = "Not available: there is no earlier period, or the audits lack a required column."


@dataclass(frozen=True, slots=True)
class MimeBundle:
    """What a notebook displays: data and metadata by media type."""

    data: Mapping[str, str]
    metadata: Mapping[str, Mapping[str, str]]

    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        return dict(self.data), {mime_type: dict(values) for mime_type, values in self.metadata.items()}


def render_result(result: Result) -> str:
    """Return a result as HTML: its summary, its chart if there is one, and its table.

    Parameters
    ----------
    result
        The result of a question.

    Returns
    -------
    str
        HTML in which every text is escaped.
    """
    parts = [_render_summary(result)]
    if type(result) in CHARTS:
        svg, alternative_text = _draw(CHARTS[type(result)], result)
        encoded = base64.b64encode(svg.encode()).decode()
        source = f"data:image/svg+xml;base64,{encoded}"
        parts.append(f'<figure><img alt="{html.escape(alternative_text)}" src="{source}"></figure>')
    frame = result.display_frame()
    if not frame.empty:
        parts.append(_render_table(frame, rows=result.max_display_rows)[0])
    return "".join(parts)


def show_figure(plot: Callable[..., Axes], data: object, **options: object) -> MimeBundle:
    """Draw a chart as SVG, with its title as alternative text.

    Parameters
    ----------
    plot
        A function such as `plot_kpi_series`, called with the data and the options.
    data
        What to draw; None gives a text instead of a chart.
    options
        Passed to `plot`.
    """
    if data is None:
        return _wrap_text(NOT_AVAILABLE)
    svg, alternative_text = _draw(plot, data, **options)
    return MimeBundle(
        {"image/svg+xml": svg, "text/plain": alternative_text}, {"image/svg+xml": {"alt": alternative_text}}
    )


def _draw(plot: Callable[..., Axes], data: object, **options: object) -> tuple[str, str]:
    """Return a chart as SVG, and its title as alternative text."""
    with use_chart_style():
        axes = plot(data, **options)
        figure = axes.get_figure(root=True)
        if figure is None:
            raise ValueError("the chart has no figure")
        svg = _render_svg(figure)
        if not font_supports("".join(SVG_TEXT_COMMENT.findall(svg))):
            # The reader's fonts have the missing characters, and browsers set text from right to left.
            svg = _render_svg(figure, fonttype="none")
    alternative_text = " ".join(axes.get_title(loc="left").split()) or "Chart"
    plt.close(figure)
    return svg, alternative_text


def _render_svg(figure: Figure, *, fonttype: str = "path") -> str:
    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": fonttype}):
        # `savefig` would draw everything a second time, which only raster images need.
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})
    return INVALID_XML_CHARS.sub("\N{REPLACEMENT CHARACTER}", buffer.getvalue())


def show_table(frame: pd.DataFrame | None, *, rows: int = 20) -> MimeBundle:
    """Show a table.

    Parameters
    ----------
    frame
        A pandas frame; None gives a text instead of a table.
    rows
        Number of rows to show (default 20).

    Notes
    -----
    Text is escaped. Numbers are formatted in the units stored with the frame (`set_units`), not by column name.
    """
    if frame is None:
        return _wrap_text(NOT_AVAILABLE)
    if frame.empty:
        return _wrap_text("Nothing to list.")
    table, text = _render_table(frame, rows=rows)
    return MimeBundle({"text/html": table, "text/plain": text}, {})


def _render_table(frame: pd.DataFrame, *, rows: int) -> tuple[str, str]:
    """Return the first rows of a table as HTML and as text."""
    text = pd.DataFrame({name: _format_column(frame, name, rows) for name in frame})
    text.columns = [str(name).replace("_", " ") for name in text.columns]
    table = text.to_html(index=False, escape=True, border=0, classes="numbers", justify="unset")
    hidden_rows = f"<p>{format_count(len(frame) - rows, 'more row')}.</p>" if len(frame) > rows else ""
    return table + hidden_rows, text.to_string(index=False)


def save_table(frame: pd.DataFrame, folder: Path | str, name: str) -> None:
    """Write a frame as CSV; no text becomes a formula.

    Parameters
    ----------
    frame
        The table.
    folder
        An existing folder. Nothing is written where it is "".
    name
        The name of the file, without ".csv".
    """
    if not folder:
        return
    # Most readers take a lone carriage return for the end of a row, and it is not quoted.
    one_line_end = frame.map(lambda cell: re.sub("\r\n?", "\n", cell) if isinstance(cell, str) else cell)
    safe_frame = one_line_end.map(escape_formula)
    safe_frame.columns = [escape_formula(column) for column in frame]
    safe_frame.to_csv(Path(folder) / f"{name}.csv", index=False, quoting=csv.QUOTE_NONNUMERIC)


def show_synthetic_notice(ledger: Ledger) -> MimeBundle | None:
    """Show that the audits are simulated; nothing for real audits.

    Parameters
    ----------
    ledger
        The ledger of the store (`open_ledger`).

    Returns
    -------
    MimeBundle, optional
        One line, or None for real audits. A notebook displays nothing for None.
    """
    if not ledger.synthetic:
        return None
    return MimeBundle({"text/html": render_synthetic_notice(ledger), "text/plain": SYNTHETIC_NOTICE}, {})


def _render_summary(result: Result) -> str:
    return f"<p class='answer'>{html.escape(result.summary())}</p>"


def _wrap_text(text: str) -> MimeBundle:
    return MimeBundle({"text/html": f"<p class='answer'>{html.escape(text)}</p>", "text/plain": text}, {})


def _format_column(frame: pd.DataFrame, name: Any, rows: int) -> list[str]:
    values = frame[name].head(rows)
    units = frame.attrs.get(UNITS_ATTRIBUTE, {}).get(name, "")
    unit_per_row = [units] * len(values) if isinstance(units, str) else units[: len(values)]
    return [_format_cell(value, unit) for value, unit in zip(values, unit_per_row, strict=True)]


def _format_cell(value: Any, unit: str) -> str:
    if not isinstance(value, (Mapping, tuple, list)) and pd.isna(value):
        return "–"
    if isinstance(value, pd.Timestamp) and value == value.normalize():
        return f"{value:%Y-%m-%d}"
    if unit == "date" and isinstance(value, str):
        return format_value(value, unit)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if unit:
            return format_value(value, unit)
        return f"{value:,.0f}" if value == round(value) and abs(value) >= 1 else f"{value:.3g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} = {condition}" for name, condition in value.items()) or "everywhere"
    return str(value)
