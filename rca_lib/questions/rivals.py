"""What else could it be? A change of truth or of sampling that looks like worse work and is not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from scipy import stats

from rca_lib.audits.counting import RARE, column_names, count_errors, keep_proportional, keep_slice, open_table
from rca_lib.audits.encoding import VERSIONS, is_stale
from rca_lib.audits.sampling import Sampling, describe_sampling
from rca_lib.findings import NOWHERE, Estimate, Finding, Grade, count_noun, mark_units, show

MATERIAL = 0.5  # of a change, or of a slice's excess: from here on a rival explains it
WORTH_NAMING = 0.25  # of a change that is shown: a part of it
MAIN = 0.8  # of the stale audits, which make a policy theirs
LEAST_AUDITORS = 3  # to hold one against the others


@dataclass(frozen=True, slots=True)
class Rival:
    """One other explanation: `part` is how much of the change of the measured error rate it makes, in pp.

    `grade` is "shown" where the interval of `part` excludes nothing, `part` goes along with the change and is a quarter
    of a change that is shown, or more (half of what noise makes of one that is not); "possible" where its interval
    reaches half of the change in the change's own direction, or where it cannot be told; else "ruled out"; "not proven"
    where a column is missing. `where` names the
    auditor or the policy it is about; `explains` the slices half of whose excess, or more, it makes.
    """

    name: str
    part: Estimate | None
    grade: Grade
    sentence: str
    where: Mapping[str, str] = field(default_factory=lambda: NOWHERE)
    explains: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Rivals:
    """The other explanations, weighed: `change` of the weighted error rate, `naive_change` of the raw one.

    Sampling comes first where the periods are not `comparable`.
    """

    change: Estimate
    naive_change: Estimate
    rivals: tuple[Rival, ...]
    comparable: bool = True

    @property
    def explained(self) -> tuple[Mapping[str, str], ...]:
        """The slices that a change of the truth or of an auditor explains, where that is shown."""
        return tuple(where for rival in self.rivals if rival.grade == "shown" for where in rival.explains)

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
        frame = pd.DataFrame(rows, columns=["name", "part", "low", "high", "grade"])
        return mark_units(frame, part="pp", low="pp", high="pp")

    def summary(self) -> str:
        """Say what each rival comes to."""
        return " ".join(rival.sentence for rival in self.rivals)

    def findings(self) -> tuple[Finding, ...]:
        """Return one finding per rival."""
        return tuple(
            Finding("rivals", rival.name, rival.sentence, rival.grade, rival.part, f"rivals[{place}].part", rival.where)
            for place, rival in enumerate(self.rivals)
        )


def weigh_rivals(baseline: Any, current: Any, *, slices: Iterable[Any] = (), level: float = 0.95) -> Rivals:
    """Weigh whether truth or sampling changed rather than the work.

    Parameters
    ----------
    baseline, current
        One row per audit, every stream and round: `error` (or `label` and `truth`), `rater`, and where they exist
        `weight`, `stream`, `auditor`, `policy_version_decided` and `policy_version_audited`.
    slices
        Slices that were named as changed, with `where` and the `expected` error rate (`rank_drivers`): of each it is
        asked whether the truth or an auditor makes it.
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
    see a truth that is wrong under an unchanged version by all auditors alike (only blind second audits can), nor an
    auditor who worked in one of the periods only; nor, where periods are not comparable, anything else.
    """
    each = 1 - (1 - level) / 3
    z = stats.norm.ppf((1 + each) / 2)
    tables = keep_proportional(baseline), keep_proportional(current)
    change = _difference(*(_influence(_sums(table, _WEIGHTED)) for table in tables), z)
    naive = _difference(*(_influence(_sums(table, _RAW)) for table in (baseline, current)), z)
    plan = describe_sampling(current, baseline)
    sampling = _weigh_sampling(plan, change, lambda: _difference(_gap(baseline), _gap(current), z))
    if not plan.alike:
        untold = [_untold(name, "not judged, the periods are not comparable") for name in ("stale truth", "auditors")]
        return Rivals(change, naive, (sampling, *untold), comparable=False)
    places = tuple(slices)
    rivals = (
        _weigh("stale truth", VERSIONS, tables, change, lambda: _stale(tables, places, z)),
        _weigh("auditors", ("auditor",), tables, change, lambda: _strictest(tables, places, each)),
    )
    ordered = (*rivals, sampling) if plan.comparable else (sampling, *rivals)
    return Rivals(change, naive, ordered, plan.comparable)


_WEIGHTED, _RAW = ("weighted_errors", "weight"), ("errors", "items")
_VERDICTS = {"shown": "it changed", "possible": "cannot be ruled out", "ruled out": "ruled out"}
Pull = tuple[float, pd.Series]  # a number, and how much each rater moves it
Weighed = tuple[Estimate | None, str, Mapping[str, str], tuple[Mapping[str, str], ...]]  # as in Rival; told in words


def _untold(name: str, why: str) -> Rival:
    return Rival(name, None, "not proven", f"{name.capitalize()}: {why}.")


def _weigh(
    name: str, needs: Sequence[str], tables: Sequence[Any], change: Estimate, measure: Callable[[], Weighed]
) -> Rival:
    missing = [column for column in needs for table in tables if column not in column_names(table)]
    if missing:
        return _untold(name, f"not available, no column {missing[0]}")
    part, told, where, explains = measure()
    grade: Grade = "possible" if part is None else _grade(part, change)
    verdict = _VERDICTS[grade]
    if grade == "ruled out" and part.excludes_zero:
        against = part.value * change.value < 0
        verdict, told = verdict if against else "a small part only", f"{told}, against the change" if against else told
    return Rival(name, part, grade, f"{name.capitalize()}: {verdict}; {told}.", where, explains)


def _grade(part: Estimate, change: Estimate) -> Grade:
    """Grade a part by whether it is worth naming, or can be half of the change or of what noise makes of it."""
    toward = np.sign(change.value) or 1.0
    if _is_material(part, change) and (part.value * toward > 0 or not change.excludes_zero):
        return "shown"
    return "possible" if (part.high if toward > 0 else -part.low) >= MATERIAL * _size(change) else "ruled out"


def _is_material(part: Estimate, change: Estimate) -> bool:
    bar = WORTH_NAMING if change.excludes_zero else MATERIAL
    return part.excludes_zero and abs(part.value) >= bar * _size(change)


def _size(change: Estimate) -> float:
    """Return what a part is held against: the change, or what noise makes of it where that is more."""
    return max(abs(change.value), (change.high - change.low) / 2)


def _weigh_sampling(plan: Sampling, change: Estimate, measure: Callable[[], Estimate]) -> Rival:
    """Weigh sampling, whose effect on comparable rates is removed by weights and by leaving other streams out."""
    if not plan.comparable:
        if plan.alike:
            return Rival("sampling", None, "possible", f"Sampling: cannot be ruled out; {plan.difference}.")
        text = f"Sampling: it changed; {plan.difference}. The rates cannot be compared."
        return Rival("sampling", None, "shown", text)
    if plan.basis == "unknown":
        return _untold("sampling", "not available, no column stream" if not plan.named else "no audit names its stream")
    part = measure()
    if plan.unweighted:
        told = "stratified audits carry no weights, so that other shares of the strata look like other work"
        return Rival("sampling", part, "possible", f"Sampling: cannot be ruled out; {told}.")
    grade: Grade = "shown" if _is_material(part, change) else "ruled out"
    removed = f"a raw count over all streams would add {part} to the change, the rates here leave it out"
    return Rival("sampling", part, grade, f"Sampling: {_VERDICTS[grade]}; {removed}.")


def _stale(tables: Sequence[Any], places: Sequence[Any], z: float) -> Weighed:
    (before, old, _), (after, new, counts) = (_stale_part(table) for table in tables)
    part = _difference(before, after, z)
    if not old and not new:
        return part, "no audit used another policy version than the decision", NOWHERE, ()
    shares = f"{show(old, '%')} of the audits before, {show(new, '%')} now"
    told = f"audits under another policy version than the decision ({shares}) make {part} of the change"
    return part, told, _main_policy(counts), _explain(tables[1], places, is_stale())


def _stale_part(table: Any) -> tuple[Pull, float, pd.DataFrame]:
    """Return the error rate that stale truths add over fresh ones, their share of the audits, and the counts."""
    cluster = _cluster(table)
    keys = list(dict.fromkeys(["stale", cluster, *(name for name in ("policy",) if name in column_names(table))]))
    counts = count_errors(open_table(table).with_columns(is_stale().alias("stale")).to_native(), keys)
    stale, weight, errors = counts["stale"].to_numpy(bool), counts["weight"], counts["weighted_errors"]
    fresh = weight[~stale].sum()
    fresh_rate = errors[~stale].sum() / fresh if fresh else 0.0
    added = np.where(stale, errors - fresh_rate * weight, 0.0)
    sums = pd.DataFrame({"errors": added, "items": weight}).groupby(counts[cluster], dropna=False).sum()
    return _influence(sums), float(weight[stale].sum() / weight.sum()), counts


def _main_policy(counts: pd.DataFrame) -> Mapping[str, str]:
    """Return the policy that most of the stale audits are of, nothing where there is none."""
    if "policy" not in counts:
        return NOWHERE
    weights = counts[counts["stale"].astype(bool)].groupby("policy")["weight"].sum()
    if not len(weights) or weights.max() < MAIN * weights.sum():
        return NOWHERE
    return {"policy": str(weights.idxmax())}


def _explain(table: Any, places: Sequence[Any], suspect: nw.Expr) -> tuple[Mapping[str, str], ...]:
    """Return the slices half of whose excess, or more, lies in the audits that are suspect."""
    marked = open_table(table).with_columns(suspect.alias("suspect")).to_native()
    explained = []
    for place in places:
        if RARE in place.where.values() or not set(place.where) <= set(column_names(table)):
            continue
        counts = count_errors(keep_slice(marked, place.where), ["suspect"])
        excess = counts["weighted_errors"] - place.expected * counts["weight"]
        inside = float(excess[counts["suspect"].astype(bool)].sum())
        if excess.sum() and inside / float(excess.sum()) >= MATERIAL:
            explained.append(place.where)
    return tuple(explained)


def _strictest(tables: Sequence[Any], places: Sequence[Any], level: float) -> Weighed:
    """Compare each auditor's shift with the others' and return the one that stands out most."""
    before, after = (count_errors(table, ["auditor"]).dropna().set_index("auditor") for table in tables)
    both = before.index.intersection(after.index)
    if len(both) < LEAST_AUDITORS:
        return None, f"fewer than {LEAST_AUDITORS} worked in both periods, so that none can be compared", NOWHERE, ()
    shifts, errors = _shifts(before.loc[both], after.loc[both])
    others = np.array([_pooled(np.delete(shifts, place), np.delete(errors, place)) for place in range(len(both))])
    excess, spread = shifts - others[:, 0], np.hypot(errors, others[:, 1])
    place = int(np.argmax(np.abs(excess / spread)))
    name, weight = str(both[place]), float(after.loc[both[place], "weight"] / after["weight"].sum())
    z = stats.norm.ppf(1 - (1 - level) / 2 / len(both))
    value, half = float(weight * excess[place]), float(z * weight * spread[place])
    part = Estimate(value, value - half, value + half, "pp")
    told = f"the one whose findings moved most against the others ({name}) makes {part} of the change"
    new = sum(1 for auditor in after.index if auditor not in both)
    told += f" ({count_noun(new, 'auditor')} of this period only cannot be compared)" if new else ""
    return part, told, {"auditor": name}, _explain(tables[1], places, nw.col("auditor").cast(nw.String) == name)


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
