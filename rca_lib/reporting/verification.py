"""What verification compares: a report's files with those of the same report, made again from the audits.

Nothing here is taken from the report that is verified, except to compare it. What a report has to be comes from the
plan and the audits; how it is made again is the batch's business.
"""

from __future__ import annotations

import json
import math
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from rca_lib.findings import DataError, show
from rca_lib.reporting.markup import PAGE_ONE, find_active_content, find_differences, read_claims_of

Outcome = Literal["exact", "within rounding", "wrong", "not checkable"]
OUTCOMES: tuple[Outcome, ...] = ("exact", "within rounding", "wrong", "not checkable")
GOOD = ("exact", "within rounding")
LARGEST = 256 << 20  # bytes of a file that is read; the largest report of the project's own notebooks has 20 MB
NUMBERS = re.compile(r"\d[\d.,]*")
LONGEST = 400  # characters that are quoted of what stood and what is right
INTAKE_SECTIONS = (PAGE_ONE, "Data used", "Against the period before", "Against the run before")
Texts = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was checked.

    `id` names a claim, a file, a section of the page or a setting, `about` says which of these. `reported` is what
    stood there, `derived` what is right, or why that cannot be said.
    """

    id: str
    outcome: Outcome
    reported: str
    derived: str
    about: str

    def __post_init__(self) -> None:
        for name in ("id", "reported", "derived"):
            object.__setattr__(self, name, make_printable(getattr(self, name)))


@dataclass(frozen=True, slots=True)
class Verification:
    """All checks of one report, or of what belongs to a batch as a whole.

    `title` names it for people. `not_covered` lists what stands there and was not checked, which is no fault.
    """

    folder: str
    checks: tuple[Check, ...]
    title: str = ""
    not_covered: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong and nothing is left unchecked."""
        return bool(self.checks) and all(check.outcome in GOOD for check in self.checks)

    @property
    def verdict(self) -> Literal["verified", "NOT verified", "not checkable"]:
        """Return "NOT verified" where anything is wrong, "not checkable" where something is open and nothing wrong."""
        if any(check.outcome == "wrong" for check in self.checks):
            return "NOT verified"
        return "verified" if self.holds else "not checkable"

    def counts(self) -> dict[str, int]:
        """Return how many checks had each outcome."""
        return {outcome: sum(check.outcome == outcome for check in self.checks) for outcome in OUTCOMES}

    def to_frame(self) -> pd.DataFrame:
        """Return a row per check: `id`, `outcome`, `reported`, `derived`, `about`."""
        rows = [{field.name: getattr(check, field.name) for field in fields(Check)} for check in self.checks]
        return pd.DataFrame(rows, columns=[field.name for field in fields(Check)])

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        checks = [{field.name: getattr(check, field.name) for field in fields(Check)} for check in self.checks]
        about = {"folder": self.folder, "title": self.title, "verdict": self.verdict, "counts": self.counts()}
        return about | {"not_covered": list(self.not_covered), "checks": checks}

    def summary(self) -> str:
        """Return the verdict and the number of checks with each outcome."""
        counts = ", ".join(f"{count} {outcome}" for outcome, count in self.counts().items())
        return f"{make_printable(self.folder)}: {self.verdict} ({counts})."


def count_verdicts(verifications: Sequence[Verification]) -> dict[str, int]:
    """Return how many reports are verified, not verified, and not checkable."""
    verdicts = [verification.verdict for verification in verifications]
    return {name: verdicts.count(name) for name in ("verified", "NOT verified", "not checkable")}


def find_status(verifications: Sequence[Verification]) -> int:
    """Return the exit status: 0 if all is verified, 1 if anything is wrong, 3 if something is open and nothing wrong.

    Examples
    --------
    >>> exact, wrong, left = (Check("a", outcome, "", "", "file") for outcome in ("exact", "wrong", "not checkable"))
    >>> [find_status([Verification("", checks)]) for checks in ((exact,), (exact, left), (exact, left, wrong), ())]
    [0, 3, 1, 3]
    """
    counts = count_verdicts(verifications)
    return 1 if counts["NOT verified"] else 3 if counts["not checkable"] else 0


def make_printable(text: object) -> str:
    """Return a text for a terminal: no control characters, and no longer than a few lines."""
    told = "".join(letter if letter.isprintable() else " " for letter in str(text))
    return told if len(told) <= LONGEST else f"{told[:LONGEST]} …"


