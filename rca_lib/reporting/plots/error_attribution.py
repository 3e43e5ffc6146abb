# Tested in tests/questions/test_error_attribution.py.
"""Chart of the sources of disputed items."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from rca_lib.questions.error_attribution import RATER_ERROR, ErrorAttribution
from rca_lib.reporting.plots.style import ACCENT, INK, SHADE, create_axes, set_title


def plot_error_attribution(attribution: ErrorAttribution, ax: Axes | None = None) -> Axes:
    """Draw the share of each source among the disputed items that several people judged, with its interval.

    Sources that count against no rater are hatched.

    Parameters
    ----------
    attribution
        The result of `attribute_errors`.
    ax
        The axes to draw into; new axes by default.

    Returns
    -------
    matplotlib.axes.Axes
        The axes with the chart.
    """
    ax = create_axes(ax, height=2.4)
    rows = range(len(attribution.shares))
    for row, (source, share) in enumerate(attribution.shares):
        ax.barh(row, share.value, color=SHADE, edgecolor=ACCENT, hatch=None if source == RATER_ERROR else "///")
        ax.hlines(row, share.low, share.high, color=INK, linewidth=1.5)
    ax.set_yticks(rows, [source for source, _ in attribution.shares])
    ax.invert_yaxis()
    ax.set_xlim(0, 1)
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set_xlabel("share of the disputed items (hatched: counts against no rater)")
    set_title(ax, attribution.summary())
    return ax
