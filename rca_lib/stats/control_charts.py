"""Control charts for proportions: the p chart, Laney's p′ chart, and their signals.

Step t has x_t errors in n_t items, the rate p_t = x_t / n_t, and the centre line p̄ = Σ x_t / Σ n_t.

p chart: σ_t = √(p̄ (1 − p̄) / n_t), with limits p̄ ± 3 σ_t.
p′ chart (Laney 2002): z_t = (p_t − p̄) / σ_t has the standard deviation σ_z = mean |z_t − z_{t−1}| / d2, with limits
p̄ ± 3 σ_t σ_z. σ_z is 1 if sampling is the only source of variation.
The CUSUM of z_t / σ_z is described in `cusum`.

References: Laney 2002, Quality Engineering 14; Nelson 1982 (screening of moving ranges); Montgomery, Introduction to
Statistical Quality Control, chapters 6 and 7; NHS England 2019, Making Data Count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from rca_lib.findings import format_value
from rca_lib.result import Result
from rca_lib.stats.cusum import Cusum, compute_cusum

D2 = 1.128  # mean of a moving range of two over the standard deviation (the SPC constant d2)
D4 = 3.267  # a moving range above this multiple of their mean is itself a signal (the SPC constant D4)
MIN_CHART_STEPS = 12  # steps below which a chart is read with caution
RUN_LENGTH = 7  # points in a row on one side of the centre, or in one direction
OUTER_THIRD = 2  # standard deviations from which a point lies in the outer third of the limits
LIMIT = 3  # standard deviations of the control limits
MIN_SIGMA = 1e-300  # keeps quotients finite where all items or none are errors

ChartRule = Literal["outside", "run", "trend", "two of three"]
Variation = Literal["concern", "improvement", "common cause"]
Assurance = Literal["pass", "fail", "hit or miss", ""]


@dataclass(frozen=True, slots=True)
class ChartSignal:
    """A point of special cause variation.

    Attributes
    ----------
    position
        Position of the point.
    rule
        The first rule that applies to it.
    above
        True above the centre (or rising), False below it (or falling).
    """

    position: int
    rule: ChartRule
    above: bool


@dataclass(frozen=True, slots=True)
class ControlChart(Result):
    """A control chart of error rates.

    Attributes
    ----------
    centre
        Error rate over all steps.
    lower, upper
        Control limits per step.
    signals
        Positions outside the limits.
    sigma_z
        Standard deviation of the standardised steps; 1 if sampling is the only source of variation.
    rule_signals
        Signals of all four rules.
    variation
        What the last step shows.
    assurance
        Whether an unchanged process meets the target always, never, or at some steps; "" without a target.
    target
        Largest error rate allowed.
    cusum
        The CUSUM of the standardised steps.
    times
        Label of each step.
    """

    centre: float
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    signals: tuple[int, ...]
    sigma_z: float
    rule_signals: tuple[ChartSignal, ...]
    variation: Variation
    assurance: Assurance
    target: float | None
    cusum: Cusum
    times: tuple[str | float, ...] = ()

    def summary(self) -> str:
        """Describe variation, assurance and CUSUM in the terms of Making Data Count."""
        sentences = [self._describe_variation()]
        if len(self.lower) < MIN_CHART_STEPS:
            sentences.insert(0, f"The chart has only {len(self.lower)} steps; about 20 are needed.")
        if self.target is not None:
            sentences.append(self._describe_assurance(self.target))
        return " ".join([*sentences, self._describe_cusum()])

    def to_frame(self) -> pd.DataFrame:
        """Return one row per signal: `step`, `rule`, `side` ("above" or "below" the centre)."""
        rows = [
            (self._format_position(signal.position), signal.rule, "above" if signal.above else "below")
            for signal in self.rule_signals
        ]
        return pd.DataFrame(rows, columns=["step", "rule", "side"])

    def _describe_variation(self) -> str:
        """Describe the last step and its limits."""
        meaning = {
            "concern": "special cause, concerning (error rate above its usual range at the last step)",
            "improvement": "special cause, improving (error rate below its usual range at the last step)",
            "common cause": "common cause (no signal at the last step)",
        }[self.variation]
        return f"Variation: {meaning}. Control limits: {100 * self.lower[-1]:.1f} to {100 * self.upper[-1]:.1f} %."

    def _describe_assurance(self, target: float) -> str:
        """Say whether an unchanged process meets the target."""
        outcome = {
            "pass": "will be met at every step",
            "fail": "will be missed at every step",
            "hit or miss": "will be met at some steps and missed at others, by chance",
        }[self.assurance]
        return f"Assurance: without a change in the process, the target of {100 * target:.1f} % errors {outcome}."

    def _describe_cusum(self) -> str:
        """Describe the shifts that the CUSUM detects."""
        shifts = [
            f"since {self._format_position(start)}, detected on {self._format_position(signal)}"
            for start, signal in zip(self.cusum.shift_starts, self.cusum.signals, strict=True)
        ]
        return f"CUSUM: small lasting shift {'; '.join(shifts)}." if shifts else "CUSUM: no small lasting shift."

    def _format_position(self, position: int) -> str:
        time = self.times[position] if self.times else position
        return format_value(time, "date") if isinstance(time, str) else f"step {time:g}"


def compute_p_chart(
    errors: np.ndarray,
    items: np.ndarray,
    *,
    method: Literal["laney", "p"] = "laney",
    screen_ranges: bool = False,
    target: float | None = None,
) -> ControlChart:
    """Compute a control chart of proportions with limits at three standard deviations.

    Parameters
    ----------
    errors, items
        Errors and items per step, in order of time. Every step has items.
    method
        "p": binomial variation only. "laney": limits widened by the moving ranges (Laney 2002).
    screen_ranges
        Leave moving ranges above 3.267 times their mean out of `sigma_z` (Nelson 1982).
    target
        Largest error rate allowed; None: no target.

    Returns
    -------
    ControlChart
        Centre, limits, signals and CUSUM.

    Raises
    ------
    ValueError
        If `method` is unknown.

    Notes
    -----
    If the level never changes, 99.7 % of single steps lie inside the limits. A chart judges steps one by one. It
    detects a small lasting change late or never; the CUSUM detects it sooner.

    The four rules of Making Data Count (NHS England 2019) are: a point outside, seven on one side, seven in one
    direction, two of three in the outer third. They are meant for one chart of about 20 steps. Without any change, one
    of them signals in 14 % of charts of 20 steps, 41 % of 52 and 71 % of 104. The rules are no significance test;
    `find_changes` is one.

    References
    ----------
    Laney 2002 (p′ chart); Nelson 1982 (screening); NHS England 2019 (rules, variation and assurance).

    Examples
    --------
    >>> chart = compute_p_chart(np.array([5, 4, 6, 5, 30]), np.full(5, 100), method="p")
    >>> chart.centre, chart.signals, chart.variation
    (0.1, (4,), 'concern')
    """
    if method not in ("laney", "p"):
        raise ValueError(f"method {method!r} is neither 'laney' nor 'p'")
    centre = float(errors.sum() / items.sum())
    rates = errors / items
    sigma = np.sqrt(centre * (1 - centre) / items)
    standardised = (rates - centre) / np.maximum(sigma, MIN_SIGMA)
    sigma_z = 1.0 if method == "p" else _estimate_sigma_z(standardised, screen_ranges)
    lower = np.maximum(centre - LIMIT * sigma * sigma_z, 0)
    upper = np.minimum(centre + LIMIT * sigma * sigma_z, 1)
    outside = np.flatnonzero((rates < lower) | (rates > upper))
    standardised = standardised / max(sigma_z, MIN_SIGMA)
    rule_signals = find_signals(standardised)
    return ControlChart(
        centre, tuple(lower.tolist()), tuple(upper.tolist()), tuple(outside.tolist()), sigma_z, rule_signals,
        variation=_judge_variation(rule_signals, len(rates)),
        assurance=_judge_assurance(lower[-1], upper[-1], target),
        target=target,
        cusum=compute_cusum(standardised),
    )  # fmt: skip


def _judge_variation(rule_signals: tuple[ChartSignal, ...], n_steps: int) -> Variation:
    """Return what the last step shows; more errors are a concern."""
    last = next((signal for signal in rule_signals if signal.position == n_steps - 1), None)
    if last is None:
        return "common cause"
    return "concern" if last.above else "improvement"


def _judge_assurance(lower: float, upper: float, target: float | None) -> Assurance:
    """Return whether an unchanged process with these limits meets the target."""
    if target is None:
        return ""
    if upper <= target:
        return "pass"
    return "fail" if lower > target else "hit or miss"


def find_signals(standardised: np.ndarray) -> tuple[ChartSignal, ...]:
    """Find the points of special cause variation, each with the first rule that applies.

    Parameters
    ----------
    standardised
        Deviations from the centre in standard deviations; the control limits are at −3 and 3.

    Returns
    -------
    tuple of ChartSignal
        In order of position.

    References
    ----------
    NHS England 2019, Making Data Count.

    Examples
    --------
    >>> [(signal.position, signal.rule) for signal in find_signals(np.array([0.5, -0.4, 0.2, 3.4]))]
    [(3, 'outside')]
    """
    side = np.sign(standardised)
    direction = np.sign(np.diff(standardised, prepend=standardised[:1]))
    outer_side = np.where(np.abs(standardised) > OUTER_THIRD, side, 0)
    outside = np.flatnonzero(np.abs(standardised) > LIMIT)
    matches: list[tuple[ChartRule, int, range]] = [
        ("outside", int(side[position]), range(position, position + 1)) for position in outside
    ]
    for position in range(len(side)):
        run = range(position - RUN_LENGTH + 1, position + 1)
        if _is_constant(side, run.start, position):
            matches.append(("run", int(side[position]), run))
        if _is_constant(direction, run.start + 1, position):  # seven points have six differences
            matches.append(("trend", int(direction[position]), run))
        last_three = range(max(position - 2, 0), position + 1)
        same_side = [index for index in last_three if outer_side[index] == outer_side[position]]
        if outer_side[position] and len(same_side) >= 2:
            matches += [("two of three", int(outer_side[position]), range(index, index + 1)) for index in same_side]
    signals: dict[int, ChartSignal] = {}
    for rule, sign, positions in matches:
        for position in positions:
            signals.setdefault(int(position), ChartSignal(int(position), rule, sign > 0))
    return tuple(signals[position] for position in sorted(signals))


def _is_constant(signs: np.ndarray, start: int, last: int) -> bool:
    """Return whether all signs from `start` to `last` are the same and not 0."""
    return last >= RUN_LENGTH - 1 and signs[last] != 0 and bool((signs[start : last + 1] == signs[last]).all())


def _estimate_sigma_z(standardised: np.ndarray, screen_ranges: bool) -> float:
    """Return the standard deviation of standardised steps from their moving ranges."""
    ranges = np.abs(np.diff(standardised))
    if screen_ranges:
        ranges = ranges[ranges <= D4 * ranges.mean()]
    return float(ranges.mean() / D2)
