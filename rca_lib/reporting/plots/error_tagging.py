# Tested in tests/questions/test_error_tagging.py.
"""Pareto chart of the causes of errors."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from rca_lib.questions.error_tagging import ErrorTagging
from rca_lib.reporting.plots.style import ACCENT, INK, SHADE, create_axes, set_title


def plot_error_tagging(tagging: ErrorTagging, ax: Axes | None = None) -> Axes:
    """Draw each cause's share of the errors with its interval, and the cumulative share; measurement is hatched.

    Parameters
    ----------
    tagging
        The result of `tag_errors`.
    ax
        The axes to draw into; new axes by default.

    Returns
    -------
    matplotlib.axes.Axes
        The axes with the chart.
    """
    ax = create_axes(ax, height=4.0)
    causes = tagging.by_cause
    labelled: set[bool] = set()
    for index, cause in enumerate(causes):
        hatch, label = ("///", "measurement: counts against no rater") if cause.measurement else (None, "cause")
        legend_label = None if cause.measurement in labelled else label  # one entry in the legend for each kind
        labelled.add(cause.measurement)
        ax.bar(index, cause.share.value, color=SHADE, edgecolor=ACCENT, hatch=hatch, label=legend_label)
        ax.vlines(index, cause.share.low, cause.share.high, color=INK, linewidth=1.2)
    if causes:
        ax.plot(tagging.to_frame()["cumulative"], ".--", color=INK, linewidth=0.8, label="cumulative")
        ax.legend(frameon=False, fontsize=8)
    ax.set_xticks(range(len(causes)), [cause.code for cause in causes], rotation=45, ha="right")
    ax.set_ylim(0, 1.05)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set_ylabel("share of errors, weighted to all decisions" if tagging.weighted else "share of errors")
    cause_sentences = (finding.sentence for finding in tagging.findings() if finding.kind == "why")
    set_title(ax, next(cause_sentences, tagging.summary()))
    return ax
