"""Do auditors apply one standard, and the same all the time?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from scipy.stats import norm

from rca_lib.audits.counting import collect, column_names
from rca_lib.audits.people import count_people
from rca_lib.audits.ratings import require_columns
from rca_lib.audits.values import refuse
from rca_lib.findings import Estimate, Finding, count_noun
from rca_lib.stats.ratios import shrink_ratios, stand_out

HALF = "half of the days"


@dataclass(frozen=True, slots=True)
class AuditorStrictness:
    """One auditor: errors found and `expected` of the median auditor on the same decisions, and the true `ratio`.

    `drift` is by what factor the ratio moved from the first half of the days to the second, against the other auditors
    (None: too few errors in one half). `differs` and `drifts` tell whether that is shown.
    """

    auditor: str
    items: int
    errors: int
    expected: float
    ratio: Estimate
    differs: bool
    drift: Estimate | None
    drifts: bool


@dataclass(frozen=True, slots=True)
class Auditors:
    """Every auditor, by name; `spread` is the standard deviation of true ratios between them."""

    auditors: tuple[AuditorStrictness, ...]
    spread: Estimate

    def to_frame(self) -> pd.DataFrame:
        """Return a row per auditor, by name: errors found, ratios with their interval; `drift` is a factor."""
        rows = [
            (one.auditor, one.items, one.errors, one.expected, one.ratio.value, one.ratio.low, one.ratio.high,
             one.differs, one.drift.value if one.drift else np.nan, one.drifts)
            for one in self.auditors
        ]  # fmt: skip
        names = ["auditor", "items", "errors", "expected_errors", "ratio", "ratio_low", "ratio_high"]
        names += ["differs", "drift", "drifts"]
        return pd.DataFrame(rows, columns=names)

    def summary(self) -> str:
        """Say how far auditors differ, and who does."""
        if len(self.auditors) < 2:
            return "Not available: one auditor, and nobody to hold against."
        if not any(one.errors for one in self.auditors):
            return f"Not available: {count_noun(len(self.auditors), 'auditor')} found no error at all."
        text = f"{count_noun(len(self.auditors), 'auditor')}; on the same decisions the errors they find differ by"
        text += f" {self.spread.value:.0%} or so ({self.spread.low:.0%} to {self.spread.high:.0%}). "
        named = [
            f"{one.auditor} finds {one.ratio} times the errors of the others" for one in self.auditors if one.differs
        ]
        named += [f"{one.auditor} changed by {one.drift} times" for one in self.auditors if one.drifts]
        return text + ("; ".join(named) + "." if named else "None is shown to be stricter, milder, or to have changed.")

    def findings(self) -> tuple[Finding, ...]:
        """Return the auditors who differ or changed."""
        found = []
        for place, one in enumerate(self.auditors):
            if one.differs:
                how = "stricter" if float(one.ratio.value) > 1 else "milder"
                text = f"Auditor {one.auditor} is {how} than the others: {one.ratio} times their errors found."
                found.append(Finding("auditors", "strictness", text, "shown", one.ratio, f"auditors[{place}].ratio"))
            if one.drifts:
                text = f"Auditor {one.auditor} changed within the period: {one.drift} times the errors found."
                found.append(Finding("auditors", "drift", text, "shown", one.drift, f"auditors[{place}].drift"))
        return tuple(found)


def compare_auditors(audits: Any, *, alpha: float = 0.05) -> Auditors:
    """Compare the errors that each auditor finds with what the median auditor would find on the same decisions.

    Parameters
    ----------
    audits
        One row per audited decision, with `auditor`, and `day` where a drift within the period is asked for; of the
        proportional streams.
    alpha
        The share of those named as different who are not, and the chance that anybody is named as changed when none
        did (Bonferroni).

    Raises
    ------
    DataError
        If `auditor` is missing or empty, a `day` is none, or there are no audits.
    ValueError
        If `alpha` is not between 0 and 1.

    Notes
    -----
    What is expected comes from a model of the work and of the raters audited (`audits.people`). An auditor who finds
    more may be right more often: only second audits or an overlap sample tell who is nearer the truth. It cannot tell
    an auditor who is stricter from one who gets worse items by a way no column tells.

    Examples
    --------
    >>> rows = [(auditor, "ok", "bad" if number < many else "ok") for auditor, many in
    ...     [("a", 10), ("b", 11), ("c", 45), ("d", 9)] for number in range(200)]
    >>> audits = pd.DataFrame(rows, columns=["auditor", "label", "truth"])
    >>> [one.auditor for one in compare_auditors(audits).auditors if one.differs]
    ['c']
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is between 0 and 1, not {alpha!r}")
    halved = _halve(audits)
    table = count_people(halved, "auditor", along=(HALF, "rater"))
    whole = table.groupby("auditor", as_index=False)[["items", "errors", "expected"]].sum()
    # Against the median, for one of few auditors who differs makes all others differ from the mean; without errors it
    # is 0, or of nobody.
    usual = (whole["errors"] / whole["expected"].where(whole["expected"] > 0)).median()
    whole["expected"] *= usual if usual > 0 else 1.0
    found = shrink_ratios(whole["errors"].to_numpy(float), whole["expected"].to_numpy(float))
    named = stand_out(np.maximum(found.above, found.below), rate=alpha)
    drifts = _drifts(table, whole["auditor"])
    least = norm.isf(alpha / 2 / max(len([one for one in drifts if one]), 1))
    auditors = []
    for place, row in enumerate(whole.itertuples()):
        ratio = Estimate(*(round(float(one[place]), 12) for one in (found.value, found.low, found.high)))
        drift, error = drifts[place] or (None, 1.0)
        about = (str(row.auditor), int(row.items), int(row.errors), round(float(row.expected), 9))
        moved = (
            None
            if drift is None
            else Estimate(*np.round(np.exp(drift + error * np.array([0, -1.96, 1.96])), 12).tolist())
        )
        auditors.append(
            AuditorStrictness(*about, ratio, bool(named[place]), moved, bool(abs(drift or 0) > least * error))
        )
    return Auditors(tuple(auditors), found.spread)


