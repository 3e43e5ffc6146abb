"""How strict each auditor is."""

from __future__ import annotations

from matplotlib.axes import Axes

from rca_lib.questions.auditors import Auditors
from rca_lib.reporting.plots.style import ACCENT, INK, MUTED, new_axes, title_of


def plot_auditors(auditors: Auditors, ax: Axes | None = None) -> Axes:
    """Draw the errors each auditor finds over those the median would find, with intervals; who differs is a diamond."""
    ax = new_axes(ax, height=1.4 + 0.25 * len(auditors.auditors))
    for row, one in enumerate(auditors.auditors):
        colour, mark = (ACCENT, "D") if one.differs else (INK, "o")
        ax.hlines(row, one.ratio.low, one.ratio.high, color=colour, linewidth=1.5)
        ax.plot(one.ratio.value, row, mark, color=colour)
    ax.axvline(1.0, color=MUTED, linestyle=":")
    ax.set_yticks(range(len(auditors.auditors)), [one.auditor for one in auditors.auditors], parse_math=False)
    ax.invert_yaxis()
    ax.set_xlabel("errors found, times those of the median auditor on the same decisions")
    title_of(ax, auditors.summary())
    return ax
