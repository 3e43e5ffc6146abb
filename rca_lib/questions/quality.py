"""What happened? Error rates with design weights and rater clusters, by policy and stream, against the targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import narwhals as nw
import numpy as np
import pandas as pd

from rca_lib.audits.counting import collect, column_names, count_errors, keep_proportional, keep_slice, open_table
from rca_lib.audits.tables import SEVERITY_WEIGHTS, parse_scope
from rca_lib.findings import DataError, Estimate, Finding, Rate, join_words, name_slice, show
from rca_lib.stats.rates import ClusteredRate, clustered_rate, detectable_change, one_rate_size, wilson_rate

METRICS = ("accuracy", "over_enforcement", "under_enforcement", "severity_weighted_accuracy")
_ENFORCEMENT = METRICS[1:3]


@dataclass(frozen=True, slots=True)
class SliceQuality:
    """One policy, stream or slice; `share` is its part of all (weighted) errors."""

    where: Mapping[str, str]
    error_rate: Rate
    over_enforcement: Rate | None
    under_enforcement: Rate | None
    share: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """One target: met or missed only if the whole interval lies on that side of `contract`; `target` is its name."""

    metric: str
    scope: str
    target: str
    contract: float
    direction: Literal["at_least", "at_most"]
    estimate: Estimate | Rate
    verdict: Literal["met", "missed", "not proven", "too few audits"]
    sentence: str


@dataclass(frozen=True, slots=True)
class Quality:
    """The quality of one place and period; rates are of the proportional streams, `by_stream` shows each apart.

    `unweighted` is what a naive count of the same rows says. `design_effect` is how many times more audits than
    independent ones the interval needs. `minimum_detectable` is the rise of the error rate that this sample against
    an equal one would show (two-sided 5 %, power 80 %).
    """

    error_rate: Rate
    accuracy: Estimate
    unweighted: Rate
    weighted: bool
    raters: int
    design_effect: float
    minimum_detectable: Estimate | None
    over_enforcement: Rate | None
    under_enforcement: Rate | None
    severity_weighted_accuracy: Estimate | None
    by_policy: tuple[SliceQuality, ...]
    by_stream: tuple[SliceQuality, ...]
    slices: tuple[SliceQuality, ...]
    verdicts: tuple[Verdict, ...]
    not_available: tuple[str, ...]

    def summary(self) -> str:
        """Say what the accuracy is, from what, and how the target stands."""
        rate, weights = self.error_rate, "weighted" if self.weighted else "unweighted"
        raters = f" of {self.raters:,} rater{'s' if self.raters > 1 else ''}" if self.raters else ""
        text = f"Accuracy {self.accuracy}: {rate.errors:,.0f} errors in {rate.items:,.0f} audits{raters}, {weights}"
        chief = next((verdict for verdict in self.verdicts if verdict.estimate == self.accuracy), None)
        return f"{text}; {chief.target}: {chief.verdict}." if chief else f"{text}."

    def findings(self) -> tuple[Finding, ...]:
        """Hand on the level, each target, over- and under-enforcement, severity, and the policy with most errors."""
        found = [Finding("quality", "level", self.summary(), "shown", self.accuracy, "accuracy")]
        for position, verdict in enumerate(self.verdicts):
            grade = "shown" if verdict.verdict in ("met", "missed") else "not proven"
            path, where = f"verdicts[{position}].estimate", parse_scope(verdict.scope)
            found.append(Finding("quality", "target", verdict.sentence, grade, verdict.estimate, path, where))
        for kind, path, sentence in (
            ("over", "over_enforcement", "Over-enforcement, errors among what was truly benign: {}."),
            ("under", "under_enforcement", "Under-enforcement, passed as benign among what truly violated: {}."),
            ("severity", "severity_weighted_accuracy", "Accuracy weighted by severity: {}."),
        ):
            if (estimate := getattr(self, path)) is not None:
                found.append(Finding("quality", kind, sentence.format(estimate), "shown", estimate, path))
        if len(self.by_policy) > 1 and self.error_rate.errors:
            most, path = self.by_policy[0], "by_policy[0].error_rate"
            text = (
                f"Most errors are in {most.where['policy']}: {show(most.share, '%')}, at a rate of {most.error_rate}."
            )
            found.append(
                Finding("quality", "policy", text, "shown", most.error_rate, path, most.where, share=most.share)
            )
        return tuple(found)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per rate: `measure`, `where`, `value`, `low`, `high`, `errors`, `items` (shares, rows)."""
        rows = [(measure, "", getattr(self, measure)) for measure in ("error_rate", "unweighted", *METRICS)]
        for part in (*self.by_policy, *self.by_stream, *self.slices):
            measures, where = ("error_rate", *_ENFORCEMENT), name_slice(part.where)
            rows += [(measure, where, getattr(part, measure)) for measure in measures]
        numbers = ("value", "low", "high", "errors", "items")
        table = [(*row[:2], *(getattr(row[2], number, np.nan) for number in numbers)) for row in rows if row[2]]
        return pd.DataFrame(table, columns=["measure", "where", *numbers])


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
    names = column_names(audits)
    _refuse_bad_rows(audits, names)
    kept = keep_proportional(audits)
    cells = _count_cells(kept, benign)
    if cells.empty:
        raise DataError("no audits", rows=0, mend="choose a site and period that have some")
    whole, over, under, severe = (_estimate(cells, metric, level) for metric in METRICS)
    verdicts, passed_over = _judge_targets(kept, targets, cells, benign, level)
    rate, rise = whole.rate, detectable_change(whole.rate.value, whole.rate.items / whole.design_effect)
    return Quality(
        error_rate=rate,
        accuracy=_turn(rate),
        unweighted=wilson_rate(rate.errors, rate.items, level=level),
        weighted="weight" in names,
        raters=whole.clusters,
        design_effect=whole.design_effect,
        minimum_detectable=None if np.isnan(rise) else Estimate(rise, unit="pp"),
        over_enforcement=over and over.rate,
        under_enforcement=under and under.rate,
        severity_weighted_accuracy=severe and _turn(severe.rate),
        by_policy=_slices(cells, ["policy"], level, most_first=True) if "policy" in names else (),
        by_stream=_by_stream(audits, benign, level) if "stream" in names else (),
        slices=_slices(_count_cells(kept, benign, by), by, level) if by else (),
        verdicts=tuple(verdicts),
        not_available=(*_name_gaps(names, cells, benign), *passed_over),
    )


