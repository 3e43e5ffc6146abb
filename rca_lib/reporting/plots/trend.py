"""The picture of a trend: the series, its levels, when they changed, and what happened around then."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from rca_lib.reporting.plots.style import (
    ACCENT,
    BAD,
    GOOD,
    INK,
    MUTED,
    SHADE,
    date_axis,
    mark_event,
    new_axes,
    place_of,
    title_of,
)  # fmt: skip
from rca_lib.stats.series import place_events
from rca_lib.stats.trends import Change, Trend


def plot_trend(
    trend: Trend, ax: Axes | None = None, *, events: pd.DataFrame | None = None, target: float | None = None
) -> Axes:
    """Draw the steps and levels with their intervals, the dates of the changes shaded, the spikes as crosses.

    `events` has `start` and `title`, one row per event; `target` is a line, in the unit of the series.
    """
    ax = new_axes(ax)
    times = [place_of(step.time) for step in trend.steps]
    low, value, high = (np.array([getattr(step, name) for step in trend.steps]) for name in ("low", "value", "high"))
    ax.vlines(times, low, high, color=MUTED, linewidth=0.6, alpha=0.5)
    ax.plot(times, value, ".", color=MUTED, markersize=4, label="step with 95 % interval")
    ax.plot(times, [step.expected for step in trend.steps], color=ACCENT, drawstyle="steps-mid", label="level")
    edges = [0, *(change.position for change in trend.changes), len(times)]
    levels = [change.before for change in trend.changes[:1]] + [change.after for change in trend.changes]
    for start, stop, level in zip(edges, edges[1:], levels, strict=False):
        if start == 0 or trend.changes[edges.index(start) - 1].kind == "step":
            ax.fill_between(times[start:stop], level.low, level.high, color=ACCENT, alpha=0.15, linewidth=0)
    for index, change in enumerate(trend.changes):
        _shade(ax, change, first=index == 0)
    spikes = [index for spike in trend.outliers for index in range(spike.position, spike.position + spike.length)]
    if spikes:
        ax.plot([times[index] for index in spikes], value[spikes], "x", color=BAD, markersize=8, label="spike")
    if target is not None:
        ax.axhline(target, color=GOOD, linestyle="--", linewidth=1.2, label="target")
    if events is not None:
        for place, title in place_events(events, dated=isinstance(trend.steps[0].time, str)):
            if times[0] <= place <= times[-1]:
                mark_event(ax, place, title)
    if trend.unit == "%":
        ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
        ax.set_ylabel("error rate")
    date_axis(ax, trend.steps[0].time)
    ax.legend(loc="upper left", bbox_to_anchor=(0, -0.12), ncols=5, frameon=False, fontsize=8)
    title_of(ax, trend.summary())
    return ax


def _shade(ax: Axes, change: Change, *, first: bool) -> None:
    early, late = (place_of(time) for time in change.interval_times)
    ax.axvspan(early, late, color=SHADE, zorder=0, label="when (95 %)" if first else None)
    ax.axvline(place_of(change.time), color=INK, linewidth=1.0, linestyle="-" if change.kind == "step" else "-.")
