# Tested in tests/batch/test_batch_folder_checks.py.
"""The history of a store: the ledger of every ingestion, and thus the ledger that was in force when a report was made.

A report stays valid when its export grows, as long as the rows of its own site and period do not change. Its first page
still states the counts of the export that it was made from. The store therefore keeps the ledger of every ingestion.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rca_lib.findings import DataError
from rca_lib.intake.ledger import MAX_ERROR_CHARS, Ledger, read_ledger

HISTORY_FILE = "intakes.json"
# The settings of a ledger for reading the audits; everything else in it describes one export.
LABEL_SETTINGS = ("label_scale", "label_order", "benign", "time_zone", "columns")


@dataclass(frozen=True, slots=True)
class IngestRecord:
    """One ingestion.

    Attributes
    ----------
    ingested_at
        When it was made.
    ledger
        Its ledger.
    now
        The moment after which a date lay in the future; None if dates were not checked.
    """

    ingested_at: datetime
    ledger: Ledger
    now: datetime | None = None


def record_ingest(store: Path, previous_store: Path, ledger: Ledger, now: datetime | None) -> None:
    """Write the history of a store into it: that of the store it replaces, then its own ingestion.

    Parameters
    ----------
    store
        The new store.
    previous_store
        The store that it replaces; it need not exist.
    ledger
        The ledger of the new ingestion. It is not recorded twice in a row.
    now
        The moment after which dates lay in the future; None if dates were not checked.
    """
    try:
        records = list(read_ingest_history(previous_store))
    except DataError:  # there was no store, or its history is damaged
        records = []
    if not records or records[-1].ledger != ledger:
        records.append(IngestRecord(datetime.now(UTC), ledger, now))
    rows = [
        {
            "taken": record.ingested_at.isoformat(timespec="seconds"),
            "now": record.now and record.now.isoformat(),
            "ledger": record.ledger.to_dict(),
        }
        for record in records
    ]
    (store / HISTORY_FILE).write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_ingest_history(store: Path) -> tuple[IngestRecord, ...]:
    """Read the history of a store.

    Parameters
    ----------
    store
        The folder of the store.

    Returns
    -------
    tuple of IngestRecord
        The ingestions in order of time; only the last one if the store has no history.

    Raises
    ------
    DataError
        If the store has no ledger, or the history is damaged.
    """
    file = store / HISTORY_FILE
    if not file.exists():
        ledger = read_ledger(store)
        modified_at = datetime.fromtimestamp((store / "ledger.json").stat().st_mtime, UTC)
        return (IngestRecord(modified_at, ledger),)
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
        return tuple([_parse_record(row) for row in rows])
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        problem = " ".join(str(error).split())[:MAX_ERROR_CHARS]
        raise DataError(f"{HISTORY_FILE} is damaged: {problem}", hint="ingest the audits again") from None


def find_ingest_record(records: Sequence[IngestRecord], moment: datetime) -> IngestRecord | None:
    """Return the last ingestion up to a moment; None if the history begins later.

    Examples
    --------
    >>> find_ingest_record((), datetime(2026, 3, 9, tzinfo=UTC)) is None
    True
    """
    earlier = [record for record in records if record.ingested_at.replace(microsecond=0) <= moment]
    return earlier[-1] if earlier else None


def _parse_record(row: dict[str, Any]) -> IngestRecord:
    """Return the record of a row of the file."""
    ingested_at = datetime.fromisoformat(row["taken"])
    now = row["now"] and datetime.fromisoformat(row["now"])
    if ingested_at.tzinfo is None or (now and now.tzinfo is None):
        raise ValueError("a time without a time zone")
    return IngestRecord(ingested_at, Ledger.from_dict(row["ledger"]), now)


def replace_ledger_counts(ledger: Ledger, earlier: Ledger) -> Ledger:
    """Return a ledger with the counts of an earlier export and the present settings for reading the audits."""
    return replace(earlier, **{name: getattr(ledger, name) for name in LABEL_SETTINGS})
