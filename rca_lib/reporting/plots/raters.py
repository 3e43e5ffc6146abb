# Tested in tests/questions/test_raters.py.
"""Chart of each rater's errors against the errors expected."""

from __future__ import annotations

from matplotlib.axes import Axes

from rca_lib.findings import Estimate
from rca_lib.questions.raters import RaterPerformance, Raters
from rca_lib.reporting.plots.style import ACCENT, INK, MUTED, create_axes, set_title


def plot_raters(raters: Raters, ax: Axes | None = None) -> Axes:
    """Draw errors against expected errors, with the interval of the ratio; only flagged raters are named.

    Raters below the minimum number of audits are left out.

    Parameters
    ----------
    raters
        The result of `rank_raters`.
    ax
        The axes to draw into; new axes by default.

    Returns
    -------
    matplotlib.axes.Axes
        The axes with the chart.
    """
    ax = create_axes(ax, height=3.6)
    compared = [rater for rater in raters.raters if rater.error_ratio]
    top = max((max(rater.expected_errors, rater.errors) for rater in compared), default=1.0)
    ax.plot([0, top], [0, top], ":", color=MUTED, label="as many as expected")
    for rater in compared:
        if rater.error_ratio is not None:
            _draw_rater(rater, rater.error_ratio, ax)
    ax.set_xlabel("errors expected on the same work")
    ax.set_ylabel("errors; bar: interval of the true ratio")
    ax.legend(frameon=False, fontsize=8)
    set_title(ax, raters.summary())
    return ax


def _draw_rater(rater: RaterPerformance, ratio: Estimate, ax: Axes) -> None:
    """Draw the mark and the interval of one rater, and the name of a flagged one."""
    color, marker = (ACCENT, "D") if rater.flagged else (INK, "o")
    x = rater.expected_errors
    low, high = ratio.low * x, ratio.high * x
    ax.vlines(x, low, high, color=color, linewidth=0.6, alpha=0.5)
    ax.plot(x, rater.errors, marker, color=color, markersize=4)
    if rater.flagged:
        ax.annotate(
            rater.rater, (x, rater.errors), xytext=(4, 2), textcoords="offset points", fontsize=8, parse_math=False
        )
