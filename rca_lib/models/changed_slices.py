# Tested in tests/questions/test_drivers.py.
"""Slices whose error rate changed, slices in which a change was detectable, and how reports describe them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rca_lib.audits.contingency_tables import TRUTH_VERSION
from rca_lib.findings import Estimate, Quantity, Rate, format_slice, format_value
from rca_lib.stats.slice_search.contingency import Array
from rca_lib.stats.slice_search.decomposition import compute_change_share
from rca_lib.stats.slice_search.predicted_rates import PeriodPredictions

MEASUREMENT_DIMENSIONS = ("auditor", TRUTH_VERSION)  # dimensions of the audit: a change there is no change of the work


@dataclass(frozen=True, slots=True)
class Slice:
    """A slice whose error rate changed by more than the rest of the change explains.

    Attributes
    ----------
    where
        Dimension to value; empty for all work.
    direction
        1 if errors grew, -1 if they fell.
    before, after
        The error rate of each period; `before` is None for a slice without audits in the baseline.
    expected_rate
        The error rate that the audits would have had without the change, as a share.
    excess
        Errors among the audits beyond the expected ones (negative: fewer), corrected for the search. At most all
        errors, at least minus all expected errors.
    unadjusted_excess
        The same without the correction for the search.
    contribution
        What the slice adds to the change of the error rate at the average work mix, in pp.
    share
        The share of everything that moved the rate in the direction of the change; None if the change is not proven,
        negative if the slice moved the rate against the change.
    p_value
        The probability that any slice differs by as much when none changed.
    items
        Audits in the current period.
    is_new
        Whether the slice had no audits in the baseline.
    single_rater
        Whether the slice would not stand out without one of its raters.
    is_measurement
        Whether the slice concerns the audit (an auditor, the version of the truth) and not the work.
    """

    where: Mapping[str, str]
    direction: int
    before: Rate | None
    after: Rate
    expected_rate: float
    excess: Estimate
    unadjusted_excess: float
    contribution: Estimate
    share: Estimate | None
    p_value: float
    items: int
    is_new: bool
    single_rater: bool
    is_measurement: bool


@dataclass(frozen=True, slots=True)
class DetectableExcess:
    """The excess that would have been detected with a probability of 80 % in a slice of one dimension."""

    where: Mapping[str, str]
    items: int
    expected_errors: float
    excess: Quantity


@dataclass(frozen=True, slots=True)
class MixEffect:
    """The part of a change that comes from the changed shares of one dimension, at constant other dimensions."""

    dimension: str
    effect: Estimate | Quantity


def take_absolute(estimate: Estimate) -> Estimate:
    """Return the absolute value of an estimate whose interval does not include zero.

    Examples
    --------
    >>> str(take_absolute(Estimate(-0.02, -0.03, -0.01, "pp")))
    '2.0 pp (1.0 to 3.0)'
    """
    low, high = sorted((abs(estimate.low), abs(estimate.high)))
    return Estimate(abs(estimate.value), low, high, estimate.unit)


def format_changed_slice(slice_: Slice) -> str:
    """Say how many errors more or fewer than expected a slice has, and what limits that finding."""
    name = format_slice(slice_.where) if slice_.where else "All work"
    more = "more" if slice_.direction > 0 else "fewer"
    rates = f"{format_value(slice_.after.value, '%')} instead of {format_value(slice_.expected_rate, '%')}"
    sentence = f"{name}: {take_absolute(slice_.excess)} {more} than expected, {rates}."
    if slice_.is_new:
        sentence += " New in this period."
    if slice_.single_rater and "rater" not in slice_.where:
        sentence += " Mostly one rater."
    if slice_.is_measurement:
        sentence += " The audit changed, not the work."
    return sentence


def add_shares(slices: Sequence[Slice], mix_effect: Estimate, change: Estimate) -> list[Slice]:
    """Add to each slice its share of the change; the limits of its interval are balanced by the unexplained part."""
    result = []
    for slice_ in slices:
        others = [mix_effect.value, *(other.contribution.value for other in slices if other is not slice_)]
        contribution = slice_.contribution
        shares = [
            compute_change_share(value, [*others, value, change.value - sum(others) - value], change.value)
            for value in (contribution.value, contribution.low, contribution.high)
        ]
        low, high = sorted(shares[1:])
        result.append(replace(slice_, share=Estimate(shares[0], low, high, "%")))
    return result


def build_slice(predictions: PeriodPredictions, index: int, new_rates: Sequence[Array]) -> Slice:
    """Describe a selected slice: its rates, its excess in errors of audits, its contribution to the change."""
    pick, rates_without = predictions.search.selected[index], predictions.predict_rates(index)
    inside = [pick.members(period.codes) for period in predictions.cells]
    current = predictions.cells[1]
    added_rates = [
        float(period.items @ (new_rates[i] - rates_without[i]) / period.items.sum())
        for i, period in enumerate(predictions.cells)
    ]
    contribution_per_error = (added_rates[0] / added_rates[1] + 1) / 2 / current.items.sum()
    contributions = [excess * contribution_per_error for excess in (pick.excess, pick.low, pick.high)]
    contribution_low, contribution_high = sorted(contributions[1:])
    after, items = predictions.rate(1, inside[1]), float(current.items[inside[1]].sum())
    where = predictions.where(pick.dimensions, pick.values)
    is_worse = pick.score > 0
    # Excess errors are a part of the observed errors; spared errors refer to the observed audits.
    scale = after.errors / float(current.errors[inside[1]].sum()) if is_worse else after.items / items
    excess, excess_low, excess_high = (
        min(value * scale, float(after.errors)) for value in (pick.excess, pick.low, pick.high)
    )
    return Slice(
        where,
        direction=1 if is_worse else -1,
        before=predictions.rate(0, inside[0]) if inside[0].any() else None,
        after=after,
        expected_rate=max(after.value - pick.excess / items, 0.0) if is_worse else pick.expected_errors / items,
        excess=Estimate(excess, excess_low, excess_high, "errors"),
        unadjusted_excess=pick.naive_excess * scale,
        contribution=Estimate(contributions[0], contribution_low, contribution_high, "pp"),
        share=None,
        p_value=pick.p_value,
        items=int(after.items),
        is_new=not inside[0].any(),
        single_rater="rater" in where or ("rater" in predictions.values and pick.single_cluster),
        is_measurement=any(name in MEASUREMENT_DIMENSIONS for name in where),
    )
