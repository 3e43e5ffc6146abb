"""Where? A change of the error rate split into mix and rate, and the slices whose rate changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from rca_lib.audits.counting import column_names, items_repeat
from rca_lib.audits.encoding import ITEM, TRUTH, count_cells, encode_cells, select_audits
from rca_lib.findings import Estimate, Finding, Grade, Rate, mark_units, name_slice, show
from rca_lib.stats.cells import Array
from rca_lib.stats.decomposition import share_change, split_mix
from rca_lib.stats.expected import MANY_VALUES
from rca_lib.stats.rate_changes import compare_rates
from rca_lib.stats.searched_periods import SearchedPeriods
from rca_lib.stats.slices import search_slices

MEASUREMENT = ("auditor", TRUTH)  # dimensions of the audit, not of the work: what changes there was measured otherwise


@dataclass(frozen=True, slots=True)
class Slice:
    """A place whose error rate changed beyond what the rest of the change explains.

    `where` maps dimension to value (empty: everywhere). `expected` is the rate of its audits had it not changed,
    `excess` the audited errors that would then not be there (negative: those that were spared): never more than all
    errors, nor fewer than minus those expected (`naive_excess` without allowing for the search). `contribution` is what
    it adds to the change at the average mix, `share` how much of all that moved the rate the way it moved: of the
    change itself where nothing moved it back (None where the change is not shown, negative where the slice moved it
    back). `p_value`: the probability that any slice looks as different when none changed. `new`: absent from the
    baseline. `single_rater`: without one person the rest would not stand out; `raters` is how many work there (0 where
    that is not known). `measurement`: the audit changed there (an auditor, the version of the truth), which says
    nothing about the work.
    """

    where: Mapping[str, str]
    direction: int
    before: Rate | None
    after: Rate
    expected: float
    excess: Estimate
    naive_excess: float
    contribution: Estimate
    share: Estimate | None
    p_value: float
    items: int
    new: bool
    raters: int
    single_rater: bool
    measurement: bool


@dataclass(frozen=True, slots=True)
class Detectable:
    """The excess that would have been named with a probability of 80 % in a slice of one dimension."""

    where: Mapping[str, str]
    items: int
    expected: float
    excess: Estimate


@dataclass(frozen=True, slots=True)
class MixPart:
    """What the change of one dimension's shares makes of the change, the other dimensions being as they are."""

    dimension: str
    part: Estimate


