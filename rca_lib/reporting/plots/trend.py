# Tested in tests/questions/test_trend.py.
"""Chart of a trend: the series, its levels, its changes and the events near them."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from rca_lib.reporting.plots.style import (
    ACCENT,
    BAD,
    GOOD,
    INK,
    MUTED,
    SHADE,
    create_axes,
    format_date_axis,
    mark_event,
    set_title,
    to_axis_value,
)
from rca_lib.stats.changepoints.records import LevelChange, Trend


def plot_trend(trend: Trend, ax: Axes | None = None) -> Axes:
    """Draw the steps and levels with their intervals, the dates of the changes, and the spikes.

    Parameters
    ----------
    trend
        The result of `find_changes`.
    ax
        The axes to draw on; a new figure if None.

    Returns
    -------
    Axes
        Shaded bands are the date intervals of changes, crosses spikes, the dashed line the target, dotted lines events.
    """
    ax = create_axes(ax)
    times = [to_axis_value(step.time) for step in trend.steps]
    low, value, high = (np.array([getattr(step, name) for step in trend.steps]) for name in ("low", "value", "high"))
    ax.vlines(times, low, high, color=MUTED, linewidth=0.6, alpha=0.5)
    ax.plot(times, value, ".", color=MUTED, markersize=4, label="step with 95 % interval")
    ax.plot(times, [step.expected for step in trend.steps], color=ACCENT, drawstyle="steps-mid", label="level")
    _draw_level_intervals(ax, trend, times)
    for index, change in enumerate(trend.changes):
        _draw_change(ax, change, is_first=index == 0)
    spikes = [index for spike in trend.outliers for index in range(spike.position, spike.position + spike.length)]
    if spikes:
        ax.plot([times[index] for index in spikes], value[spikes], "x", color=BAD, markersize=8, label="spike")
    if trend.target is not None:
        ax.axhline(trend.target, color=GOOD, linestyle="--", linewidth=1.2, label="target")
    for time, title in trend.calendar:
        if times[0] <= time <= times[-1]:
            mark_event(ax, time, title)
    if trend.unit == "%":
        ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
        ax.set_ylabel("error rate")
    format_date_axis(ax, trend.steps[0].time)
    ax.legend(loc="upper left", bbox_to_anchor=(0, -0.12), ncols=5, frameon=False, fontsize=8)
    set_title(ax, trend.summary())
    return ax


def _draw_level_intervals(ax: Axes, trend: Trend, times: list[Any]) -> None:
    """Shade the interval of each level; a drift has no level of its own."""
    edges = [0, *(change.position for change in trend.changes), len(times)]
    levels = [change.before for change in trend.changes[:1]] + [change.after for change in trend.changes]
    for start, stop, level in zip(edges, edges[1:], levels, strict=False):
        if start == 0 or trend.changes[edges.index(start) - 1].kind == "step":
            ax.fill_between(times[start:stop], level.low, level.high, color=ACCENT, alpha=0.15, linewidth=0)


def _draw_change(ax: Axes, change: LevelChange, *, is_first: bool) -> None:
    """Draw the date of a change as a line in the band of its date interval."""
    earliest, latest = (to_axis_value(time) for time in change.time_interval)
    ax.axvspan(earliest, latest, color=SHADE, zorder=0, label="when (95 %)" if is_first else None)
    ax.axvline(to_axis_value(change.time), color=INK, linewidth=1.0, linestyle="-" if change.kind == "step" else "-.")
