"""Every KPI over the periods that were reported, a panel each."""

from __future__ import annotations

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from rca_lib.findings import show
from rca_lib.reporting.plots.style import MUTED, new_panels, title_of

NAMED = 8  # sites that are told apart by a name at the end of their line
MARKERS = "osD^vP*X"


def plot_series(series: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw the KPIs of `read_series`, a panel each below the other: a line per site, its interval as a bar.

    With more than eight sites, all lines are grey and carry no name: the table does. Drawn on one axes, it is the first
    KPI alone.
    """
    kpis = list(series["kpi"].unique())[: 1 if ax else None]
    periods = sorted(series["period"].unique())
    panels = [ax] if ax else new_panels(len(kpis))
    for panel, kpi in zip(panels, kpis, strict=True):
        _draw(panel, series[series["kpi"] == kpi], periods)
        panel.set_ylabel(kpi.replace(" ", "\n", 1) if len(kpi) > 20 else kpi)
    panels[-1].set_xticks(range(len(periods)), periods)
    sites = series["site"].nunique()
    title_of(panels[0], f"{len(kpis)} KPIs of {sites} sites over {len(periods)} periods, with 95 % intervals")
    return panels[0]


def _draw(ax: Axes, rows: pd.DataFrame, periods: list[str]) -> None:
    """Draw the lines of one KPI, the sites side by side within a period."""
    sites = sorted(rows["site"].unique())
    few = len(sites) <= NAMED
    colours = sns.color_palette("colorblind", len(sites)) if few else [MUTED] * len(sites)
    for number, site in enumerate(sites):
        own = rows[rows["site"] == site]
        beside = 0.3 * (number / max(1, len(sites) - 1) - 0.5)
        places = [periods.index(period) + beside for period in own["period"]]
        ends = [own["value"] - own["low"], own["high"] - own["value"]]
        ax.errorbar(places, own["value"], yerr=ends, marker=MARKERS[number % len(MARKERS)], markersize=4, linewidth=1,
                    elinewidth=0.8, color=colours[number], alpha=1 if few else 0.5)  # fmt: skip
        if few:
            ax.annotate(site, (places[-1], own["value"].iloc[-1]), xytext=(6, 0), textcoords="offset points",
                        va="center", fontsize=8, color=colours[number], parse_math=False)  # fmt: skip
    unit = rows["unit"].iloc[0]
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: show(value, unit)))
    ax.margins(x=0.08)
