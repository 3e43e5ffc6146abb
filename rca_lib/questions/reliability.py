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

from rca_lib.audits.counting import collect, column_names
from rca_lib.audits.tables import PROPORTIONAL_STREAMS
from rca_lib.findings import DataError, Estimate, Finding, show
from rca_lib.stats.agreement import Coefficient, Scale, agreement, agreement_weights, cross_agreement, scale_weights
from rca_lib.stats.rates import wilson

Counts = sparse.csr_array


@dataclass(frozen=True, slots=True)
class ConfusedPair:
    """Two labels given to one item (where there are roles, by rater and auditor): pairs of ratings, share of all."""

    first: str
    second: str
    count: int
    share: float


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
    pairs: tuple[ConfusedPair, ...]
    by_role: tuple[RoleAgreement, ...]
    not_available: tuple[str, ...]

    @property
    def kappa(self) -> Estimate | None:
        """Cohen's where it is defined, else Fleiss'."""
        return self.cohen or self.fleiss

    def summary(self) -> str:
        """Say how far they agree, and whether alpha allows to rely on the labels (Krippendorff's .800 and .667)."""
        text = f"{self.raters:,} raters agree on {self.percent} of {self.items:,} items judged at least twice"
        if self.alpha is None:
            return f"{text}; agreement beyond chance is undefined, there is one label only."
        low = self.alpha.high < 0.667
        reading = "too little to rely on the labels" if low else "not proven that the labels can be relied on"
        return f"{text}, alpha {self.alpha}: {'reliable' if self.alpha.low >= 0.8 else reading}."

    def findings(self) -> tuple[Finding, ...]:
        """Hand on the agreement, each role's, and the most confused pair; shown where the interval is above chance."""
        best = "alpha" if self.alpha else "percent"
        found = [("agreement", self.summary(), getattr(self, best), best, self.alpha)]
        for position, role in enumerate(self.by_role):
            text = f"{role.first.capitalize()} against {role.second} agree on {role.percent} of {role.items:,} items."
            found.append(("role", text, role.percent, f"by_role[{position}].percent", role.kappa))
        for pair in self.pairs[:1]:
            text = f"Most confused: {pair.first} and {pair.second}, {show(pair.share, '%')} of all disagreement."
            found.append(("pair", text, Estimate(pair.share, unit="%"), "pairs[0].share", self.alpha))
        grades = ["shown" if row[-1] is not None and row[-1].low > 0 else "not proven" for row in found]
        return tuple(
            Finding("reliability", kind, text, grade, estimate, path)
            for (kind, text, estimate, path, _), grade in zip(found, grades, strict=True)
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row per coefficient: `measure`, `value`, `low`, `high`."""
        found = [(name, getattr(self, name)) for name in ("percent", "cohen", "fleiss", "alpha", "ac1", "ac2")]
        found += [(f"{role.first} and {role.second}", role.percent) for role in self.by_role]
        rows = [(name, part.value, part.low, part.high) for name, part in found if part is not None]
        return pd.DataFrame(rows, columns=["measure", "value", "low", "high"])


def measure_agreement(
    ratings: Any,
    *,
    level: float = 0.95,
    scale: Scale = "nominal",
    weights: Literal["linear", "quadratic"] = "linear",
    categories: Sequence[str] | None = None,
) -> Agreement:
    """Measure how far people who judged the same items agree.

    Parameters
    ----------
    ratings
        One row per rater × item (`tables.RATINGS`); of repeated trials the first counts; a missing label is no rating.
    level
        The share of such intervals that hold the true value. They are linearised over items, with t: they speak of
        further items, not of further raters. That of `percent` is Wilson's, an item counting once.
    scale, weights
        What the labels are, for alpha; how much near labels agree in AC2, which needs an order, as "ordinal" does.
    categories
        All labels there are, in order; where not given, those that occur.

    Raises
    ------
    DataError
        If an item or rater is missing, a rater judged an item twice without trials, there is one rater only, no item
        was judged twice, or a label is none of the categories or not a number where the scale wants one.

    Notes
    -----
    Cohen 1960, Fleiss 1971, Krippendorff 2004, Gwet 2008 and 2014. What they cannot see: whether those who agree are
    right, and whether they saw each other's judgement.

    Examples
    --------
    >>> frame = pd.DataFrame({"item_id": list("aabbcc"), "rater": ["x", "y"] * 3})
    >>> round(measure_agreement(frame.assign(label=["ok", "ok", "bad", "bad", "ok", "bad"])).kappa.value, 3)
    0.4
    """
    table, unlabelled = _read_ratings(ratings)
    labels, values = _order_labels(table, scale, categories)
    items, raters = pd.factorize(table["item_id"])[0], pd.factorize(table["rater"], sort=True)[0]
    counts = _count(table, items, labels)
    several = counts.sum(axis=1) >= 2
    if not several.any():
        raise DataError("no item was judged twice", rows=len(table), mend="let several people judge the same items")
    complete = raters.max() == 1 and several.all()
    sides = [_count(table, items, labels, raters == side) for side in (0, 1) if complete]
    found = _coefficients(counts, several, values, scale, weights)
    found["cohen"] = cross_agreement(*sides) if complete else None
    names = sorted(table["role"].dropna().unique(), reverse=True) if "role" in table else []
    roles = {role: _count(table, items, labels, (table["role"] == role).to_numpy()) for role in names}
    against = (roles["rater"], roles["auditor"]) if {"rater", "auditor"} <= set(roles) else (counts, counts)
    gaps = [f"{unlabelled:,} ratings without a label are left out"] * (unlabelled > 0)
    gaps += ["kappa and alpha are undefined: all ratings are one label"] * (found["alpha"] is None)
    return Agreement(
        items=int(several.sum()),
        single=int((~several).sum()),
        raters=int(raters.max()) + 1,
        percent=_percent(found["fleiss"], several, level),
        **{name: part and _interval(part, level) for name, part in found.items()},
        pairs=_confused_pairs(*against, labels),
        by_role=_compare_roles(roles, level) if len(roles) > 1 else (),
        not_available=tuple(gaps),
    )


def ratings_from_audits(audits: Any) -> pd.DataFrame:
    """Read audits as ratings (`tables.RATINGS`): the rater's label, and the truth as the auditor's.

    Only the streams that stand for all decisions are used, where there are any; all rounds are, so that auditors of
    one item are compared too. `trial` counts a person's judgements of an item. Without a column `auditor` those of
    each round are called "audit 1", "audit 2" ….

    Examples
    --------
    >>> audits = pd.DataFrame({"item_id": ["a"], "rater": ["x"], "label": ["ok"], "truth": ["bad"]})
    >>> ratings_from_audits(audits)[["rater", "label", "role"]].values.tolist()
    [['x', 'ok', 'rater'], ['audit 1', 'bad', 'auditor']]
    """
    names, needed = column_names(audits), ["item_id", "rater", "label", "truth"]
    _require(names, needed)
    table = nw.from_native(audits).lazy()
    if "stream" in names:
        proportional = table.filter(nw.col("stream").is_in(PROPORTIONAL_STREAMS))
        table = proportional if len(collect(proportional.select("stream").head(1))) else table
    optional = [name for name in ("audit_round", "decided_at", "audited_at", "auditor") if name in names]
    frame = collect(table.select(*optional, *needed)).sort_values([*optional, *needed], ignore_index=True)
    rounds = frame["audit_round"].fillna(1).astype(int) if "audit_round" in names else pd.Series(1, frame.index)
    auditor = "audit " + rounds.astype(str)
    auditor = frame["auditor"].fillna(auditor) if "auditor" in names else auditor
    ours = frame[["item_id", "rater", "label"]].assign(role="rater")
    theirs = pd.DataFrame({"item_id": frame["item_id"], "rater": auditor, "label": frame["truth"], "role": "auditor"})
    # An audit of the audit repeats the rater's decision, and an auditor of several raters' decisions the truth.
    ratings = pd.concat([ours, theirs]).drop_duplicates(ignore_index=True)
    return ratings.assign(trial=ratings.groupby(["item_id", "rater", "role"]).cumcount() + 1)


def _read_ratings(ratings: Any) -> tuple[pd.DataFrame, int]:
    names = column_names(ratings)
    _require(names, ("item_id", "rater", "label"))
    wanted = [name for name in ("item_id", "rater", "label", "role", "trial") if name in names]
    table = collect(nw.from_native(ratings).lazy().select(*wanted))
    for name in ("item_id", "rater"):
        _refuse(table[table[name].isna()], f"{name} is missing", name, "fill it")
    table = table[table["trial"].fillna(1) == 1] if "trial" in names else table
    labelled = table.dropna(subset="label").reset_index(drop=True)
    repeated = labelled.duplicated([name for name in ("item_id", "rater", "role") if name in names])
    _refuse(labelled[repeated], "a rater judged an item twice", "rater", "number the trials in `trial`, or keep one")
    if labelled["rater"].nunique() < 2:
        raise DataError("agreement needs two raters", column="rater", rows=len(labelled), mend="add another's ratings")
    return labelled, len(table) - len(labelled)


def _require(names: Sequence[str], needed: Sequence[str]) -> None:
    for name in needed:
        if name not in names:
            raise DataError(f"no column {name!r}", column=name, mend=f"map it, or choose among {', '.join(names)}")


def _refuse(offenders: pd.DataFrame, problem: str, column: str, mend: str) -> None:
    if len(offenders):
        first = offenders.sort_values(list(offenders)).iloc[0].to_dict()
        raise DataError(problem, column=column, rows=len(offenders), first=first, mend=mend)


def _order_labels(table: pd.DataFrame, scale: Scale, categories: Sequence[str] | None) -> tuple[list[str], np.ndarray]:
    """Return the labels in order and the numbers that they stand for (their ranks where they are words)."""
    labels = sorted(table["label"].unique()) if categories is None else list(categories)
    _refuse(
        table[~table["label"].isin(labels)], "labels are off the scale", "label", "correct them, or add `categories`"
    )
    numbers = pd.to_numeric(pd.Series(labels, dtype=object), errors="coerce").to_numpy(float)
    words = np.isnan(numbers)
    if scale in ("interval", "ratio") or (scale == "ordinal" and categories is None):
        mend = "name `categories` in their order" if scale == "ordinal" else "give numbers, or say scale='ordinal'"
        off = table["label"].isin([label for label, word in zip(labels, words, strict=True) if word])
        _refuse(table[off], f"labels on the {scale} scale are words", "label", mend)
    if words.any():
        return labels, np.arange(len(labels), dtype=float)
    order = np.argsort(numbers) if categories is None else np.arange(len(labels))
    return [labels[at] for at in order], numbers[order]


def _count(table: pd.DataFrame, items: np.ndarray, labels: list[str], chosen: np.ndarray | None = None) -> Counts:
    codes, ones = pd.Categorical(table["label"], categories=labels).codes, np.ones(len(table))
    ones = ones if chosen is None else chosen.astype(float)
    counts = sparse.coo_array((ones, (items, codes)), shape=(items.max() + 1, len(labels))).tocsr()
    counts.eliminate_zeros()
    return counts


def _coefficients(
    counts: Counts, several: np.ndarray, values: np.ndarray, scale: Scale, weights: Literal["linear", "quadratic"]
) -> dict[str, Coefficient | None]:
    used = counts[several].sum(axis=0)
    near = agreement_weights(values if scale in ("interval", "ratio") else np.arange(len(values)), weights)
    return {
        "fleiss": agreement(counts, "fleiss"),
        "alpha": agreement(counts, "alpha", scale_weights(values, used, scale)),
        "ac1": agreement(counts, "ac"),
        "ac2": agreement(counts, "ac", near) if scale != "nominal" else None,
    }


def _compare_roles(roles: dict[str, Counts], level: float) -> tuple[RoleAgreement, ...]:
    found = []
    for first, second in combinations_with_replacement(roles, 2):
        ours, theirs, alike = roles[first], roles[second], first == second
        both = (ours.sum(axis=1) >= 2) if alike else (ours.sum(axis=1) * theirs.sum(axis=1) > 0)
        if both.any():
            kappa = agreement(ours, "fleiss") if alike else cross_agreement(ours, theirs)
            share, beyond = _percent(kappa, both, level), kappa and _interval(kappa, level)
            found.append(RoleAgreement(first, second, int(both.sum()), share, beyond))
    return tuple(found)


def _confused_pairs(ours: Counts, theirs: Counts, labels: Sequence[str], most: int = 10) -> tuple[ConfusedPair, ...]:
    together = (ours.T @ theirs).toarray()
    together = np.triu(together, 1) if ours is theirs else together - np.diag(np.diag(together))
    chosen = [divmod(int(at), len(labels)) for at in np.argsort(-together, axis=None, kind="stable")[:most]]
    pairs = [(labels[a], labels[b], int(together[a, b])) for a, b in chosen]
    return tuple(ConfusedPair(*pair, pair[2] / float(together.sum())) for pair in pairs if pair[2])


def _percent(found: Coefficient | None, judged: np.ndarray, level: float) -> Estimate:
    """Wilson with an item counting once, whatever its raters; no coefficient means one label: all agree."""
    items, share = int(judged.sum()), round(found.observed, 12) if found else 1.0
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
