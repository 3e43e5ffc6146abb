"""Each rater's errors against those to expect."""

from __future__ import annotations

from matplotlib.axes import Axes

from rca_lib.questions.raters import Raters
from rca_lib.reporting.plots.style import ACCENT, INK, MUTED, new_axes, title_of


def plot_raters(raters: Raters, ax: Axes | None = None) -> Axes:
    """Draw errors over expected errors, a mark per rater with enough audits; only who stands out is named."""
    ax = new_axes(ax, height=3.6)
    told = [one for one in raters.raters if one.ratio]
    top = max((max(one.expected, one.errors) for one in told), default=1.0)
    ax.plot([0, top], [0, top], ":", color=MUTED, label="as many as expected")
    for one in told:
        colour, mark = (ACCENT, "D") if one.stands_out else (INK, "o")
        ends = float(one.ratio.low) * one.expected, float(one.ratio.high) * one.expected
        ax.vlines(one.expected, *ends, color=colour, linewidth=0.6, alpha=0.5)
        ax.plot(one.expected, one.errors, mark, color=colour, markersize=4)
        if one.stands_out:
            ax.annotate(
                one.rater,
                (one.expected, one.errors),
                xytext=(4, 2),
                textcoords="offset points",
                fontsize=8,
                parse_math=False,
            )
    ax.set_xlabel("errors to expect on the same work")
    ax.set_ylabel("errors; bar: what the true ratio makes of them")
    ax.legend(frameon=False, fontsize=8)
    title_of(ax, raters.summary())
    return ax