def read_file(file: Path) -> bytes:
    """Read a file of a report.

    Raises
    ------
    DataError
        If it is missing, no regular file (a link, a folder, a pipe), or too large.
    """
    try:
        about = file.lstat()
        if not stat.S_ISREG(about.st_mode):
            raise DataError(f"{file.name} is no regular file", mend="run the report again with --force")
        if about.st_size > LARGEST:
            raise DataError(f"{file.name} has {about.st_size:,} bytes", mend="run the report again with --force")
        return file.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{file.name} is missing", mend="run the report again with --force") from None
    except OSError as problem:
        raise DataError(f"{file.name} cannot be read: {problem.strerror}", mend="check the file's rights") from None


def read_mapping_of(file: Path) -> dict[str, Any]:
    """Read a JSON file of a report that holds a mapping.

    Raises
    ------
    DataError
        If it cannot be read, or holds anything else.
    """
    try:
        content = json.loads(read_file(file).decode("utf-8"))
    except (ValueError, RecursionError) as problem:
        raise DataError(f"{file.name} is no JSON: {problem}", mend="run the report again with --force") from None
    if not isinstance(content, dict):
        raise DataError(f"{file.name} holds no mapping", mend="run the report again with --force")
    return content


def compare_value(name: str, reported: object, derived: object, about: str = "setting") -> Check:
    """Compare a setting of a report with what it has to be; equal values of different types are different."""
    same = _write(reported) == _write(derived)
    return Check(name, "exact" if same else "wrong", _quote(reported), _quote(derived), about)


def compare_claims(reported: object, derived: Sequence[Texts], *, unknown: Mapping[str, str] | None = None,
                   excuse: str = "") -> Iterator[Check]:  # fmt: skip
    """Compare the claims of a report with those that the audits give: a check for each, missing and added ones too.

    Parameters
    ----------
    reported
        The claims as claims.json of the report holds them, whatever that is.
    derived
        The claims as the audits give them.
    unknown
        The start of a call, and why the number of such a claim cannot be checked.
    excuse
        Why the wording may differ, "" where it may not: another version wrote the report.
    """
    listed = reported if isinstance(reported, list) else []
    if listed is not reported:
        yield Check("claims", "wrong", _quote(reported), "a list of claims", "claim")
    known, seen = {claim["id"]: claim for claim in derived}, set[str]()
    for claim in listed:
        name = claim.get("id") if isinstance(claim, dict) else None
        right = known.get(name) if isinstance(name, str) and name not in seen else None
        if right is None:
            told = "it stands there twice" if name in known else "the audits give no such claim"
            yield Check(str(name), "wrong", _quote(claim), told, "claim")
            continue
        seen.add(name)
        outcome, why = _judge_claim(claim, right, excuse)
        for start, reason in (unknown or {}).items():
            if outcome == "exact" and str(right["call"]).startswith(start):
                outcome, why = "not checkable", reason
        yield Check(name, outcome, _tell_claim(claim), why or _tell_claim(right), "claim")
    for name in [name for name in known if name not in seen]:
        yield Check(name, "wrong", "missing from claims.json", _tell_claim(known[name]), "claim")


def compare_pages(reported: bytes, derived: bytes, *, excuse: str = "", unknown: str = "") -> Iterator[Check]:
    """Compare a page whole; where it differs, say in which sections, and what it holds that no report holds.

    Parameters
    ----------
    reported, derived
        report.html as it stands, and as it was made again.
    excuse
        Why the page may differ, "" where it may not.
    unknown
        Why the sections that tell of the export may differ, "" where they may not.
    """
    whole = b'class="page-one' in derived
    if reported == derived:
        if whole:
            yield Check(PAGE_ONE, "exact", "report.html", "report.html", "page")
        yield Check("report.html", "exact", "every byte", "every byte", "page")
        return
    try:
        page, right = reported.decode("utf-8"), derived.decode("utf-8")
        differing = {one.section: one for one in find_differences(page, right)}
        active = sorted({*find_active_content(page)} - {*find_active_content(right)})
    except ValueError as problem:
        yield Check("report.html", "wrong", f"it cannot be read: {problem}", "the page of the audits", "page")
        return
    yield from (Check("active content", "wrong", one, "none", "page") for one in active)
    if whole and PAGE_ONE not in differing:
        yield Check(PAGE_ONE, "exact", "report.html", "report.html", "page")
    judged = []
    for name, one in differing.items():
        reason = excuse or (unknown if name.startswith(INTAKE_SECTIONS) else "")
        told = f"{one.expected} ({reason})" if reason else one.expected
        judged.append(Check(name, "not checkable" if reason else "wrong", one.found, told, "page"))
    if excuse and whole:
        yield from _compare_page_one(page, right)
    yield from judged
    worst: Outcome = "wrong" if not judged or any(check.outcome == "wrong" for check in judged) else "not checkable"
    told = f"it differs in {len(judged)} sections" if judged else "it differs in bytes that no section shows"
    yield Check("report.html", worst, told, excuse or "the page of the audits", "page")


