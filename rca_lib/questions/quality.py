"""What happened? Error rates with design weights and rater clusters, by policy, against the targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import narwhals as nw
import numpy as np
import pandas as pd

from rca_lib.audits.counting import collect, column_names, keep_proportional, keep_slice
from rca_lib.audits.outcomes import count_outcomes, refuse_bad_rows, weigh_heaviest
from rca_lib.audits.tables import SEVERITY_WEIGHTS, parse_scope
from rca_lib.findings import DataError, Estimate, Finding, Rate, count_noun, join_words, mark_units, name_slice, show
from rca_lib.stats.rates import ClusteredRate, clustered_rate, detectable_change, one_rate_size, wilson_rate

METRICS = ("accuracy", "over_enforcement", "under_enforcement", "severity_weighted_accuracy")
_ENFORCEMENT = METRICS[1:3]
HEAVY = 0.2  # of all weight in one audit, from where on a report warns
MOST_POLICIES = 300  # that get rates of their own: a manager reads ten, and each takes milliseconds
_SAYS = {
    "over_enforcement": ("over", "Over-enforcement, errors among what was truly benign"),
    "under_enforcement": ("under", "Under-enforcement, passed as benign among what truly violated"),
    "severity_weighted_accuracy": ("severity", "Accuracy weighted by severity"),
}


@dataclass(frozen=True, slots=True)
class SliceQuality:
    """One policy or slice; `share` is its part of all (weighted) errors."""

    where: Mapping[str, str]
    error_rate: Rate
    over_enforcement: Rate | None
    under_enforcement: Rate | None
    share: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """One target: met or missed only if the whole interval lies on that side of `contract`; `target` is its name."""

    target: str
    where: Mapping[str, str]
    contract: float
    estimate: Estimate | Rate
    verdict: Literal["met", "missed", "not proven", "too few audits"]
    sentence: str


@dataclass(frozen=True, slots=True)
class Quality:
    """The quality of one place and period, as far as the proportional streams tell.

    `unweighted` is what a naive count of the same rows says. `design_effect` is how many times more audits than
    independent ones the interval needs. `minimum_detectable` is the rise of the error rate that this sample against
    an equal one would show (two-sided 5 %, power 80 %). `heaviest` is the share of all weight that one audit carries.
    `by_policy` lists the policies with most errors; what is left out is said in `not_available`.
    """

    error_rate: Rate
    accuracy: Estimate
    unweighted: Rate
    weighted: bool
    raters: int
    design_effect: float
    minimum_detectable: Estimate | None
    heaviest: Estimate
    over_enforcement: Rate | None
    under_enforcement: Rate | None
    severity_weighted_accuracy: Estimate | None
    by_policy: tuple[SliceQuality, ...]
    slices: tuple[SliceQuality, ...]
    verdicts: tuple[Verdict, ...]
    not_available: tuple[str, ...]

    @property
    def error_target(self) -> float | None:
        """Return the share of errors that the target of accuracy allows, None where there is none."""
        return next((1 - one.contract for one in self.verdicts if one.estimate == self.accuracy), None)

    def summary(self) -> str:
        """Say what the accuracy is, from what, and how the target stands."""
        rate, weights = self.error_rate, "weighted" if self.weighted else "unweighted"
        raters = f" of {count_noun(self.raters, 'rater')}" if self.raters else ""
        counted = f"{count_noun(rate.errors, 'error')} in {count_noun(rate.items, 'audit')}{raters}"
        text = f"Accuracy {self.accuracy}: {counted}, {weights}"
        chief = next((verdict for verdict in self.verdicts if verdict.estimate == self.accuracy), None)
        return f"{text}; {chief.target}: {chief.verdict}." if chief else f"{text}."

    def findings(self) -> tuple[Finding, ...]:
        """Hand on the level, each target, over- and under-enforcement, severity, and the policy with most errors."""
        found = [Finding("quality", "level", self.summary(), "shown", self.accuracy, "accuracy")]
        if self.heavy:
            found.append(Finding("quality", "weight", self._tell_weight(), "shown", self.heaviest, "heaviest"))
        for place, verdict in enumerate(self.verdicts):
            grade = "shown" if verdict.verdict in ("met", "missed") else "not proven"
            path = f"verdicts[{place}].estimate"
            found.append(Finding("quality", "target", verdict.sentence, grade, verdict.estimate, path, verdict.where))
        for metric, (kind, words) in _SAYS.items():
            if (estimate := getattr(self, metric)) is not None:
                found.append(Finding("quality", kind, f"{words}: {estimate}.", "shown", estimate, metric))
        if len(self.by_policy) > 1 and self.error_rate.errors:
            most, path = self.by_policy[0], "by_policy[0].error_rate"
            rate, share = most.error_rate, most.share
            text = f"Most errors are in {most.where['policy']}: {show(share, '%')}, at a rate of {rate}."
            found.append(Finding("quality", "policy", text, "shown", rate, path, most.where, share=share))
        return tuple(found)

    @property
    def heavy(self) -> bool:
        """Whether one audit carries so much of the weight that the rates are mostly its own."""
        return self.heaviest.value >= max(HEAVY, 2 / self.error_rate.items)

    def _tell_weight(self) -> str:
        share, worth = self.heaviest.value, self.error_rate.items / self.design_effect
        digits = 2 if share > 0.99 else 1
        carried = f"{np.floor(share * 100 * 10**digits) / 10**digits:.{digits}f} %"  # never rounded up to 100 %
        audits = f"{self.error_rate.items:,.0f} audits are worth {worth:,.1f} independent ones"
        return f"One audit carries {carried} of the weight: check it. The {audits}."

    def to_frame(self) -> pd.DataFrame:
        """Return one row per rate: `measure`, `where`, `value`, `low`, `high`, `errors`, `items` (shares, rows)."""
        rows = [(measure, "", getattr(self, measure)) for measure in ("error_rate", "unweighted", *METRICS)]
        for part in (*self.by_policy, *self.slices):
            where, measures = name_slice(part.where), ("error_rate", *_ENFORCEMENT)
            rows += [(measure, where, getattr(part, measure)) for measure in measures]
        numbers = ("value", "low", "high", "errors", "items")
        table = [(*row[:2], *(getattr(row[2], number, np.nan) for number in numbers)) for row in rows if row[2]]
        frame = pd.DataFrame(table, columns=["measure", "where", *numbers])
        return mark_units(frame, value="%", low="%", high="%")


def measure_quality(
    audits: Any,
    targets: Any = None,
    *,
    by: Sequence[str] = (),
    benign: Sequence[str] = ("benign",),
    level: float = 0.95,
) -> Quality:
    """Measure error rates and hold them against the targets.

    Parameters
    ----------
    audits
        One row per audited decision (`tables.AUDITS`), of one place and period, on any engine.
    targets
        One row per target (`tables.TARGETS`), each held against the audits of its scope and of the days it was valid.
    by
        Columns whose combinations get a rate of their own (`slices`).
    benign
        The labels that mean "no violation"; over- and under-enforcement need them.
    level
        The probability that an interval holds the true rate (Hájek-weighted; `stats.rates.clustered_rate`).

    Raises
    ------
    DataError
        If there are no audits, a label or truth is missing, a weight is not positive, or a target cannot be read.

    Notes
    -----
    What it cannot see: errors of the audit itself (4 % real errors with 2 % wrong truths show as 5.8 %); decisions that
    had no chance of being sampled; dependence other than that between one rater's audits.

    Examples
    --------
    >>> raters, truths = [f"r{n % 20}" for n in range(200)], ["benign"] * 190 + ["hate"] * 10
    >>> measure_quality(pd.DataFrame({"rater": raters, "label": "benign", "truth": truths})).summary()
    'Accuracy 95.0 % (91.0 to 97.3): 10 errors in 200 audits of 20 raters, unweighted.'
    """
    refuse_bad_rows(audits)
    kept = keep_proportional(audits)
    cells = count_outcomes(kept, benign)
    if cells.empty:
        raise DataError("no audits", rows=0, mend="choose a site and period that have some")
    whole, *others = (_estimate(cells, metric, level) for metric in METRICS)
    over, under, severe = (found and found.rate for found in others)
    rate, effective = whole.rate, whole.rate.items / whole.design_effect
    rise = detectable_change(rate.value, effective, degrees=whole.degrees)
    policies, unlisted = _policies(cells, level)
    verdicts, not_judged = _judge_targets(kept, targets, cells, benign, level)
    return Quality(
        error_rate=rate,
        accuracy=_turn(rate),
        unweighted=wilson_rate(rate.errors, rate.items, level=level),
        weighted="weight" in column_names(audits),
        raters=whole.clusters,
        design_effect=whole.design_effect,
        minimum_detectable=None if np.isnan(rise) else Estimate(rise, unit="pp"),
        heaviest=Estimate(weigh_heaviest(kept, cells), unit="%"),
        over_enforcement=over,
        under_enforcement=under,
        severity_weighted_accuracy=severe and _turn(severe),
        by_policy=policies,
        slices=_slices(count_outcomes(kept, benign, by), by, level) if by else (),
        verdicts=verdicts,
        not_available=(*_name_gaps(cells, benign), *unlisted, *not_judged),
    )


def _estimate(cells: pd.DataFrame, metric: str, level: float) -> ClusteredRate | None:
    """Estimate the rate of what the metric counts against the raters; None without items that it speaks of."""
    event, scale, over = "wrong", 1.0, metric == "over_enforcement"
    if metric in _ENFORCEMENT:
        known = "harmless" in cells and cells["harmless"].any()
        cells, event = cells[cells["harmless"] == over] if known else cells[:0], "passed"
    elif metric == "severity_weighted_accuracy":
        cells = cells[cells["severity"].isin(SEVERITY_WEIGHTS)] if "severity" in cells else cells[:0]
        # Severity that is known of errors alone would make every graded audit an error.
        cells = cells[:0] if cells["wrong"].all() else cells
        scale = cells["severity"].map(SEVERITY_WEIGHTS).to_numpy(float) if len(cells) else 1.0
    if cells.empty:
        return None
    cluster, item = (
        pd.factorize(cells[name], use_na_sentinel=False)[0] if name in cells else None for name in ("rater", "item_id")
    )
    items, weight, squares = (cells[name].to_numpy(float) for name in ("items", "weight", "squared_weight"))
    happened = cells[event].to_numpy(bool) != over
    return clustered_rate(happened, items, weight * scale, squares * scale**2, cluster, item, level=level)


def _slices(cells: pd.DataFrame, by: Sequence[str], level: float) -> tuple[SliceQuality, ...]:
    if not set(by) <= set(cells):
        return ()
    parts, wrong = [], (cells["weight"] * cells["wrong"]).sum()
    for values, part in cells.groupby(list(by), dropna=False):
        where = {name: "(missing)" if pd.isna(value) else str(value) for name, value in zip(by, values, strict=True)}
        share = float((part["weight"] * part["wrong"]).sum() / wrong) if wrong else 0.0
        rates = (_estimate(part, metric, level) for metric in METRICS[:3])
        parts.append(SliceQuality(where, *(rate and rate.rate for rate in rates), share))
    return tuple(parts)


def _policies(cells: pd.DataFrame, level: float) -> tuple[tuple[SliceQuality, ...], list[str]]:
    """Return the policies with most weighted errors, then most audits, and a sentence on those that are left out."""
    if "policy" not in cells:
        return (), []
    sums = (
        cells.assign(wrong=cells["weight"] * cells["wrong"]).groupby("policy", dropna=False)[["wrong", "items"]].sum()
    )
    listed = sums.sort_values(["wrong", "items"], ascending=False, kind="stable").index[:MOST_POLICIES]
    parts = _slices(cells[cells["policy"].isin(listed)], ["policy"], level)
    wrong = sums["wrong"].sum()
    held = float(sums.loc[listed, "wrong"].sum() / wrong) if wrong else 1.0
    parts = tuple(sorted((replace(part, share=part.share * held) for part in parts), key=lambda part: -part.share))
    left = len(sums) - len(listed)
    told = f"{left:,} more policies are not listed; they hold {show(max(1 - held, 0.0), '%')} of the errors"
    return parts, [told] if left else []


def _name_gaps(cells: pd.DataFrame, benign: Sequence[str]) -> list[str]:
    """Say in sentences what the data did not allow."""
    gaps = []
    if "rater" not in cells or cells["rater"].nunique(dropna=False) == 1:
        gaps.append("fewer than two raters are known: the intervals cannot allow for rater clusters")
    if "harmless" not in cells or not cells["harmless"].any():
        gaps.append(f"over- and under-enforcement: no truth is {' or '.join(benign)}; name such labels with `benign`")
    if "severity" in cells and (unknown := cells.loc[~cells["severity"].isin(SEVERITY_WEIGHTS), "items"].sum()):
        gaps.append(f"severity-weighted accuracy leaves out {count_noun(unknown, 'audit')} without a known severity")
    return gaps


def _judge_targets(
    audits: Any, targets: Any, cells: pd.DataFrame, benign: Sequence[str], level: float
) -> tuple[tuple[Verdict, ...], list[str]]:
    """Hold each target against the audits of its scope and days; name those that cannot be judged."""
    rows = [] if targets is None else collect(nw.from_native(targets).lazy()).to_dict("records")
    verdicts, gaps, names = [], [], column_names(audits)
    for target in map(_read_target, rows):
        where, days = target["where"], ["day"] * ("valid_from" in target or "valid_to" in target)
        if lacking := [name for name in (*where, *days) if name not in names]:
            gaps.append(f"target {target['metric']} ({name_slice(where)}): no column {lacking[0]}")
            continue
        part = count_outcomes(keep_slice(audits, where), benign, days) if where or days else cells
        if days:
            day = pd.to_datetime(part["day"])
            part = part[day.between(target.get("valid_from", day.min()), target.get("valid_to", day.max()))]
        # The same rows in other cells would give other last digits.
        part = cells if part["items"].sum() == cells["items"].sum() else part
        if found := _estimate(part, target["metric"], level):
            verdicts.append(_judge(target, found))
    if elsewhere := len(rows) - len(verdicts) - len(gaps):
        gaps.append(f"{elsewhere} of {len(rows)} targets speak of none of these audits")
    return tuple(verdicts), gaps


def _read_target(row: dict[str, Any]) -> dict[str, Any]:
    """Return a target's columns, those that are empty at their defaults, days as timestamps."""
    given = {name: value for name, value in row.items() if not pd.isna(value)}
    metric, contract = given.get("metric"), given.get("contract")
    direction = given.get("direction", "at_most" if metric in _ENFORCEMENT else "at_least")
    days = {name: pd.to_datetime(day, errors="coerce") for name, day in given.items() if name.startswith("valid_")}
    for column, readable, mend in (
        ("metric", metric in METRICS, f"use {join_words(METRICS)}"),
        ("contract", isinstance(contract, int | float) and 0 <= contract <= 1, "write it as a share: 0.95 for 95 %"),
        ("direction", direction in ("at_least", "at_most"), "use at_least or at_most"),
        *((name, day is not pd.NaT, "write it as 2026-03-31") for name, day in days.items()),
    ):
        if not readable:
            raise DataError(f"a target's {column} cannot be read", column=column, first=given, mend=mend)
    return {"min_audits": 0, **given, "where": parse_scope(given.get("scope")), "direction": direction, **days}


