# Tested in tests/questions/test_trend.py.
"""Records of a trend: its steps, changes and spikes, and the sentences that describe them.

`search` and `estimates` compute the numbers; nothing is computed here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from rca_lib.findings import Estimate, Finding, Quantity, Rate, format_count, format_value, set_units
from rca_lib.result import Result
from rca_lib.stats.changepoints.localization import ChangeKind

TrendKind = ChangeKind | Literal["spike", "steady"]

MIN_STEPS = 8  # steps of a series in which a change can be dated: twice `segmentation.MIN_SEGMENT_STEPS`
Level = Rate | Estimate
Time = str | float


@dataclass(frozen=True, slots=True)
class TrendStep:
    """One step of a series.

    Attributes
    ----------
    time
        ISO date or timestamp, or a number.
    value, low, high
        Rate or value of the step, with the interval from this step alone.
    expected
        Expected level, season included.
    """

    time: Time
    value: float
    low: float
    high: float
    expected: float


@dataclass(frozen=True, slots=True)
class NearbyEvent:
    """An event near a change.

    Attributes
    ----------
    title, time
        Title and start of the event.
    distance
        Days (or units of a numeric time) from the change to the event; negative if the event came first.
    in_interval
        Whether the event lies in the date interval of the change.
    """

    title: str
    time: Time
    distance: float
    in_interval: bool


@dataclass(frozen=True, slots=True)
class Confirmation:
    """New audits that would confirm a recent change; the search has not seen them.

    Attributes
    ----------
    steps, items
        Number of further steps, and about how many items they hold.
    threshold
        Errors (or mean of a measurement) from which the change is confirmed. At the level before the change, chance
        reaches it once in 40 times. At the level after it, the power is 80 %.
    at_least
        True: the threshold or more confirms the change. False: the threshold or less.
    """

    steps: int
    items: float
    threshold: float
    at_least: bool


@dataclass(frozen=True, slots=True)
class LevelChange:
    """A change of level.

    Attributes
    ----------
    position, time
        First step of the change, in order of time.
    interval, time_interval
        95 % interval of the first step, as positions and as times.
    kind
        "step", or "drift" for a gradual change.
    before, after
        Levels before and after; for a drift, `after` is the level of its last quarter.
    difference
        `after` minus `before`.
    p_value
        Probability of as much evidence in a series without any change.
    recent
        True if fewer than seven steps have followed the change: it is unconfirmed.
    confirmation
        What would confirm a recent change. None if no number of steps up to the length of the series would.
    events
        The nearest events, at most three.
    """

    position: int
    time: Time
    interval: tuple[int, int]
    time_interval: tuple[Time, Time]
    kind: ChangeKind
    before: Level
    after: Level
    difference: Estimate
    p_value: float
    recent: bool
    confirmation: Confirmation | None
    events: tuple[NearbyEvent, ...]


@dataclass(frozen=True, slots=True)
class Outlier:
    """A spike: one to three steps that differ from both sides. By chance alone, about 1 of 13 series has one.

    Attributes
    ----------
    position, time, length
        First step, and number of steps.
    value
        Level of these steps.
    expected
        Level expected from the neighbours, season included.
    difference
        `value` minus `expected`.
    """

    position: int
    time: Time
    length: int
    value: Level
    expected: float
    difference: Estimate


@dataclass(frozen=True, slots=True)
class Trend(Result):
    """Changes and spikes of one series.

    Attributes
    ----------
    changes, outliers, steps
        Changes of level, spikes, and the steps of the series, in order of time.
    alpha
        Probability of reporting any change in a series without change.
    p_value
        Probability of at least as much evidence in a series without change.
    overdispersion
        Correlation of two audits of one step; for a measurement, the standard deviation.
    variance_inflation
        Factor on the variance of long averages, for autocorrelation.
    season
        One factor (for a measurement: addition) per phase; empty without a season.
    minimum_detectable
        Change between the halves of the series that is detected with 80 % power.
    calendar
        Start and title of the events, for the chart.
    target
        Target for the chart, in the unit of the series; None without a target.
    """

    changes: tuple[LevelChange, ...]
    outliers: tuple[Outlier, ...]
    steps: tuple[TrendStep, ...]
    alpha: float
    p_value: float
    overdispersion: float
    variance_inflation: float
    season: tuple[float, ...]
    minimum_detectable: Quantity
    calendar: tuple[tuple[np.datetime64 | float, str], ...] = ()
    target: float | None = None

    @property
    def unit(self) -> str:
        """Return "%" for a series of rates, "" for a measurement."""
        return "%" if self.minimum_detectable.unit == "pp" else ""

    def to_frame(self) -> pd.DataFrame:
        """Return one row per change.

        Returns
        -------
        DataFrame
            `position`, `time`, `earliest`, `latest`, `kind`, `before`, `after` and `difference` (shares), `p_value`,
            `recent`, `event` (the nearest) and `event_days` (from the change to this event).
        """
        names = ["position", "time", "earliest", "latest", "kind", "before", "after", "difference", "p_value", "recent",
                 "event", "event_days"]  # fmt: skip
        rows = [
            (
                *(change.position, change.time, *change.time_interval, change.kind),
                *(change.before.value, change.after.value, change.difference.value, change.p_value, change.recent),
                *((change.events[0].title, change.events[0].distance) if change.events else (None, None)),
            )
            for change in self.changes
        ]
        levels = dict.fromkeys(("before", "after"), self.unit)
        return set_units(pd.DataFrame(rows, columns=names), **levels, difference=self.minimum_detectable.unit)

    def summary(self) -> str:
        """Return one or two sentences: what changed and when, or what change would have been detected."""
        if self.changes:
            return " ".join(f"{format_change(change)}." for change in self.changes)
        n_steps = len(self.steps)
        if n_steps < 2:
            return "Changes cannot be dated: all audits are from one day or step."
        if n_steps < MIN_STEPS:
            return f"Changes cannot be dated: {n_steps} steps are too few, at least {MIN_STEPS} are needed."
        result = f"No change detected in {format_count(n_steps, 'step')}. {self._describe_power()}"
        return f"{result} {_format_outliers(self.outliers)}." if self.outliers else result

    def _describe_power(self) -> str:
        """Say what change would have been detected."""
        detectable = self.minimum_detectable
        rate = self.steps[0].expected
        if self.unit and detectable.value >= max(rate, 1 - rate):
            return "The sample is too small to detect any change."
        size = format_value(detectable.value, detectable.unit)
        return f"A lasting change of {size} would probably have been detected."

    def findings(self) -> tuple[Finding[TrendKind], ...]:
        """Return one finding per change and per spike; of kind "steady" if there is no change."""
        findings: list[Finding[TrendKind]] = [] if self.changes else [self._no_change_finding()]
        for index, change in enumerate(self.changes):
            findings.append(
                Finding(
                    "trend",
                    change.kind,
                    f"{format_change(change)}.",
                    "likely" if change.recent else "shown",
                    change.difference,
                    f"changes[{index}].difference",
                    since=_format_dates(change.time, *change.time_interval),
                    p_value=change.p_value,
                )
            )
        for index, outlier in enumerate(self.outliers):
            sentence = f"{_format_outliers((outlier,))}."
            path = f"outliers[{index}].difference"
            since = _format_dates(outlier.time, outlier.time, outlier.time)
            findings.append(Finding("trend", "spike", sentence, "likely", outlier.difference, path, since=since))
        return tuple(findings)

    def _no_change_finding(self) -> Finding[TrendKind]:
        """Return the finding of a series without change; one that is too short has no estimate."""
        too_short = len(self.steps) < MIN_STEPS
        estimate, path = (None, "") if too_short else (self.minimum_detectable, "minimum_detectable")
        return Finding("trend", "steady", self.summary(), "not proven", estimate, path, p_value=self.p_value)


def format_change(change: LevelChange) -> str:
    """Describe a change: size, date, nearest event, and what would confirm a recent one.

    Parameters
    ----------
    change
        The change.

    Returns
    -------
    str
        One or more sentences, without a full stop at the end.
    """
    measure = "Error rate" if isinstance(change.after, Rate) else "Mean"
    rises = change.difference.value > 0
    size = format_value(abs(change.difference.value), change.difference.unit)
    level = format_value(change.after.value, change.after.unit)
    time, earliest, latest = (_format_time(time) for time in (change.time, *change.time_interval))
    if change.kind == "step":
        text = f"{measure} {'rose' if rises else 'fell'} by {size} to {level} on {time} ({earliest} to {latest})"
    else:
        verb = "has risen" if rises else "has fallen"
        text = f"{measure} {verb} gradually by {size} to {level} since {time} ({earliest} to {latest})"
    if change.events:
        text += f". Nearest event: {_format_event(change.events[0])}"
    return f"{text}. This change is recent and unconfirmed{_format_confirmation(change)}" if change.recent else text


def _format_event(event: NearbyEvent) -> str:
    """Describe an event by title and distance from the change."""
    distance = round(abs(event.distance), 1)
    has_dates = isinstance(event.time, str)
    if not distance:
        return f"{event.title}, {'the same day' if has_dates else 'the same step'}"
    unit = ("day" if distance == 1 else "days") if has_dates else "steps"
    return f"{event.title}, {distance:g} {unit} {'before' if event.distance < 0 else 'after'}"


def _format_confirmation(change: LevelChange) -> str:
    """Say which new audits would confirm a recent change; empty if none would."""
    confirmation = change.confirmation
    if confirmation is None:
        return ""
    counts = isinstance(change.after, Rate)
    threshold = confirmation.threshold
    limit = format_count(threshold, "error") if counts else f"a mean of {format_value(threshold)}"
    items = f" (about {format_count(confirmation.items, 'audit')})" if counts else ""
    steps = format_count(confirmation.steps, "step")
    return f": {limit} or {'more' if confirmation.at_least else 'less'} in the next {steps}{items} would confirm it"


def _format_outliers(outliers: tuple[Outlier, ...]) -> str:
    """Describe the first spike and say how many there are; no full stop at the end."""
    first = outliers[0]
    value = format_value(first.value.value, first.value.unit)
    expected = format_value(first.expected, first.value.unit)
    length = format_count(first.length, "step")
    text = f"{length} on {_format_time(first.time)}: {value} instead of the expected {expected}"
    return f"Spike of {text}" if len(outliers) == 1 else f"{len(outliers)} spikes, the first of {text}"


def _format_time(time: Time) -> str:
    return format_value(time, "date") if isinstance(time, str) else f"step {time:g}"


def _format_dates(*times: Time) -> tuple[str, str, str]:
    """Return the date of a change with its earliest and latest, as text."""
    first, earliest, latest = (time if isinstance(time, str) else f"{time:g}" for time in times)
    return first, earliest, latest
