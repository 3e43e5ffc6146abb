"""The Pareto of causes."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from rca_lib.questions.taxonomy import Tagging
from rca_lib.reporting.plots.style import ACCENT, INK, SHADE, new_axes, title_of


def plot_taxonomy(tagging: Tagging, ax: Axes | None = None) -> Axes:
    """Draw each cause's share of the errors with its interval, and what they add up to; measurement is hatched."""
    ax = new_axes(ax, height=4.0)
    for place, cause in enumerate(tagging.why):
        hatch, label = ("///", "measurement: counts against no rater") if cause.measurement else (None, "cause")
        label = label if cause.measurement not in {one.measurement for one in tagging.why[:place]} else None
        ax.bar(place, cause.share.value, color=SHADE, edgecolor=ACCENT, hatch=hatch, label=label)
        ax.vlines(place, cause.share.low, cause.share.high, color=INK, linewidth=1.2)
    if tagging.why:
        ax.plot(tagging.to_frame()["cumulative"], ".--", color=INK, linewidth=0.8, label="added up")
        ax.legend(frameon=False, fontsize=8)
    ax.set_xticks(range(len(tagging.why)), [cause.code for cause in tagging.why], rotation=45, ha="right")
    ax.set_ylim(0, 1.05)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set_ylabel("share of errors, weighted to all decisions" if tagging.weighted else "share of errors")
    title_of(ax, next((one.sentence for one in tagging.findings() if one.kind == "why"), tagging.summary()))
    return ax
