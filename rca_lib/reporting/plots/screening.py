"""The picture of a screening: which series changed, when, and what happened around then."""

from __future__ import annotations

from matplotlib.axes import Axes

from rca_lib.findings import show
from rca_lib.questions.screening import Screen, name_series
from rca_lib.reporting.plots.style import BAD, GOOD, MUTED, date_axis, mark_event, new_axes, place_of, title_of

MOST = 20  # series drawn, the surest; the table has them all


def plot_screening(screen: Screen, ax: Axes | None = None) -> Axes:
    """Draw each series that changed as a line of its own: date interval, date, and by how much.

    A triangle up is a rate that rose, down one that fell; a hollow one is recent and unconfirmed. The events are those
    that lie in the date interval of a change.
    """
    drawn = screen.changed[:MOST]
    ax = new_axes(ax, height=2.6 + 0.35 * len(drawn))
    times = [place_of(step.time) for one in screen.series for step in (one.trend.steps[0], one.trend.steps[-1])]
    changes = [(row, change) for row, one in enumerate(drawn) for change in one.trend.changes]
    for row, change in changes:
        up, size = change.difference.value > 0, show(change.difference.value, change.difference.unit)
        colour, early, late = BAD if up else GOOD, *map(place_of, change.interval_times)
        ax.plot([early, late], [row, row], color=colour, linewidth=6, alpha=0.3, solid_capstyle="round", zorder=3)
        ax.plot(place_of(change.time), row, "^" if up else "v", color=colour, markersize=8,
                markerfacecolor="white" if change.recent else colour, zorder=4)  # fmt: skip
        ax.annotate(f"+{size}" if up else size, (late, row), xytext=(7, -3), textcoords="offset points", fontsize=8,
                    zorder=5)  # fmt: skip
    near = {(event.time, event.title) for _, change in changes for event in change.events if event.inside}
    for time, title in sorted(near):
        mark_event(ax, place_of(time), title)
    if times:
        ax.set_xlim(min(times), max(times))
        date_axis(ax, screen.series[0].trend.steps[0].time)
    ax.set_yticks(range(len(drawn)), [name_series(one.where) for one in drawn])
    ax.set_ylim(max(len(drawn), 1) + 0.8, -0.8)
    if not drawn:
        ax.annotate("no series changed", (0.5, 0.5), xycoords="axes fraction", ha="center", color=MUTED)
    ax.grid(axis="y", visible=False)
    title_of(ax, f"{screen.headline}.")
    return ax
