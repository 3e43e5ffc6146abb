# Tested in tests/reporting/test_verdicts.py.
"""Inputs of the verdict beside the results: sample sizes, and tests of named slices with raters and items as clusters.

Notes
-----
The effective sample size of weights :math:`w_i` is :math:`(\\sum w_i)^2 / \\sum w_i^2` (Kish 1965). So many equally
weighted audits estimate a rate with the same precision.

Where items are judged more than once, each named slice is tested a second time. Its own change is compared with raters
and items as clusters, and the p-value is multiplied by the number of slices searched (Bonferroni).

References
----------
Kish, L. (1965). *Survey Sampling*. Wiley. The effective sample size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rca_lib.audits.counting import count_errors, has_repeated_items
from rca_lib.audits.slice_comparison import compare_slice
from rca_lib.findings import Finding
from rca_lib.questions.drivers import Drivers
from rca_lib.store.cases import Case

MIN_AUDITS = 30  # audits per period; false headlines were counted from here on (bench_headlines.py)
MIN_EFFECTIVE_AUDITS = 10.0  # effective sample size; below it only a collapse would be visible


@dataclass(frozen=True, slots=True)
class SampleSize:
    """The audits of a period.

    Attributes
    ----------
    audits
        Number of rows.
    effective_size
        Effective sample size: how many equally weighted audits are as precise (Kish 1965).
    """

    audits: int
    effective_size: float

    @property
    def is_sufficient(self) -> bool:
        """Whether a change can be judged at all."""
        return self.audits >= MIN_AUDITS and self.effective_size >= MIN_EFFECTIVE_AUDITS


@dataclass(frozen=True, slots=True)
class VerdictInputs:
    """Sample sizes of the two periods, and second tests of the named slices.

    Attributes
    ----------
    current
        Sample size of the period.
    baseline
        Sample size of the baseline; None where there is no earlier period.
    slice_p_values
        Each named slice with the p-value of its own change, with raters and items as clusters, times the number of
        slices searched (Bonferroni). Empty where no item was judged more than once.
    """

    current: SampleSize
    baseline: SampleSize | None
    slice_p_values: tuple[tuple[Mapping[str, str], float], ...]

    def p_value(self, finding: Finding[str]) -> float:
        """Return the larger p-value of a named slice: that of the search, or that of its own test."""
        search_p_value = 1.0 if finding.p_value is None else finding.p_value
        own_p_values = [p_value for where, p_value in self.slice_p_values if dict(where) == dict(finding.where)]
        return max([search_p_value, *own_p_values])


def compute_verdict_inputs(case: Case, drivers: Drivers | None) -> VerdictInputs:
    """Count the audits of a case, and test each named slice by itself.

    Parameters
    ----------
    case
        The audits of a site and period.
    drivers
        Where the error rate changed; None where nothing is compared.

    Returns
    -------
    VerdictInputs
        The sample sizes, and a p-value for each named slice where items were judged more than once.

    Notes
    -----
    Where items are judged often, a few hard items can carry a whole slice. A search that counts audits takes them for a
    change. The slice must then also change by itself; "everywhere" must change the level.
    """
    current = _compute_sample_size(case.current)
    if case.baseline is None:
        return VerdictInputs(current, None, ())
    baseline = _compute_sample_size(case.baseline)
    if drivers is None or not (has_repeated_items(case.baseline) or has_repeated_items(case.current)):
        return VerdictInputs(current, baseline, ())
    slice_p_values = tuple((slice_.where, _test_slice(case, drivers, slice_.where)) for slice_ in drivers.named_slices)
    return VerdictInputs(current, baseline, slice_p_values)


def _test_slice(case: Case, drivers: Drivers, where: Mapping[str, str]) -> float:
    """Return the corrected p-value of a slice's own change; that of the level for "everywhere"."""
    if not where:
        return drivers.p_value
    comparison = compare_slice(case.baseline, case.current, where)
    return min(comparison.p_value * drivers.n_tested, 1.0) if comparison is not None else 1.0


def _compute_sample_size(audits: Any) -> SampleSize:
    sums = count_errors(audits)[["items", "weight", "squared_weight"]].sum()
    effective_size = float(sums["weight"] ** 2 / sums["squared_weight"]) if sums["items"] else 0.0
    return SampleSize(int(sums["items"]), effective_size)