@dataclass(frozen=True, slots=True)
class Drivers:
    """`change` = `mix` + `rate`; `rate` = the contributions of `overall` and `slices` + `unexplained`, exactly.

    `mix` is what the change of the work makes, at the average of the old and new rates that the model expects of each
    audit (dimensions jointly, cells smoothed, auditors and versions of the truth averaged out), `rate` the rest
    (Kitagawa 1955); `mix_parts`, largest first, add up to it: one per dimension, and "(jointly)" for what they make
    together. `overall` is what all slices share.
    """

    before: Rate
    after: Rate
    change: Estimate
    mix: Estimate
    rate: Estimate
    mix_parts: tuple[MixPart, ...]
    slices: tuple[Slice, ...]
    overall: Slice | None
    unexplained: Estimate
    minimum_detectable: tuple[Detectable, ...]
    dimensions: tuple[str, ...]
    tested: int
    alpha: float
    p_value: float

    @property
    def named(self) -> tuple[Slice, ...]:
        """All that is named, `overall` first."""
        return (self.overall, *self.slices) if self.overall else self.slices

    def to_frame(self) -> pd.DataFrame:
        """Return one row per named slice, everywhere first; rates and contributions as shares."""
        names = (
            "where direction before after expected excess excess_low excess_high contribution share p_value items new"
            " single_rater measurement"
        )
        rows = [
            (name_slice(one.where), one.direction, one.before.value if one.before else np.nan, one.after.value,
             one.expected, one.excess.value, one.excess.low, one.excess.high, one.contribution.value,
             one.share.value if one.share else np.nan, one.p_value, one.items, one.new, one.single_rater,
             one.measurement)
            for one in self.named
        ]  # fmt: skip
        shares = dict.fromkeys(("before", "after", "expected", "share"), "%")
        return mark_units(pd.DataFrame(rows, columns=names.split()), **shares, contribution="pp")

    def power_frame(self) -> pd.DataFrame:
        """Return what each slice of one dimension could have shown, the largest first: the least excess named."""
        rows = [(name_slice(one.where), one.items, one.expected, one.excess.value) for one in self.minimum_detectable]
        frame = pd.DataFrame(rows, columns=["where", "items", "expected_errors", "detectable_excess"])
        frame = frame.assign(times_the_rate=1 + frame["detectable_excess"] / frame["expected_errors"])
        return frame.sort_values(["items", "where"], ascending=[False, True], ignore_index=True)

    def summary(self) -> str:
        """Say in one sentence how the rate moved and where."""
        mix = f" The mix makes {show(self.mix.value, 'pp')} of it{self._mixed()}." if self.mix.excludes_zero else ""
        where = " ".join(_tell(one) for one in self.named) or "No slice is shown to have changed."
        return f"{self._moved()}{mix} {where}"

    def findings(self) -> tuple[Finding, ...]:
        """Hand on the change, its two parts, and each named slice; "none" where nothing is named."""
        return (*self._parts(), *self._places()) if self.named else (*self._parts(), self._nothing())

    def _mixed(self) -> str:
        largest = self.mix_parts[0]
        return f", most of that by {largest.dimension}" if largest.part.value * self.mix.value > 0 else ""

    def _moved(self) -> str:
        moved = f"{'rose' if self.change.value > 0 else 'fell'} by {_size(self.change)}"
        moved = moved if self.change.excludes_zero else f"is not shown to have moved: {self.change}"
        return f"The error rate {moved}, from {show(self.before.value, '%')} to {show(self.after.value, '%')}."

    def _parts(self) -> Iterator[Finding]:
        """Grade the change and its parts: a part is ruled out where it is at most a quarter of a change shown."""
        grade: Grade = "shown" if self.change.excludes_zero else "not proven"
        yield Finding("drivers", "change", self._moved(), grade, self.change, "change", p_value=self.p_value)
        for kind, part, told in (("mix", self.mix, "The mix of the work"), ("rate", self.rate, "The work itself")):
            small = max(abs(part.low), abs(part.high)) <= abs(self.change.value) / 4 and self.change.excludes_zero
            grade = "shown" if part.excludes_zero else "ruled out" if small else "not proven"
            whole = [self.mix.value, self.rate.value]
            share = share_change(part.value, whole, self.change.value) if self.change.excludes_zero else None
            most = self._mixed() if kind == "mix" and grade == "shown" else ""
            yield Finding("drivers", kind, f"{told} makes {part} of the change{most}.", grade, part, kind, share=share)

    def _places(self) -> Iterator[Finding]:
        for place, one in enumerate(self.named, start=-1 if self.overall else 0):
            path = f"slices[{place}].excess" if place >= 0 else "overall.excess"
            kind = "measurement" if one.measurement else "slice" if one.where else "everywhere"
            share = one.share.value if one.share else None
            yield Finding(
                "drivers", kind, _tell(one), "shown", one.excess, path, one.where, share=share, p_value=one.p_value
            )

    def _nothing(self) -> Finding:
        place, seen = max(enumerate(self.minimum_detectable), key=lambda one: one[1].items, default=(0, None))
        if seen is None:
            return Finding("drivers", "none", "No slice holds enough expected errors to be tested.", "not proven")
        told = (
            f"{show(seen.excess.value, 'errors')} more than {seen.expected:,.0f} in {name_slice(seen.where)} would be"
        )
        sentence = f"No slice of {self.tested:,} is shown to have changed; {told}."
        return Finding("drivers", "none", sentence, "not proven", seen.excess, f"minimum_detectable[{place}].excess")


