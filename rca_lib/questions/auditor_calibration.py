"""Do all auditors apply the same standard, and does each of them keep it over time?

For auditor a let O_a be the errors found and E_a the errors that a model of the work expects, given the decisions and
the raters audited (`models.expected_errors`). The median auditor is the reference:

    E'_a = E_a · median(O_b / E_b over all auditors b),    ratio_a = O_a / E'_a.

With few auditors the mean is a poor reference: one deviating auditor would make all others deviate from it.

*Strictness.* The ratios are shrunk towards 1 by a gamma-Poisson model (`stats.gamma_poisson`). An auditor differs if
the posterior probability of a ratio above 1.2, or below 1/1.2, passes a Bayesian false discovery rate of `alpha`.

*Drift.* The days of the period are split into two halves. With O_h and E_h of half h, the drift on the log scale is

    δ = log(O_2 / E_2) − log(O_1 / E_1) − median of the same difference over all auditors,
    standard error(δ) = √(1 / O_1 + 1 / O_2).

An auditor has drifted if |δ| exceeds the Bonferroni-corrected normal quantile times the standard error.

References
----------
Clayton, D. and Kaldor, J. (1987). Empirical Bayes estimates of age-standardized relative risks for use in disease
mapping. Biometrics 43, 671–681. The gamma-Poisson model.
Newton, M. A. et al. (2004). Detecting differential gene expression with a semiparametric hierarchical mixture method.
Biostatistics 5, 155–176. The Bayesian false discovery rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import narwhals as nw
import numpy as np
import pandas as pd
from scipy.stats import norm

from rca_lib.audits.column_checks import reject_rows
from rca_lib.audits.counting import collect, column_names
from rca_lib.audits.ratings import require_columns
from rca_lib.findings import Estimate, Finding, format_count
from rca_lib.models.expected_errors import compute_expected_errors
from rca_lib.result import Result
from rca_lib.stats.gamma_poisson import select_by_fdr, shrink_ratios

AuditorKind = Literal["strictness", "drift"]

PERIOD_HALF = "half of the days"  # internal column: 0 in the first half of the days, 1 in the second
MIN_ERRORS_PER_HALF = 5  # errors per half; below, the normal approximation of the log ratio is poor
Z_95 = 1.96  # standard normal quantile of a two-sided 95% interval


@dataclass(frozen=True, slots=True)
class LogDrift:
    """Change of an auditor's log ratio from the first half of the days to the second, with its standard error."""

    value: float
    standard_error: float

    def to_factor(self) -> Estimate:
        """Return the change as a factor, with its 95% interval."""
        limits = self.value + self.standard_error * np.array([0, -Z_95, Z_95])
        value, low, high = np.round(np.exp(limits), 12).tolist()
        return Estimate(value, low, high)


@dataclass(frozen=True, slots=True)
class AuditorStrictness:
    """The strictness of one auditor, relative to the median auditor on the same decisions.

    Attributes
    ----------
    auditor
        Name of the auditor.
    items, errors
        Decisions audited, and errors found among them.
    expected_errors
        Errors that the median auditor would find in the same decisions.
    error_ratio
        Shrunken ratio of errors to expected errors; above 1 means stricter.
    differs
        Whether the ratio is proven to differ from 1.
    drift
        Factor by which the ratio changed between the halves of the period, relative to the other auditors; None below
        five errors in one half.
    has_drifted
        Whether the drift is proven.
    """

    auditor: str
    items: int
    errors: int
    expected_errors: float
    error_ratio: Estimate
    differs: bool
    drift: Estimate | None
    has_drifted: bool


