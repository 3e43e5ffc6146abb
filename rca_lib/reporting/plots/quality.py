"""The picture of quality: the rates by policy with their intervals, and the target."""

from __future__ import annotations

from matplotlib.axes import Axes

from rca_lib.questions.quality import Quality
from rca_lib.reporting.plots.style import ACCENT, BAD, INK, MUTED, new_axes, title_of

_MARKS = {
    "error_rate": ("o", INK, "all errors"),
    "over_enforcement": (">", ACCENT, "over-enforcement, of truly benign"),
    "under_enforcement": ("s", BAD, "under-enforcement, of truly violating"),
}


def plot_quality(quality: Quality, ax: Axes | None = None) -> Axes:
    """Draw error rate, over- and under-enforcement of the whole and of each policy, told apart by shape."""
    parts = [("all", quality), *((part.where["policy"], part) for part in quality.by_policy)]
    ax = new_axes(ax, height=2.0 + 0.45 * len(parts))
    for row, (measure, (marker, colour, label)) in enumerate(_MARKS.items()):
        rates = [(at + (row - 1) * 0.22, getattr(part, measure)) for at, (_, part) in enumerate(parts)]
        for at, rate in [(at, rate) for at, rate in rates if rate is not None]:
            ax.plot([100 * rate.low, 100 * rate.high], [at, at], color=colour, linewidth=1.5)
            ax.plot(100 * rate.value, at, marker, color=colour, markersize=6, label=label if at < 0.5 else None)
    if quality.error_target is not None:
        ax.axvline(100 * quality.error_target, color=MUTED, linestyle="--", label="target of all errors")
    ax.set_yticks(range(len(parts)), [name for name, _ in parts])
    ax.invert_yaxis()
    ax.set_xlim(left=0)
    ax.set_xlabel(f"rate, % (bars: {quality.error_rate.level:.0%} intervals)")
    ax.legend(loc="upper left", bbox_to_anchor=(0, -0.6 / (1 + 0.45 * len(parts))), ncols=2, frameon=False, fontsize=8)
    title_of(ax, quality.summary(), characters=85)
    return ax
