# Tested in tests/batch/test_report_comparison.py.
"""Comparison of a report's files with those of the same report, made again from the audits."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rca_lib.findings import format_value
from rca_lib.reporting.html_comparison import (
    PAGE_ONE,
    SectionDifference,
    find_active_content,
    find_section_differences,
    read_page_claims,
)
from rca_lib.reporting.verification import MAX_QUOTED_CHARS, CheckOutcome, VerificationCheck

NUMBER_PATTERN = re.compile(r"\d[\d.,]*")
# Sections that depend on the row counts of the export.
EXPORT_SECTIONS = (PAGE_ONE, "Data used", "Changes since the previous period", "Changes since the previous run")
RIGHT_PAGE, RIGHT_NOTEBOOK = "the page that the audits give", "the notebook as it runs on the audits"
NO_SUCH_CLAIM = "the audits give no such claim"
ClaimRecord = Mapping[str, Any]


def compare_value(name: str, reported: object, derived: object, about: str = "setting") -> VerificationCheck:
    """Compare a setting of a report with its right value; equal values of different types are different."""
    is_equal = _dump_json(reported) == _dump_json(derived)
    return VerificationCheck(name, "exact" if is_equal else "wrong", _quote(reported), _quote(derived), about)


def compare_claims(
    reported: object,
    derived: Sequence[ClaimRecord],
    *,
    uncheckable_reasons: Mapping[str, str] | None = None,
    difference_reason: str = "",
) -> Iterator[VerificationCheck]:
    """Compare the claims of a report with those that the audits give.

    Parameters
    ----------
    reported
        The content of "claims" in the report's claims.json, whatever it is.
    derived
        The claims that the audits give.
    uncheckable_reasons
        Why some claims cannot be checked, by the start of their expression.
    difference_reason
        Why the wording may differ: another version wrote the report. "" where it may not differ.

    Yields
    ------
    VerificationCheck
        One per claim, also for missing and additional claims.
    """
    reported_claims = reported if isinstance(reported, list) else []
    if reported_claims is not reported:
        yield VerificationCheck("claims", "wrong", _quote(reported), "a list of claims", "claim")
    derived_by_id = {claim["id"]: claim for claim in derived}
    seen: set[str] = set()
    for claim in reported_claims:
        claim_id = str(claim.get("id")) if isinstance(claim, dict) else "None"
        right = derived_by_id.get(claim_id) if claim_id not in seen else None
        if right is None:
            problem = "the claim occurs twice" if claim_id in seen else NO_SUCH_CLAIM
            yield VerificationCheck(claim_id, "wrong", _quote(claim), problem, "claim")
            continue
        seen.add(claim_id)
        outcome, explanation = _compare_claim(claim, right, difference_reason)
        for expression_start, reason in (uncheckable_reasons or {}).items():
            if outcome == "exact" and str(right["call"]).startswith(expression_start):
                outcome, explanation = "not checkable", reason
        yield VerificationCheck(claim_id, outcome, _format_claim(claim), explanation or _format_claim(right), "claim")
    for claim_id, right in derived_by_id.items():
        if claim_id not in seen:
            yield VerificationCheck(claim_id, "wrong", "missing from claims.json", _format_claim(right), "claim")


def compare_pages(
    reported: bytes, derived: bytes, *, difference_reason: str = "", uncheckable_reason: str = ""
) -> Iterator[VerificationCheck]:
    """Compare two pages byte by byte; where they differ, name the sections and any active content.

    Parameters
    ----------
    reported, derived
        report.html of the report, and as made again.
    difference_reason
        Why the page may differ, "" where it may not.
    uncheckable_reason
        Why the sections about the export may differ, "" where they may not.

    Yields
    ------
    VerificationCheck
        One for page one, one for each section that differs, and one for the whole page.
    """
    has_page_one = b'class="page-one' in derived
    if reported == derived:
        if has_page_one:
            yield VerificationCheck(PAGE_ONE, "exact", "report.html", "report.html", "page")
        yield VerificationCheck("report.html", "exact", "every byte", "every byte", "page")
        return
    try:
        page, right_page = reported.decode("utf-8"), derived.decode("utf-8")
        differences = {difference.section: difference for difference in find_section_differences(page, right_page)}
        active_content = sorted(set(find_active_content(page)) - set(find_active_content(right_page)))
    except ValueError as error:
        yield VerificationCheck("report.html", "wrong", f"it cannot be read: {error}", RIGHT_PAGE, "page")
        return
    for content in active_content:
        yield VerificationCheck("active content", "wrong", content, "none", "page")
    if has_page_one and PAGE_ONE not in differences:
        yield VerificationCheck(PAGE_ONE, "exact", "report.html", "report.html", "page")
    section_checks = [
        _check_section(difference, difference_reason, uncheckable_reason) for difference in differences.values()
    ]
    if difference_reason and has_page_one:
        yield from _compare_page_one(page, right_page)
    yield from section_checks
    outcome: CheckOutcome = "not checkable"
    if not section_checks or any(check.outcome == "wrong" for check in section_checks):
        outcome = "wrong"
    extent = f"{len(section_checks)} sections differ" if section_checks else "it differs in bytes that no section shows"
    yield VerificationCheck("report.html", outcome, extent, difference_reason or RIGHT_PAGE, "page")


def compare_files(name: str, reported: bytes, derived: bytes, *, difference_reason: str = "") -> VerificationCheck:
    """Compare two files byte by byte; of JSON, quote the first difference.

    Parameters
    ----------
    name
        Name of the file.
    reported, derived
        Its content in the report, and as made again.
    difference_reason
        Why it may differ, "" where it may not.
    """
    if reported == derived:
        return VerificationCheck(name, "exact", "every byte", "every byte", "file")
    difference = f"{len(reported):,} bytes", f"{len(derived):,} bytes"
    if name.endswith((".json", ".ipynb")):
        try:
            difference = _find_json_difference(json.loads(reported), json.loads(derived)) or difference
        except (ValueError, RecursionError) as error:
            difference = f"not valid JSON: {error}", difference[1]
    return _check_different_file(name, difference, difference_reason)


def compare_notebooks(
    reported: bytes, derived: bytes, *, path_parameters: Sequence[str], difference_reason: str = ""
) -> VerificationCheck:
    """Compare two executed notebooks: every cell and output, and all injected parameters except paths.

    Parameters
    ----------
    reported, derived
        report.ipynb of the report, and as made again.
    path_parameters
        Names of parameters that hold paths; these may differ.
    difference_reason
        Why the notebook may differ, "" where it may not.
    """
    name = "report.ipynb"
    try:
        notebook, right = (_drop_path_parameters(json.loads(text), path_parameters) for text in (reported, derived))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        return VerificationCheck(name, "wrong", f"it is not a notebook: {error}", RIGHT_NOTEBOOK, "file")
    if _dump_json(notebook) == _dump_json(right):
        return VerificationCheck(name, "exact", "every cell and output", "every cell and output", "file")
    difference = _find_json_difference(notebook, right) or ("another order of keys", RIGHT_NOTEBOOK)
    return _check_different_file(name, difference, difference_reason)


def _check_different_file(name: str, difference: tuple[str, str], difference_reason: str) -> VerificationCheck:
    reported, derived = difference
    if difference_reason:
        return VerificationCheck(name, "not checkable", reported, f"{derived} ({difference_reason})", "file")
    return VerificationCheck(name, "wrong", reported, derived, "file")


def _check_section(difference: SectionDifference, difference_reason: str, uncheckable_reason: str) -> VerificationCheck:
    is_about_export = difference.section.startswith(EXPORT_SECTIONS)
    reason = difference_reason or (uncheckable_reason if is_about_export else "")
    derived = f"{difference.expected} ({reason})" if reason else difference.expected
    outcome: CheckOutcome = "not checkable" if reason else "wrong"
    return VerificationCheck(difference.section, outcome, difference.reported, derived, "page")


def _compare_claim(claim: ClaimRecord, right: ClaimRecord, difference_reason: str) -> tuple[CheckOutcome, str]:
    """Return the outcome for one claim, and why it is not checkable."""
    if _dump_json(claim) == _dump_json(right):
        return "exact", ""
    names = ("value", "low", "high")
    is_close = all(_dump_json(claim.get(name)) == _dump_json(right[name]) for name in names) or all(
        _displays_equal(claim.get(name), right[name], right["unit"]) for name in names
    )
    has_same_text = all(_dump_json(claim.get(name)) == _dump_json(right[name]) for name in ("sentence", "unit", "call"))
    if is_close and has_same_text and claim.keys() == right.keys():
        return "within rounding", ""
    reported_numbers, derived_numbers = (
        NUMBER_PATTERN.findall(str(record.get("sentence"))) for record in (claim, right)
    )
    if is_close and difference_reason and reported_numbers == derived_numbers:
        return "not checkable", f"{_format_claim(right)} ({difference_reason})"
    return "wrong", ""


def _compare_page_one(page: str, right_page: str) -> Iterator[VerificationCheck]:
    """Compare the sentences of page one where the rest of the page may differ."""
    try:
        reported, derived = read_page_claims(page), read_page_claims(right_page)
    except ValueError as error:
        yield VerificationCheck(PAGE_ONE, "wrong", str(error), "one page one", "page")
        return
    for claim_id, sentence in reported.items():
        if claim_id not in derived:
            yield VerificationCheck(claim_id, "wrong", sentence, NO_SUCH_CLAIM, "page")
        elif NUMBER_PATTERN.findall(sentence) != NUMBER_PATTERN.findall(derived[claim_id]):
            yield VerificationCheck(claim_id, "wrong", sentence, derived[claim_id], "page")


def _displays_equal(reported: object, derived: object, unit: str) -> bool:
    """Whether two numbers read the same in a report."""
    if _dump_json(reported) == _dump_json(derived):
        return True
    numbers = [
        number for number in (reported, derived) if isinstance(number, int | float) and not isinstance(number, bool)
    ]
    if len(numbers) < 2:
        return False
    try:
        if not all(math.isfinite(number) for number in numbers):
            return False
        first, second = (format_value(float(number), unit) for number in numbers)
        return first == second
    except OverflowError:
        return False


def _drop_path_parameters(notebook: Any, path_parameters: Sequence[str]) -> Any:
    """Remove the assignments of path parameters from the injected cells of a notebook, in place."""
    assignment = re.compile(rf'(?:{"|".join(path_parameters)}) = "(?:[^"\\]|\\.)*"')
    for cell in notebook["cells"]:
        if "injected-parameters" in cell["metadata"].get("tags", ()):
            lines = "".join(cell["source"]).splitlines()
            cell["source"] = [line for line in lines if not assignment.fullmatch(line)]
    return notebook


def _find_json_difference(reported: Any, derived: Any, path: str = "") -> tuple[str, str] | None:
    """Return the first difference between two JSON contents, with its path on both sides; None where there is none."""
    if isinstance(reported, dict) and isinstance(derived, dict):
        names = dict.fromkeys([*derived, *reported])
        pairs = [(name, reported.get(name, "missing"), derived.get(name, "missing")) for name in names]
    elif isinstance(reported, list) and isinstance(derived, list) and len(reported) == len(derived):
        pairs = [(str(index), *pair) for index, pair in enumerate(zip(reported, derived, strict=True))]
    elif _dump_json(reported) == _dump_json(derived):
        return None
    else:
        return f"{path}: {_quote(reported)}", f"{path}: {_quote(derived)}"
    for name, reported_value, derived_value in pairs:
        difference = _find_json_difference(reported_value, derived_value, f"{path}/{name}")
        if difference:
            return difference
    return None


def _format_claim(claim: ClaimRecord) -> str:
    return f"{claim.get('value')} | {claim.get('sentence')}"


def _dump_json(content: object) -> str:
    try:
        return json.dumps(content, sort_keys=True)
    except RecursionError:
        return "nested too deep"


def _quote(content: object) -> str:
    return content if isinstance(content, str) else _dump_json(content)[: 2 * MAX_QUOTED_CHARS]
