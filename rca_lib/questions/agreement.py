"""Do people who judge the same item agree beyond chance?

All coefficients have the form

    coefficient = (p_o − p_c) / (1 − p_c),

with p_o the observed agreement and p_c the agreement expected by chance. They differ in p_c and in how much two labels
agree (`stats.agreement` has the formulas):

- Cohen's kappa: two raters, chance from the labels of each rater,
- Fleiss' kappa: any number of raters, chance from the pooled labels,
- Krippendorff's alpha: as Fleiss, corrected for small samples; distances between labels by the scale,
- Gwet's AC1 and AC2: chance from a model of guessing; AC2 weights ordered labels linearly.

Variances are linearised over items, and intervals use Student's t. They speak of further items, not of further raters.

References
----------
Cohen, J. (1960). Educational and Psychological Measurement 20, 37–46.
Fleiss, J. L. (1971). Psychological Bulletin 76, 378–382.
Krippendorff, K. (2004). Content Analysis, 2nd ed. Alpha, and its limits of reliability .800 and .667.
Gwet, K. L. (2008). British Journal of Mathematical and Statistical Psychology 61, 29–48. AC1.
Gwet, K. L. (2014). Handbook of Inter-Rater Reliability, 4th ed. AC2 and the variances.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from scipy import stats

from rca_lib.audits.label_counts import Counts, Scale, count_labels, order_labels
from rca_lib.audits.ratings import Ratings, encode_ratings, get_item_values, require_columns
from rca_lib.findings import DataError, Estimate, Finding, format_count, set_units
from rca_lib.result import Result
from rca_lib.stats.agreement import AgreementCoefficient, agreement_weights, estimate_agreement, estimate_cohen_kappa
from rca_lib.stats.proportions import wilson_interval

AgreementKind = Literal["agreement", "role"]

MIN_ITEMS = 30  # items judged twice, below which a slice is not measured
RELIABLE_ALPHA = 0.8  # alpha from which labels are reliable (Krippendorff 2004)
TENTATIVE_ALPHA = 0.667  # alpha below which labels are not reliable (Krippendorff 2004)
MIN_STANDARD_ERROR = 1e-9  # below, all items agree alike and the linearised variance says nothing
COEFFICIENTS = {
    "cohen_kappa": "Cohen's kappa",
    "fleiss_kappa": "Fleiss' kappa",
    "krippendorff_alpha": "Krippendorff's alpha",
    "gwet_ac1": "Gwet's AC1",
    "gwet_ac2": "Gwet's AC2",
}
MEASURES = {"percent_agreement": "percent agreement", **COEFFICIENTS}


@dataclass(frozen=True, slots=True)
class RoleAgreement:
    """Agreement within one role (Fleiss' kappa), or between two roles (Cohen's kappa over all pairs of an item)."""

    first: str
    second: str
    items: int
    percent_agreement: Estimate
    kappa: Estimate | None


@dataclass(frozen=True, slots=True)
class AgreementSlice:
    """Agreement on a slice of the items; a coefficient is None where it is undefined."""

    where: Mapping[str, str]
    items: int
    percent_agreement: Estimate
    krippendorff_alpha: Estimate | None
    gwet_ac1: Estimate | None


@dataclass(frozen=True, slots=True)
class Agreement(Result):
    """Agreement of the ratings of the same items; a coefficient is 1 for full agreement, 0 for agreement by chance.

    Attributes
    ----------
    items
        Items judged at least twice.
    rated_once
        Items judged once; they only help to estimate agreement by chance.
    raters
        Number of raters.
    percent_agreement
        Share of pairs of ratings that agree, averaged over items.
    cohen_kappa
        None unless two raters judged every item.
    fleiss_kappa, krippendorff_alpha, gwet_ac1
        None if all ratings are one label.
    gwet_ac2
        None unless the labels have an order.
    by_role
        Agreement within and between roles.
    slices
        Agreement by the values of the columns asked for.
    not_available
        Sentences on what is left out or undefined.
    """

    items: int
    rated_once: int
    raters: int
    percent_agreement: Estimate
    cohen_kappa: Estimate | None
    fleiss_kappa: Estimate | None
    krippendorff_alpha: Estimate | None
    gwet_ac1: Estimate | None
    gwet_ac2: Estimate | None
    by_role: tuple[RoleAgreement, ...]
    slices: tuple[AgreementSlice, ...]
    not_available: tuple[str, ...]

    def summary(self) -> str:
        """Return the agreement in percent, alpha, and whether the labels are reliable."""
        raters, items = format_count(self.raters, "rater"), format_count(self.items, "item")
        percent = f"{raters} agree on {self.percent_agreement} of {items} judged at least twice."
        alpha = self.krippendorff_alpha
        if alpha is None:
            return f"{percent} Agreement beyond chance is undefined: all ratings are one label."
        if alpha.low >= RELIABLE_ALPHA:
            reliability = "the labels are reliable"
        elif alpha.high < TENTATIVE_ALPHA:
            reliability = "too low to rely on the labels"
        else:
            reliability = "reliability of the labels not proven"
        name = "Ordinal alpha" if self.gwet_ac2 else "Krippendorff's alpha"
        return f"{percent} {name} {alpha}: {reliability}."

    def findings(self) -> tuple[Finding[AgreementKind], ...]:
        """Return the overall agreement and that of each role.

        A finding is graded "shown" if the interval of its coefficient lies above chance.
        """
        alpha, path = self.krippendorff_alpha, "krippendorff_alpha" if self.krippendorff_alpha else "percent_agreement"
        findings: list[Finding[AgreementKind]] = [
            Finding("reliability", "agreement", self.summary(), _grade(alpha), getattr(self, path), path)
        ]
        for index, role in enumerate(self.by_role):
            pair = f"two {role.first}s" if role.first == role.second else f"{role.first} and {role.second}"
            sentence = f"{pair.capitalize()} agree on {role.percent_agreement} of {format_count(role.items, 'item')}."
            path = f"by_role[{index}].percent_agreement"
            findings.append(Finding("reliability", "role", sentence, _grade(role.kappa), role.percent_agreement, path))
        return tuple(findings)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per coefficient and per pair of roles: `measure`, `value`, `low`, `high`."""
        estimates = [(label, getattr(self, name)) for name, label in MEASURES.items()]
        estimates += [(f"{role.first} and {role.second}", role.percent_agreement) for role in self.by_role]
        estimates = [(label, estimate) for label, estimate in estimates if estimate is not None]
        rows = [(label, estimate.value, estimate.low, estimate.high) for label, estimate in estimates]
        units = [estimate.unit for _, estimate in estimates]
        frame = pd.DataFrame(rows, columns=["measure", "value", "low", "high"])
        return set_units(frame, value=units, low=units, high=units)

    def slice_frame(self) -> pd.DataFrame:
        """Return one row per slice of the items, the lowest alpha first.

        Columns: `where`, `items`, `percent_agreement` (a share), `gwet_ac1`, `krippendorff_alpha` with `alpha_low` and
        `alpha_high`.
        """
        rows = []
        for slice_ in self.slices:
            ac1, alpha = slice_.gwet_ac1, slice_.krippendorff_alpha
            limits = (alpha.value, alpha.low, alpha.high) if alpha else (np.nan, np.nan, np.nan)
            ac1_value = ac1.value if ac1 else np.nan
            rows.append((slice_.where, slice_.items, slice_.percent_agreement.value, ac1_value, *limits))
        names = ["where", "items", "percent_agreement", "gwet_ac1", "krippendorff_alpha", "alpha_low", "alpha_high"]
        frame = pd.DataFrame(rows, columns=names).sort_values("krippendorff_alpha", kind="stable", ignore_index=True)
        return set_units(frame, percent_agreement="%")


