# Tested in tests/questions/test_portfolio.py.
"""Funnel chart of sites and periods by their number of audits."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from rca_lib.questions.portfolio import Portfolio
from rca_lib.reporting.plots.style import ACCENT, BAD, GOOD, INK, MUTED, SHADE, create_axes, set_title

VERDICT_MARKERS = {
    "worse": ("v", BAD), "better": ("^", GOOD), "no different": ("o", ACCENT), "too few audits": (".", MUTED)
}  # fmt: skip
LABELLED_VERDICTS = ("worse", "better")


def plot_portfolio(portfolio: Portfolio, ax: Axes | None = None) -> Axes:
    """Draw each site and period in the funnel of its control limits.

    Parameters
    ----------
    portfolio
        The result of `compare_sites`.
    ax
        The axes to draw on; a new figure if None.

    Returns
    -------
    Axes
        Triangles are points called different: pointing down is worse, pointing up is better than the others.
    """
    ax = create_axes(ax, height=4.2)
    points = sorted(portfolio.points, key=lambda point: point.effective_audits)
    audits = np.array([point.effective_audits for point in points])
    low, high = [1 - point.upper_limit for point in points], [1 - point.lower_limit for point in points]
    ax.fill_between(audits, low, high, color=SHADE, label="range expected by chance")
    ax.axhline(1 - portfolio.overall_rate, color=MUTED, linewidth=1, label="all sites together")
    for verdict, (marker, colour) in VERDICT_MARKERS.items():
        matching = [point for point in points if point.verdict == verdict]
        if matching:
            x = [point.effective_audits for point in matching]
            y = [1 - point.adjusted_rate for point in matching]
            ax.scatter(x, y, marker=marker, color=colour, s=36, zorder=3, label=verdict)
        for point in matching if verdict in LABELLED_VERDICTS else ():
            position = (point.effective_audits, 1 - point.adjusted_rate)
            ax.annotate(
                f"{point.site} {point.period}", position, xytext=(6, 4), textcoords="offset points", fontsize=9,
                color=INK,
            )  # fmt: skip
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set_xlabel("effective number of audits")
    ax.set_ylabel("accuracy, adjusted for work mix")
    ax.legend(frameon=False, fontsize=9)
    set_title(ax, portfolio.summary())
    return ax
