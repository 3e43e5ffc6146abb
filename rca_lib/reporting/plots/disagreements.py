# Tested in tests/questions/test_disagreements.py.
"""Chart of the largest clusters of disagreement."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from rca_lib.questions.disagreements import Disagreements
from rca_lib.reporting.plots.style import ACCENT, BAD, create_axes, set_title

MAX_CLUSTERS = 12  # clusters drawn
MAX_LABEL_LENGTH = 60  # characters of a cluster's name


def plot_disagreements(disagreements: Disagreements, ax: Axes | None = None) -> Axes:
    """Draw the share of the errors, with its interval, of the twelve largest clusters.

    A cross marks a cluster that one rater dominates.

    Parameters
    ----------
    disagreements
        The result of `cluster_disagreements`.
    ax
        The axes to draw into; new axes by default.

    Returns
    -------
    matplotlib.axes.Axes
        The axes with the chart.
    """
    ax = create_axes(ax, height=3.6)
    clusters = disagreements.clusters[:MAX_CLUSTERS]
    for label, marker, color, is_dominated in (("many raters", "o", ACCENT, False), ("one rater", "X", BAD, True)):
        rows = [row for row, cluster in enumerate(clusters) if bool(cluster.dominant_rater) == is_dominated]
        shares = [clusters[row].share for row in rows]
        ax.hlines(rows, [share.low for share in shares], [share.high for share in shares], color=color)
        ax.plot([share.value for share in shares], rows, marker, color=color, label=label if rows else None)
    ax.set_yticks(range(len(clusters)), [cluster.id[:MAX_LABEL_LENGTH] for cluster in clusters], parse_math=False)
    ax.set_xlim(left=0)
    ax.invert_yaxis()
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set_xlabel("share of errors")
    if clusters:
        ax.legend(frameon=False, fontsize=8, loc="lower right")
    sentences = (finding.sentence for finding in disagreements.findings())
    set_title(ax, next(sentences, disagreements.summary()), characters=60)
    return ax
