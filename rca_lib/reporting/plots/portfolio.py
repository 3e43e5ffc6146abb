"""The funnel: sites and periods against the number of audits."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from rca_lib.questions.portfolio import Portfolio
from rca_lib.reporting.plots.style import ACCENT, BAD, GOOD, INK, MUTED, SHADE, new_axes, title_of

MARKS = {
    "worse": ("v", BAD), "better": ("^", GOOD), "no different": ("o", ACCENT), "too few audits": (".", MUTED)
}  # fmt: skip


def plot_portfolio(portfolio: Portfolio, ax: Axes | None = None) -> Axes:
    """Draw each site and period in the funnel of what chance makes of its number of audits.

    Triangles lie outside after all points were looked at: pointing down is worse, up is better than the rest.
    """
    ax = new_axes(ax, height=4.2)
    points = sorted(portfolio.points, key=lambda point: point.items)
    items = np.array([point.items for point in points])
    ax.fill_between(items, [1 - point.upper for point in points], [1 - point.lower for point in points], color=SHADE,
                    label="what chance makes of it")  # fmt: skip
    ax.axhline(1 - portfolio.overall, color=MUTED, linewidth=1, label="all together")
    for verdict, (marker, colour) in MARKS.items():
        chosen = [point for point in points if point.verdict == verdict]
        if chosen:
            ax.scatter([point.items for point in chosen], [1 - point.adjusted for point in chosen], marker=marker,
                       color=colour, s=36, zorder=3, label=verdict)  # fmt: skip
        for point in chosen if verdict in ("worse", "better") else ():
            ax.annotate(f"{point.site} {point.period}", (point.items, 1 - point.adjusted), xytext=(6, 4),
                        textcoords="offset points", fontsize=9, color=INK)  # fmt: skip
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set_xlabel("independent audits that carry as much information")
    ax.set_ylabel("accuracy, mix-adjusted")
    ax.legend(frameon=False, fontsize=9)
    title_of(ax, portfolio.summary())
    return ax