def _halve(audits: Any) -> Any:
    """Add which half of the days an audit is of, where there are days."""
    require_columns(audits, ["auditor"])
    table = nw.from_native(audits)
    if "day" not in column_names(audits):
        return table.with_columns(nw.lit(0).alias(HALF)).to_native()
    days = sorted(_read_days(table.lazy().select("day")))
    middle = days[len(days) // 2] if days else None
    late = (nw.col("day") >= nw.lit(middle)).fill_null(False).cast(nw.Int64) if days else nw.lit(0)
    return table.with_columns(late.alias(HALF)).to_native()


def _read_days(table: nw.LazyFrame[Any]) -> list[Any]:
    """Return the days that occur; as text they must be in the order of time, and not beside dates."""
    days = collect(table.unique())["day"].dropna()
    words = days.map(lambda day: isinstance(day, str)).astype(bool)
    strange = words & (~days.astype(str).str.match(r"\d{4}-\d\d-\d\d") | ~words.all())
    if strange.any():
        rows = collect(table)
        mend = "write every day as YYYY-MM-DD, or every one as a date"
        refuse(rows[rows["day"].isin(days[strange])].astype(str), "day is no date", "day", mend)
    return days.tolist()


def _drifts(table: pd.DataFrame, auditors: pd.Series) -> list[tuple[float, float] | None]:
    """Return by how much the log of each auditor's ratio moved, and its error; None below five errors in a half."""
    halves = table.groupby(["auditor", HALF])[["errors", "expected"]].sum().unstack(HALF).reindex(auditors)
    if halves["errors"].shape[1] < 2:
        return [None] * len(auditors)
    errors, expected = (halves[name].fillna(0.0).to_numpy(float) for name in ("errors", "expected"))
    enough = (errors.min(axis=1) >= 5) & (expected.min(axis=1) > 0)
    ratio = np.log(np.maximum(errors, 0.5) / np.maximum(expected, 1e-9))
    moved, error = ratio[:, 1] - ratio[:, 0], np.sqrt((1 / np.maximum(errors, 0.5)).sum(1))
    moved -= np.median(moved[enough]) if enough.any() else 0.0  # against the others: they do not move with one
    return [(float(one), float(two)) if there else None for one, two, there in zip(moved, error, enough, strict=True)]