def _judge(target: Mapping[str, Any], found: ClusteredRate) -> Verdict:
    rate, where, contract, least = found.rate, target["where"], float(target["contract"]), target["min_audits"]
    estimate = rate if target["metric"] in _ENFORCEMENT else _turn(rate)
    met, missed = estimate.low >= contract, estimate.high < contract
    if target["direction"] == "at_most":
        met, missed = estimate.high <= contract, estimate.low > contract
    name = target["metric"].replace("_enforcement", "-enforcement").replace("severity_weighted", "severity-weighted")
    name += f" target of {target['direction']} {show(contract, '%')}"
    name = name.replace("_", " ") + (f" ({name_slice(where)})" if where else "")
    verdict, rest = "met" if met else "missed" if missed else "not proven", f" at {estimate}"
    if rate.items < least:
        verdict, rest = "too few audits", f", {rate.items:,.0f} of the {least:,.0f} agreed"
    elif verdict == "not proven" and abs(estimate.value - contract) > 1e-3:
        audits = one_rate_size(contract, estimate.value, alpha=1 - rate.level) * found.design_effect
        rest += f"; about {float(f'{audits:.2g}'):,.0f} audits would tell if the rate stays"
    sentence = f"{name[0].upper()}{name[1:]}: {verdict}{rest}."
    return Verdict(name, where, contract, estimate, verdict, sentence)


def _turn(rate: Rate) -> Estimate:
    return Estimate(1 - rate.value, 1 - rate.high, 1 - rate.low, "%", rate.level)
