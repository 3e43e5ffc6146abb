# Tested in tests/questions/test_quality.py.
"""Chart of quality: the rates of each policy with their intervals, and the target."""

from __future__ import annotations

from matplotlib.axes import Axes

from rca_lib.questions.quality import Quality
from rca_lib.reporting.plots.style import ACCENT, BAD, INK, MUTED, create_axes, set_title

_RATE_MARKERS = {
    "error_rate": ("o", INK, "all errors"),
    "over_enforcement": (">", ACCENT, "over-enforcement, of truly benign"),
    "under_enforcement": ("s", BAD, "under-enforcement, of truly violating"),
}
ROW_OFFSET = 0.22  # vertical distance of the rates of one policy, in rows


def plot_quality(quality: Quality, ax: Axes | None = None) -> Axes:
    """Draw error rate, over- and under-enforcement overall and for each policy, told apart by shape.

    Parameters
    ----------
    quality
        The result of `measure_quality`.
    ax
        The axes to draw on; a new figure if None.

    Returns
    -------
    Axes
        One row per policy; bars are intervals, the dashed line is the target.
    """
    groups = [("all", quality), *((policy.where["policy"], policy) for policy in quality.by_policy)]
    ax = create_axes(ax, height=2.0 + 0.45 * len(groups))
    for number, (measure, (marker, colour, label)) in enumerate(_RATE_MARKERS.items()):
        for row, (_, group) in enumerate(groups):
            rate = getattr(group, measure)
            if rate is None:
                continue
            y = row + (number - 1) * ROW_OFFSET
            ax.plot([100 * rate.low, 100 * rate.high], [y, y], color=colour, linewidth=1.5)
            ax.plot(100 * rate.value, y, marker, color=colour, markersize=6, label=None if row else label)
    if quality.max_error_rate is not None:
        ax.axvline(100 * quality.max_error_rate, color=MUTED, linestyle="--", label="target of all errors")
    ax.set_yticks(range(len(groups)), [name for name, _ in groups])
    ax.invert_yaxis()
    ax.set_xlim(left=0)
    ax.set_xlabel(f"rate, % (bars: {100 * quality.error_rate.level:.0f} % intervals)")
    ax.legend(loc="upper left", bbox_to_anchor=(0, -0.6 / (1 + 0.45 * len(groups))), ncols=2, frameon=False, fontsize=8)
    set_title(ax, quality.summary(), characters=85)
    return ax