def measure_agreement(
    ratings: Any,
    *,
    level: float = 0.95,
    scale: Scale = "nominal",
    categories: Sequence[str] | None = None,
    by: Sequence[str] = (),
) -> Agreement:
    """Measure how far people who judged the same items agree.

    Parameters
    ----------
    ratings
        One row per rater × item (`schema.RATINGS`). Of repeated trials the first counts; a missing label is no rating.
    level
        Confidence level of the intervals. Default 0.95.
    scale
        Scale of the labels: "nominal" (default), "ordinal", "interval" or "ratio". It decides the distances of alpha.
        AC2 needs an order and weights labels linearly.
    categories
        All labels, in order. Default: the labels that occur.
    by
        Columns of the ratings that describe the item (policy, site). Agreement is measured for each value with at least
        30 items judged twice. Default: none.

    Returns
    -------
    Agreement
        Percent agreement has a Wilson interval in which an item counts once.

    Raises
    ------
    DataError
        If a column of `by`, an item or a rater is missing, or a rater judged an item twice without trials.
        If no item was judged by two raters.
        If a label is not in `categories`, or not a number where the scale needs one. Each number must be written in one
        way, and none may be negative on the ratio scale.
    ValueError
        If the scale is unknown, the level is not between 0 and 1, or a category is listed twice.

    Notes
    -----
    The coefficients cannot see whether those who agree are right, or whether they saw each other's judgement.

    References
    ----------
    Cohen (1960), Fleiss (1971), Krippendorff (2004), Gwet (2008, 2014). The docstring of the module has all.

    Examples
    --------
    >>> frame = pd.DataFrame({"item_id": list("aabbcc"), "rater": ["x", "y"] * 3})
    >>> round(measure_agreement(frame.assign(label=["ok", "ok", "bad", "bad", "ok", "bad"])).cohen_kappa.value, 3)
    0.4
    """
    if scale not in get_args(Scale) or not 0 < level < 1:
        allowed = f"scale is one of {', '.join(get_args(Scale))}, level between 0 and 1"
        raise ValueError(f"{allowed}, not {scale!r}, {level!r}")
    if categories is not None and len(set(categories)) < len(categories):
        raise ValueError("categories lists a label twice")
    require_columns(ratings, by)
    encoded = encode_ratings(ratings)
    labels, positions = order_labels(encoded, scale, categories)
    counts = count_labels(encoded, labels)
    raters = sorted(set(encoded.raters), key=str)
    is_shared = counts.sum(axis=1) >= 2
    items = int(is_shared.sum())
    if not items or len(raters) < 2:
        hint = "let several people judge the same items"
        raise DataError("no item was judged by two raters", column="rater", rows=len(encoded.item), hint=hint)
    coefficients = _estimate_coefficients(counts, positions, scale)
    if len(raters) == 2 and is_shared.all():
        first, second = (count_labels(encoded, labels, encoded.raters == rater) for rater in raters)
        coefficients |= {"cohen_kappa": estimate_cohen_kappa(first, second)}
    slices = (_measure_slices(ratings, encoded, counts, name, positions, scale, level) for name in by)
    return Agreement(
        items=items,
        rated_once=len(is_shared) - items,
        raters=len(raters),
        percent_agreement=_estimate_percent(coefficients["fleiss_kappa"], items, level),
        **{name: _to_estimate(coefficient, level) for name, coefficient in coefficients.items()},
        by_role=_compare_roles(encoded, labels, level),
        slices=tuple(slice_ for slices_of_column in slices for slice_ in slices_of_column),
        not_available=_list_limitations(encoded, coefficients),
    )


