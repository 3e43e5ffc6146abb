"""What else could it be? A change of truth or of sampling that looks like worse work and is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from scipy import stats

from rca_lib.audits.counting import column_names, count_errors, keep_proportional, open_table
from rca_lib.findings import Estimate, Finding, Grade, show

VERSIONS = ("policy_version_decided", "policy_version_audited")
MATERIAL = 0.5


@dataclass(frozen=True, slots=True)
class Rival:
    """One other explanation: `part` is how much of the change of the measured error rate it makes, in pp.

    `grade` is "shown" where the interval of `part` excludes nothing and `part` is at least half of the change,
    "possible" where its interval reaches half of the change, else "ruled out"; "not proven" where a column is missing.
    """

    name: str
    part: Estimate | None
    grade: Grade
    sentence: str


@dataclass(frozen=True, slots=True)
class Rivals:
    """The other explanations, weighed: `change` of the weighted error rate, `naive_change` of the raw one."""

    change: Estimate
    naive_change: Estimate
    rivals: tuple[Rival, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return a row per rival: `name`, `part`, `low`, `high` (pp as shares), `grade`."""
        rows = [{"name": rival.name, "grade": rival.grade, **_numbers(rival.part)} for rival in self.rivals]
        return pd.DataFrame(rows, columns=["name", "part", "low", "high", "grade"])

    def summary(self) -> str:
        """Say what each rival comes to."""
        return " ".join(rival.sentence for rival in self.rivals)

    def findings(self) -> tuple[Finding, ...]:
        """Return one finding per rival."""
        return tuple(
            Finding("rivals", rival.name, rival.sentence, rival.grade, rival.part, f"rivals[{place}].part")
            for place, rival in enumerate(self.rivals)
        )


def weigh_rivals(baseline: Any, current: Any, *, level: float = 0.95) -> Rivals:
    """Weigh whether truth or sampling changed rather than the work.

    Parameters
    ----------
    baseline, current
        One row per audit, every stream and round: `error` (or `label` and `truth`), `rater`, and where they exist
        `weight`, `stream`, `auditor`, `policy_version_decided` and `policy_version_audited`.
    level
        The share of intervals that hold all three true parts together (Bonferroni).

    Returns
    -------
    Rivals
        "stale truth": errors that appear because the audit used another policy version than was in force at the
        decision; "auditors": the change that one auditor's own shift makes; "sampling": what a raw count over all
        streams would add to the change, which the weighted rates here leave out.

    Notes
    -----
    Variances are those of ratios with raters as clusters, a rater of both periods being one. Auditors are compared with
    each other within the site, the strictest shift judged at a level divided by their number (Bonferroni). It cannot
    see a truth that is wrong under an unchanged version by all auditors alike; only blind second audits can.
    """
    each = 1 - (1 - level) / 3
    z = stats.norm.ppf((1 + each) / 2)
    tables = keep_proportional(baseline), keep_proportional(current)
    change = _difference(*(_sums(table, _WEIGHTED) for table in tables), z)
    naive = _difference(*(_sums(table, _RAW) for table in (baseline, current)), z)
    rivals = (
        _weigh_stale(tables, change, z),
        _weigh_auditors(tables, change, each),
        _weigh_sampling(baseline, current, change, naive, z),
    )
    return Rivals(change, naive, rivals)


_WEIGHTED, _RAW = ("weighted_errors", "weight"), ("errors", "items")


def _weigh_stale(tables: Sequence[Any], change: Estimate, z: float) -> Rival:
    missing = [name for name in VERSIONS if any(name not in column_names(table) for table in tables)]
    if missing:
        return _not_available("stale truth", missing[0])
    (before, was, old), (after, now, new) = (_stale_part(table) for table in tables)
    part = Estimate(*_ends(after - before, _spread(now, was), z), "pp")
    grade = _grade(part, change)
    shares = f"{show(old, '%')} → {show(new, '%')}"
    return Rival("stale truth", part, grade, f"Truth: {_verdict(grade)}; audits under another version than at the"
                 f" decision ({shares} of the audits) make {part} of the change.")  # fmt: skip


def _stale_part(table: Any) -> tuple[float, pd.Series, float]:
    """Return the error rate that stale truths add over fresh ones, each cluster's pull on it, and their share."""
    opened = open_table(table)
    first, second = VERSIONS
    stale = (nw.col(first) != nw.col(second)).fill_null(False).alias("stale")
    clusters = _clusters(table)
    counts = count_errors(opened.with_columns(stale).to_native(), ["stale", *clusters])
    is_stale, weight, errors = counts["stale"].to_numpy(bool), counts["weight"].to_numpy(), counts["weighted_errors"]
    total, fresh = weight.sum(), weight[~is_stale].sum()
    fresh_rate = errors[~is_stale].sum() / fresh if fresh else 0.0
    added = np.where(is_stale, errors - fresh_rate * weight, 0.0)
    sums = pd.DataFrame({"errors": added, "items": weight}).groupby(counts[clusters[0]].to_numpy(), dropna=False).sum()
    return *_influence(sums), weight[is_stale].sum() / total


