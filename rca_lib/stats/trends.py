"""What a trend is: the records of its steps, changes and spikes, and how they are told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from rca_lib.findings import Estimate, Finding, Rate, count_noun, mark_units, show

LEAST_STEPS = 8  # of a series in which a change can be dated: twice the shortest level (`cuts.SHORTEST`)
Level = Rate | Estimate
Time = str | float


@dataclass(frozen=True, slots=True)
class Step:
    """One step: its rate (or value) with the interval of that step alone, and the level expected there."""

    time: Time
    value: float
    low: float
    high: float
    expected: float


@dataclass(frozen=True, slots=True)
class Nearby:
    """An event of the calendar near a change: `distance` in days (units of time) from it, negative where before it.

    `inside` says whether it lies in the date interval of the change.
    """

    title: str
    time: Time
    distance: float
    inside: bool


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What would confirm a recent change, by new audits alone, which the search has not seen.

    `threshold` errors (or, for a measurement, a mean) or beyond within so many further `steps`, with about so many
    `items`: chance alone gives that once in 40 times at the level before, the level after four times out of five.
    """

    steps: int
    items: float
    threshold: float
    at_least: bool


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the level: `position` is the first step after it, in order of time.

    `interval` and `interval_times` hold the true first step in 95 % of series; `before` and `after` are the levels (a
    drift's last quarter is its after), `difference` is after less before. `p_value` is the probability of as much
    evidence in a series without any change. A `recent` change has fewer than seven steps behind it: unconfirmed, and
    `confirmation` says what would confirm it (None where no number of steps up to the length of the series would).
    `events` are the nearest of the calendar, three at most.
    """

    position: int
    time: Time
    interval: tuple[int, int]
    interval_times: tuple[Time, Time]
    kind: Literal["step", "drift"]
    before: Level
    after: Level
    difference: Estimate
    p_value: float
    recent: bool
    confirmation: Confirmation | None
    events: tuple[Nearby, ...]


@dataclass(frozen=True, slots=True)
class Outlier:
    """A spike: one to three steps that stand out from both sides; chance alone gives one in about 1 of 13 series."""

    position: int
    time: Time
    length: int
    value: Level
    expected: float
    difference: Estimate


@dataclass(frozen=True, slots=True)
class Trend:
    """The answer to "since when?" for one series.

    `overdispersion` is the correlation of two audits of one step (the standard deviation, for a measurement);
    `season` holds a factor (an addition) per phase, empty where there is none; `minimum_detectable` is the change,
    between the halves of the series, that would have been named with a probability of 80 %.
    """

    changes: tuple[Change, ...]
    outliers: tuple[Outlier, ...]
    steps: tuple[Step, ...]
    alpha: float
    p_value: float
    overdispersion: float
    inflation: float
    season: tuple[float, ...]
    minimum_detectable: Estimate

    @property
    def unit(self) -> str:
        """Return "%" for a series of rates, nothing for a measurement."""
        return "%" if self.minimum_detectable.unit == "pp" else ""

    def to_frame(self) -> pd.DataFrame:
        """Return one row per change; rates as shares, `event_days` from the change to the nearest event."""
        names = ["position", "time", "earliest", "latest", "kind", "before", "after", "difference", "p_value", "recent",
                 "event", "event_days"]  # fmt: skip
        rows = [
            (
                *(change.position, change.time, *change.interval_times, change.kind),
                *(change.before.value, change.after.value, change.difference.value, change.p_value, change.recent),
                *((change.events[0].title, change.events[0].distance) if change.events else (None, None)),
            )
            for change in self.changes
        ]
        levels = dict.fromkeys(("before", "after"), self.unit)
        return mark_units(pd.DataFrame(rows, columns=names), **levels, difference=self.minimum_detectable.unit)

    def summary(self) -> str:
        """Say in one sentence what changed since when, or what could have been seen."""
        if self.changes:
            return "; ".join(tell_change(change) for change in self.changes) + "."
        if len(self.steps) < 2:
            return "Since when: not available, all audits are of one day or step."
        if len(self.steps) < LEAST_STEPS:
            return f"Since when: not available, {len(self.steps)} steps are too few; {LEAST_STEPS} are the least."
        spikes = f"; {_tell_spikes(self.outliers)}" if self.outliers else ""
        rate = self.steps[0].expected
        if self.unit and self.minimum_detectable.value >= max(rate, 1 - rate):
            return f"No change is shown in {len(self.steps)} steps; so few audits can show none{spikes}."
        seen = show(self.minimum_detectable.value, self.minimum_detectable.unit)
        steps = count_noun(len(self.steps), "step")
        return f"No change is shown in {steps}; one of {seen} half way mostly would be{spikes}."

    def findings(self) -> tuple[Finding, ...]:
        """Hand on each change and each spike; "steady" where there is no change."""
        least, path = self.minimum_detectable, "minimum_detectable"
        if len(self.steps) < LEAST_STEPS:
            least, path = None, ""
        found = []
        if not self.changes:
            found.append(Finding("trend", "steady", self.summary(), "not proven", least, path, p_value=self.p_value))
        for index, change in enumerate(self.changes):
            grade, path = "likely" if change.recent else "shown", f"changes[{index}].difference"
            since = _since(change.time, *change.interval_times)
            found.append(
                Finding(
                    "trend", change.kind, f"{tell_change(change)}.", grade, change.difference, path, since=since,
                    p_value=change.p_value,
                )
            )  # fmt: skip
        for index, outlier in enumerate(self.outliers):
            sentence, path = f"A{_tell_spikes((outlier,))[1:]}.", f"outliers[{index}].difference"
            since = _since(outlier.time, outlier.time, outlier.time)
            found.append(Finding("trend", "spike", sentence, "likely", outlier.difference, path, since=since))
        return tuple(found)


def tell_change(change: Change) -> str:
    """Say what changed, since when, what is near, and, of a recent change, what would confirm it."""
    size, after = abs(change.difference.value), change.after
    way = "up" if change.difference.value > 0 else "down"
    verb = {"step": f"Stepped {way} by", "drift": f"Has drifted {way} by"}[change.kind]
    dates = [_show_time(time) for time in (change.time, *change.interval_times)]
    text = f"{verb} {show(size, change.difference.unit)} to {show(after.value, after.unit)} "
    text += f"{'on' if change.kind == 'step' else 'since'} {dates[0]} ({dates[1]} to {dates[2]})"
    text += f"; nearest event: {_tell_event(change.events[0])}" if change.events else ""
    return f"{text}; recent and unconfirmed{_tell_confirmation(change)}" if change.recent else text


def _tell_event(event: Nearby) -> str:
    days, dated = round(abs(event.distance), 1), isinstance(event.time, str)
    if not days:
        return f"{event.title}, {'the same day' if dated else 'at the same step'}"
    unit = ("day" if days == 1 else "days") if dated else "steps"
    return f"{event.title}, {days:g} {unit} {'before' if event.distance < 0 else 'after'}"


def _tell_confirmation(change: Change) -> str:
    if (needed := change.confirmation) is None:
        return ""
    counts = isinstance(change.after, Rate)
    limit = count_noun(needed.threshold, "error") if counts else f"a mean of {show(needed.threshold)}"
    size = f" (about {count_noun(needed.items, 'audit')})" if counts else ""
    steps = count_noun(needed.steps, "step")
    return f": {limit} or {'more' if needed.at_least else 'less'} in the next {steps}{size} would confirm it"


def _tell_spikes(outliers: tuple[Outlier, ...]) -> str:
    first = outliers[0]
    text = f"a spike of {count_noun(first.length, 'step')} on {_show_time(first.time)}"
    text += f" ({show(first.value.value, first.value.unit)} instead of {show(first.expected, first.value.unit)})"
    return text if len(outliers) == 1 else f"{len(outliers)} spikes, the first {text.removeprefix('a spike of ')}"


def _show_time(time: Time) -> str:
    return show(time, "date") if isinstance(time, str) else f"step {time:g}"


def _since(*times: Time) -> tuple[str, str, str]:
    first, earliest, latest = (time if isinstance(time, str) else f"{time:g}" for time in times)
    return first, earliest, latest