def _grade(coefficient: Estimate | None) -> Literal["shown", "not proven"]:
    """Return "shown" if the interval of a coefficient lies above chance."""
    return "shown" if coefficient and coefficient.low > 0 else "not proven"


def _list_limitations(ratings: Ratings, coefficients: Mapping[str, AgreementCoefficient | None]) -> tuple[str, ...]:
    """Return sentences on ratings that are left out and coefficients that are undefined."""
    sentences = []
    if ratings.unlabelled:
        count = format_count(ratings.unlabelled, "rating without a label is", "ratings without a label are")
        sentences.append(f"{count} left out")
    if coefficients["krippendorff_alpha"] is None:
        sentences.append("kappa and alpha are undefined: all ratings are one label")
    return tuple(sentences)


def _estimate_coefficients(
    counts: Counts, positions: np.ndarray, scale: Scale
) -> dict[str, AgreementCoefficient | None]:
    """Return all coefficients by name; Cohen's kappa is None."""
    has_order = scale != "nominal"
    # The distance of ordinal labels is the number of ratings between them (Krippendorff), of items judged twice.
    label_counts = counts[counts.sum(axis=1) >= 2].sum(axis=0)
    alpha_positions = np.cumsum(label_counts) - label_counts / 2 if scale == "ordinal" else positions
    alpha_weights = agreement_weights(alpha_positions, "ratio" if scale == "ratio" else "quadratic")
    ac2 = estimate_agreement(counts, "ac", agreement_weights(positions, "linear")) if has_order else None
    return {
        "cohen_kappa": None,
        "fleiss_kappa": estimate_agreement(counts, "fleiss"),
        "krippendorff_alpha": estimate_agreement(counts, "alpha", alpha_weights if has_order else None),
        "gwet_ac1": estimate_agreement(counts, "ac"),
        "gwet_ac2": ac2,
    }


