"""The intakes of a store over time: which ledger was in force when a report was made.

A report stays valid when its export grows, as long as the rows of its own site and period do not change. Its page one
still states the counts of the export it was made from. The store therefore keeps the ledger of every intake.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rca_lib.audits.ledger import Ledger, read_ledger
from rca_lib.findings import DataError

INTAKES = "intakes.json"
# How the audits are to be read; the rest of a ledger tells of one export.
SETTINGS = ("label_scale", "label_order", "benign", "time_zone", "columns")


@dataclass(frozen=True, slots=True)
class Intake:
    """One intake: when it was `taken`, its ledger, and the `now` after which a date lay in the future, if any."""

    taken: datetime
    ledger: Ledger
    now: datetime | None = None


def record_intake(store: Path, earlier: Path, ledger: Ledger, now: datetime | None) -> None:
    """Write the intakes of a store into it: those of the `earlier` store that it replaces, then its own.

    Parameters
    ----------
    store
        The new store.
    earlier
        The store that it takes the place of; it need not exist.
    ledger
        The ledger of the new intake.
    now
        The moment after which dates were taken as lying in the future; None where they were not checked.
    """
    try:
        known = list(read_intakes(earlier))
    except DataError:  # there was no store, or its record is damaged
        known = []
    if not known or known[-1].ledger != ledger:
        known.append(Intake(datetime.now(UTC), ledger, now))
    rows = [
        {
            "taken": intake.taken.isoformat(timespec="seconds"),
            "now": intake.now and intake.now.isoformat(),
            "ledger": intake.ledger.to_dict(),
        }
        for intake in known
    ]
    (store / INTAKES).write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_intakes(store: Path) -> tuple[Intake, ...]:
    """Return the intakes of a store in order of time; the present one alone where the store keeps no record.

    Raises
    ------
    DataError
        If the store has no ledger, or the record is damaged.
    """
    file = store / INTAKES
    if not file.exists():
        ledger = read_ledger(store)
        return (Intake(datetime.fromtimestamp((store / "ledger.json").stat().st_mtime, UTC), ledger),)
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
        intakes = [_read_intake(row) for row in rows]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as problem:
        told = " ".join(str(problem).split())[:200]
        raise DataError(f"{INTAKES} is damaged: {told}", mend="take the audits in again") from None
    return tuple(intakes)


def find_intake(intakes: tuple[Intake, ...], moment: datetime) -> Intake | None:
    """Return the intake that was the latest at a moment, None where the record begins later.

    Examples
    --------
    >>> find_intake((), datetime(2026, 3, 9, tzinfo=UTC)) is None
    True
    """
    before = [intake for intake in intakes if intake.taken.replace(microsecond=0) <= moment]
    return before[-1] if before else None


def _read_intake(row: dict[str, Any]) -> Intake:
    taken, now = datetime.fromisoformat(row["taken"]), row["now"] and datetime.fromisoformat(row["now"])
    if taken.tzinfo is None or (now and now.tzinfo is None):
        raise ValueError("a time without its zone")
    return Intake(taken, Ledger.from_dict(row["ledger"]), now)


def replace_counts(ledger: Ledger, earlier: Ledger) -> Ledger:
    """Return a ledger with the counts of an earlier export; how the audits are to be read stays."""
    return replace(earlier, **{name: getattr(ledger, name) for name in SETTINGS})
