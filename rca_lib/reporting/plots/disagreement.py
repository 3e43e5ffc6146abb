"""The largest clusters of disagreement."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from rca_lib.questions.disagreement import Disagreements
from rca_lib.reporting.plots.style import ACCENT, BAD, new_axes, title_of


def plot_disagreement(disagreements: Disagreements, ax: Axes | None = None) -> Axes:
    """Draw the share of the errors, with its interval, of the twelve largest clusters; a cross is one rater's."""
    ax, top = new_axes(ax, height=3.6), disagreements.clusters[:12]
    for words, marker, colour, alone in (("many raters", "o", ACCENT, False), ("one rater", "X", BAD, True)):
        chosen = [place for place, one in enumerate(top) if bool(one.carried_by) == alone]
        shares = [top[place].share for place in chosen]
        ax.hlines(chosen, [share.low for share in shares], [share.high for share in shares], color=colour)
        ax.plot([share.value for share in shares], chosen, marker, color=colour, label=words if chosen else None)
    ax.set_yticks(range(len(top)), [one.id[:60] for one in top], parse_math=False)
    ax.set_xlim(left=0)
    ax.invert_yaxis()
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set_xlabel("share of errors")
    if top:
        ax.legend(frameon=False, fontsize=8, loc="lower right")
    title_of(ax, next((one.sentence for one in disagreements.findings()), disagreements.summary()), characters=60)
    return ax
