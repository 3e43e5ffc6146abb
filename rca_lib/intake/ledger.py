# Tested in tests/intake/test_ingest.py.
"""The ledger of an export: what happened to every row that was read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from rca_lib.findings import DataError, Finding, Rate, format_count, format_value
from rca_lib.result import Result

if TYPE_CHECKING:
    from pydantic import TypeAdapter

IntakeKind = Literal["warning"]

MAX_QUARANTINED_SHARE = 0.05  # share of quarantined rows above which the ledger warns
SITE_DIFFERENCE_ALPHA = 0.01  # significance level of the test whether sites differ in their share of quarantined rows
SPELLING_DIFFERENCE = "label and truth differ only in spelling"
CONFIRMATION_HINT = "correct it in the mapping, or remove it under assumed once it is confirmed"
MAX_ERROR_CHARS = 200  # characters of an error text in a message


@dataclass(frozen=True, slots=True)
class Ledger(Result):
    """What happened to every row of a source: rows_read = kept + quarantined + exact_duplicates + empty, always.

    Attributes
    ----------
    source, sha256
        The name and the SHA-256 of the source.
    rows_read, kept, quarantined, exact_duplicates, empty
        Numbers of rows.
    repairs
        Pairs of a repair and the number of rows.
    reasons
        Per reason for quarantine: reason, rows, first source row, suggestion. The first reason of a row counts.
    by_site
        Per site: site, kept rows, quarantined rows.
    not_available
        Pairs of a missing column and the purpose that it serves.
    label_scale, label_order, benign, time_zone
        How to read the audits, as the mapping declares it.
    columns, sites, months
        What the kept audits have.
    row_status_counts
        Per site, status and reason: site, status, reason or repair, rows, first source row, suggestion.
    site
        The site that the ledger is restricted to; "" if it is not restricted.
    quarantine_p_value
        In a restricted ledger, the p-value of a larger share of quarantined rows at this site than at the others.
    notes
        Sentences for a person to review, with the number of rows and a suggestion.
    first_future_date
        The first instant, in UTC, at which a row that is quarantined for a future date would have none any more.
    last_kept_date
        The last date of a kept row.
    synthetic
        Whether the audits are simulated. Every page made from them then says so.
    assumed
        What the mapping assumes and no person has confirmed, such as "time_zone: UTC".
    """

    source: str
    sha256: str
    rows_read: int
    kept: int
    quarantined: int
    exact_duplicates: int
    empty: int
    repairs: tuple[tuple[str, int], ...] = ()
    reasons: tuple[tuple[str, int, int, str], ...] = ()
    by_site: tuple[tuple[str, int, int], ...] = ()
    not_available: tuple[tuple[str, str], ...] = ()
    label_scale: str = "nominal"
    label_order: tuple[str, ...] = ()
    benign: tuple[str, ...] = ("benign",)
    time_zone: str = "UTC"
    columns: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    months: tuple[str, ...] = ()
    row_status_counts: tuple[tuple[str, str, str, int, int, str], ...] = ()
    site: str = ""
    quarantine_p_value: float | None = None
    notes: tuple[tuple[str, int, str], ...] = ()
    first_future_date: str = ""
    last_kept_date: str = ""
    synthetic: bool = False
    assumed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        accounted = self.kept + self.quarantined + self.exact_duplicates + self.empty
        if accounted != self.rows_read:
            raise DataError(
                f"{self.source}: {self.rows_read:,} rows read, but {accounted:,} accounted for",
                hint="do not use this store; ingest the file again",
            )

    def is_valid_at(self, now: datetime | None) -> bool:
        """Tell whether an ingestion at another moment would find the same dates in the future.

        Parameters
        ----------
        now
            The moment; without a zone it is UTC.

        Returns
        -------
        bool
            True also if no moment is given.
        """
        if now is None:
            return True
        moment = (now.astimezone(UTC) if now.tzinfo else now).replace(tzinfo=None)
        first_future = datetime.fromisoformat(self.first_future_date) if self.first_future_date else None
        last_kept = datetime.fromisoformat(self.last_kept_date) if self.last_kept_date else None
        return (first_future is None or moment < first_future) and (last_kept is None or last_kept <= moment)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per status, reason, repair, note and assumption.

        Returns
        -------
        DataFrame
            `fate`, `detail`, `rows`, `first_row`, `suggestion`.
        """
        rows: list[tuple[object, ...]] = [("kept", "", self.kept, None, "")]
        rows += [("quarantined", reason, count, first, suggestion) for reason, count, first, suggestion in self.reasons]
        rows += [("exact duplicate", "", self.exact_duplicates, None, ""), ("empty", "", self.empty, None, "")]
        rows += [("repaired", repair, count, None, "") for repair, count in self.repairs]
        rows += [("noted", note, count, None, suggestion) for note, count, suggestion in self.notes]
        rows += [("assumed", text, self.rows_read, None, CONFIRMATION_HINT) for text in self.assumed]
        frame = pd.DataFrame(rows, columns=["fate", "detail", "rows", "first_row", "suggestion"])
        return frame.astype({"first_row": "Int64"})

    def summary(self) -> str:
        """Return the number of rows by status, and the main reason for quarantine."""
        of_site = f" of {self.site}" if self.site else ""
        text = (
            f"{format_count(self.rows_read, 'row')}{of_site} read from {self.source}: {self.kept:,} kept, "
            f"{self.quarantined:,} quarantined, {format_count(self.exact_duplicates, 'exact duplicate')}, "
            f"{self.empty:,} empty."
        )
        if not self.reasons:
            return text
        reason, count, *_ = self.reasons[0]
        return f"{text} Main reason for quarantine: {reason} ({count:,})."

    def findings(self) -> tuple[Finding[IntakeKind], ...]:
        """Return warnings: much quarantine (over 5% of rows), sites that differ in it, assumptions, notes, spellings.

        Returns
        -------
        tuple of Finding
            Sites differ if a chi-square test of the shares of quarantined rows gives p < 0.01.
        """
        sentences = [f"Assumed, not confirmed: {'; '.join(self.assumed)}."] if self.assumed else []
        sentences += [
            f"{note[:1].upper()}{note[1:]} ({format_count(rows, 'row')}); {suggestion}."
            for note, rows, suggestion in self.notes
        ]
        sentences += [
            f"{repair} in {format_count(rows, 'row')}; both are read as the same label."
            for repair, rows in self.repairs
            if repair == SPELLING_DIFFERENCE
        ]
        notes: list[Finding[IntakeKind]] = [Finding("intake", "warning", sentence, "shown") for sentence in sentences]
        return (*self._find_much_quarantine(), *self._find_site_difference(), *notes)

    def _find_much_quarantine(self) -> tuple[Finding[IntakeKind], ...]:
        """Return a warning if more than 5% of the rows are quarantined."""
        audits = self.kept + self.quarantined
        if not audits or self.quarantined / audits <= MAX_QUARANTINED_SHARE:
            return ()
        from statsmodels.stats.proportion import proportion_confint  # takes 0.5 s to import, and is rarely needed

        low, high = proportion_confint(self.quarantined, audits, method="wilson")
        rate = Rate(self.quarantined, audits, self.quarantined / audits, float(low), float(high))
        reason = f", most often for this reason: {self.reasons[0][0]}" if self.reasons else ""
        sentence = f"{format_value(rate.value, '%')} of the rows were quarantined{reason}."
        return (Finding("intake", "warning", sentence, "shown", rate, "quarantined"),)

    def _find_site_difference(self) -> tuple[Finding[IntakeKind], ...]:
        """Return a warning if sites differ in their share of quarantined rows."""
        if self.quarantine_p_value is not None and self.quarantine_p_value < SITE_DIFFERENCE_ALPHA:
            share = format_value(self.quarantined / (self.kept + self.quarantined), "%")
            sentence = f"{share} of the rows of {self.site} were quarantined, more than in the rest of the export."
            return (Finding("intake", "warning", sentence, "shown", p_value=self.quarantine_p_value),)
        sites = [row for row in self.by_site if row[0]]
        table = [(kept, quarantined) for _, kept, quarantined in sites if kept + quarantined]
        if len(table) < 2:
            return ()
        p_value = _compute_chi_square_p_value(table)
        if p_value is None or p_value >= SITE_DIFFERENCE_ALPHA:
            return ()
        site, kept, quarantined = max(sites, key=lambda row: row[2] / max(row[1] + row[2], 1))
        share = format_value(quarantined / (kept + quarantined), "%")
        sentence = f"Sites differ in their share of quarantined rows. The highest share is {share} in {site}."
        return (Finding("intake", "warning", sentence, "shown", where={"site": site}, p_value=p_value),)

    def compute_quarantine_p_value(self, site: str) -> float | None:
        """Return the p-value of a larger share of quarantined rows at a site than at all others together.

        Parameters
        ----------
        site
            The site.

        Returns
        -------
        float or None
            The p-value of a chi-square test with Yates's correction. None if the share is not larger, or there is no
            other site.
        """
        own = [(kept, quarantined) for name, kept, quarantined in self.by_site if name == site]
        others = [(kept, quarantined) for name, kept, quarantined in self.by_site if name and name != site]
        if not own or not others:
            return None
        table = [own[0], (sum(kept for kept, _ in others), sum(quarantined for _, quarantined in others))]
        own_share, other_share = (quarantined / max(kept + quarantined, 1) for kept, quarantined in table)
        if own_share <= other_share:
            return None
        return _compute_chi_square_p_value(table)

    def to_dict(self) -> dict[str, Any]:
        """Return the ledger as it is written to ledger.json."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Ledger:
        """Return the ledger of a dict that `to_dict` returned; types and the sum of rows are checked again.

        Raises
        ------
        ValueError
            If a value has another type.
        """
        return _ledger_adapter().validate_json(json.dumps(content), strict=True)


def _compute_chi_square_p_value(table: Iterable[tuple[int, int]]) -> float | None:
    """Return the p-value of a chi-square test of independence; None if a column of the table sums to 0."""
    table = list(table)
    if not all(map(sum, zip(*table, strict=True))):
        return None
    from scipy.stats import chi2_contingency  # slow to import, and rarely needed

    return float(chi2_contingency(table).pvalue)


@cache
def _ledger_adapter() -> TypeAdapter[Ledger]:
    """Return the adapter that validates the types of a ledger."""
    from pydantic import TypeAdapter  # slow to import, and rarely needed

    return TypeAdapter(Ledger)


def read_ledger(store: Path) -> Ledger:
    """Read the ledger of a store.

    Parameters
    ----------
    store
        The folder of the store.

    Returns
    -------
    Ledger
        The ledger.

    Raises
    ------
    DataError
        If there is no ledger, it is damaged, or its rows do not add up.
    """
    path = Path(store) / "ledger.json"
    try:
        return Ledger.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise DataError(f"{Path(store).name} has no ledger", hint="ingest a file first") from None
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        problem = " ".join(str(error).split())[:MAX_ERROR_CHARS]
        raise DataError(f"{path.name} is damaged: {problem}", hint="ingest the file again") from None