def _refuse_bad_rows(audits: Any, names: Sequence[str]) -> None:
    positive = nw.col("weight").is_between(0, float("inf"), closed="none")
    right = {"weight": positive, "error": nw.col("error").is_in([0, 1])}
    present = [name for name in ("label", "truth", "error", "weight") if name in names]
    for name in present:
        bad = nw.col(name).is_null() | ~right[name] if name in right else nw.col(name).is_null()
        shown = [column for column in ("audit_id", *present, "source_row") if column in names]
        offenders = collect(nw.from_native(audits).lazy().filter(bad).select(*shown))
        if len(offenders):
            first = offenders.sort_values(shown[0]).iloc[0].to_dict()
            problem, mend = f"{name} is missing or out of range", "quarantine or fill these rows"
            raise DataError(problem, column=name, rows=len(offenders), first=first, mend=mend)


def _count_cells(audits: Any, benign: Sequence[str], extra: Sequence[str] = ()) -> pd.DataFrame:
    """Count by rater, policy, severity, `extra` and outcome: from these cells every rate is made."""
    names = column_names(audits)
    table = open_table(audits).with_columns(wrong=nw.col("error"))
    keys = [*dict.fromkeys([*(name for name in ("rater", "policy", "severity") if name in names), *extra]), "wrong"]
    if {"label", "truth"} <= set(names):
        passed, harmless = nw.col("label").is_in(list(benign)), nw.col("truth").is_in(list(benign))
        table, keys = table.with_columns(passed=passed, harmless=harmless), [*keys, "passed", "harmless"]
    cells = count_errors(table, keys)
    # Engines add in any order: the last digits of a sum of fractions are not the same twice.
    cells[["weight", "squared_weight"]] = cells[["weight", "squared_weight"]].round(9)
    return cells[cells["items"] > 0].reset_index(drop=True)


