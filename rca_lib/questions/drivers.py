"""Where did the error rate change? The change split into work mix and error rates, and the slices that changed.

The change of the error rate r between a baseline (0) and a current period (1) is split as (Kitagawa 1955)

    r_1 - r_0 = sum_c (w_1c - w_0c) (p_0c + p_1c) / 2  +  sum_c (p_1c - p_0c) (w_0c + w_1c) / 2,

with w_tc the share of cell c (a combination of all dimensions) in the weighted audits of period t, and p_tc its error
rate. The first sum is the mix effect, the second the rate effect. Cells are small, so p_0c is the prediction of a
logistic baseline model and p_1c that prediction shifted by the slices that changed. Dimensions of the audit (auditor,
version of the truth) are averaged out of the mix effect: they say nothing about the work.

Slices are found by score tests of all values of one dimension and all pairs of values of two, against the baseline
model (`stats.slice_search.selection`). The p-value of a slice is the probability that any slice deviates as much when
none changed. The rate effect is the sum of the contributions of the selected slices and an unexplained rest.

References
----------
Kitagawa, E. M. (1955). Components of a difference between two rates. JASA 50: 1168-1194.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.special import expit

from rca_lib.audits.contingency_tables import (
    ITEM_ID,
    count_by_dimensions,
    encode_periods,
    prepare_periods,
)
from rca_lib.audits.counting import column_names, has_repeated_items
from rca_lib.findings import Estimate, Finding, Grade, Quantity, Rate, format_slice, format_value, set_units
from rca_lib.models.changed_slices import (
    MEASUREMENT_DIMENSIONS,
    DetectableExcess,
    MixEffect,
    Slice,
    add_shares,
    build_slice,
    format_changed_slice,
    take_absolute,
)
from rca_lib.result import Result
from rca_lib.stats.slice_search.adjusted_difference import estimate_adjusted_difference
from rca_lib.stats.slice_search.baseline_model import HIGH_CARDINALITY
from rca_lib.stats.slice_search.decomposition import compute_change_share, decompose_mix
from rca_lib.stats.slice_search.predicted_rates import PeriodPredictions
from rca_lib.stats.slice_search.selection import search_slices

DriverKind = Literal["change", "mix", "rate", "slice", "everywhere", "measurement", "none"]

SMALL_SHARE = 0.25  # of a proven change: an effect whose interval stays within it is ruled out


@dataclass(frozen=True, slots=True)
class Drivers(Result):
    """The change of the error rate, its parts, and the slices that changed.

    `change` = `mix_effect` + `rate_effect`, exactly. `rate_effect` = the contributions of `overall` and `slices` +
    `unexplained`, exactly.

    Attributes
    ----------
    before, after
        The weighted error rates of the two periods.
    change, mix_effect, rate_effect, unexplained
        The change and its parts, in pp.
    mix_effects
        The mix effect by dimension, the largest first, with "(jointly)" for the rest. They add up to `mix_effect`.
    slices
        The slices whose error rate changed, the strongest first.
    overall
        The change that all slices share; None if it is not proven.
    detectable_excess
        For each dimension, the excess that would have been detected in its slices.
    dimensions
        The dimensions that were searched.
    n_tested
        The number of slices that were tested.
    alpha
        The probability of naming any slice when none changed.
    p_value
        The p-value of `change`.
    """

    before: Rate
    after: Rate
    change: Estimate
    mix_effect: Estimate
    rate_effect: Estimate
    mix_effects: tuple[MixEffect, ...]
    slices: tuple[Slice, ...]
    overall: Slice | None
    unexplained: Estimate
    detectable_excess: tuple[DetectableExcess, ...]
    dimensions: tuple[str, ...]
    n_tested: int
    alpha: float
    p_value: float

    @property
    def named_slices(self) -> tuple[Slice, ...]:
        """All named slices, `overall` first."""
        return (self.overall, *self.slices) if self.overall else self.slices

    def to_frame(self) -> pd.DataFrame:
        """Return one row per named slice, `overall` first; rates and contributions as shares."""
        names = (
            "where direction before after expected excess excess_low excess_high contribution share p_value items new"
            " single_rater measurement"
        )
        rows = [
            (format_slice(slice_.where), slice_.direction, slice_.before.value if slice_.before else np.nan,
             slice_.after.value, slice_.expected_rate, slice_.excess.value, slice_.excess.low, slice_.excess.high,
             slice_.contribution.value, slice_.share.value if slice_.share else np.nan, slice_.p_value, slice_.items,
             slice_.is_new, slice_.single_rater, slice_.is_measurement)
            for slice_ in self.named_slices
        ]  # fmt: skip
        shares = dict.fromkeys(("before", "after", "expected", "share"), "%")
        return set_units(pd.DataFrame(rows, columns=names.split()), **shares, contribution="pp")

    def power_frame(self) -> pd.DataFrame:
        """Return the smallest detectable excess of each slice of one dimension, the largest slice first."""
        rows = [
            (format_slice(slice_.where), slice_.items, slice_.expected_errors, slice_.excess.value)
            for slice_ in self.detectable_excess
        ]
        frame = pd.DataFrame(rows, columns=["where", "items", "expected_errors", "detectable_excess"])
        frame = frame.assign(rate_ratio=1 + frame["detectable_excess"] / frame["expected_errors"])
        return frame.sort_values(["items", "where"], ascending=[False, True], ignore_index=True)

    def summary(self) -> str:
        """Say how the error rate changed, and in which slices."""
        mix = ""
        if self.mix_effect.excludes_zero:
            size = format_value(self.mix_effect.value, "pp")
            mix = f" Work mix accounts for {size} of it{self._format_largest_mix()}."
        slices = " ".join(format_changed_slice(slice_) for slice_ in self.named_slices)
        return f"{self._format_change()}{mix} {slices or 'No change proven in any slice.'}"

    def findings(self) -> tuple[Finding[DriverKind], ...]:
        """Return the change, its two parts, and each named slice; "none" if no slice is named."""
        slices = self._slice_findings() if self.named_slices else (self._no_slice_finding(),)
        return (*self._change_findings(), *slices)

    def _format_largest_mix(self) -> str:
        largest = self.mix_effects[0]
        return f", mostly through {largest.dimension}" if largest.effect.value * self.mix_effect.value > 0 else ""

    def _format_change(self) -> str:
        rates = f"from {format_value(self.before.value, '%')} to {format_value(self.after.value, '%')}"
        if not self.change.excludes_zero:
            return f"Change in error rate not proven: {self.change}, {rates}."
        verb = "rose" if self.change.value > 0 else "fell"
        return f"The error rate {verb} by {take_absolute(self.change)}, {rates}."

    def _change_findings(self) -> Iterator[Finding[DriverKind]]:
        """Return the change and its parts; a part is ruled out if it is at most a quarter of a proven change."""
        is_proven = self.change.excludes_zero
        grade: Grade = "shown" if is_proven else "not proven"
        yield Finding("drivers", "change", self._format_change(), grade, self.change, "change", p_value=self.p_value)
        effects: tuple[tuple[DriverKind, Estimate, str, str], ...] = (
            ("mix", self.mix_effect, "mix_effect", "work mix"),
            ("rate", self.rate_effect, "rate_effect", "quality at constant mix"),
        )
        for kind, effect, path, name in effects:
            label = name[0].upper() + name[1:]
            if effect.excludes_zero:
                grade = "shown"
                mostly = self._format_largest_mix() if kind == "mix" else ""
                sentence = f"{label} accounts for {effect} of the change{mostly}."
            elif is_proven and max(abs(effect.low), abs(effect.high)) <= SMALL_SHARE * abs(self.change.value):
                grade, sentence = "ruled out", f"{label} ruled out: it accounts for {effect} of the change."
            else:
                grade, sentence = "not proven", f"Effect of {name} not proven: {effect}."
            parts = [self.mix_effect.value, self.rate_effect.value]
            share = compute_change_share(effect.value, parts, self.change.value) if is_proven else None
            yield Finding("drivers", kind, sentence, grade, effect, path, share=share)

    def _slice_findings(self) -> Iterator[Finding[DriverKind]]:
        for index, slice_ in enumerate(self.named_slices, start=-1 if self.overall else 0):
            path = f"slices[{index}].excess" if index >= 0 else "overall.excess"
            kind: DriverKind = "measurement" if slice_.is_measurement else "slice" if slice_.where else "everywhere"
            share = slice_.share.value if slice_.share else None
            yield Finding(
                "drivers", kind, format_changed_slice(slice_), "shown", slice_.excess, path, slice_.where,
                share=share, p_value=slice_.p_value,
            )  # fmt: skip

    def _no_slice_finding(self) -> Finding[DriverKind]:
        """Say that no slice changed provably, and what would have been detected in the largest slice."""
        if not self.detectable_excess:
            return Finding("drivers", "none", "No slice has enough expected errors to be tested.", "not proven")
        index, largest = max(enumerate(self.detectable_excess), key=lambda indexed: indexed[1].items)
        sentence = (
            f"No change proven in any of {self.n_tested:,} slices. In {format_slice(largest.where)}, "
            f"{format_value(largest.excess.value, 'errors')} more than the expected {largest.expected_errors:,.0f} "
            "would probably have been detected."
        )
        path = f"detectable_excess[{index}].excess"
        return Finding("drivers", "none", sentence, "not proven", largest.excess, path)


def rank_drivers(baseline: Any, current: Any, dimensions: Sequence[str], *, alpha: float = 0.05) -> Drivers:
    """Find the slices that explain how the error rate changed from `baseline` to `current`.

    Parameters
    ----------
    baseline, current
        Two tables with one row per audited decision: the dimensions, and `error` (0/1) or `label` and `truth`;
        optionally `weight` (1 / sampling probability) and `rater`, which is searched as well. `auditor` and the two
        policy versions, if both tables have them, are searched as measurement dimensions. Rows of streams that are not
        proportional are left out, unless `stream` is one of the dimensions. Alternatively one row per counted cell,
        with `items` and `errors`.
    dimensions
        The columns to search. Missing values are a value of their own, "(missing)". A dimension with 40 values or more
        is searched alone, not in pairs, and its values may vary at random. Beyond 300 values (2,000 in the largest
        dimension) the values with fewest audits are combined as "(rare)".
    alpha
        The probability of naming any slice when none changed.

    Returns
    -------
    Drivers
        The change, its mix effect and rate effect, and the slices that changed.

    Raises
    ------
    DataError
        If a period has no audits, a column is missing, `error` is neither 0 nor 1, or a weight is not above 0.
    ValueError
        If `alpha` is not between 0 and 1, or there is no dimension to search.

    Notes
    -----
    Excess and shares are corrected for the search, given that the slice was named. A share refers to the observed
    change. Intervals of the change allow for raters (except for named raters, which are shown by themselves), and for
    items that were judged more than once.

    The search cannot detect a change in combinations of three dimensions only, a change in a column that is not
    searched, or a change within the random variation of cells and slices. It says where, not why. It cannot tell apart
    two slices with nearly the same audits, or a slice and the one auditor who audits all of it.

    References
    ----------
    Kitagawa, E. M. (1955). Components of a difference between two rates. JASA 50: 1168-1194.

    Examples
    --------
    >>> rows = [(queue, number % 10 == 0) for queue in "ab" for number in range(500)]
    >>> baseline = pd.DataFrame(rows, columns=["queue", "error"]).astype({"error": int})
    >>> current = baseline.assign(error=baseline["error"].where(baseline["queue"] == "a", 1 - baseline["error"]))
    >>> [slice_.where for slice_ in rank_drivers(baseline, current, ["queue"]).slices]
    [{'queue': 'b'}]
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha {alpha} is not between 0 and 1")
    tables = prepare_periods((baseline, current), dimensions)
    common = set(column_names(tables[0])) & set(column_names(tables[1]))
    implied = [name for name in ("rater", *MEASUREMENT_DIMENSIONS) if name in common]
    names = tuple(dict.fromkeys([*dimensions, *implied]))
    if not names:
        raise ValueError("name at least one dimension")
    repeated = ITEM_ID not in names and ITEM_ID in common and any(map(has_repeated_items, tables))
    by = (*names, ITEM_ID) if repeated else names
    counts = count_by_dimensions(tables[0], by, "baseline"), count_by_dimensions(tables[1], by, "current period")
    encoded = encode_periods(counts, names)
    names, sizes = tuple(encoded.values), [len(values) for values in encoded.values.values()]
    cluster = names.index("rater") if "rater" in names else len(names) - 1 if sizes[-1] >= HIGH_CARDINALITY else None
    alone = [names.index(name) for name in MEASUREMENT_DIMENSIONS if name in names]
    search = search_slices(
        *encoded.cells, sizes, rater_dimension=cluster, unpaired=alone, alpha=alpha, item_counts=encoded.item_counts
    )
    predictions = PeriodPredictions(
        encoded.cells, encoded.unweighted_counts, encoded.values, encoded.item_counts, cluster, search
    )
    return _build_drivers(predictions, alpha)