@dataclass(frozen=True, slots=True)
class AuditorCalibration(Result):
    """All auditors by name; `between_auditor_sd` is the standard deviation of their true ratios."""

    auditors: tuple[AuditorStrictness, ...]
    between_auditor_sd: Estimate

    def to_frame(self) -> pd.DataFrame:
        """Return one row per auditor, by name.

        Columns: `auditor`, `items`, `errors`, `expected_errors`, `error_ratio` with `ratio_low` and `ratio_high`,
        `differs`, `drift` (a factor) and `has_drifted`.
        """
        rows = [
            {
                "auditor": auditor.auditor,
                "items": auditor.items,
                "errors": auditor.errors,
                "expected_errors": auditor.expected_errors,
                "error_ratio": auditor.error_ratio.value,
                "ratio_low": auditor.error_ratio.low,
                "ratio_high": auditor.error_ratio.high,
                "differs": auditor.differs,
                "drift": auditor.drift.value if auditor.drift else np.nan,
                "has_drifted": auditor.has_drifted,
            }
            for auditor in self.auditors
        ]
        return pd.DataFrame(rows)

    def summary(self) -> str:
        """Return how much auditors differ, and who differs or has drifted."""
        if len(self.auditors) < 2:
            return "Not available: the comparison needs at least two auditors."
        count = format_count(len(self.auditors), "auditor")
        if not any(auditor.errors for auditor in self.auditors):
            return f"Not available: {count} found no errors."
        sd = self.between_auditor_sd
        percents = [f"{100 * value:.0f}" for value in (sd.value, sd.low, sd.high)]
        interval = f"{percents[0]} % ({percents[1]} to {percents[2]}; standard deviation)"
        spread = f"{count}. On the same decisions, the errors they find vary by {interval}. "
        outliers = [
            f"{auditor.auditor} finds {auditor.error_ratio} times the errors of the median auditor"
            for auditor in self.auditors
            if auditor.differs
        ]
        outliers += [
            f"{auditor.auditor} changed by a factor of {auditor.drift}"
            for auditor in self.auditors
            if auditor.has_drifted
        ]
        if not outliers:
            return f"{spread}No auditor is proven to be stricter or more lenient, or to have changed."
        return f"{spread}{'. '.join(outliers)}."

    def findings(self) -> tuple[Finding[AuditorKind], ...]:
        """Return one finding per auditor who differs, and one per auditor who has drifted."""
        findings: list[Finding[AuditorKind]] = []
        for index, auditor in enumerate(self.auditors):
            if auditor.differs:
                direction = "stricter" if float(auditor.error_ratio.value) > 1 else "more lenient"
                sentence = (
                    f"Auditor {auditor.auditor} is {direction} than the others: {auditor.error_ratio} times the errors"
                    " of the median auditor."
                )
                path = f"auditors[{index}].error_ratio"
                findings.append(Finding("auditors", "strictness", sentence, "shown", auditor.error_ratio, path))
            if auditor.has_drifted:
                sentence = (
                    f"Auditor {auditor.auditor} changed within the period: the errors found changed by a factor of"
                    f" {auditor.drift}."
                )
                path = f"auditors[{index}].drift"
                findings.append(Finding("auditors", "drift", sentence, "shown", auditor.drift, path))
        return tuple(findings)


