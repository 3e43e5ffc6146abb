"""Do people who judge the same item agree, beyond chance?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from scipy import sparse, stats

from rca_lib.audits.ratings import Ratings, fetch_by_item, read_ratings, require_columns
from rca_lib.audits.values import refuse
from rca_lib.findings import DataError, Estimate, Finding, count_noun, mark_units
from rca_lib.stats.agreement import Coefficient, agreement, agreement_weights, cross_agreement
from rca_lib.stats.rates import wilson

Counts = sparse.csr_array
FEW = 30  # items judged twice, below which a part is not measured
Scale = Literal["nominal", "ordinal", "interval", "ratio"]


@dataclass(frozen=True, slots=True)
class RoleAgreement:
    """One role among itself (Fleiss' kappa), or against another (Cohen's, every pair across an item)."""

    first: str
    second: str
    items: int
    percent: Estimate
    kappa: Estimate | None


@dataclass(frozen=True, slots=True)
class AgreementSlice:
    """How far the ratings of one part of the items agree; None where a coefficient is undefined."""

    where: Mapping[str, str]
    items: int
    percent: Estimate
    alpha: Estimate | None
    ac1: Estimate | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far the ratings of the same items agree; coefficients are 1 where all do, 0 where as much as by chance.

    `items` were judged at least twice, `single` once (they help to estimate chance alone). `cohen` is None unless two
    raters judged everything, `ac2` unless the labels have an order, any where a single label leaves it undefined.
    """

    items: int
    single: int
    raters: int
    percent: Estimate
    cohen: Estimate | None
    fleiss: Estimate | None
    alpha: Estimate | None
    ac1: Estimate | None
    ac2: Estimate | None
    by_role: tuple[RoleAgreement, ...]
    slices: tuple[AgreementSlice, ...]
    not_available: tuple[str, ...]

    def summary(self) -> str:
        """Say how far they agree, and whether alpha allows to rely on the labels (Krippendorff's .800 and .667)."""
        people, items = count_noun(self.raters, "rater"), count_noun(self.items, "item")
        text = f"{people} agree on {self.percent} of {items} judged at least twice"
        if self.alpha is None:
            return f"{text}; agreement beyond chance is undefined, there is one label only."
        low = self.alpha.high < 0.667
        reading = "too little to rely on the labels" if low else "not proven that the labels can be relied on"
        alpha = f"{'ordinal alpha' if self.ac2 else 'alpha'} {self.alpha}"
        return f"{text}, {alpha}: {'reliable' if self.alpha.low >= 0.8 else reading}."

    def findings(self) -> tuple[Finding, ...]:
        """Hand on the agreement and each role's; shown where the interval of the coefficient is above chance."""
        best = "alpha" if self.alpha else "percent"
        found = [("agreement", self.summary(), getattr(self, best), best, self.alpha)]
        for place, role in enumerate(self.by_role):
            items = count_noun(role.items, "item")
            text = f"{role.first.capitalize()} against {role.second} agree on {role.percent} of {items}."
            found.append(("role", text, role.percent, f"by_role[{place}].percent", role.kappa))
        return tuple(
            Finding("reliability", kind, text, "shown" if beyond and beyond.low > 0 else "not proven", estimate, path)
            for kind, text, estimate, path, beyond in found
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row per coefficient: `measure`, `value`, `low`, `high`."""
        found = [(name, getattr(self, name)) for name in ("percent", "cohen", "fleiss", "alpha", "ac1", "ac2")]
        found += [(f"{role.first} and {role.second}", role.percent) for role in self.by_role]
        rows = [(name, part.value, part.low, part.high) for name, part in found if part is not None]
        units = [part.unit for _, part in found if part is not None]
        frame = pd.DataFrame(rows, columns=["measure", "value", "low", "high"])
        return mark_units(frame, value=units, low=units, high=units)

    def slice_frame(self) -> pd.DataFrame:
        """Return a row per part of the items, the least agreement first; percent is a share."""
        rows = [
            (one.where, one.items, one.percent.value, one.ac1.value if one.ac1 else np.nan,
             *((one.alpha.value, one.alpha.low, one.alpha.high) if one.alpha else (np.nan,) * 3))
            for one in self.slices
        ]  # fmt: skip
        names = ["where", "items", "percent", "ac1", "alpha", "alpha_low", "alpha_high"]
        frame = pd.DataFrame(rows, columns=names).sort_values("alpha", kind="stable", ignore_index=True)
        return mark_units(frame, percent="%")


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
        One row per rater × item (`tables.RATINGS`); of repeated trials the first counts; a missing label is no rating.
    level
        The share of such intervals that hold the true value. They are linearised over items, with t: they speak of
        further items, not of further raters. That of `percent` is Wilson's, an item counting once.
    scale
        What the labels are, for alpha; AC2 lets near labels agree in part (linearly) where they have an order.
    categories
        All labels there are, in order; where not given, those that occur.
    by
        Columns of the ratings that say something of the item (policy, site): agreement is measured for each value with
        30 items that were judged at least twice.

    Raises
    ------
    DataError
        If a column of `by` is missing, an item or rater is, a rater judged an item twice without trials, no item was
        judged by two raters, or a label is none of the categories or not a number where the scale wants one (each
        number written in one way, none below 0 on the ratio scale).
    ValueError
        If the scale is unknown, the level is not between 0 and 1, or a category is named twice.

    Notes
    -----
    Cohen 1960, Fleiss 1971, Krippendorff 2004, Gwet 2008 and 2014. What they cannot see: whether those who agree are
    right, and whether they saw each other's judgement.

    Examples
    --------
    >>> frame = pd.DataFrame({"item_id": list("aabbcc"), "rater": ["x", "y"] * 3})
    >>> round(measure_agreement(frame.assign(label=["ok", "ok", "bad", "bad", "ok", "bad"])).cohen.value, 3)
    0.4
    """
    if scale not in get_args(Scale) or not 0 < level < 1:
        raise ValueError(
            f"scale is one of {', '.join(get_args(Scale))}, level between 0 and 1, not {scale!r}, {level!r}"
        )
    if categories is not None and len(set(categories)) < len(categories):
        raise ValueError("categories names one twice")
    require_columns(ratings, by)
    table = read_ratings(ratings)
    labels, values = _order_labels(table, scale, categories)
    counts, raters = _count(table, labels), sorted(set(table.raters), key=str)
    several = counts.sum(axis=1) >= 2
    items = int(several.sum())
    if not items or len(raters) < 2:
        mend = "let several people judge the same items"
        raise DataError("no item was judged by two raters", column="rater", rows=len(table.item), mend=mend)
    found = _coefficients(counts, values, scale)
    if len(raters) == 2 and several.all():
        found["cohen"] = cross_agreement(*(_count(table, labels, table.raters == rater) for rater in raters))
    unlabelled = count_noun(table.unlabelled, "rating without a label is", "ratings without a label are")
    gaps = [f"{unlabelled} left out"] * (table.unlabelled > 0)
    gaps += ["kappa and alpha are undefined: all ratings are one label"] * (found["alpha"] is None)
    return Agreement(
        items=items,
        single=len(several) - items,
        raters=len(raters),
        percent=_percent(found["fleiss"], items, level),
        **{name: part and _interval(part, level) for name, part in found.items()},
        by_role=_compare_roles(table, labels, level),
        slices=tuple(one for name in by for one in _slice(ratings, table, counts, name, (values, scale, level))),
        not_available=tuple(gaps),
    )


def _order_labels(table: Ratings, scale: Scale, categories: Sequence[str] | None) -> tuple[list[str], np.ndarray]:
    """Return the labels in order and what they stand for: their ranks, or on a scale of numbers themselves."""
    labels = pd.Series(table.labels if categories is None else list(categories), dtype=object)
    _refuse(table, ~np.isin(table.labels, labels), "labels are off the scale", "correct them, or add `categories`")
    if scale == "nominal" or (scale == "ordinal" and categories is not None):
        return labels.tolist(), np.arange(len(labels), dtype=float)
    numbers = pd.to_numeric(labels, errors="coerce")
    mend = "name `categories` in their order" if scale == "ordinal" else "give numbers, or say scale='ordinal'"
    _refuse(table, np.isin(table.labels, labels[numbers.isna()]), f"labels on the {scale} scale are words", mend)
    twice = numbers.duplicated(keep=False) & numbers.notna()
    _refuse(table, np.isin(table.labels, labels[twice]), "labels write one number in two ways", "write it alike")
    below = (numbers < 0) & (scale == "ratio")
    _refuse(
        table, np.isin(table.labels, labels[below]), "labels on the ratio scale are below 0", "say scale='interval'"
    )
    numbers = numbers.dropna().sort_values()
    ranks = np.arange(len(numbers), dtype=float)
    return labels[numbers.index].tolist(), ranks if scale == "ordinal" else numbers.to_numpy(float)


def _refuse(table: Ratings, wrong: np.ndarray, problem: str, mend: str) -> None:
    """Raise a DataError where ratings have one of the wrong labels."""
    rows = np.flatnonzero(wrong[table.label])
    first = table.items[table.item[rows]], table.raters[table.rater[rows]], table.labels[table.label[rows]]
    refuse(pd.DataFrame(dict(zip(("item_id", "rater", "label"), first, strict=True))), problem, "label", mend)


def _count(table: Ratings, labels: list[str], chosen: np.ndarray | None = None) -> Counts:
    """Count items × labels, of the chosen raters only."""
    place = pd.Index(labels).get_indexer(table.labels)[table.label]
    ones = np.ones(len(place)) if chosen is None else chosen[table.rater].astype(float)
    return sparse.coo_array((ones, (table.item, place)), shape=(len(table.items), len(labels))).tocsr()


def _coefficients(counts: Counts, values: np.ndarray, scale: Scale) -> dict[str, Coefficient | None]:
    # Between ordinal labels lie the ratings in between (Krippendorff), of items that were judged twice.
    used = counts[counts.sum(axis=1) >= 2].sum(axis=0)
    places = np.cumsum(used) - used / 2 if scale == "ordinal" else values
    near = agreement_weights(places, "ratio" if scale == "ratio" else "quadratic")
    return {
        "cohen": None,
        "fleiss": agreement(counts, "fleiss"),
        "alpha": agreement(counts, "alpha", near if scale != "nominal" else None),
        "ac1": agreement(counts, "ac"),
        "ac2": agreement(counts, "ac", agreement_weights(values, "linear")) if scale != "nominal" else None,
    }


def _slice(
    ratings: Any, table: Ratings, counts: Counts, name: str, how: tuple[np.ndarray, Scale, float]
) -> Iterator[AgreementSlice]:
    """Measure the agreement on the items of each value of a column; an item of several values is of the first."""
    values, scale, level = how
    of_item = fetch_by_item(ratings, name).reindex(table.items)
    for value in sorted(of_item.dropna().unique(), key=str):
        part = counts[np.flatnonzero((of_item == value).to_numpy(bool))]
        if (items := int((part.sum(axis=1) >= 2).sum())) >= FEW:
            found = _coefficients(part, values, scale)
            beyond = [found[kind] and _interval(found[kind], level) for kind in ("alpha", "ac1")]
            yield AgreementSlice({name: str(value)}, items, _percent(found["fleiss"], items, level), *beyond)


def _compare_roles(table: Ratings, labels: list[str], level: float) -> tuple[RoleAgreement, ...]:
    """Compare each role with itself and with each other, where two or more are named."""
    names, found = sorted(set(table.roles), reverse=True), []
    roles = {name: _count(table, labels, table.roles == name) for name in names}
    for first, second in combinations_with_replacement(names if len(names) > 1 else [], 2):
        ours, theirs, alike = roles[first], roles[second], first == second
        both = (ours.sum(axis=1) >= 2) if alike else (ours.sum(axis=1) * theirs.sum(axis=1) > 0)
        if items := int(both.sum()):
            kappa = agreement(ours, "fleiss") if alike else cross_agreement(ours, theirs)
            beyond = kappa and _interval(kappa, level)
            found.append(RoleAgreement(first, second, items, _percent(kappa, items, level), beyond))
    return tuple(found)


def _percent(found: Coefficient | None, items: int, level: float) -> Estimate:
    """Wilson with an item counting once, whatever its raters; no coefficient means one label: all agree."""
    share = round(found.observed, 12) if found else 1.0
    return Estimate(share, *wilson(share * items, items, level=level), "%", level)


def _interval(found: Coefficient, level: float) -> Estimate:
    """Symmetric with t; where all items are alike, what Wilson's interval makes of it: no variance seen is not none."""
    if found.error < 1e-9:
        ends = wilson(found.observed * found.items, found.items, level=level)
        low, high = ((end - found.chance) / (1 - found.chance) for end in ends)
    else:
        half = found.error * float(stats.t.ppf((1 + level) / 2, max(found.items - 1, 1)))
        low, high = found.value - half, found.value + half
    # Sums of floats depend on the order of the rows in their last digits; twelve digits do not.
    return Estimate(*(round(end, 12) for end in (found.value, max(low, -1.0), min(high, 1.0))), "", level)