def compare_files(name: str, reported: bytes, derived: bytes, *, excuse: str = "") -> Check:
    """Compare a file whole; the first place where JSON differs is told."""
    if reported == derived:
        return Check(name, "exact", "every byte", "every byte", "file")
    found, right = f"{len(reported):,} bytes", f"{len(derived):,} bytes"
    if name.endswith((".json", ".ipynb")):
        try:
            found, right = _first_difference(json.loads(reported), json.loads(derived)) or (found, right)
        except (ValueError, RecursionError) as problem:
            found = f"no JSON: {problem}"
    return Check(
        name, "not checkable" if excuse else "wrong", found, f"{right} ({excuse})" if excuse else right, "file"
    )


def compare_notebooks(reported: bytes, derived: bytes, *, places: Sequence[str], excuse: str = "") -> Check:
    """Compare two executed notebooks: every cell and output; of the injected parameters all but some `places`."""
    name = "report.ipynb"
    try:
        one, other = (_without_places(json.loads(text), places) for text in (reported, derived))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as problem:
        return Check(name, "wrong", f"it is no notebook: {problem}", "the notebook as it ran on the audits", "file")
    if _write(one) == _write(other):
        return Check(name, "exact", "every cell and output", "every cell and output", "file")
    found, right = _first_difference(one, other) or ("another order of keys", "the notebook as it ran on the audits")
    return Check(
        name, "not checkable" if excuse else "wrong", found, f"{right} ({excuse})" if excuse else right, "file"
    )


def _judge_claim(claim: Texts, right: Texts, excuse: str) -> tuple[Outcome, str]:
    if _write(claim) == _write(right):
        return "exact", ""
    numbers = ("value", "low", "high")
    same = all(_write(claim.get(name)) == _write(right[name]) for name in numbers)
    close = same or all(_reads_same(claim.get(name), right[name], right["unit"]) for name in numbers)
    worded = all(_write(claim.get(name)) == _write(right[name]) for name in ("sentence", "unit", "call"))
    if close and worded and claim.keys() == right.keys():
        return "within rounding", ""
    numbers_told = [NUMBERS.findall(str(one.get("sentence"))) for one in (claim, right)]
    if close and excuse and numbers_told[0] == numbers_told[1]:
        return "not checkable", f"{_tell_claim(right)} ({excuse})"
    return "wrong", ""


def _compare_page_one(page: str, right: str) -> Iterator[Check]:
    """Compare the sentences of page one where the page around them may differ."""
    try:
        found, derived = read_claims_of(page), read_claims_of(right)
    except ValueError as problem:
        yield Check(PAGE_ONE, "wrong", str(problem), "one page one", "page")
        return
    for name, told in found.items():
        if name not in derived:
            yield Check(name, "wrong", told, "the audits give no such claim", "page")
        elif NUMBERS.findall(told) != NUMBERS.findall(derived[name]):
            yield Check(name, "wrong", told, derived[name], "page")


def _reads_same(one: object, other: object, unit: str) -> bool:
    if _write(one) == _write(other):
        return True
    if any(isinstance(number, bool) or not isinstance(number, int | float) for number in (one, other)):
        return False
    try:
        return math.isfinite(one) and math.isfinite(other) and show(float(one), unit) == show(float(other), unit)
    except OverflowError:
        return False


def _without_places(notebook: Any, places: Sequence[str]) -> Any:
    for cell in notebook["cells"]:
        if "injected-parameters" in cell["metadata"].get("tags", ()):
            assigned = re.compile(rf'(?:{"|".join(places)}) = "(?:[^"\\]|\\.)*"')
            cell["source"] = [line for line in "".join(cell["source"]).splitlines() if not assigned.fullmatch(line)]
    return notebook


def _first_difference(one: Any, other: Any, path: str = "") -> tuple[str, str] | None:
    """Return the first place at which two contents of JSON differ, as it stands and as it should be."""
    if isinstance(one, dict) and isinstance(other, dict):
        names = [*dict.fromkeys([*other, *one])]
        pairs = [(name, one.get(name, "missing"), other.get(name, "missing")) for name in names]
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = [(str(place), *pair) for place, pair in enumerate(zip(one, other, strict=True))]
    else:
        return None if _write(one) == _write(other) else (f"{path}: {_quote(one)}", f"{path}: {_quote(other)}")
    for name, left, right in pairs:
        if found := _first_difference(left, right, f"{path}/{name}"):
            return found
    return None


def _tell_claim(claim: Texts) -> str:
    return f"{claim.get('value')} | {claim.get('sentence')}"


def _write(content: object) -> str:
    try:
        return json.dumps(content, sort_keys=True)
    except RecursionError:
        return "nested too deep"


def _quote(content: object) -> str:
    return content if isinstance(content, str) else _write(content)[: 2 * LONGEST]