def _estimate(cells: pd.DataFrame, metric: str, level: float) -> ClusteredRate | None:
    """Estimate the rate of what the metric counts against the raters; None without items that it speaks of."""
    event, scale, over = "wrong", 1.0, metric == "over_enforcement"
    if metric in _ENFORCEMENT:
        known = "harmless" in cells and cells["harmless"].any()
        cells, event = cells[cells["harmless"] == over] if known else cells[:0], "passed"
    elif metric == "severity_weighted_accuracy":
        cells = cells[cells["severity"].isin(SEVERITY_WEIGHTS)] if "severity" in cells else cells[:0]
        scale = cells["severity"].map(SEVERITY_WEIGHTS).to_numpy(float) if len(cells) else 1.0
    # Severity that is known of errors alone would make every graded audit an error.
    if cells.empty or (event == "wrong" and metric != "accuracy" and cells["wrong"].all()):
        return None
    cluster = pd.factorize(cells["rater"], use_na_sentinel=False)[0] if "rater" in cells else None
    items, weight, squares = (cells[name].to_numpy(float) for name in ("items", "weight", "squared_weight"))
    happened = cells[event].to_numpy(bool) != over
    return clustered_rate(happened, items, weight * scale, squares * scale**2, cluster, level=level)


def _by_stream(audits: Any, benign: Sequence[str], level: float) -> tuple[SliceQuality, ...]:
    cells = _count_cells(audits, benign, ["stream", *({"audit_round"} & set(column_names(audits)))])
    first = cells["audit_round"].fillna(1) == 1 if "audit_round" in cells else slice(None)
    return _slices(cells[first], ["stream"], level)


def _slices(
    cells: pd.DataFrame, by: Sequence[str], level: float, *, most_first: bool = False
) -> tuple[SliceQuality, ...]:
    parts, wrong = [], (cells["weight"] * cells["wrong"]).sum()
    for values, part in cells.groupby(list(by), dropna=False):
        where = {name: "(missing)" if pd.isna(value) else str(value) for name, value in zip(by, values, strict=True)}
        share = float((part["weight"] * part["wrong"]).sum() / wrong) if wrong else 0.0
        rates = (_estimate(part, metric, level) for metric in METRICS[:3])
        parts.append(SliceQuality(where, *(rate and rate.rate for rate in rates), share))
    return tuple(sorted(parts, key=lambda part: -part.share) if most_first else parts)


def _name_gaps(names: Sequence[str], cells: pd.DataFrame, benign: Sequence[str]) -> list[str]:
    """Say in sentences what the data did not allow."""
    gaps = [f"not available: no column {name} ({serves})" for name, serves in _SERVES.items() if name not in names]
    if "rater" in cells and cells["rater"].nunique(dropna=False) == 1:
        gaps.append("one rater only: the intervals cannot allow for rater clusters")
    if "harmless" in cells and not cells["harmless"].any():
        gaps.append(f"over- and under-enforcement: no truth is {' or '.join(benign)}; name such labels with `benign`")
    if "severity" in cells and (unknown := cells.loc[~cells["severity"].isin(SEVERITY_WEIGHTS), "items"].sum()):
        gaps.append(f"severity-weighted accuracy leaves out {unknown:,} audits without a known severity")
    return gaps


_SERVES = {
    "rater": "intervals that allow for rater clusters",
    "weight": "rates for all decisions; these are unweighted and speak of the audits alone",
    "stream": "ruling out a change of sampling",
    "policy": "rates by policy",
    "severity": "severity-weighted accuracy",
    "truth": "over- and under-enforcement",
}