def rank_drivers(
    baseline: Any, current: Any, dimensions: Sequence[str], *, max_order: int = 2, alpha: float = 0.05, seed: int = 0
) -> Drivers:
    """Find the slices that explain how the error rate moved from `baseline` to `current`.

    Parameters
    ----------
    baseline, current
        Two tables with one row per audited decision: the dimensions, and `error` (0/1) or `label` and `truth`;
        optionally `weight` (1 / probability of being sampled) and `rater`, which is searched person by person. Where
        they have `auditor` or the two policy versions, these are searched too and named as measurement. Rows of other
        than proportional streams are left out, unless `stream` is one of the dimensions. Or one row per cell that was
        counted before, with `items` and `errors`.
    dimensions
        The columns to search. Missing values are a value of their own, shown "(missing)". One with 40 values or more
        is searched alone, not in pairs, and its values may drift at random; beyond 300 values (2,000 in the largest
        dimension) those with fewest audits are read together as "(rare)".
    max_order
        1 for slices of one dimension, 2 for two as well.
    alpha
        The probability of naming any slice when none changed.
    seed
        Nothing is drawn at present.

    Raises
    ------
    DataError
        If a period has no audits, a column is missing, `error` is neither 0 nor 1 or a weight is not above 0.

    Notes
    -----
    Excess and shares allow for the search (given that the slice was named); a share is of the change as observed. It
    cannot see a change that shows in three dimensions together only, nor one in a column that is not named, nor one no
    larger than what cells scatter or most slices wander by; it says where, not why; two slices that hold nearly the
    same audits cannot be told apart, nor one auditor who audits all of a slice from the slice. Intervals of the change
    allow for raters (but not for those who are named, which is shown by itself), and for items where these were judged
    more than once.

    Examples
    --------
    >>> rows = [(queue, number % 10 == 0) for queue in "ab" for number in range(500)]
    >>> baseline = pd.DataFrame(rows, columns=["queue", "error"]).astype({"error": int})
    >>> current = baseline.assign(error=baseline["error"].where(baseline["queue"] == "a", 1 - baseline["error"]))
    >>> [one.where for one in rank_drivers(baseline, current, ["queue"]).slices]
    [{'queue': 'b'}]
    """
    if max_order not in (1, 2) or not 0 < alpha < 1:
        raise ValueError("max_order is 1 or 2 and alpha between 0 and 1")
    tables = select_audits((baseline, current), dimensions)
    columns = [set(column_names(table)) for table in tables]
    found = [name for name in ("rater", *MEASUREMENT) if all(name in names for names in columns)]
    names = tuple(dict.fromkeys([*dimensions, *found]))
    if not names:
        raise ValueError("name at least one dimension")
    repeated = ITEM not in names and all(ITEM in known for known in columns) and any(map(items_repeat, tables))
    by = (*names, ITEM) if repeated else names
    counts = count_cells(tables[0], by, "baseline"), count_cells(tables[1], by, "current period")
    encoded = encode_cells(counts, names)
    names, sizes = tuple(encoded.values), [len(value) for value in encoded.values.values()]
    cluster = names.index("rater") if "rater" in names else len(names) - 1 if sizes[-1] >= MANY_VALUES else None
    alone = [names.index(name) for name in MEASUREMENT if name in names]
    options = {"cluster": cluster, "alone": alone, "pairs": max_order > 1, "alpha": alpha, "judged": encoded.judged}
    search = search_slices(*encoded.cells, sizes, **options)
    return _answer(
        SearchedPeriods(encoded.cells, encoded.plain, encoded.values, encoded.judged, cluster, search), alpha
    )


