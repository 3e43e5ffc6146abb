# Tested in tests/store/test_cases.py.
"""The content of a store: its sites, periods, months and days with audits.

A store is a folder with one file per site and month: `site=<site>/month=<YYYY-MM>/audits.parquet`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path

import duckdb

from rca_lib.audits.periods import CADENCE_MONTHS, Coverage, Frequency, Period, compute_recent_coverage, get_period
from rca_lib.findings import DataError
from rca_lib.io.duckdb_connection import connect_duckdb
from rca_lib.io.folder_names import find_folder, read_folder_name
from rca_lib.store.stored_tables import build_parquet_scan, resolve_store

HISTORY_DAYS = 730  # days of audits before the end of a period that a report may use


def list_sites(store: Path) -> tuple[str, ...]:
    """Return the sites of a store, sorted."""
    return tuple(sorted(read_folder_name(folder, "site=") for folder in store.glob("site=*")))


def list_periods(store: Path, site: str, kind: Frequency = "month") -> tuple[str, ...]:
    """Return the periods in which a site has audits, sorted.

    Parameters
    ----------
    store
        The folder of the store.
    site
        The site as the audits spell it.
    kind
        The kind of period: month, quarter or week.

    Returns
    -------
    tuple of str
        The names of the periods; empty if the store does not have the site.
    """
    files = sorted(find_folder(store, site, "site=").glob("month=*/audits.parquet"))
    if kind == "month":
        return tuple(get_month(file) for file in files)
    days = list_audit_days(connect_duckdb(folders=[store]), files)
    return tuple(period.name for period in sorted({get_period(day, kind) for day in days}))


def read_coverage(store: Path | str) -> Coverage:
    """Read which days the audits of a store cover, all sites together.

    Parameters
    ----------
    store
        The folder that `ingest` wrote, or "demo" for the simulated audits.

    Returns
    -------
    Coverage
        The first and the last day with audits, and the cadence of the days with audits in the last months.

    Raises
    ------
    DataError
        If the folder is not a store, or has no audits.
    """
    folder = resolve_store(store)
    return _compute_coverage(folder, read_modification_times(folder, "ledger.json"))


@lru_cache(maxsize=64)
def _compute_coverage(folder: Path, _mtimes_ns: tuple[int, ...]) -> Coverage:
    """Return the coverage of a store; the modification times only identify the cached result."""
    files = list_audit_files(folder)
    if not files:
        raise DataError("no audits", column="day", hint="read the ledger of the store")
    months = sorted({get_month(file) for file in files})
    needed_months = {months[0], *months[-CADENCE_MONTHS:]}
    needed_files = [file for file in files if get_month(file) in needed_months]
    return compute_recent_coverage(list_audit_days(connect_duckdb(files=files), needed_files))


def read_modification_times(store: Path, *names: str) -> tuple[int, ...]:
    """Return the modification times of files of a store in ns; 0 for a file that does not exist."""
    return tuple((store / name).stat().st_mtime_ns if (store / name).exists() else 0 for name in names)


def list_audit_files(store: Path) -> list[Path]:
    """Return the files of all sites and months, sorted."""
    return sorted(store.glob("site=*/month=*/audits.parquet"))


def get_month(file: Path) -> str:
    """Return the month of a file of audits, such as 2026-03."""
    return file.parent.name.removeprefix("month=")


def list_month_files(store: Path, site: str, period: Period) -> list[Path]:
    """Return the files of a site that a report on a period may use: up to two years before its end.

    Raises
    ------
    DataError
        If the store does not have the site.
    """
    folder = find_folder(store, site, "site=")
    if not folder.is_dir():
        # The hint names no site: it may be shown in the report of another one.
        hint = "spell it as the audits do; open_ledger(store).sites lists all sites"
        raise DataError(f"no site {site!r} in the audits", column="site", hint=hint)
    first_month = f"{period.end - timedelta(days=HISTORY_DAYS):%Y-%m}"
    last_month = f"{period.end - timedelta(days=1):%Y-%m}"
    files = sorted(folder.glob("month=*/audits.parquet"))
    return [file for file in files if first_month <= get_month(file) <= last_month]


def list_audit_days(connection: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> list[date]:
    """Return the days with audits in some files, sorted."""
    if not files:
        return []
    rows = connection.sql(f"select distinct day from {build_parquet_scan(files)} order by day").fetchall()
    return [day for (day,) in rows]
