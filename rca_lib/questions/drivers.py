"""Where? A change of the error rate split into mix and rate, and the slices whose rate changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from rca_lib.audits.counting import column_names, count_errors
from rca_lib.findings import DataError, Estimate, Finding, Grade, Rate, join_words, name_slice, show
from rca_lib.stats.decomposition import Difference, compare_means
from rca_lib.stats.expected import Array, Cells
from rca_lib.stats.rates import wilson
from rca_lib.stats.slices import MANY_VALUES, Search, search_slices

MISSING, RARE = "(missing)", "(rare)"
MOST_VALUES = (5000, 300)
_COLUMNS = (
    "where", "direction", "before", "after", "expected", "excess", "contribution", "share", "p_value", "items", "new",
    "raters", "single_rater",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Slice:
    """A place whose error rate changed beyond what the rest of the change explains.

    `where` maps dimension to value (empty: everywhere). `expected` is the rate expected there of the current audits had
    it not changed; `excess` the errors beyond that, `naive_excess` before the allowance for having been searched for;
    `contribution` what it adds to the change at the average mix of the two periods, `share` that part of the observed
    change (None where the change itself is not shown). `p_value` is the probability that any slice looks as different
    when none changed. `new`: the baseline has no such audits (`before` is None then). `single_rater`: without one
    person the rest would not stand out; `raters` is how many work there (0 where that is not known).
    """

    where: Mapping[str, str]
    direction: int
    before: Rate | None
    after: Rate
    expected: float
    excess: Estimate
    naive_excess: float
    contribution: Estimate
    share: float | None
    p_value: float
    items: int
    new: bool
    raters: int
    single_rater: bool


@dataclass(frozen=True, slots=True)
class Detectable:
    """The excess that would have been named with a probability of 80 % in the largest slice of a dimension."""

    where: Mapping[str, str]
    items: int
    expected: float
    excess: Estimate


@dataclass(frozen=True, slots=True)
class Drivers:
    """The answer to "where?".

    `change` = `mix` + `rate`, and `rate` = the contributions of `overall` and `slices` + `unexplained`, exactly.
    `mix` is what the change of the audited work makes at the average of the old and new rates expected of each audit,
    `rate` what the change of the rates makes (Kitagawa 1955). `overall` is the change that all slices share, if any.
    """

    before: Rate
    after: Rate
    change: Estimate
    mix: Estimate
    rate: Estimate
    slices: tuple[Slice, ...]
    overall: Slice | None
    unexplained: Estimate
    minimum_detectable: tuple[Detectable, ...]
    dimensions: tuple[str, ...]
    tested: int
    alpha: float
    p_value: float

    def to_frame(self) -> pd.DataFrame:
        """Return one row per named slice, everywhere first; rates and contributions as shares."""
        rows = [
            {
                **{name: getattr(one, name) for name in _COLUMNS[1:]},
                "where": name_slice(one.where),
                "before": np.nan if one.before is None else one.before.value,
                "after": one.after.value,
                "excess": one.excess.value,
                "contribution": one.contribution.value,
                "share": np.nan if one.share is None else one.share,
            }
            for one in self._named()
        ]
        return pd.DataFrame(rows, columns=list(_COLUMNS))

    def summary(self) -> str:
        """Say in one sentence how the rate moved and where."""
        rates = f"{show(self.before.value, '%')} before, {show(self.after.value, '%')} after"
        mix = f", {show(self.mix.value, 'pp')} of it by mix" if _proven(self.mix) else ""
        named = [_tell(one) for one in self._named()]
        where = join_words(named) if named else "no slice is shown to have changed"
        return f"The error rate {_moved(self.change)} ({rates}{mix}): {where}."

    def findings(self) -> tuple[Finding, ...]:
        """Hand on the change, its two parts, and each named slice; "none" where nothing is named."""
        change = Finding(
            "drivers", "change", f"The error rate {_moved(self.change)}: {self.change}.", _grade(self.change),
            self.change, "change", p_value=self.p_value,
        )  # fmt: skip
        found = [change, _part("mix", self.mix, self.change), _part("rate", self.rate, self.change)]
        places = [("everywhere", "overall", self.overall)] if self.overall else []
        places += [("slice", f"slices[{place}]", one) for place, one in enumerate(self.slices)]
        found += [
            Finding(
                "drivers", kind, f"Not as expected: {_tell(one)}.", "shown", one.excess, f"{path}.excess",
                where=one.where, share=one.share, p_value=one.p_value,
            )
            for kind, path, one in places
        ]  # fmt: skip
        if not places:
            found.append(self._nothing())
        return tuple(found)

    def _named(self) -> tuple[Slice, ...]:
        return (*([self.overall] if self.overall else []), *self.slices)

    def _nothing(self) -> Finding:
        if not self.minimum_detectable:
            return Finding("drivers", "none", "No slice holds enough expected errors to be tested.", "not proven")
        best = min(range(len(self.minimum_detectable)), key=lambda at: self.minimum_detectable[at].excess.value)
        seen = self.minimum_detectable[best]
        sentence = (
            f"No slice of {self.tested:,} is shown to have changed; {show(seen.excess.value, 'errors')} more than the "
            f"{seen.expected:,.0f} expected in {name_slice(seen.where)} would have been."
        )
        return Finding("drivers", "none", sentence, "not proven", seen.excess, f"minimum_detectable[{best}].excess")


def rank_drivers(
    baseline: Any,
    current: Any,
    dimensions: Sequence[str],
    *,
    max_order: int = 2,
    alpha: float = 0.05,
    seed: int = 0,
) -> Drivers:
    """Find the slices that explain how the error rate moved from `baseline` to `current`.

    Parameters
    ----------
    baseline, current
        Two tables with one row per audited decision: the dimensions, and `error` (0/1) or `label` and `truth`;
        optionally `weight` (1 / probability of being sampled) and `rater`, which is searched person by person.
    dimensions
        The columns to search. Missing values are a value of their own, shown "(missing)". One with 40 values or more
        is searched alone, not in pairs, and its values may drift at random; beyond 300 values (5,000 in the largest
        dimension) those with fewest audits are read together as "(rare)".
    max_order
        1 for slices of one dimension, 2 for two as well.
    alpha
        The probability of naming any slice when none changed.
    seed
        Nothing is drawn at present; kept so that callers need not change.

    Returns
    -------
    Drivers
        The change in mix and rate, the named slices, what is left, and what could have been seen.

    Raises
    ------
    DataError
        If a period has no audits, a column is missing, `error` is neither 0 nor 1 or a weight is not above 0.

    Notes
    -----
    Excess and shares allow for the search (conditional on having been named). It cannot see a change that shows in
    three dimensions together only, nor one in a column that is not named; it says where, not why; two slices that hold
    nearly the same audits cannot be told apart. Intervals of the change allow for raters who differ.

    Examples
    --------
    >>> rows = [(queue, day % 10 < wrong) for queue, wrong in (("a", 1), ("b", 1)) for day in range(500)]
    >>> baseline = pd.DataFrame(rows, columns=["queue", "error"]).astype({"error": int})
    >>> current = baseline.assign(error=baseline["error"].where(baseline["queue"] == "a", 1 - baseline["error"]))
    >>> [one.where for one in rank_drivers(baseline, current, ["queue"]).slices]
    [{'queue': 'b'}]
    """
    if max_order not in (1, 2) or not 0 < alpha < 1:
        raise ValueError("max_order is 1 or 2 and alpha between 0 and 1")
    people = ["rater"] if all("rater" in column_names(table) for table in (baseline, current)) else []
    names = tuple(dict.fromkeys([*dimensions, *people]))
    if not names:
        raise ValueError("name at least one dimension")
    counts = [_count(table, names, period) for table, period in ((baseline, "baseline"), (current, "current period"))]
    values, codes = _encode(counts, names)
    before, after = (_weigh(count, code) for count, code in zip(counts, codes, strict=True))
    sizes = [len(value) for value in values]
    widest = int(np.argmax(sizes))
    cluster = names.index("rater") if "rater" in names else widest if sizes[widest] >= MANY_VALUES else None
    search = search_slices(before, after, sizes, cluster=cluster, max_order=max_order, alpha=alpha)
    case = _Case(before, after, counts[0], counts[1], names, values, cluster, search)
    return _answer(case, alpha)


def _count(table: Any, names: Sequence[str], period: str) -> pd.DataFrame:
    counts = count_errors(table, names)
    if counts["items"].sum() == 0:
        raise DataError(f"the {period} has no audits", rows=0, mend="choose a period with audits, or drop the question")
    for column, bad, mend in (
        ("error", (counts["errors"] < 0) | (counts["errors"] > counts["items"]), "code errors as 0 and 1"),
        ("weight", ~((counts["weight"] > 0) & np.isfinite(counts["squared_weight"])), "give every audit its weight"),
    ):
        if bad.any():
            first = counts[bad].iloc[0]
            rows = int(counts.loc[bad, "items"].sum())
            offender = {name: _write(first[name]) for name in names}
            raise DataError(f"bad {column} in the {period}", column=column, rows=rows, first=offender, mend=mend)
    return counts


def _write(value: object) -> str:
    if value is None or value != value or value is pd.NaT:
        return MISSING
    return f"{value:g}" if isinstance(value, float) else str(value)


def _encode(counts: Sequence[pd.DataFrame], names: Sequence[str]) -> tuple[list[list[str]], list[np.ndarray]]:
    """Number the values of each dimension in the order of their names; the rarest of very many become one value."""
    items = np.concatenate([count["items"].to_numpy() for count in counts])
    values, codes = [], []
    for name in names:
        places, raw = pd.factorize(
            pd.concat([count[name] for count in counts], ignore_index=True), use_na_sentinel=False
        )
        written = np.array([_write(value) for value in raw], dtype=object)
        values.append(written), codes.append(places)
    most = [MOST_VALUES[1]] * len(names)
    most[int(np.argmax([len(value) for value in values]))] = MOST_VALUES[0]
    for place, (written, code) in enumerate(zip(values, codes, strict=True)):
        total = np.bincount(code, items, len(written))
        rank = np.lexsort((written.astype(str), -total))
        written[rank[most[place] :]] = RARE
        known, back = np.unique(written.astype(str), return_inverse=True)
        values[place], codes[place] = known.tolist(), back[code]
    split = len(counts[0])
    together = np.array(codes, dtype=np.int64)
    return values, [together[:, :split], together[:, split:]]


def _weigh(counts: pd.DataFrame, codes: np.ndarray) -> Cells:
    """Scale weights so that they sum to the effective number of audits (Kish 1965)."""
    weights, errors, squares = (
        counts[name].to_numpy(float) for name in ("weight", "weighted_errors", "squared_weight")
    )
    scale = weights.sum() / squares.sum()
    return Cells(codes, weights * scale, errors * scale, squares * scale**2)


@dataclass(frozen=True, slots=True, eq=False)
class _Case:
    before: Cells
    after: Cells
    counts_before: pd.DataFrame
    counts_after: pd.DataFrame
    names: tuple[str, ...]
    values: list[list[str]]
    cluster: int | None
    search: Search

    def chances(self, cells: Cells, without: int | None = None) -> Array:
        """Return each cell's chance of an error with all named slices, or all but one."""
        search, logits = self.search, self.search.baseline.logits(cells.codes)
        for place, (pick, shift) in enumerate(zip(search.picks, search.shifts, strict=True)):
            if place != without:
                logits = logits + shift * pick.members(cells.codes)
        return expit(logits)

    def where(self, dimensions: Sequence[int], values: Sequence[int]) -> dict[str, str]:
        """Name a slice's values."""
        return {self.names[one]: self.values[one][value] for one, value in zip(dimensions, values, strict=True)}


