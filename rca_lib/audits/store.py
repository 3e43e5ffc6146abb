"""The store that intake writes, and the case that a deep dive opens in it.

A store is a folder: `site=<site>/month=<YYYY-MM>/audits.parquet`, the ledger of the intake, and the tables that go
with the audits (events, targets, ratings). A case is opened by building the paths of one site's months, so that its
cost does not depend on how much else the store holds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from rca_lib.audits.beside import (
    RATINGS_INDEX,
    find_store,
    of_site,
    read_events,
    read_events_until,
    read_ratings_of,
    read_targets,
    read_taxonomy_of,
    scan_parquet,
    select_targets,
)
from rca_lib.audits.counting import column_names, keep_proportional
from rca_lib.audits.engine import open_engine
from rca_lib.audits.folders import find_folder, read_name
from rca_lib.audits.ledger import Ledger, read_ledger
from rca_lib.audits.partners import keep_visible, restrict_ledger
from rca_lib.audits.periods import Coverage, Period, cover_days, parse_period, period_of, periods_before
from rca_lib.audits.tables import DIMENSIONS
from rca_lib.audits.taxonomy_file import Taxonomy
from rca_lib.findings import DataError, join_words, show

HISTORY_DAYS = 730
RHYTHM_MONTHS = 3  # the last ones of a store, whose days with audits tell the rhythm


@dataclass(frozen=True, slots=True)
class Case:
    """The audits of one site and period, and what they are compared with.

    `current` and `baseline` hold the first-round audits of the proportional streams (a row per audit) of the period and
    of the earlier periods it is compared with; `history` the same from up to two years before to the period's end.
    `sample` and `sample_before` hold every stream and round. `baseline` and `sample_before` are None where nothing came
    before. `ratings` are those of the overlap sample on items of the sample. The other tables are DuckDB relations:
    count them, do not fetch them. `coverage` is how far the audits of all sites of the store reach, as far as it
    concerns these periods (None: not known, every period counts as complete).
    """

    site: str
    period: Period
    baseline_periods: tuple[str, ...]
    current: Any
    baseline: Any
    history: Any
    sample: Any
    sample_before: Any
    ratings: pd.DataFrame
    events: pd.DataFrame
    targets: pd.DataFrame
    taxonomy: Taxonomy
    dimensions: tuple[str, ...]
    ledger: Ledger
    fingerprint: str
    coverage: Coverage | None = None

    @property
    def benign(self) -> tuple[str, ...]:
        """The labels that mean "no violation", as the mapping declares them."""
        return tuple(self.ledger.benign)

    @property
    def compared_with(self) -> str:
        """The baseline in words, and where its audits begin if that is inside it."""
        if not self.baseline_periods:
            return "no earlier period"
        named, first = join_words(self.baseline_periods), parse_period(self.baseline_periods[0])
        begins = self.coverage is not None and self.coverage.begins_inside(first)
        return f"{named} (audits from {show(self.coverage.first.isoformat(), 'date')} on)" if begins else named


def open_case(
    store: Path | str = "",
    *,
    site: str,
    period: str,
    baseline_periods: int = 1,
    dimensions: Sequence[str] = (),
) -> Case:
    """Open the audits of one site and period.

    Parameters
    ----------
    store
        The folder that `take_in` wrote; synthetic audits where it is empty.
    site, period
        The site as the audits spell it; a month, quarter or week by name.
    baseline_periods
        How many earlier periods with audits to compare with.
    dimensions
        The columns to search for slices; the usual ones that the audits have where none is named.

    Raises
    ------
    DataError
        If the store does not hold the site, or no audits of the period.

    Examples
    --------
    >>> case = open_case(site="lisbon", period="2026-03")
    >>> case.compared_with
    '2026-02'
    """
    folder = find_store(store)
    covered = parse_period(period)
    files = _month_files(folder, site, covered)
    engine = open_engine(folders=[folder])
    days = _days_with_audits(engine, files)
    if not any(covered.start <= day < covered.end for day in days):
        raise DataError(f"no audits of {site} in {period}", column="day", mend=f"it has {_span(days)}")
    before = periods_before(covered, days, baseline_periods)
    sample = _between(engine, files, covered.start, covered.end)
    sample_before = _between(engine, files, before[0].start, before[-1].end) if before else None
    history = _between(engine, files, covered.end - timedelta(days=HISTORY_DAYS), covered.end)
    vendors = _list_vendors(history)
    return Case(
        site=site,
        period=covered,
        baseline_periods=tuple(part.name for part in before),
        current=keep_proportional(sample),
        baseline=keep_proportional(sample_before) if before else None,
        history=keep_proportional(history, like=sample),
        sample=sample,
        sample_before=sample_before,
        ratings=read_ratings_of(folder, sample),
        events=keep_visible(read_events_until(folder, site, covered), site, vendors),
        targets=keep_visible(select_targets(read_targets(folder), site, covered), site, vendors),
        taxonomy=read_taxonomy_of(folder),
        dimensions=tuple(dimensions) or tuple(name for name in DIMENSIONS if name in column_names(sample)),
        ledger=restrict_ledger(read_ledger(folder), site, list_periods(folder, site)),
        fingerprint=fingerprint(folder, site, period),
        coverage=read_coverage(folder).within(before[0] if before else covered, covered),
    )


def list_sites(store: Path) -> tuple[str, ...]:
    """Return the sites a store holds, in order."""
    return tuple(sorted(read_name(folder, "site=") for folder in store.glob("site=*")))


def list_periods(store: Path, site: str, kind: str = "month") -> tuple[str, ...]:
    """Return the periods of a kind in which a site has audits, in order."""
    files = sorted(find_folder(store, site, "site=").glob("month=*/audits.parquet"))
    if kind == "month":
        return tuple(file.parent.name.removeprefix("month=") for file in files)
    days = _days_with_audits(open_engine(folders=[store]), files)
    return tuple(period.name for period in sorted({period_of(day, kind) for day in days}))


def read_coverage(store: Path | str = "") -> Coverage:
    """Tell how far the audits of a store reach, all sites together; of the synthetic audits where it is empty.

    Returns
    -------
    Coverage
        The first and the last day with audits, and the rhythm of the days with audits in the last months.
    """
    folder = find_store(store)
    return _cover(folder, *_when_changed(folder, "ledger.json"))


@lru_cache(maxsize=64)
def _cover(folder: Path, changed: int) -> Coverage:
    files = sorted(folder.glob("site=*/month=*/audits.parquet"))
    if not files:
        raise DataError("no audits", column="day", mend="look at the ledger of the intake")
    months = sorted({file.parent.name for file in files})
    wanted = {months[0], *months[-RHYTHM_MONTHS:]}
    days = _days_with_audits(open_engine(files=files), [file for file in files if file.parent.name in wanted])
    recent = [day for day in days if f"month={day:%Y-%m}" in months[-RHYTHM_MONTHS:]]
    return replace(cover_days(recent), first=days[0])


def open_store(store: Path | str = "") -> Any:
    """Open all audits of a store as one table, for questions across sites; synthetic audits where it is empty.

    Raises
    ------
    DataError
        If the folder is not a store, or its audits are gone.
    """
    folder = find_store(store)
    files = sorted(folder.glob("site=*/month=*/audits.parquet"))
    if not files:
        raise DataError(f"the store {folder} holds no audits", mend="take the file in again")
    return open_engine(folders=[folder]).sql(f"select * from {scan_parquet(files)}")


def open_calibration(
    store: Path | str = "", *, sites: Sequence[str] = (), periods: Sequence[str] = ()
) -> tuple[Any, pd.DataFrame]:
    """Open what is needed to look at truth and auditors: the audits of all sites in one period, and overlap ratings.

    Parameters
    ----------
    store
        The folder that `take_in` wrote; synthetic audits where it is empty.
    sites, periods
        All sites where none is named; the last period of those named, else the last month with audits.

    Returns
    -------
    relation, DataFrame
        The audits, every stream and round, raters named with their site where there are several; the ratings of their
        items.
    """
    folder = find_store(store)
    chosen = tuple(sites) or list_sites(folder)
    known = {parse_period(name) for name in periods or (name for site in chosen for name in list_periods(folder, site))}
    last = max(known, default=None)
    files = [file for site in chosen for file in (_month_files(folder, site, last) if last else ())]
    if not files:
        raise DataError("no audits", column="day", mend="name sites and periods that the store holds")
    sample = _between(open_engine(folders=[folder]), files, last.start, last.end)
    if not sample.limit(1).fetchall():
        raise DataError(f"no audits in {last.name}", column="day", mend="name periods that the store holds")
    ratings = read_ratings_of(folder, sample)
    if len(chosen) > 1:
        home = sample.select("item_id, site").distinct().df().drop_duplicates("item_id").set_index("item_id")["site"]
        named = ratings["item_id"].map(home) + " " + ratings["rater"]
        ratings = ratings.assign(rater=named.where(_roles(ratings) == "rater", ratings["rater"]))
        sample = sample.select("* replace (site || ' ' || rater as rater)")
    return sample, ratings


def open_ledger(store: Path | str = "") -> Ledger:
    """Read what the intake of a store did with every row; of the synthetic audits where it is empty."""
    return read_ledger(find_store(store))


def fingerprint(store: Path, site: str, period: str) -> str:
    """Return a SHA-256 over all that a report of the site and period reads, and nothing else.

    That is the audits of its months, how labels are to be read, its targets, the events before its end, the ratings,
    the taxonomy, and how far the audits of all sites reach where they begin or end inside its periods; not from which
    export they came, nor what else that held.
    """
    covered, digest = parse_period(period), hashlib.sha256()
    months, index = _month_files(store, site, covered), store / RATINGS_INDEX
    rated = json.loads(index.read_text(encoding="utf-8")) if index.exists() else {}
    whole = [store / "taxonomy.yml"] if rated else [store / "taxonomy.yml", store / "ratings.csv"]
    for file in [*months, *(file for file in whole if file.exists())]:
        digest.update(file.relative_to(store).as_posix().encode() + b"\0" + _hash_file(file, file.stat().st_mtime_ns))
    read = _write_settings(store, site, _when_changed(store, "ledger.json", "events.csv", "targets.csv"))
    events = [line for start, line in read[1] if not start >= pd.Timestamp(covered.end)]
    ratings = [rated.get(str(file.parent.relative_to(store))) for file in months]
    reach = _tell_coverage(read_coverage(store), covered, months)
    digest.update(json.dumps([read[0], events, ratings, reach]).encode())
    return digest.hexdigest()


def _tell_coverage(coverage: Coverage, period: Period, months: Sequence[Path]) -> list[str]:
    """Write down how far the audits reach, as far as it can matter to a report: nothing else makes it run again."""
    last = str(coverage.last) if coverage.ends_inside(period) else ""
    begun = max(str(coverage.first), f"{months[0].parent.name.removeprefix('month=')}-01") if months else ""
    return [begun, last]


@lru_cache(maxsize=1024)
def _write_settings(
    store: Path, site: str, changed: tuple[int, ...]
) -> tuple[tuple[str, ...], list[tuple[pd.Timestamp, str]]]:
    """Write down how labels are to be read and the targets of a site; and its events, each with its start."""
    ledger, targets, events = read_ledger(store), read_targets(store), read_events(store, site=site)
    settings = [getattr(ledger, name) for name in ("label_scale", "label_order", "benign", "time_zone", "columns")]
    lines = zip(events["start"], map(str, events.astype(str).to_numpy().tolist()), strict=True)
    return (json.dumps(settings), targets[of_site(targets, site)].to_csv(index=False)), list(lines)


def _when_changed(store: Path, *names: str) -> tuple[int, ...]:
    return tuple((store / name).stat().st_mtime_ns if (store / name).exists() else 0 for name in names)


@lru_cache(maxsize=4096)
def _hash_file(file: Path, changed: int) -> bytes:
    return hashlib.sha256(file.read_bytes()).digest()


def _month_files(store: Path, site: str, period: Period) -> list[Path]:
    folder = find_folder(store, site, "site=")
    if not folder.is_dir():
        mend = "spell it as the audits do; open_ledger(store).sites names them"  # here: it may stand in a site's report
        raise DataError(f"no site {site!r} in the audits", column="site", mend=mend)
    first = f"{period.end - timedelta(days=HISTORY_DAYS):%Y-%m}"
    last = f"{period.end - timedelta(days=1):%Y-%m}"
    months = sorted(folder.glob("month=*/audits.parquet"))
    return [file for file in months if first <= file.parent.name.removeprefix("month=") <= last]


def _days_with_audits(engine: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> list[date]:
    if not files:
        return []
    return [row[0] for row in engine.sql(f"select distinct day from {scan_parquet(files)} order by day").fetchall()]


def _between(engine: duckdb.DuckDBPyConnection, files: Sequence[Path], start: date, end: date) -> Any:
    return engine.sql(f"select * from {scan_parquet(files)} where day >= date '{start}' and day < date '{end}'")


def _list_vendors(audits: Any) -> tuple[str, ...]:
    if "vendor" not in column_names(audits):
        return ()
    return tuple(name for (name,) in audits.select("vendor").distinct().fetchall() if name is not None)


def _roles(ratings: pd.DataFrame) -> pd.Series:
    return ratings["role"].fillna("rater") if "role" in ratings else pd.Series("rater", ratings.index)


def _span(days: Sequence[date]) -> str:
    return f"audits from {days[0]} to {days[-1]}" if days else "none before"
