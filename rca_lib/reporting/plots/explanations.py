"""What the disputed items are."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from rca_lib.questions.explanations import Explanations
from rca_lib.reporting.plots.style import ACCENT, INK, SHADE, new_axes, title_of


def plot_explanations(explanations: Explanations, ax: Axes | None = None) -> Axes:
    """Draw each cause's share of the disputed items that several people judged, with its interval."""
    ax = new_axes(ax, height=2.4)
    rows = range(len(explanations.shares))
    for row, (cause, share) in enumerate(explanations.shares):
        ax.barh(row, share.value, color=SHADE, edgecolor=ACCENT, hatch=None if cause == "rater error" else "///")
        ax.hlines(row, share.low, share.high, color=INK, linewidth=1.5)
    ax.set_yticks(rows, [cause for cause, _ in explanations.shares])
    ax.invert_yaxis()
    ax.set_xlim(0, 1)
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set_xlabel("share of the disputed items (hatched: counts against no rater)")
    title_of(ax, explanations.summary())
    return ax
