"""The picture of a trend: the series, its levels, when they changed, and what happened around then."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.ticker import PercentFormatter

from rca_lib.reporting.plots.style import ACCENT, BAD, GOOD, INK, MUTED, SHADE, new_axes, title_of
from rca_lib.stats.trends import Change, Trend


def plot_trend(
    trend: Trend, ax: Axes | None = None, *, events: pd.DataFrame | None = None, target: float | None = None
) -> Axes:
    """Draw the steps with their intervals, the levels, the dates of the changes shaded, and the spikes as crosses.

    `events` has `start` and `title`, one row per event; `target` is a line, in the unit of the series.
    """
    ax = new_axes(ax)
    times = [_place(step.time) for step in trend.steps]
    low, value, high = (np.array([getattr(step, name) for step in trend.steps]) for name in ("low", "value", "high"))
    ax.vlines(times, low, high, color=MUTED, linewidth=0.6, alpha=0.5)
    ax.plot(times, value, ".", color=MUTED, markersize=4, label="step with 95 % interval")
    ax.plot(times, [step.expected for step in trend.steps], color=ACCENT, drawstyle="steps-mid", label="level")
    for index, change in enumerate(trend.changes):
        _shade(ax, change, first=index == 0)
    spikes = [index for spike in trend.outliers for index in range(spike.position, spike.position + spike.length)]
    if spikes:
        ax.plot([times[index] for index in spikes], value[spikes], "x", color=BAD, markersize=8, label="spike")
    if target is not None:
        ax.axhline(target, color=GOOD, linestyle="--", linewidth=1.2, label="target")
    if events is not None:
        _mark(ax, events, times)
    if trend.unit == "%":
        ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
        ax.set_ylabel("error rate")
    if isinstance(trend.steps[0].time, str):
        dates = AutoDateLocator(maxticks=8)
        ax.xaxis.set_major_locator(dates)
        ax.xaxis.set_major_formatter(ConciseDateFormatter(dates))
    ax.legend(loc="upper left", bbox_to_anchor=(0, -0.12), ncols=5, frameon=False, fontsize=8)
    title_of(ax, trend.summary())
    return ax


def _place(time: str | float) -> float | np.datetime64:
    return np.datetime64(time) if isinstance(time, str) else time


def _shade(ax: Axes, change: Change, *, first: bool) -> None:
    early, late = (_place(time) for time in change.interval_times)
    ax.axvspan(early, late, color=SHADE, zorder=0, label="when (95 %)" if first else None)
    ax.axvline(_place(change.time), color=INK, linewidth=1.0, linestyle="-" if change.kind == "step" else "-.")


def _mark(ax: Axes, events: pd.DataFrame, times: list[float | np.datetime64]) -> None:
    """Mark the events that lie within the series, their titles upright beside their lines."""
    for start, title in zip(events["start"], events["title"], strict=True):
        place = start if isinstance(times[0], float) else np.datetime64(pd.Timestamp(start).tz_localize(None))
        if times[0] <= place <= times[-1]:
            ax.axvline(place, color=MUTED, linestyle=":", linewidth=1.2)
            ax.annotate(
                str(title), (place, 0.98), xycoords=("data", "axes fraction"), rotation=90, va="top", ha="right",
                fontsize=8, color=MUTED,
            )  # fmt: skip
