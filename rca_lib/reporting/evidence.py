"""What a verdict needs of the audits beside the answers: how many there are, and places tested by raters and items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rca_lib.audits.counting import count_errors, items_repeat
from rca_lib.audits.slice_changes import compare_slice
from rca_lib.audits.store import Case
from rca_lib.findings import Finding
from rca_lib.questions.drivers import Drivers

LEAST_AUDITS = 30  # of each period, from which on false headlines were counted (bench_headlines.py)
LEAST_EFFECTIVE = 10.0  # independent audits that they must be worth: fewer show no change short of a collapse


@dataclass(frozen=True, slots=True)
class Sample:
    """The audits of a period: how many rows, and how many equally weighted ones they are worth (Kish 1965)."""

    audits: int
    effective: float

    @property
    def enough(self) -> bool:
        """Whether a change of them can be judged at all."""
        return self.audits >= LEAST_AUDITS and self.effective >= LEAST_EFFECTIVE


@dataclass(frozen=True, slots=True)
class Evidence:
    """The audits of the period and of its baseline (None: nothing came before), and tests of the places named.

    `places` holds, where items were judged more than once, each named place with the p-value of its own change, raters
    and items being clusters, times the number of slices that were searched (Bonferroni).
    """

    now: Sample
    before: Sample | None
    places: tuple[tuple[Mapping[str, str], float], ...]

    def p_value(self, finding: Finding) -> float:
        """Return the p-value of a place that the search named: the larger one of both tests."""
        searched = 1.0 if finding.p_value is None else finding.p_value
        return max([searched, *(alone for where, alone in self.places if dict(where) == dict(finding.where))])


def gather_evidence(case: Case, drivers: Drivers | None) -> Evidence:
    """Count the audits of a case, and test each place that the drivers name.

    Parameters
    ----------
    case
        The audits of a site and period.
    drivers
        Where the error rate moved; None where nothing is compared.

    Notes
    -----
    Where items are judged often, a few hard ones can carry a whole slice, and a search that counts audits takes them
    for a change. The slice must then change by itself too; "everywhere" must change the level.
    """
    now = _count(case.current)
    if case.baseline is None:
        return Evidence(now, None, ())
    before = _count(case.baseline)
    if drivers is None or not (items_repeat(case.baseline) or items_repeat(case.current)):
        return Evidence(now, before, ())
    places = []
    for place in drivers.named:
        alone = compare_slice(case.baseline, case.current, place.where) if place.where else None
        p_value = min(alone.p_value * drivers.tested, 1.0) if alone is not None else 1.0
        places.append((place.where, p_value if place.where else drivers.p_value))
    return Evidence(now, before, tuple(places))


def _count(audits: Any) -> Sample:
    sums = count_errors(audits)[["items", "weight", "squared_weight"]].sum()
    return Sample(int(sums["items"]), float(sums["weight"] ** 2 / sums["squared_weight"]) if sums["items"] else 0.0)
