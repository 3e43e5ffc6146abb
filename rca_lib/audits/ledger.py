"""The ledger: what became of every row that was read."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from rca_lib.findings import DataError, Finding, Rate, count_noun, show

if TYPE_CHECKING:
    from pydantic import TypeAdapter

MUCH_QUARANTINED = 0.05
BY_SPELLING = "label and truth differ by spelling alone"
DIFFERENT_SITES = 0.01
# What a ledger says of the rows of one export; the rest says how the audits are to be read.
OF_THE_EXPORT = ("source", "sha256", "rows_read", "kept", "quarantined", "exact_duplicates", "empty", "repairs",
                 "reasons", "by_site", "fates", "site", "apart", "notes")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ledger:
    """What became of every row of a source: rows_read = kept + quarantined + exact_duplicates + empty, always.

    `repairs` are (what, rows); `reasons` are (reason, rows, first source row, suggestion), by the first reason of each
    quarantined row; `by_site` are (site, kept, quarantined); `not_available` are (missing column, what it serves);
    `fates` are (site, fate, reason, rows, first source row, suggestion). A ledger restricted to one `site` says with
    `apart` how far that site is from the rest. `notes` are (what a person should look at, rows, suggestion).
    `first_future` is the first moment, in UTC, at which a row that is quarantined for a future date has none any more;
    `last_date` the last date of a row that is kept.
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
    fates: tuple[tuple[str, str, str, int, int, str], ...] = ()
    site: str = ""
    apart: float | None = None
    notes: tuple[tuple[str, int, str], ...] = ()
    first_future: str = ""
    last_date: str = ""

    def __post_init__(self) -> None:
        accounted = self.kept + self.quarantined + self.exact_duplicates + self.empty
        if accounted != self.rows_read:
            raise DataError(
                f"{self.source}: {self.rows_read:,} rows read, but {accounted:,} accounted for",
                mend="do not use this intake; take the file in again",
            )

    def holds_at(self, now: datetime | None) -> bool:
        """Whether an intake at this moment would call the same dates future; True where no moment is given."""
        if now is None:
            return True
        moment = (now.astimezone(UTC) if now.tzinfo else now).replace(tzinfo=None)
        future, last = (datetime.fromisoformat(text) if text else None for text in (self.first_future, self.last_date))
        return (future is None or moment < future) and (last is None or last <= moment)

    def to_frame(self) -> pd.DataFrame:
        """One row per fate of rows: `fate`, `detail`, `rows`, `first_row`, `suggestion`."""
        rows = [("kept", "", self.kept, None, "")]
        rows += [("quarantined", reason, count, first, mend) for reason, count, first, mend in self.reasons]
        rows += [("exact duplicate", "", self.exact_duplicates, None, ""), ("empty", "", self.empty, None, "")]
        rows += [("repaired", what, count, None, "") for what, count in self.repairs]
        rows += [("noted", what, count, None, mend) for what, count, mend in self.notes]
        frame = pd.DataFrame(rows, columns=["fate", "detail", "rows", "first_row", "suggestion"])
        return frame.astype({"first_row": "Int64"})

    def summary(self) -> str:
        """Say what became of the rows."""
        of_site = f" of {self.site}" if self.site else ""
        text = (
            f"{count_noun(self.rows_read, 'row')}{of_site} read from {self.source}: {self.kept:,} kept, "
            f"{self.quarantined:,} quarantined, {count_noun(self.exact_duplicates, 'exact duplicate')}, "
            f"{self.empty:,} empty."
        )
        return (
            f"{text} Most often quarantined: {self.reasons[0][0]} ({self.reasons[0][1]:,})." if self.reasons else text
        )

    def findings(self) -> tuple[Finding, ...]:
        """Warn of much that is quarantined (5 % of the rows; sites differ, chi-square, p < 0.01), and of the notes."""
        found = []
        judged = self.kept + self.quarantined
        if judged and self.quarantined / judged > MUCH_QUARANTINED:
            from statsmodels.stats.proportion import proportion_confint  # half a second, and most only count rows

            low, high = proportion_confint(self.quarantined, judged, method="wilson")
            rate = Rate(self.quarantined, judged, self.quarantined / judged, float(low), float(high))
            often = f", most often: {self.reasons[0][0]}" if self.reasons else ""
            sentence = f"{show(rate.value, '%')} of the rows are quarantined{often}."
            found.append(Finding("intake", "warning", sentence, "shown", rate, "quarantined"))
        sentences = [f"{what} ({rows:,} row{'s' if rows != 1 else ''}); {mend}." for what, rows, mend in self.notes]
        sentences += [
            f"{what} in {rows:,} row{'s' if rows != 1 else ''}; they are read as the same label."
            for what, rows in self.repairs
            if what == BY_SPELLING
        ]
        notes = (Finding("intake", "warning", sentence, "shown") for sentence in sentences)
        return (*found, *self._differing_sites(), *notes)

    def _differing_sites(self) -> tuple[Finding, ...]:
        if self.apart is not None and self.apart < DIFFERENT_SITES:
            share = show(self.quarantined / (self.kept + self.quarantined), "%")
            sentence = f"{share} of the rows of {self.site} are quarantined, more than in the rest of the export."
            return (Finding("intake", "warning", sentence, "shown", p_value=self.apart),)
        table = [(kept, lost) for site, kept, lost in self.by_site if site and kept + lost]
        if len(table) < 2 or not all(map(sum, zip(*table, strict=True))):
            return ()
        from scipy.stats import chi2_contingency

        p_value = float(chi2_contingency(table).pvalue)
        if p_value >= DIFFERENT_SITES:
            return ()
        worst = max((row for row in self.by_site if row[0]), key=lambda row: row[2] / max(row[1] + row[2], 1))
        share = show(worst[2] / (worst[1] + worst[2]), "%")
        sentence = f"Sites differ in the share of rows quarantined; highest in {worst[0]} with {share}."
        return (Finding("intake", "warning", sentence, "shown", where={"site": worst[0]}, p_value=p_value),)

    def compare_site(self, site: str) -> float | None:
        """Return the p-value of a larger share of quarantined rows at a site than at all others together.

        None where its share is not larger, or there is no other site.
        """
        own = [(kept, lost) for name, kept, lost in self.by_site if name == site]
        rest = [(kept, lost) for name, kept, lost in self.by_site if name and name != site]
        if not own or not rest:
            return None
        table = [own[0], tuple(map(sum, zip(*rest, strict=True)))]
        shares = [lost / (kept + lost) if kept + lost else 0.0 for kept, lost in table]
        if shares[0] <= shares[1] or not all(map(sum, zip(*table, strict=True))):
            return None
        from scipy.stats import chi2_contingency

        return float(chi2_contingency(table).pvalue)

    def to_dict(self) -> dict[str, Any]:
        """Return the ledger as it stands in ledger.json."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Ledger:
        """Make a ledger of what `to_dict` gave; the types and the equation are checked again.

        Raises
        ------
        ValueError
            If a value has another type.
        """
        return _reader().validate_json(json.dumps(content), strict=True)


@cache
def _reader() -> TypeAdapter[Ledger]:
    from pydantic import TypeAdapter  # most only count rows

    return TypeAdapter(Ledger)


def read_ledger(store: Path) -> Ledger:
    """Read the ledger of a store.

    Raises
    ------
    DataError
        If there is none, or its rows do not add up.
    """
    path = Path(store) / "ledger.json"
    try:
        return Ledger.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise DataError(f"{Path(store).name} holds no ledger", mend="take a file in first") from None
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        told = " ".join(str(error).split())[:200]
        raise DataError(f"{path.name} is damaged: {told}", mend="take the file in again") from None
