# Tested in tests/questions/test_quality.py.
"""Verdicts on targets: each target judged on the audits of its scope and of the days it was valid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import pandas as pd

from rca_lib.audits.counting import collect, column_names, keep_scope
from rca_lib.audits.outcome_counts import count_outcomes
from rca_lib.audits.targets import ENFORCEMENT, TargetOutcome, judge_target, read_target
from rca_lib.findings import Estimate, Rate, format_slice, format_value
from rca_lib.models.metric_rates import complement, estimate_metric
from rca_lib.stats.power import sample_size_one_rate
from rca_lib.stats.proportions import ClusteredRate

NEGLIGIBLE_DIFFERENCE = 1e-3  # between estimate and target: no sample size proves a smaller difference, as a share


@dataclass(frozen=True, slots=True)
class TargetVerdict:
    """One target, named `target`: met or missed only if the whole interval lies on one side of `contract`."""

    target: str
    where: Mapping[str, str]
    contract: float
    estimate: Estimate | Rate
    verdict: TargetOutcome
    sentence: str


def judge_targets(
    audits: Any, targets: Any, cells: pd.DataFrame, benign: Sequence[str]
) -> tuple[tuple[TargetVerdict, ...], list[str]]:
    """Judge each target on the audits of its scope and days; name the targets that cannot be judged."""
    rows = [] if targets is None else collect(nw.from_native(targets).lazy()).to_dict("records")
    verdicts: list[TargetVerdict] = []
    limitations: list[str] = []
    names = column_names(audits)
    for row in rows:
        target = read_target({str(name): value for name, value in row.items()})
        where, days = target["where"], ["day"] * ("valid_from" in target or "valid_to" in target)
        if missing := [name for name in (*where, *days) if name not in names]:
            limitations.append(f"target {target['metric']} ({format_slice(where)}): no column {missing[0]}")
            continue
        counts = count_outcomes(keep_scope(audits, where), benign, days) if where or days else cells
        if days:
            day = pd.to_datetime(counts["day"])
            counts = counts[day.between(target.get("valid_from", day.min()), target.get("valid_to", day.max()))]
        # The same rows counted in other cells would differ in the last digits.
        counts = cells if counts["items"].sum() == cells["items"].sum() else counts
        if estimate := estimate_metric(counts, target["metric"]):
            verdicts.append(_judge_target(target, estimate))
    if n_elsewhere := len(rows) - len(verdicts) - len(limitations):
        limitations.append(f"{n_elsewhere} of {len(rows)} targets apply to none of these audits")
    return tuple(verdicts), limitations


def _judge_target(target: Mapping[str, Any], clustered: ClusteredRate) -> TargetVerdict:
    """Judge one target, with the sample size that would decide it if it is not proven."""
    rate, where, contract = clustered.rate, target["where"], float(target["contract"])
    estimate = rate if target["metric"] in ENFORCEMENT else complement(rate)
    name = _format_target(target, contract)
    verdict = judge_target(target, estimate, rate.items)
    label = f"{name[0].upper()}{name[1:]}"
    sentence = f"{label} {verdict}: {estimate}."
    if verdict == "too few audits":
        sentence = f"{label} not judged: too few audits, {rate.items:,.0f} of the {target['min_audits']:,.0f} agreed."
    elif verdict == "not proven" and abs(estimate.value - contract) > NEGLIGIBLE_DIFFERENCE:
        audits = sample_size_one_rate(contract, estimate.value, alpha=1 - rate.level) * clustered.design_effect
        sentence += f" About {float(f'{audits:.2g}'):,.0f} audits would decide it at this rate."
    return TargetVerdict(name, where, contract, estimate, verdict, sentence)


def _format_target(target: Mapping[str, Any], contract: float) -> str:
    metric = target["metric"].replace("_enforcement", "-enforcement").replace("severity_weighted", "severity-weighted")
    name = f"{metric} target of {target['direction']} {format_value(contract, '%')}".replace("_", " ")
    return f"{name} ({format_slice(target['where'])})" if target["where"] else name