def _weigh_auditors(tables: Sequence[Any], change: Estimate, level: float) -> Rival:
    if any("auditor" not in column_names(table) for table in tables):
        return _not_available("auditors", "auditor")
    before, after = (count_errors(table, ["auditor"]).dropna().set_index("auditor") for table in tables)
    both = before.index.intersection(after.index)
    if len(both) < 3:
        return Rival("auditors", None, "not proven", "Auditors: fewer than three worked in both periods; not testable.")
    shifts, errors = _shifts(before.loc[both], after.loc[both])
    weights = after.loc[both, "weight"].to_numpy() / after["weight"].sum()
    others = np.array([_pooled(np.delete(shifts, place), np.delete(errors, place)) for place in range(len(both))])
    excess, spread = shifts - others[:, 0], np.hypot(errors, others[:, 1])
    place = int(np.argmax(np.abs(excess / spread)))
    z = stats.norm.ppf(1 - (1 - level) / 2 / len(both))
    part = Estimate(*_ends(weights[place] * excess[place], weights[place] * spread[place], z), "pp")
    grade = _grade(part, change)
    return Rival("auditors", part, grade, f"Auditors: {_verdict(grade)}; the one whose errors found moved most against"
                 f" the others ({both[place]}) makes {part} of the change.")  # fmt: skip


def _shifts(before: pd.DataFrame, after: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    rates = [(part["weighted_errors"] / part["weight"]).to_numpy() for part in (before, after)]
    pooled = (before["weighted_errors"] + after["weighted_errors"]) / (before["weight"] + after["weight"])
    sizes = [(part["weight"] ** 2 / part["squared_weight"]).to_numpy() for part in (before, after)]
    rate = pooled.clip(lower=0.5 / (sizes[0] + sizes[1])).to_numpy()
    return rates[1] - rates[0], np.sqrt(rate * (1 - rate) * (1 / sizes[0] + 1 / sizes[1])).clip(min=1e-9)


def _pooled(values: np.ndarray, errors: np.ndarray) -> tuple[float, float]:
    weights = 1 / errors**2
    mean = float((weights * values).sum() / weights.sum())
    spread = float((weights * (values - mean) ** 2).sum() / max(len(values) - 1, 1))
    return mean, float(np.sqrt(max(spread, 1.0) / weights.sum()))


def _weigh_sampling(baseline: Any, current: Any, change: Estimate, naive: Estimate, z: float) -> Rival:
    if not {"stream", "weight"} & set(column_names(current)):
        return _not_available("sampling", "stream")
    (before, was), (after, now) = _gap(baseline), _gap(current)
    part = Estimate(*_ends(after - before, _spread(now, was), z), "pp")
    grade = _grade(part, change)
    if grade == "shown" and naive.low <= 0 <= naive.high:
        grade = "possible"
    told = "is left out by the weights" if grade == "shown" else "is all that a raw count over all streams would add"
    return Rival("sampling", part, grade, f"Sampling: {_verdict(grade)}; {part} {told}.")


def _gap(table: Any) -> tuple[float, pd.Series]:
    """Return the raw rate of all rows minus the weighted rate of the proportional ones, and each cluster's pull."""
    raw, pull = _influence(_sums(table, _RAW))
    designed, other = _influence(_sums(keep_proportional(table), _WEIGHTED))
    return raw - designed, pull.sub(other, fill_value=0.0)


def _sums(table: Any, columns: tuple[str, str]) -> pd.DataFrame:
    clusters = _clusters(table)
    sums = count_errors(table, clusters).groupby(clusters, dropna=False)[list(columns)].sum()
    return sums.set_axis(["errors", "items"], axis=1)


def _clusters(table: Any) -> list[str]:
    return [name for name in ("rater", "item_id", "audit_id") if name in column_names(table)][:1]


def _difference(before: pd.DataFrame, after: pd.DataFrame, z: float) -> Estimate:
    """Return the change of a rate; a rater who worked in both periods is one cluster."""
    (first, was), (second, now) = _influence(before), _influence(after)
    return Estimate(*_ends(second - first, _spread(now, was), z), "pp")


def _influence(sums: pd.DataFrame) -> tuple[float, pd.Series]:
    """Return a rate, and how much each cluster moves it."""
    rate = sums["errors"].sum() / sums["items"].sum()
    return float(rate), (sums["errors"] - rate * sums["items"]) / sums["items"].sum()


def _spread(after: pd.Series, before: pd.Series) -> float:
    moved = after.sub(before, fill_value=0.0)
    return float(np.sqrt((moved**2).sum() * len(moved) / max(len(moved) - 1, 1)))


def _ends(value: float, error: float, z: float) -> tuple[float, float, float]:
    return float(value), float(value - z * error), float(value + z * error)


def _grade(part: Estimate, change: Estimate) -> Grade:
    bar = MATERIAL * max(abs(change.value), (change.high - change.low) / 2)
    if (part.low > 0 or part.high < 0) and abs(part.value) >= bar:
        return "shown"
    return "possible" if max(abs(part.low), abs(part.high)) >= bar else "ruled out"


def _verdict(grade: Grade) -> str:
    return {"shown": "it changed", "possible": "cannot be ruled out", "ruled out": "ruled out"}[grade]


def _not_available(name: str, column: str) -> Rival:
    return Rival(name, None, "not proven", f"{name.capitalize()}: not available, no column {column}.")


def _numbers(part: Estimate | None) -> dict[str, float]:
    return {"part": part.value, "low": part.low, "high": part.high} if part else {}
