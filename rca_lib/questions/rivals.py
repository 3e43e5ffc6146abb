"""What else could it be? A change of truth or of sampling that looks like worse work and is not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from rca_lib.audits.counting import column_names, count_errors, keep_proportional, open_table
from rca_lib.audits.encoding import VERSIONS, is_stale
from rca_lib.findings import Estimate, Finding, Grade, show

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
        rows = [
            (
                rival.name,
                *((rival.part.value, rival.part.low, rival.part.high) if rival.part else (None,) * 3),
                rival.grade,
            )
            for rival in self.rivals
        ]
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
    change = _difference(*(_influence(_sums(table, _WEIGHTED)) for table in tables), z)
    naive = _difference(*(_influence(_sums(table, _RAW)) for table in (baseline, current)), z)
    rivals = (
        _weigh("stale truth", VERSIONS, tables, change, lambda: _stale(tables, z)),
        _weigh("auditors", ("auditor",), tables, change, lambda: _strictest(tables, each)),
        _weigh("sampling", ("stream",), (baseline, current), change, lambda: _sampling(baseline, current, z)),
    )
    return Rivals(change, naive, rivals)


_WEIGHTED, _RAW = ("weighted_errors", "weight"), ("errors", "items")
_VERDICTS = {"shown": "it changed", "possible": "cannot be ruled out", "ruled out": "ruled out"}
Pull = tuple[float, pd.Series]  # a number, and how much each rater moves it


def _weigh(
    name: str,
    needs: Sequence[str],
    tables: Sequence[Any],
    change: Estimate,
    measure: Callable[[], tuple[Estimate, str]],
) -> Rival:
    missing = [column for column in needs for table in tables if column not in column_names(table)]
    if missing:
        return Rival(name, None, "not proven", f"{name.capitalize()}: not available, no column {missing[0]}.")
    part, told = measure()
    bar = MATERIAL * max(abs(change.value), (change.high - change.low) / 2)
    grade: Grade = "possible" if max(abs(part.low), abs(part.high)) >= bar else "ruled out"
    if part.excludes_zero and abs(part.value) >= bar:
        grade = "shown"
    return Rival(name, part, grade, f"{name.capitalize()}: {_VERDICTS[grade]}; {told}.")


def _stale(tables: Sequence[Any], z: float) -> tuple[Estimate, str]:
    (before, old), (after, new) = (_stale_part(table) for table in tables)
    part = _difference(before, after, z)
    if not old and not new:
        return part, "no audit used another policy version than the decision"
    shares = f"{show(old, '%')} of the audits before, {show(new, '%')} now"
    return part, f"audits under another policy version than the decision ({shares}) make {part} of the change"


def _stale_part(table: Any) -> tuple[Pull, float]:
    """Return the error rate that stale truths add over fresh ones, and their share of the audits."""
    cluster = _cluster(table)
    counts = count_errors(open_table(table).with_columns(is_stale().alias("stale")).to_native(), ["stale", cluster])
    stale, weight, errors = counts["stale"].to_numpy(bool), counts["weight"], counts["weighted_errors"]
    fresh = weight[~stale].sum()
    fresh_rate = errors[~stale].sum() / fresh if fresh else 0.0
    added = np.where(stale, errors - fresh_rate * weight, 0.0)
    sums = pd.DataFrame({"errors": added, "items": weight}).groupby(counts[cluster], dropna=False).sum()
    return _influence(sums), float(weight[stale].sum() / weight.sum())


def _strictest(tables: Sequence[Any], level: float) -> tuple[Estimate, str]:
    """Compare each auditor's shift with the others' and return the one that stands out most."""
    before, after = (count_errors(table, ["auditor"]).dropna().set_index("auditor") for table in tables)
    both = before.index.intersection(after.index)
    if len(both) < 3:
        return Estimate(0.0, -1.0, 1.0, "pp"), "fewer than three worked in both periods, not testable"
    shifts, errors = _shifts(before.loc[both], after.loc[both])
    others = np.array([_pooled(np.delete(shifts, place), np.delete(errors, place)) for place in range(len(both))])
    excess, spread = shifts - others[:, 0], np.hypot(errors, others[:, 1])
    place = int(np.argmax(np.abs(excess / spread)))
    weight = float(after.loc[both[place], "weight"] / after["weight"].sum())
    z = stats.norm.ppf(1 - (1 - level) / 2 / len(both))
    value, half = float(weight * excess[place]), float(z * weight * spread[place])
    part = Estimate(value, value - half, value + half, "pp")
    return part, f"the one whose findings moved most against the others ({both[place]}) makes {part} of the change"


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


def _sampling(baseline: Any, current: Any, z: float) -> tuple[Estimate, str]:
    part = _difference(_gap(baseline), _gap(current), z)
    return part, f"a raw count over all streams would add {part} to the change, the weighted rates leave it out"


def _gap(table: Any) -> Pull:
    """Return the raw rate of all rows minus the weighted rate of the proportional ones."""
    raw, pull = _influence(_sums(table, _RAW))
    designed, other = _influence(_sums(keep_proportional(table), _WEIGHTED))
    return raw - designed, pull.sub(other, fill_value=0.0)


def _sums(table: Any, columns: tuple[str, str]) -> pd.DataFrame:
    cluster = _cluster(table)
    sums = count_errors(table, [cluster]).groupby(cluster, dropna=False)[list(columns)].sum()
    return sums.set_axis(["errors", "items"], axis=1)


def _cluster(table: Any) -> str:
    return next(name for name in ("rater", "item_id", "audit_id", "error") if name in column_names(table))


def _influence(sums: pd.DataFrame) -> Pull:
    rate = sums["errors"].sum() / sums["items"].sum()
    return float(rate), (sums["errors"] - rate * sums["items"]) / sums["items"].sum()


def _difference(before: Pull, after: Pull, z: float) -> Estimate:
    """Return a change with its interval; a rater who worked in both periods is one cluster."""
    moved = after[1].sub(before[1], fill_value=0.0)
    half = z * float(np.sqrt((moved**2).sum() * len(moved) / max(len(moved) - 1, 1)))
    value = after[0] - before[0]
    return Estimate(value, max(value - half, -1.0), min(value + half, 1.0), "pp")
