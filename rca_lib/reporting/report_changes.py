"""What changed since the last report: page one against the previous period, and against the previous run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rca_lib.reporting.html import render_template

DATA_ROW = "Data used"  # always differs between two periods
ClaimRecords = Sequence[Mapping[str, Any]]  # the claims of claims.json


@dataclass(frozen=True, slots=True)
class ClaimChange:
    """A claim of this report and of the previous one.

    Attributes
    ----------
    section
        The row of page one.
    current, previous
        The two sentences; "" where there is no such claim.
    """

    section: str
    current: str
    previous: str


def diff_claims(current: ClaimRecords, previous: ClaimRecords) -> tuple[ClaimChange, ...]:
    """Pair the claims of two pages and return those that read differently.

    Parameters
    ----------
    current, previous
        The claims of the two pages, as stored in claims.json.

    Returns
    -------
    tuple of ClaimChange
        In the order of page one.

    Notes
    -----
    Two claims of a section form a pair where they have the same key. The function compares text only. Whether a
    difference is significant is stated by the intervals on the page.

    Examples
    --------
    >>> claim = {"id": "how-much-1", "key": "accuracy", "sentence": "Accuracy 93.0 %."}
    >>> diff_claims([claim], [claim | {"sentence": "Accuracy 94.1 %."}])
    (ClaimChange(section='How much', current='Accuracy 93.0 %.', previous='Accuracy 94.1 %.'),)
    """
    return tuple(change for change in _pair_claims(current, previous) if change.current != change.previous)


def render_changes(
    claims: ClaimRecords,
    previous_period: str,
    previous_claims: ClaimRecords | None,
    previous_run: Mapping[str, Any] | None,
) -> str:
    """Return a section of HTML with the changes since the previous period and since the previous run.

    Parameters
    ----------
    claims
        The claims of this report.
    previous_period
        The name of the previous period.
    previous_claims
        Its claims; None where it has no report.
    previous_run
        The previous run of the same period: when it `started`, its `data` hash and its `claims`. None where there is
        no such run.
    """
    against_period = None
    if previous_claims is not None:
        changes = diff_claims(claims, previous_claims)
        against_period = [change for change in changes if change.section != DATA_ROW]
    against_run = None if previous_run is None else diff_claims(claims, previous_run["claims"])
    return render_template(
        "history.html.j2",
        period=previous_period,
        against_period=against_period,
        run=previous_run,
        against_run=against_run,
    )


def _pair_claims(current: ClaimRecords, previous: ClaimRecords) -> Iterator[ClaimChange]:
    sections = dict.fromkeys(_get_section(claim) for claim in (*current, *previous))
    for section in sections:
        sentences = _index_sentences(current, section)
        previous_sentences = _index_sentences(previous, section)
        for key in dict.fromkeys([*sentences, *previous_sentences]):
            yield ClaimChange(section, sentences.get(key, ""), previous_sentences.get(key, ""))


def _index_sentences(claims: ClaimRecords, section: str) -> dict[tuple[str, int], str]:
    """Return the sentences of a section by key; claims of the same key are numbered in their order."""
    sentences: dict[tuple[str, int], str] = {}
    for claim in claims:
        if _get_section(claim) == section:
            key = claim.get("key", claim["id"])  # reports of the first versions have no keys
            number = sum(known_key == key for known_key, _ in sentences)
            sentences[key, number] = claim["sentence"]
    return sentences


def _get_section(claim: Mapping[str, Any]) -> str:
    return claim["id"].rpartition("-")[0].replace("-", " ").capitalize()