def _answer(case: _Case, alpha: float) -> Drivers:
    periods = case.before, case.after
    old = [expit(case.search.baseline.logits(cells.codes)) for cells in periods]
    new = [case.chances(cells) for cells in periods]
    mean = [(one + other) / 2 for one, other in zip(old, new, strict=True)]
    observed = compare_means(*periods, [(0.0, 1.0)] * 2, clusters=case.cluster)
    mix = compare_means(*periods, [(one, one) for one in mean], extra=_doubt(case, mean))
    rate = compare_means(*periods, [(-one, 1 - one) for one in mean], clusters=case.cluster)
    rest = compare_means(*periods, [(-one, 1 - one) for one in (old[0], new[1])], clusters=case.cluster)
    slices = tuple(_slice(case, place, observed) for place in range(len(case.search.picks)))
    left = rate.value - sum(one.contribution.value for one in slices)
    half = rest.high - rest.value
    scale = _scale(case)
    detectable = tuple(
        Detectable(
            case.where((one.dimension,), (one.value,)),
            round(one.items * scale),
            one.expected * scale,
            Estimate(one.excess * scale, unit="errors"),
        )
        for one in case.search.detectable
    )
    return Drivers(
        before=_rate(case.before, case.counts_before, np.ones(len(old[0]), bool)),
        after=_rate(case.after, case.counts_after, np.ones(len(old[1]), bool)),
        change=_points(observed),
        mix=_points(mix),
        rate=_points(rate),
        slices=tuple(one for one in slices if one.where),
        overall=next((one for one in slices if not one.where), None),
        unexplained=Estimate(left, left - half, left + half, "pp"),
        minimum_detectable=detectable,
        dimensions=case.names,
        tested=case.search.tested,
        alpha=alpha,
        p_value=observed.p_value,
    )


