# Tested in tests/reporting/test_kpi_series.py.
"""Chart of every KPI by period, one panel per KPI."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from rca_lib.findings import format_value
from rca_lib.reporting.plots.style import MUTED, create_panels, set_title

MAX_LABELLED_SITES = 8  # sites with a name and a colour of their own
MAX_AXIS_LABEL_CHARS = 20  # of one line beside a panel; longer names are broken after the first word
SITE_SPREAD = 0.3  # width that the sites of a period share; periods are 1 apart
MARKERS = "osD^vP*X"


def plot_kpi_series(series: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw each KPI in its own panel: one line per site, with intervals as bars.

    Parameters
    ----------
    series
        From `read_kpi_series`.
    ax
        Axes for the first KPI only; None (default) for a new figure with all KPIs.

    Returns
    -------
    Axes
        The axes of the first panel.

    Notes
    -----
    With more than eight sites, all lines are grey and have no name; the table beside the chart has the names.
    """
    kpis = list(series["kpi"].unique())[: 1 if ax else None]
    periods = sorted(series["period"].unique())
    panels = [ax] if ax else create_panels(len(kpis))
    for panel, kpi in zip(panels, kpis, strict=True):
        _draw_kpi(panel, series[series["kpi"] == kpi], periods)
        panel.set_ylabel(kpi.replace(" ", "\n", 1) if len(kpi) > MAX_AXIS_LABEL_CHARS else kpi)
    panels[-1].set_xticks(range(len(periods)), periods)
    sites = series["site"].nunique()
    set_title(panels[0], f"{len(kpis)} KPIs of {sites} sites over {len(periods)} periods, with 95 % intervals")
    return panels[0]


def _draw_kpi(ax: Axes, kpi_rows: pd.DataFrame, periods: Sequence[str]) -> None:
    """Draw the lines of one KPI, the sites side by side within a period."""
    sites = sorted(kpi_rows["site"].unique())
    has_labels = len(sites) <= MAX_LABELLED_SITES
    colours = sns.color_palette("colorblind", len(sites)) if has_labels else [MUTED] * len(sites)
    for index, site in enumerate(sites):
        rows = kpi_rows[kpi_rows["site"] == site]
        offset = SITE_SPREAD * (index / max(1, len(sites) - 1) - 0.5)
        positions = [periods.index(period) + offset for period in rows["period"]]
        error_bars = [rows["value"] - rows["low"], rows["high"] - rows["value"]]
        ax.errorbar(positions, rows["value"], yerr=error_bars, marker=MARKERS[index % len(MARKERS)], markersize=4,
                    linewidth=1, elinewidth=0.8, color=colours[index], alpha=1 if has_labels else 0.5)  # fmt: skip
        if has_labels:
            ax.annotate(site, (positions[-1], rows["value"].iloc[-1]), xytext=(6, 0), textcoords="offset points",
                        va="center", fontsize=8, color=colours[index], parse_math=False)  # fmt: skip
    unit = kpi_rows["unit"].iloc[0]
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: format_value(value, unit)))
    ax.margins(x=0.08)
