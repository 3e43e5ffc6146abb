"""The picture of the drivers: from the baseline's rate to the current one, part by part."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from rca_lib.findings import Estimate, Rate, name_slice, show
from rca_lib.questions.drivers import Drivers
from rca_lib.reporting.plots.style import ACCENT, BAD, GOOD, INK, MUTED, new_axes, title_of


def plot_drivers(drivers: Drivers, ax: Axes | None = None) -> Axes:
    """Draw a waterfall: baseline, mix, each named slice, the unexplained rest, current; 95 % intervals as whiskers.

    Bars that raise the error rate are hatched, so that they can be told apart without colour.
    """
    named = [*([drivers.overall] if drivers.overall else []), *drivers.slices]
    parts = [("mix of the work", drivers.mix)]
    parts += [(name_slice(one.where), one.contribution) for one in named]
    parts += [("unexplained", drivers.unexplained)]
    ax = new_axes(ax, height=1.4 + 0.34 * (len(parts) + 2))
    _draw_rate(ax, 0, drivers.before)
    level = drivers.before.value
    for place, (_, part) in enumerate(parts, start=1):
        _draw_part(ax, place, level, part)
        level += part.value
    _draw_rate(ax, len(parts) + 1, drivers.after)
    ax.set_yticks(range(len(parts) + 2), ["baseline", *(name for name, _ in parts), "current"])
    ax.invert_yaxis()
    ax.grid(False, axis="y")
    ax.margins(x=0.12)
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    ax.set_xlabel("error rate (whiskers: 95 % interval of each part)")
    title_of(ax, drivers.summary(), characters=66)
    return ax


def _draw_rate(ax: Axes, place: int, rate: Rate) -> None:
    ax.errorbar(
        rate.value, place, xerr=[[rate.value - rate.low], [rate.high - rate.value]], fmt="D", color=INK, ecolor=MUTED,
        capsize=3, markersize=5,
    )  # fmt: skip
    ax.annotate(show(rate.value, "%"), (rate.high, place), (6, -3), textcoords="offset points", fontsize=8, color=INK)


def _draw_part(ax: Axes, place: int, level: float, part: Estimate) -> None:
    worse = part.value > 0
    unsure = part.low <= 0 <= part.high
    ax.barh(
        place, part.value, left=level, height=0.6, color=MUTED if unsure else BAD if worse else GOOD, alpha=0.55,
        hatch="//" if worse else None, edgecolor=ACCENT if unsure else INK, linewidth=0.6,
    )  # fmt: skip
    ax.hlines(place, level + part.low, level + part.high, color=INK, linewidth=1.2)
    ax.vlines([level, level + part.value], place - 0.45, place + 0.45, color=MUTED, linewidth=0.5)
    end = level + max(part.high, part.value, 0.0)
    ax.annotate(
        f"{'+' if part.value > 0.0005 else ''}{show(part.value, 'pp')}",
        (end, place),
        (6, -3),
        textcoords="offset points",
        fontsize=8,
        color=INK,
    )