def compare_auditors(audits: Any, *, alpha: float = 0.05) -> AuditorCalibration:
    """Compare the errors that each auditor finds with those of the median auditor on the same decisions.

    Parameters
    ----------
    audits
        One row per audited decision, with `auditor`; `day` is needed to estimate drift. Only the proportional streams
        are counted, without weights.
    alpha
        False discovery rate of the auditors who differ, and family-wise error rate of those who have drifted. Default
        0.05.

    Returns
    -------
    AuditorCalibration
        One entry per auditor, in the order of their names.

    Raises
    ------
    DataError
        If `auditor` is missing or empty, a `day` is not a date, or there are no audits.
    ValueError
        If `alpha` is not between 0 and 1.

    Notes
    -----
    Expected errors come from a model of the work and of the raters audited (`models.expected_errors`). An auditor who
    finds more errors may be right more often. Only second audits or an overlap sample show who is closer to the truth.
    The method cannot tell a strict auditor from one whose items are harder in a way that no column records.

    References
    ----------
    Clayton and Kaldor (1987); Newton et al. (2004). The docstring of the module has both.

    Examples
    --------
    >>> rows = [(auditor, "ok", "bad" if number < errors else "ok") for auditor, errors in
    ...     [("a", 10), ("b", 11), ("c", 45), ("d", 9)] for number in range(200)]
    >>> audits = pd.DataFrame(rows, columns=["auditor", "label", "truth"])
    >>> [auditor.auditor for auditor in compare_auditors(audits).auditors if auditor.differs]
    ['c']
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is between 0 and 1, not {alpha!r}")
    counts = compute_expected_errors(_add_period_half(audits), "auditor", by=(PERIOD_HALF, "rater"))
    totals = counts.groupby("auditor", as_index=False)[["items", "errors", "expected"]].sum()
    # The median ratio is 0 where most auditors found no errors, and missing where nothing is expected.
    median_ratio = (totals["errors"] / totals["expected"].where(totals["expected"] > 0)).median()
    totals["expected"] *= median_ratio if median_ratio > 0 else 1.0
    ratios = shrink_ratios(totals["errors"].to_numpy(float), totals["expected"].to_numpy(float))
    differs = select_by_fdr(np.maximum(ratios.probability_above, ratios.probability_below), rate=alpha)
    drifts = _estimate_drift(counts, totals["auditor"])
    tests = max(sum(drift is not None for drift in drifts), 1)
    critical_value = norm.isf(alpha / 2 / tests)  # Bonferroni
    auditors = []
    items, errors, expected = (totals[name].to_numpy(float) for name in ("items", "errors", "expected"))
    for index, name in enumerate(totals["auditor"]):
        value, low, high = (round(float(limits[index]), 12) for limits in (ratios.value, ratios.low, ratios.high))
        drift = drifts[index]
        auditors.append(
            AuditorStrictness(
                auditor=str(name),
                items=int(items[index]),
                errors=int(errors[index]),
                expected_errors=round(float(expected[index]), 9),
                error_ratio=Estimate(value, low, high),
                differs=bool(differs[index]),
                drift=drift.to_factor() if drift is not None else None,
                has_drifted=drift is not None and bool(abs(drift.value) > critical_value * drift.standard_error),
            )
        )
    return AuditorCalibration(tuple(auditors), ratios.standard_deviation)


def _add_period_half(audits: Any) -> Any:
    """Add the column of the period half; all audits are in the first half where there are no days."""
    require_columns(audits, ["auditor"])
    table = nw.from_native(audits)
    if "day" not in column_names(audits):
        return table.with_columns(nw.lit(0).alias(PERIOD_HALF)).to_native()
    days = sorted(_read_days(table.lazy().select("day")))
    if not days:
        return table.with_columns(nw.lit(0).alias(PERIOD_HALF)).to_native()
    middle = days[len(days) // 2]
    is_second_half = (nw.col("day") >= nw.lit(middle)).fill_null(False).cast(nw.Int64)
    return table.with_columns(is_second_half.alias(PERIOD_HALF)).to_native()


def _read_days(table: nw.LazyFrame[Any]) -> list[Any]:
    """Return the days that occur; days given as text must be ISO dates, and must not be mixed with dates."""
    days = collect(table.unique())["day"].dropna()
    is_text = days.map(lambda day: isinstance(day, str)).astype(bool)
    is_iso = days.astype(str).str.match(r"\d{4}-\d\d-\d\d")
    is_invalid = is_text & ~is_iso if is_text.all() else is_text
    if is_invalid.any():
        rows = collect(table)
        invalid = rows[rows["day"].isin(days[is_invalid])].astype(str)
        reject_rows(invalid, "day is not a date", "day", "write every day as YYYY-MM-DD, or every one as a date")
    return days.tolist()


def _estimate_drift(counts: pd.DataFrame, auditors: pd.Series) -> list[LogDrift | None]:
    """Return the drift of each auditor on the log scale; None below five errors in one half of the days."""
    if counts[PERIOD_HALF].nunique() < 2:
        return [None] * len(auditors)
    errors, expected = (
        counts.pivot_table(index="auditor", columns=PERIOD_HALF, values=name, aggfunc="sum")
        .reindex(auditors)
        .fillna(0.0)
        .to_numpy(float)
        for name in ("errors", "expected")
    )
    is_estimable = (errors.min(axis=1) >= MIN_ERRORS_PER_HALF) & (expected.min(axis=1) > 0)
    # The lower bounds keep the logarithm finite for the auditors who are left out below.
    log_ratio = np.log(np.maximum(errors, 0.5) / np.maximum(expected, 1e-9))
    change = log_ratio[:, 1] - log_ratio[:, 0]
    standard_error = np.sqrt((1 / np.maximum(errors, 0.5)).sum(1))
    if is_estimable.any():
        change -= np.median(change[is_estimable])  # relative to the other auditors
    return [
        LogDrift(float(value), float(error)) if estimable else None
        for value, error, estimable in zip(change, standard_error, is_estimable, strict=True)
    ]