def _build_drivers(predictions: PeriodPredictions, alpha: float) -> Drivers:
    """Decompose the change and describe the selected slices."""
    search, cells = predictions.search, predictions.cells
    old_rates = [expit(search.baseline.logits(period.codes)) for period in cells]
    new_rates = predictions.predict_rates()
    measurement = [index for index, name in enumerate(predictions.values) if name in MEASUREMENT_DIMENSIONS]
    mean_rates = predictions.average_predicted_rates(measurement)
    estimate = partial(
        estimate_adjusted_difference,
        cells,
        rater_dimension=predictions.rater_dimension,
        item_counts=predictions.item_counts,
    )
    rater_effects = predictions.selected_rater_effects()
    change, p_value = estimate(expected_rates=(0.0, rater_effects))
    mix_effect, effects, _ = decompose_mix(*cells, search.baseline, mean_rates, item_counts=predictions.item_counts)
    middle_rates = [(old + new) / 2 for old, new in zip(old_rates, new_rates, strict=True)]
    rate_effect, _ = estimate(offsets=mean_rates, expected_rates=(middle_rates[0], middle_rates[1] + rater_effects / 2))
    rest, _ = estimate(offsets=(old_rates[0], new_rates[1]), expected_rates=(old_rates[0], new_rates[1]))
    slices = [build_slice(predictions, index, new_rates) for index in range(len(search.selected))]
    slices = add_shares(slices, mix_effect, change) if change.excludes_zero else slices
    unexplained = rate_effect.value - sum(slice_.contribution.value for slice_ in slices)
    low, high = (float(np.clip(unexplained + limit - rest.value, -1, 1)) for limit in (rest.low, rest.high))
    by_dimension = dict(zip(predictions.values, effects, strict=True))
    return Drivers(
        before=predictions.rate(0, np.ones(len(old_rates[0]), bool)),
        after=predictions.rate(1, np.ones(len(old_rates[1]), bool)),
        change=change,
        mix_effect=mix_effect,
        rate_effect=rate_effect,
        mix_effects=_list_mix_effects(by_dimension, mix_effect),
        slices=tuple(slice_ for slice_ in slices if slice_.where),
        overall=next((slice_ for slice_ in slices if not slice_.where), None),
        unexplained=Estimate(unexplained, low, high, "pp"),
        detectable_excess=_list_detectable(predictions),
        dimensions=tuple(predictions.values),
        n_tested=search.tested,
        alpha=alpha,
        p_value=p_value,
    )


def _list_mix_effects(effects: dict[str, Estimate], mix_effect: Estimate) -> tuple[MixEffect, ...]:
    """Return the effect of each dimension of the work, the largest first, and what they make jointly."""
    listed = [MixEffect(name, effect) for name, effect in effects.items() if name not in MEASUREMENT_DIMENSIONS]
    jointly = Quantity(mix_effect.value - sum(entry.effect.value for entry in listed), unit="pp")
    listed.sort(key=lambda entry: -abs(entry.effect.value))
    return (*listed, MixEffect("(jointly)", jointly))


def _list_detectable(predictions: PeriodPredictions) -> tuple[DetectableExcess, ...]:
    """Return the detectable excess of each tested slice of one dimension, in errors among the audits as they are."""
    scale = predictions.audits_per_effective_audit
    return tuple(
        DetectableExcess(predictions.where([dimension], [value]), round(items * scale), expected * scale,
                         Quantity(excess * scale, unit="errors"))
        for dimension, value, items, expected, excess in predictions.search.detectable
    )  # fmt: skip