def _slice(case: _Case, place: int, observed: Difference) -> Slice:
    pick = case.search.picks[place]
    inside = [pick.members(cells.codes) for cells in (case.before, case.after)]
    added = [
        float((cells.items * (case.chances(cells) - case.chances(cells, place))).sum() / cells.items.sum())
        for cells in (case.before, case.after)
    ]
    items = case.after.items[inside[1]]
    per_error = (added[0] + added[1]) / 2 / pick.naive
    low, high = sorted((pick.low * per_error, pick.high * per_error))
    contribution = Estimate(pick.excess * per_error, low, high, "pp")
    scale = _scale(case)
    where = case.where(pick.dimensions, pick.values)
    new = not inside[0].any()
    return Slice(
        where=where,
        direction=1 if pick.score > 0 else -1,
        before=None if new else _rate(case.before, case.counts_before, inside[0]),
        after=_rate(case.after, case.counts_after, inside[1]),
        expected=float((items * case.chances(case.after, place)[inside[1]]).sum() / items.sum()),
        excess=Estimate(pick.excess * scale, pick.low * scale, pick.high * scale, "errors"),
        naive_excess=pick.naive * scale,
        contribution=contribution,
        share=contribution.value / observed.value if observed.low > 0 or observed.high < 0 else None,
        p_value=pick.p_value,
        items=int(case.counts_after.loc[inside[1], "items"].sum()),
        new=new,
        raters=pick.carriers if case.cluster is not None and case.names[case.cluster] == "rater" else 0,
        single_rater="rater" in where or (pick.carrier is not None and case.names[case.cluster or 0] == "rater"),
    )