def _judge_targets(
    audits: Any, targets: Any, cells: pd.DataFrame, benign: Sequence[str], level: float
) -> tuple[list[Verdict], list[str]]:
    """Hold each target against the audits of its scope and days; name those that cannot be judged."""
    rows = [] if targets is None else collect(nw.from_native(targets).lazy()).to_dict("records")
    verdicts, lacks, elsewhere, names = [], [], 0, column_names(audits)
    for target in map(_read_target, rows):
        scope, days = parse_scope(target["scope"]), ["day"] if target["first"] or target["last"] else []
        if lacking := [name for name in (*scope, *days) if name not in names]:
            lacks.append(f"target {target['metric']} ({target['scope']}): no column {lacking[0]}")
            continue
        part = _count_cells(keep_slice(audits, scope), benign, days) if scope or days else cells
        if days:
            day = pd.to_datetime(part["day"])
            part = part[day.between(target["first"] or day.min(), target["last"] or day.max())]
        # The same rows in other cells would give other last digits.
        part = cells if part["items"].sum() == cells["items"].sum() else part
        found = _estimate(part, target["metric"], level)
        elsewhere += found is None
        verdicts += [_judge(found, **target)] if found else []
    return verdicts, [
        *lacks,
        *([f"{elsewhere} of {len(rows)} targets speak of none of these audits"] if elsewhere else []),
    ]


def _read_target(row: dict[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in row.items() if not pd.isna(value)}
    metric, contract = given.get("metric"), given.get("contract")
    direction = given.get("direction", "at_most" if metric in _ENFORCEMENT else "at_least")
    share = isinstance(contract, int | float) and 0 <= contract <= 1
    days = {name: pd.to_datetime(given[name], errors="coerce") for name in ("valid_from", "valid_to") if name in given}
    for column, readable, mend in (
        ("metric", metric in METRICS, f"use {join_words(METRICS)}"),
        ("contract", share, "write it as a share: 0.95 for 95 %"),
        ("direction", direction in ("at_least", "at_most"), "use at_least or at_most"),
        *((name, day is not pd.NaT, "write it as 2026-03-31") for name, day in days.items()),
    ):
        if not readable:
            raise DataError(f"a target's {column} cannot be read", column=column, first=given, mend=mend)
    read = {"metric": metric, "scope": str(given.get("scope", "")), "contract": float(contract), "direction": direction}
    least = int(given.get("min_audits", 0))
    return {**read, "least": least, "first": days.get("valid_from"), "last": days.get("valid_to")}


def _judge(
    found: ClusteredRate, *, metric: str, scope: str, contract: float, direction: str, least: int, **_: object
) -> Verdict:
    rate, where = found.rate, name_slice(parse_scope(scope))
    estimate = rate if metric in _ENFORCEMENT else _turn(rate)
    good, bad = estimate.low >= contract, estimate.high < contract
    if direction == "at_most":
        good, bad = estimate.high <= contract, estimate.low > contract
    name = metric.replace("_enforcement", "-enforcement").replace("severity_weighted", "severity-weighted")
    target = f"{name} target of {direction} {show(contract, '%')}".replace("_", " ")
    target += f" ({where})" if parse_scope(scope) else ""
    verdict, rest = "met" if good else "missed" if bad else "not proven", f" at {estimate}"
    if rate.items < least:
        verdict, rest = "too few audits", f", {rate.items:,.0f} of the {least:,} agreed"
    elif verdict == "not proven" and abs(estimate.value - contract) > 1e-3:
        audits = one_rate_size(contract, estimate.value, alpha=1 - rate.level) * found.design_effect
        rest += f"; about {float(f'{audits:.2g}'):,.0f} audits would tell if the rate stays"
    sentence = f"{target[0].upper()}{target[1:]}: {verdict}{rest}."
    return Verdict(metric, scope, target, contract, direction, estimate, verdict, sentence)


def _turn(rate: Rate) -> Estimate:
    return Estimate(1 - rate.value, 1 - rate.high, 1 - rate.low, "%", rate.level)