def _answer(case: SearchedPeriods, alpha: float) -> Drivers:
    old = [expit(case.search.baseline.logits(cells.codes)) for cells in case.cells]
    new = case.chances()
    apart = [place for place, name in enumerate(case.values) if name in MEASUREMENT]
    mean = case.average_work(apart)
    compare = partial(compare_rates, case.cells, clusters=case.cluster, judged=case.judged)
    lifted = case.lifted_raters()
    change, p_value = compare(usual=(0.0, lifted))
    mix, parts, _ = split_mix(*case.cells, case.search.baseline, mean, judged=case.judged)
    mixed = [MixPart(*one) for place, one in enumerate(zip(case.values, parts, strict=True)) if place not in apart]
    jointly = Estimate(mix.value - sum(one.part.value for one in mixed), unit="pp")
    mixed.sort(key=lambda one: -abs(one.part.value))
    usual = [(one + other) / 2 for one, other in zip(old, new, strict=True)]
    rate, _ = compare(offsets=mean, usual=(usual[0], usual[1] + lifted / 2))
    rest, _ = compare(offsets=(old[0], new[1]), usual=(old[0], new[1]))
    slices = [_slice(case, place, new) for place in range(len(case.search.picks))]
    slices = _add_shares(slices, mix, change) if change.excludes_zero else slices
    scale = case.scale
    left, ends = rate.value - sum(one.contribution.value for one in slices), (rest.low, rest.high)
    detectable = (
        Detectable(case.where([dimension], [value]), round(items * scale), expected * scale,
                   Estimate(excess * scale, unit="errors"))
        for dimension, value, items, expected, excess in case.search.detectable
    )  # fmt: skip
    return Drivers(
        *(case.rate(period, np.ones(len(one), bool)) for period, one in enumerate(old)),
        change, mix, rate,
        (*mixed, MixPart("(jointly)", jointly)),
        slices=tuple(one for one in slices if one.where),
        overall=next((one for one in slices if not one.where), None),
        unexplained=Estimate(left, *(float(np.clip(left + one - rest.value, -1, 1)) for one in ends), "pp"),
        minimum_detectable=tuple(detectable),
        dimensions=tuple(case.values), tested=case.search.tested, alpha=alpha, p_value=p_value,
    )  # fmt: skip


def _add_shares(slices: Sequence[Slice], mix: Estimate, change: Estimate) -> list[Slice]:
    """Give each slice its share; what one end of its interval adds is taken from what is unexplained."""
    found = []
    for one in slices:
        others = [mix.value, *(other.contribution.value for other in slices if other is not one)]
        part = one.contribution
        shares = [
            share_change(value, [*others, value, change.value - sum(others) - value], change.value)
            for value in (part.value, part.low, part.high)
        ]
        found.append(replace(one, share=Estimate(shares[0], *sorted(shares[1:]), unit="%")))
    return found


def _slice(case: SearchedPeriods, place: int, new: Sequence[Array]) -> Slice:
    pick, without = case.search.picks[place], case.chances(place)
    inside = [pick.members(cells.codes) for cells in case.cells]
    added = [float(cells.items @ (new[at] - without[at]) / cells.items.sum()) for at, cells in enumerate(case.cells)]
    scale = (added[0] / added[1] + 1) / 2 / case.cells[1].items.sum()
    ends = pick.excess, pick.low, pick.high
    points = [one * scale for one in ends]
    after, people = case.rate(1, inside[1]), "rater" in case.values
    where, items = case.where(pick.dimensions, pick.values), float(case.cells[1].items[inside[1]].sum())
    worse = pick.score > 0  # errors are then part of those that there are, else of as many audits as there are
    unit = after.errors / float(case.cells[1].errors[inside[1]].sum()) if worse else after.items / items
    return Slice(
        where,
        direction=1 if worse else -1,
        before=case.rate(0, inside[0]) if inside[0].any() else None,
        after=after,
        expected=max(after.value - pick.excess / items, 0.0) if worse else pick.usual / items,
        excess=Estimate(*(min(one * unit, float(after.errors)) for one in ends), unit="errors"),
        naive_excess=pick.naive * unit,
        contribution=Estimate(points[0], *sorted(points[1:]), unit="pp"),
        share=None,
        p_value=pick.p_value,
        items=int(after.items),
        new=not inside[0].any(),
        raters=len(np.unique(case.cells[1].codes[case.cluster][inside[1]])) if people else 0,
        single_rater="rater" in where or (people and pick.carried),
        measurement=any(name in MEASUREMENT for name in where),
    )


def _tell(one: Slice) -> str:
    rates = f"{show(one.after.value, '%')} instead of {show(one.expected, '%')}"
    new = ", new in this period" if one.new else ""
    alone = ", mostly one rater" if one.single_rater and "rater" not in one.where else ""
    more = "more" if one.direction > 0 else "fewer"
    audit = "; the audit changed there, not the work" if one.measurement else ""
    return f"{name_slice(one.where)}: {_size(one.excess)} {more} than expected, {rates}{new}{alone}{audit}."


def _size(part: Estimate) -> Estimate:
    return Estimate(abs(part.value), *sorted((abs(part.low), abs(part.high))), part.unit)