def _rate(cells: Cells, counts: pd.DataFrame, inside: np.ndarray) -> Rate:
    """Return a weighted rate with Wilson's interval on the effective number of its audits."""
    weight, errors, squares = (float(one[inside].sum()) for one in (cells.items, cells.errors, cells.squares))
    value, effective = errors / weight, weight**2 / squares
    rows, wrong = (int(counts.loc[inside, name].sum()) for name in ("items", "errors"))
    return Rate(wrong, rows, value, *wilson(value * effective, effective), method="Wilson, effective number")


def _scale(case: _Case) -> float:
    """Return audits per effective audit: excess is told in errors among the audits as they are."""
    return float(case.counts_after["items"].sum() / case.after.items.sum())


def _doubt(case: _Case, mean: Sequence[Array]) -> float:
    """Return the variance that the baseline model's uncertainty gives the mix part."""
    tables: list[Array] = [np.zeros((1, len(value))) for value in case.values]
    for sign, cells, chance in zip((-1, 1), (case.before, case.after), mean, strict=True):
        slope = sign * cells.items * chance * (1 - chance) / cells.items.sum()
        for table, code in zip(tables, cells.codes, strict=True):
            table += np.bincount(code, slope, table.shape[1])
    return float(np.square(case.search.baseline.spread(tables, tables[0].sum(1))).sum())


def _points(found: Difference) -> Estimate:
    return Estimate(found.value, found.low, found.high, "pp")


def _proven(estimate: Estimate) -> bool:
    return estimate.low > 0 or estimate.high < 0


def _grade(estimate: Estimate) -> Grade:
    return "shown" if _proven(estimate) else "not proven"


def _part(kind: str, part: Estimate, change: Estimate) -> Finding:
    """Grade a part of the change: ruled out where it is at most a quarter of a change that is shown."""
    small = _proven(change) and max(abs(part.low), abs(part.high)) <= abs(change.value) / 4
    words = {"mix": "The change of mix", "rate": "The change of rates"}
    share = part.value / change.value if _proven(change) else None
    grade = "ruled out" if small and not _proven(part) else _grade(part)
    return Finding("drivers", kind, f"{words[kind]} makes {part}.", grade, part, kind, share=share)


def _moved(change: Estimate) -> str:
    if not _proven(change):
        return "is not shown to have moved"
    return f"{'rose' if change.value > 0 else 'fell'} by {show(abs(change.value), 'pp')}"


def _tell(one: Slice) -> str:
    errors = Estimate(abs(one.excess.value), *sorted((abs(one.excess.low), abs(one.excess.high))), "errors")
    kind = "more" if one.direction > 0 else "fewer"
    carried = ", one rater" if one.single_rater and "rater" not in one.where else ""
    return f"{name_slice(one.where)} ({errors} {kind} than expected{', new' if one.new else ''}{carried})"
