# Tested in tests/questions/test_screening.py.
"""Chart of a screening: which series changed, when, and the events near their changes."""

from __future__ import annotations

from matplotlib.axes import Axes

from rca_lib.findings import format_value
from rca_lib.questions.screening import Screening, format_series_name
from rca_lib.reporting.plots.style import (
    BAD,
    GOOD,
    MUTED,
    create_axes,
    format_date_axis,
    mark_event,
    set_title,
    to_axis_value,
)
from rca_lib.stats.changepoints.records import LevelChange

MAX_SERIES = 20  # series drawn, those with the smallest q-values; the table has all of them


def plot_screening(screening: Screening, ax: Axes | None = None) -> Axes:
    """Draw each changed series in a row of its own: date interval, date and size of each change.

    Parameters
    ----------
    screening
        The result of `screen_series`.
    ax
        The axes to draw on; a new figure if None.

    Returns
    -------
    Axes
        A triangle pointing up is a rise, one pointing down a fall; a hollow triangle is recent and unconfirmed. Dotted
        lines are events within the date interval of a change.
    """
    drawn = screening.changed[:MAX_SERIES]
    ax = create_axes(ax, height=2.6 + 0.35 * len(drawn))
    changes = [(row, change) for row, entry in enumerate(drawn) for change in entry.trend.changes]
    for row, change in changes:
        _draw_change(ax, row, change)
    events = {(event.time, event.title) for _, change in changes for event in change.events if event.in_interval}
    for time, title in sorted(events):
        mark_event(ax, to_axis_value(time), title)
    if screening.series:
        ends = [step for entry in screening.series for step in (entry.trend.steps[0], entry.trend.steps[-1])]
        times = [to_axis_value(step.time) for step in ends]
        ax.set_xlim(min(times), max(times))
        format_date_axis(ax, ends[0].time)
    ax.set_yticks(range(len(drawn)), [format_series_name(entry.where) for entry in drawn])
    ax.set_ylim(max(len(drawn), 1) + 0.8, -0.8)
    if not drawn:
        ax.annotate("no change proven", (0.5, 0.5), xycoords="axes fraction", ha="center", color=MUTED)
    ax.grid(axis="y", visible=False)
    set_title(ax, f"{screening.headline}.")
    return ax


def _draw_change(ax: Axes, row: int, change: LevelChange) -> None:
    """Draw the date interval of a change as a bar, its date as a triangle, and its size as text."""
    is_rise = change.difference.value > 0
    size = format_value(change.difference.value, change.difference.unit)
    colour = BAD if is_rise else GOOD
    earliest, latest = map(to_axis_value, change.time_interval)
    ax.plot([earliest, latest], [row, row], color=colour, linewidth=6, alpha=0.3, solid_capstyle="round", zorder=3)
    ax.plot(to_axis_value(change.time), row, "^" if is_rise else "v", color=colour, markersize=8,
            markerfacecolor="white" if change.recent else colour, zorder=4)  # fmt: skip
    ax.annotate(f"+{size}" if is_rise else size, (latest, row), xytext=(7, -3), textcoords="offset points", fontsize=8,
                zorder=5)  # fmt: skip
