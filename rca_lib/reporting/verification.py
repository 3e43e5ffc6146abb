"""Verification: is every number on page one what the audits say? Asked of a report by anybody, at any time."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from rca_lib.audits.store import fingerprint, open_case
from rca_lib.findings import Claim, DataError, show
from rca_lib.reporting.deep_dive import answer_questions
from rca_lib.reporting.html import clean_html
from rca_lib.reporting.page_one import render_page, write_page_one

Outcome = Literal["exact", "within rounding", "wrong", "not checkable"]
OUTCOMES: tuple[Outcome, ...] = ("exact", "within rounding", "wrong", "not checkable")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was checked: a claim by its id, or a file; `reported` and `derived` are what stood and what is."""

    id: str
    outcome: Outcome
    reported: str
    derived: str
    about: str


@dataclass(frozen=True, slots=True)
class Verification:
    """All checks of one report."""

    folder: str
    checks: tuple[Check, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong and nothing is left unchecked."""
        return bool(self.checks) and all(check.outcome in ("exact", "within rounding") for check in self.checks)

    def counts(self) -> dict[str, int]:
        """Return how many checks had each outcome."""
        return {outcome: sum(check.outcome == outcome for check in self.checks) for outcome in OUTCOMES}

    def to_frame(self) -> pd.DataFrame:
        """Return a row per check."""
        rows = [{field.name: getattr(check, field.name) for field in fields(Check)} for check in self.checks]
        return pd.DataFrame(rows, columns=[field.name for field in fields(Check)])

    def summary(self) -> str:
        """Say what came of it."""
        counts = ", ".join(f"{count} {outcome}" for outcome, count in self.counts().items())
        return f"{self.folder}: {'verified' if self.holds else 'NOT verified'} ({counts})."


def verify_report(folder: Path, *, store: Path) -> Verification:
    """Derive every claim of a report again from the audits.

    Parameters
    ----------
    folder
        A report's folder: run.json, claims.json, report.html.
    store
        The audits to derive from, as intake wrote them.

    Returns
    -------
    Verification
        A check per claim: "exact" to the last digit, "within rounding" where the sentence still reads the same, "wrong"
        otherwise, also when a claim is missing or has been added; "not checkable" where the audits are gone. Further
        checks: the audits' fingerprint, the files' hashes, and page one of the HTML word by word.

    Raises
    ------
    DataError
        If the folder holds no report.

    Notes
    -----
    The whole deep dive is computed again by this version of rca_lib; a report made by another version can differ
    rightly, run.json says which made it. What stands below page one is protected by the hash in run.json alone.
    """
    run, claimed = _read(folder / "run.json"), _read(folder / "claims.json")
    parameters = run["parameters"]
    try:
        now = fingerprint(store, run["site"], run["period"])
        page = _derive(store, parameters, claimed.get("ledger", {}))
    except DataError as problem:
        lost = tuple(
            Check(claim["id"], "not checkable", str(claim["sentence"]), str(problem), "claim")
            for claim in claimed["claims"]
        )
        return Verification(str(folder), lost or (Check("audits", "not checkable", "", str(problem), "audits"),))
    checks = (
        _compare("fingerprint", run["fingerprint"], now, "audits"),
        *_check_claims(claimed["claims"], {claim.id: claim for claim in page.claims}),
        *_check_files(folder, run["files"]),
        _check_html(folder / "report.html", clean_html(render_page(page))),
    )
    return Verification(str(folder), checks)


def _read(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(
            f"{file} does not exist", mend="name the folder of one report, of one site and period"
        ) from None
    except ValueError as problem:
        raise DataError(f"{file} cannot be read: {problem}", mend="run the report again with --force") from None


def _derive(store: Path, parameters: Mapping[str, Any], ledger: dict[str, Any]) -> Any:
    """Write page one again; of the rows of the export it was made from, which may be gone, its own ledger tells."""
    case = open_case(
        store,
        site=parameters["site"],
        period=parameters["period"],
        baseline_periods=parameters.get("baseline_periods", 1),
        dimensions=parameters.get("dimensions") or (),
    )
    case = replace(case, ledger=replace(case.ledger, **ledger))
    alpha, seed = parameters.get("alpha", 0.05), parameters.get("seed", 0)
    return write_page_one(answer_questions(case, alpha=alpha, seed=seed), alpha=alpha)


def _check_claims(claimed: list[dict[str, Any]], derived: Mapping[str, Claim]) -> Iterator[Check]:
    for claim in claimed:
        again = derived.get(claim["id"])
        if again is None:
            yield Check(claim["id"], "wrong", str(claim["sentence"]), "the audits give no such claim", "claim")
            continue
        sure = all(claim[name] == getattr(again, name) for name in ("sentence", "unit", "call"))
        numbers = [(claim[name], getattr(again, name)) for name in ("value", "low", "high")]
        outcome: Outcome = "wrong"
        if sure and all(one == other or _both_nan(one, other) for one, other in numbers):
            outcome = "exact"
        elif sure and all(_reads_same(one, other, again.unit) for one, other in numbers):
            outcome = "within rounding"
        reported = f"{claim['value']} | {claim['sentence']}"
        yield Check(claim["id"], outcome, reported, f"{again.value} | {again.sentence}", "claim")
    for missing in derived.keys() - {claim["id"] for claim in claimed}:
        yield Check(missing, "wrong", "missing from claims.json", derived[missing].sentence, "claim")


def _check_files(folder: Path, hashes: Mapping[str, str]) -> Iterator[Check]:
    for name, expected in sorted(hashes.items()):
        file = folder / name
        actual = hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else "missing"
        yield _compare(name, expected, actual, "file")


def _check_html(file: Path, page: str) -> Check:
    found = file.exists() and page in file.read_text(encoding="utf-8")
    return Check("page one", "exact" if found else "wrong", "report.html", "page one as the audits give it", "html")


def _compare(name: str, reported: str, derived: str, about: str) -> Check:
    return Check(name, "exact" if reported == derived else "wrong", reported, derived, about)


def _reads_same(one: object, other: object, unit: str) -> bool:
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return show(float(one), unit) == show(float(other), unit)
    return one == other


def _both_nan(one: object, other: object) -> bool:
    return isinstance(one, float) and isinstance(other, float) and math.isnan(one) and math.isnan(other)