def _measure_slices(
    ratings: Any, encoded: Ratings, counts: Counts, name: str, positions: np.ndarray, scale: Scale, level: float
) -> Iterator[AgreementSlice]:
    """Measure the agreement for each value of a column; an item with several values belongs to the first."""
    item_values = get_item_values(ratings, name).reindex(encoded.items)
    for value in sorted(item_values.dropna().unique(), key=str):
        rows = np.flatnonzero((item_values == value).to_numpy(bool))
        slice_counts = counts[rows]
        items = int((slice_counts.sum(axis=1) >= 2).sum())
        if items >= MIN_ITEMS:
            coefficients = _estimate_coefficients(slice_counts, positions, scale)
            percent = _estimate_percent(coefficients["fleiss_kappa"], items, level)
            alpha, ac1 = (_to_estimate(coefficients[measure], level) for measure in ("krippendorff_alpha", "gwet_ac1"))
            yield AgreementSlice({name: str(value)}, items, percent, alpha, ac1)


def _compare_roles(ratings: Ratings, labels: list[str], level: float) -> tuple[RoleAgreement, ...]:
    """Compare each role with itself and with each other, if there are at least two."""
    if len(names := sorted(set(ratings.roles), reverse=True)) < 2:
        return ()
    counts = {name: count_labels(ratings, labels, ratings.roles == name) for name in names}
    comparisons = []
    for first, second in combinations_with_replacement(names, 2):
        ours, theirs, within = counts[first], counts[second], first == second
        is_shared = ours.sum(axis=1) >= 2 if within else ours.sum(axis=1) * theirs.sum(axis=1) > 0
        items = int(is_shared.sum())
        if items:
            kappa = estimate_agreement(ours, "fleiss") if within else estimate_cohen_kappa(ours, theirs)
            percent = _estimate_percent(kappa, items, level)
            comparisons.append(RoleAgreement(first, second, items, percent, _to_estimate(kappa, level)))
    return tuple(comparisons)


def _estimate_percent(coefficient: AgreementCoefficient | None, items: int, level: float) -> Estimate:
    """Return the observed agreement with a Wilson interval in which an item counts once."""
    # Without a coefficient there is one label only, and all ratings agree.
    share = round(coefficient.observed_agreement, 12) if coefficient else 1.0
    return Estimate(share, *wilson_interval(share * items, items, level=level), "%", level)


def _to_estimate(coefficient: AgreementCoefficient | None, level: float) -> Estimate | None:
    """Return a coefficient with its t interval, or with one from Wilson's where all items agree alike."""
    if coefficient is None:
        return None
    if coefficient.standard_error < MIN_STANDARD_ERROR:
        limits = wilson_interval(coefficient.observed_agreement * coefficient.items, coefficient.items, level=level)
        low, high = (
            (limit - coefficient.expected_agreement) / (1 - coefficient.expected_agreement) for limit in limits
        )
    else:
        quantile = float(stats.t.ppf((1 + level) / 2, max(coefficient.items - 1, 1)))
        margin = coefficient.standard_error * quantile
        low, high = coefficient.value - margin, coefficient.value + margin
    # Sums of floats depend on the order of the rows in their last digits; twelve digits do not.
    value, low, high = (round(limit, 12) for limit in (coefficient.value, max(low, -1.0), min(high, 1.0)))
    return Estimate(value, low, high, "", level)
