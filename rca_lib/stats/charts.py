"""Control charts for proportions: the p chart and Laney's p′ chart, how they are read, and the CUSUM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from rca_lib.findings import show

BIAS = 1.128  # mean of a moving range of two over the standard deviation
SCREEN = 3.267  # a moving range above this many times their mean is itself a signal
FEW = 12  # steps below which a chart is read with a caution
RUN = 7  # points in a row on one side of the centre, or in one direction
ALLOWANCE, LIMIT = 0.5, 5.0  # of the CUSUM, in standard deviations: made for a shift by one

Rule = Literal["outside", "run", "trend", "two of three"]


@dataclass(frozen=True, slots=True)
class Signal:
    """A point that the rules of Making Data Count call special: above (or rising) or below (or falling)."""

    position: int
    rule: Rule
    above: bool


@dataclass(frozen=True, slots=True)
class Cusum:
    """Sums of what each step exceeds (`high`) or falls short of (`low`) the centre by, in standard deviations.

    `signals` are the positions where a sum first passes its limit, `since` the step at which that sum began to grow.
    """

    high: tuple[float, ...]
    low: tuple[float, ...]
    signals: tuple[int, ...]
    since: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ControlChart:
    """A chart of proportions of errors: `lower` and `upper` limit per step, `signals` the positions outside them.

    `sigma_z` is the spread of the standardised steps from one to the next: 1 where only chance of sampling is at work.
    `special` are the signals of all four rules; `variation` is what the last step shows, `assurance` whether the
    process, left as it is, meets the `target` always, never, or now and then ("" where there is no target).
    """

    centre: float
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    signals: tuple[int, ...]
    sigma_z: float
    special: tuple[Signal, ...]
    variation: Literal["concern", "improvement", "common cause"]
    assurance: Literal["pass", "fail", "hit or miss", ""]
    target: float | None
    cusum: Cusum
    times: tuple[str | float, ...] = ()

    def summary(self) -> str:
        """Say what the chart shows in the words of Making Data Count."""
        limits = f"{100 * self.lower[-1]:.1f} to {100 * self.upper[-1]:.1f} % errors"
        text = {
            "concern": "Variation: of special cause, concerning: more errors at the last step than usual",
            "improvement": "Variation: of special cause, improving: fewer errors at the last step than usual",
            "common cause": "Variation: of common cause, nothing but the usual spread at the last step",
        }[self.variation]
        few = f"Only {len(self.lower)} steps, and a chart needs about twenty. " if len(self.lower) < FEW else ""
        text = f"{few}{text} ({limits})."
        if self.target is not None:
            told = {
                "pass": "will be met at every step",
                "fail": "will be missed at every step",
                "hit or miss": "will be met at some steps and missed at others, by chance",
            }[self.assurance]
            text += f" Assurance: unless the process changes, the target of {100 * self.target:.1f} % errors {told}."
        pairs = zip(self.cusum.since, self.cusum.signals, strict=True)
        drifted = "; ".join(f"from {self._tell(one)} on, seen at {self._tell(two)}" for one, two in pairs)
        return f"{text} CUSUM: {f'a small lasting shift {drifted}' if drifted else 'no small lasting shift'}."

    def _tell(self, position: int) -> str:
        time = self.times[position] if self.times else position
        return show(time, "date") if isinstance(time, str) else f"step {time:g}"


def chart_proportions(
    errors: np.ndarray,
    items: np.ndarray,
    *,
    method: Literal["laney", "p"] = "laney",
    screened: bool = False,
    target: float | None = None,
) -> ControlChart:
    """Draw up a chart of proportions with limits at three standard deviations.

    Parameters
    ----------
    errors, items
        One number per step, in order of time; every step has items.
    method
        "p" knows the chance of sampling only; "laney" (Laney 2002) widens it by the moving ranges of the steps.
    screened
        Leave moving ranges above 3.267 times their mean out of `sigma_z` (Nelson 1982).
    target
        The greatest share of errors that is allowed.

    Notes
    -----
    The limits hold 99.7 % of single steps if the level never changes: a chart looks at steps one by one and sees a
    small lasting change late, or never; the CUSUM sees it sooner. The four rules of Making Data Count (a point outside,
    seven on one side, seven in one direction, two of three in the outer third; NHS England 2019) are made for reading
    one chart of some twenty steps: without any change one of them signals in 14 % of charts of 20 steps, 41 % of 52 and
    71 % of 104. They are no test; `find_changes` is.

    Examples
    --------
    >>> chart = chart_proportions(np.array([5, 4, 6, 5, 30]), np.full(5, 100), method="p")
    >>> chart.centre, chart.signals, chart.variation
    (0.1, (4,), 'concern')
    """
    if method not in ("laney", "p"):
        raise ValueError(f"method {method!r} is neither 'laney' nor 'p'")
    centre, rates = float(errors.sum() / items.sum()), errors / items
    sigma = np.sqrt(centre * (1 - centre) / items)
    standardised = (rates - centre) / np.maximum(sigma, 1e-300)
    sigma_z = 1.0 if method == "p" else _sigma_z(standardised, screened)
    lower, upper = np.maximum(centre - 3 * sigma * sigma_z, 0), np.minimum(centre + 3 * sigma * sigma_z, 1)
    signals = np.flatnonzero((rates < lower) | (rates > upper))
    standardised = standardised / max(sigma_z, 1e-300)
    special = find_signals(standardised)
    last = [one.above for one in special if one.position == len(rates) - 1]
    assurance = ""
    if target is not None:
        assurance = "pass" if upper[-1] <= target else "fail" if lower[-1] > target else "hit or miss"
    return ControlChart(
        centre, tuple(lower.tolist()), tuple(upper.tolist()), tuple(signals.tolist()), sigma_z, special,
        ("concern" if last[0] else "improvement") if last else "common cause", assurance, target,
        sum_deviations(standardised),
    )  # fmt: skip


def find_signals(standardised: np.ndarray) -> tuple[Signal, ...]:
    """Find the points that the four rules call special, of each point the first rule; limits lie at 3 either way."""
    found: dict[int, Signal] = {}
    side, way = np.sign(standardised), np.sign(np.diff(standardised, prepend=standardised[:1]))
    outer = np.where(np.abs(standardised) > 2, side, 0)
    marked: list[tuple[Rule, int, range]] = [
        ("outside", int(side[place]), range(place, place + 1)) for place in np.flatnonzero(np.abs(standardised) > 3)
    ]
    for place in range(len(side)):
        if place >= RUN - 1 and side[place] and (side[place - RUN + 1 : place + 1] == side[place]).all():
            marked.append(("run", int(side[place]), range(place - RUN + 1, place + 1)))
        if place >= RUN - 1 and way[place] and (way[place - RUN + 2 : place + 1] == way[place]).all():
            marked.append(("trend", int(way[place]), range(place - RUN + 1, place + 1)))
        near = outer[max(place - 2, 0) : place + 1]
        if outer[place] and (near == outer[place]).sum() >= 2:
            chosen = [place - len(near) + 1 + int(one) for one in np.flatnonzero(near == outer[place])]
            marked += [("two of three", int(outer[place]), range(one, one + 1)) for one in chosen]
    for rule, sign, places in marked:
        for place in places:
            found.setdefault(int(place), Signal(int(place), rule, sign > 0))
    return tuple(found[place] for place in sorted(found))


def sum_deviations(
    standardised: np.ndarray, *, allowance: float = ALLOWANCE, limit: float = LIMIT, centre: float = 0.0
) -> Cusum:
    """Draw up the tabular CUSUM (Page 1954; Montgomery, chapter 9) of standardised steps.

    With the usual allowance and limit a shift by one standard deviation is seen after 10 steps on average, and a series
    whose true centre and spread are known signals falsely once in 465 steps. Where both are taken from the same steps,
    as a chart does, it is a way of reading, not a test.

    Examples
    --------
    >>> sum_deviations(np.array([0.0] * 5 + [1.5] * 7)).signals
    (10,)
    """
    high, low, signals, since = [], [], [], []
    up = down = 0.0
    start_up = start_down = 0
    for place, value in enumerate((np.asarray(standardised, float) - centre).tolist()):
        was_up, was_down = up, down
        up, down = max(0.0, up + value - allowance), max(0.0, down - value - allowance)
        start_up, start_down = (place if was_up == 0 else start_up), (place if was_down == 0 else start_down)
        for was, now, start in ((was_up, up, start_up), (was_down, down, start_down)):
            if now > limit >= was:
                signals.append(place)
                since.append(start)
        high.append(up)
        low.append(down)
    return Cusum(tuple(high), tuple(low), tuple(signals), tuple(since))


def _sigma_z(standardised: np.ndarray, screened: bool) -> float:
    ranges = np.abs(np.diff(standardised))
    if screened:
        ranges = ranges[ranges <= SCREEN * ranges.mean()]
    return float(ranges.mean() / BIAS)
