"""Do people who judge the same item agree, beyond chance?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any, Literal

import narwhals as nw
import numpy as np
import pandas as pd
from scipy import sparse, stats

from rca_lib.audits.counting import collect, column_names, open_table
from rca_lib.audits.tables import PROPORTIONAL_STREAMS
from rca_lib.findings import DataError, Estimate, Finding
from rca_lib.stats.agreement import Coefficient, agreement, agreement_weights, cross_agreement
from rca_lib.stats.rates import wilson

Counts = sparse.csr_array
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
    not_available: tuple[str, ...]

    def summary(self) -> str:
        """Say how far they agree, and whether alpha allows to rely on the labels (Krippendorff's .800 and .667)."""
        text = f"{self.raters:,} raters agree on {self.percent} of {self.items:,} items judged at least twice"
        if self.alpha is None:
            return f"{text}; agreement beyond chance is undefined, there is one label only."
        low = self.alpha.high < 0.667
        reading = "too little to rely on the labels" if low else "not proven that the labels can be relied on"
        return f"{text}, alpha {self.alpha}: {'reliable' if self.alpha.low >= 0.8 else reading}."

    def findings(self) -> tuple[Finding, ...]:
        """Hand on the agreement and each role's; shown where the interval of the coefficient is above chance."""
        best = "alpha" if self.alpha else "percent"
        found = [("agreement", self.summary(), getattr(self, best), best, self.alpha)]
        for place, role in enumerate(self.by_role):
            text = f"{role.first.capitalize()} against {role.second} agree on {role.percent} of {role.items:,} items."
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
        return pd.DataFrame(rows, columns=["measure", "value", "low", "high"])


def measure_agreement(
    ratings: Any, *, level: float = 0.95, scale: Scale = "nominal", categories: Sequence[str] | None = None
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

    Raises
    ------
    DataError
        If an item or rater is missing, a rater judged an item twice without trials, no item was judged by two raters,
        or a label is none of the categories or not a number where the scale wants one.

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
    table, unlabelled = _read_ratings(ratings)
    labels, values = _order_labels(table, scale, categories)
    counts, raters = _count(table, labels), sorted(table["rater"].unique())
    several = counts.sum(axis=1) >= 2
    items = int(several.sum())
    if not items or len(raters) < 2:
        mend = "let several people judge the same items"
        raise DataError("no item was judged by two raters", column="rater", rows=len(table), mend=mend)
    found = _coefficients(counts, values, scale)
    if len(raters) == 2 and several.all():
        found["cohen"] = cross_agreement(*(_count(table, labels, table["rater"] == rater) for rater in raters))
    gaps = [f"{unlabelled:,} ratings without a label are left out"] * (unlabelled > 0)
    gaps += ["kappa and alpha are undefined: all ratings are one label"] * (found["alpha"] is None)
    return Agreement(
        items=items,
        single=len(several) - items,
        raters=len(raters),
        percent=_percent(found["fleiss"], items, level),
        **{name: part and _interval(part, level) for name, part in found.items()},
        by_role=_compare_roles(table, labels, level),
        not_available=tuple(gaps),
    )


def ratings_from_audits(audits: Any) -> pd.DataFrame:
    """Read audits as ratings (`tables.RATINGS`): the rater's label, and the truth as the auditor's.

    Of the streams only those that stand for all decisions are used, where there are any; of the rounds all, so that
    auditors are compared too (without a column `auditor` they are "audit 1", "audit 2" …). `trial` counts a person's
    judgements of an item.

    Examples
    --------
    >>> audits = pd.DataFrame({"item_id": ["a"], "rater": ["x"], "label": ["ok"], "truth": ["bad"]})
    >>> ratings_from_audits(audits)[["rater", "label", "role"]].values.tolist()
    [['x', 'ok', 'rater'], ['audit 1', 'bad', 'auditor']]
    """
    names, needed = column_names(audits), ["item_id", "rater", "label", "truth"]
    table = open_table(audits, needs=needed)
    if "stream" in names:
        proportional = table.filter(nw.col("stream").is_in(PROPORTIONAL_STREAMS))
        table = proportional if len(collect(proportional.select("stream").head(1))) else table
    wanted = [*(name for name in ("audit_round", "decided_at", "audited_at", "auditor") if name in names), *needed]
    frame = collect(table.select(*wanted)).sort_values(wanted, ignore_index=True)
    rounds = frame["audit_round"].fillna(1).astype(int) if "audit_round" in names else pd.Series(1, frame.index)
    auditor = "audit " + rounds.astype(str)
    auditor = frame["auditor"].fillna(auditor) if "auditor" in names else auditor
    ours = frame[["item_id", "rater", "label"]].assign(role="rater")
    theirs = ours.assign(rater=auditor, label=frame["truth"], role="auditor")
    # An audit of the audit repeats the rater's decision, and an auditor of several raters' decisions the truth.
    ratings = pd.concat([ours, theirs]).drop_duplicates(ignore_index=True)
    return ratings.assign(trial=ratings.groupby(["item_id", "rater", "role"]).cumcount() + 1)


def _read_ratings(ratings: Any) -> tuple[pd.DataFrame, int]:
    names = column_names(ratings)
    for name in ("item_id", "rater", "label"):
        if name not in names:
            raise DataError(f"no column {name!r}", column=name, mend=f"map it, or choose among {', '.join(names)}")
    wanted = [name for name in ("item_id", "rater", "label", "role", "trial") if name in names]
    table = collect(nw.from_native(ratings).lazy().select(*wanted))
    for name in ("item_id", "rater"):
        _refuse(table[table[name].isna()], f"{name} is missing", name, "fill it")
    table = table[table["trial"].fillna(1) == 1] if "trial" in names else table
    labelled = table.dropna(subset="label").reset_index(drop=True)
    repeated = labelled.duplicated([name for name in ("item_id", "rater", "role") if name in names])
    _refuse(labelled[repeated], "a rater judged an item twice", "rater", "number the trials in `trial`, or keep one")
    return labelled, len(table) - len(labelled)


def _refuse(offenders: pd.DataFrame, problem: str, column: str, mend: str) -> None:
    if len(offenders):
        first = offenders.sort_values(list(offenders)).iloc[0].to_dict()
        raise DataError(problem, column=column, rows=len(offenders), first=first, mend=mend)


def _order_labels(table: pd.DataFrame, scale: Scale, categories: Sequence[str] | None) -> tuple[list[str], np.ndarray]:
    """Return the labels in order and what they stand for: their ranks, or on a scale of numbers themselves."""
    labels = pd.Series(sorted(table["label"].unique()) if categories is None else list(categories), dtype=object)
    rated = table["label"]
    _refuse(table[~rated.isin(labels)], "labels are off the scale", "label", "correct them, or add `categories`")
    if scale == "nominal" or (scale == "ordinal" and categories is not None):
        return labels.tolist(), np.arange(len(labels), dtype=float)
    numbers = pd.to_numeric(labels, errors="coerce")
    mend = "name `categories` in their order" if scale == "ordinal" else "give numbers, or say scale='ordinal'"
    _refuse(table[rated.isin(labels[numbers.isna()])], f"labels on the {scale} scale are words", "label", mend)
    numbers = numbers.dropna().sort_values()
    ranks = np.arange(len(numbers), dtype=float)
    return labels[numbers.index].tolist(), ranks if scale == "ordinal" else numbers.to_numpy(float)


def _count(table: pd.DataFrame, labels: list[str], chosen: pd.Series | None = None) -> Counts:
    """Count items × labels, of the chosen ratings only; the items are the same and in the same order in any case."""
    items, codes = pd.factorize(table["item_id"])[0], pd.Categorical(table["label"], categories=labels).codes
    ones = np.ones(len(table)) if chosen is None else chosen.to_numpy(float)
    return sparse.coo_array((ones, (items, codes)), shape=(items.max() + 1, len(labels))).tocsr()


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


def _compare_roles(table: pd.DataFrame, labels: list[str], level: float) -> tuple[RoleAgreement, ...]:
    """Compare each role with itself and with each other, where two or more are named."""
    names = sorted(table["role"].dropna().unique(), reverse=True) if "role" in table else []
    roles, found = {name: _count(table, labels, table["role"] == name) for name in names}, []
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
