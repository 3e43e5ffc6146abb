# Tested in tests/questions/test_drivers.py.
"""Waterfall chart of the drivers: from the error rate of the baseline to the current one."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from rca_lib.findings import Estimate, Rate, format_slice, format_value
from rca_lib.questions.drivers import Drivers
from rca_lib.reporting.plots.style import ACCENT, BAD, GOOD, INK, MUTED, create_axes, set_title

MIN_POSITIVE_EFFECT = 0.0005  # share from which an effect gets a plus sign: smaller ones read 0.0 pp


def plot_drivers(drivers: Drivers, ax: Axes | None = None) -> Axes:
    """Draw a waterfall: baseline, work mix, each named slice, the unexplained rest, current period.

    Parameters
    ----------
    drivers
        The result of `rank_drivers`.
    ax
        The axes to draw on; a new figure if None.

    Returns
    -------
    Axes
        Whiskers are 95 % intervals. Bars that raise the error rate are hatched, so they can be told apart without
        colour.
    """
    effects = [("work mix", drivers.mix_effect)]
    effects += [(format_slice(slice_.where), slice_.contribution) for slice_ in drivers.named_slices]
    effects += [("unexplained", drivers.unexplained)]
    ax = create_axes(ax, height=1.4 + 0.34 * (len(effects) + 2))
    _draw_rate(ax, 0, drivers.before)
    level = drivers.before.value
    for row, (_, effect) in enumerate(effects, start=1):
        _draw_effect(ax, row, level, effect)
        level += effect.value
    _draw_rate(ax, len(effects) + 1, drivers.after)
    ax.set_yticks(range(len(effects) + 2), ["baseline", *(name for name, _ in effects), "current"])
    ax.invert_yaxis()
    ax.grid(False, axis="y")
    ax.margins(x=0.12)
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    ax.set_xlabel("error rate (whiskers: 95 % intervals)")
    set_title(ax, drivers.summary(), characters=66)
    return ax


def _draw_rate(ax: Axes, row: int, rate: Rate) -> None:
    """Draw the error rate of a period with its interval."""
    ax.errorbar(
        rate.value, row, xerr=[[rate.value - rate.low], [rate.high - rate.value]], fmt="D", color=INK, ecolor=MUTED,
        capsize=3, markersize=5,
    )  # fmt: skip
    ax.annotate(
        format_value(rate.value, "%"), (rate.high, row), (6, -3), textcoords="offset points", fontsize=8, color=INK
    )


def _draw_effect(ax: Axes, row: int, level: float, effect: Estimate) -> None:
    """Draw an effect as a bar from the level reached so far, with its interval."""
    is_worse = effect.value > 0
    is_proven = not effect.low <= 0 <= effect.high
    colour = (BAD if is_worse else GOOD) if is_proven else MUTED
    ax.barh(
        row, effect.value, left=level, height=0.6, color=colour, alpha=0.55, hatch="//" if is_worse else None,
        edgecolor=INK if is_proven else ACCENT, linewidth=0.6,
    )  # fmt: skip
    ax.hlines(row, level + effect.low, level + effect.high, color=INK, linewidth=1.2)
    ax.vlines([level, level + effect.value], row - 0.45, row + 0.45, color=MUTED, linewidth=0.5)
    end = level + max(effect.high, effect.value, 0.0)
    sign = "+" if effect.value > MIN_POSITIVE_EFFECT else ""
    ax.annotate(
        f"{sign}{format_value(effect.value, 'pp')}", (end, row), (6, -3), textcoords="offset points", fontsize=8,
        color=INK,
    )  # fmt: skip
