"""Opening a store: the audits of one site and period with all that belongs to them, or all audits at once.

A case is opened through the paths of the months of one site. Its cost does not depend on the size of the store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from rca_lib.audits.counting import column_names, keep_proportional
from rca_lib.audits.periods import Coverage, Period, list_previous_periods, parse_period
from rca_lib.audits.schema import DIMENSIONS, parse_scope
from rca_lib.audits.taxonomy import Taxonomy
from rca_lib.findings import DataError, format_value, join_words
from rca_lib.intake.ledger import Ledger, read_ledger
from rca_lib.io.duckdb_connection import connect_duckdb
from rca_lib.store.audit_frames import read_audit_frame, select_days
from rca_lib.store.catalog import (
    HISTORY_DAYS,
    list_audit_days,
    list_audit_files,
    list_month_files,
    list_periods,
    list_sites,
    read_coverage,
)
from rca_lib.store.fingerprint import compute_fingerprint
from rca_lib.store.stored_tables import (
    build_parquet_scan,
    read_item_ratings,
    read_known_events,
    read_store_taxonomy,
    read_targets,
    resolve_store,
    select_targets,
)
from rca_lib.store.visibility import filter_visible, restrict_ledger


@dataclass(frozen=True, slots=True)
class Case:
    """The audits of one site and period, and the audits that they are compared with.

    Attributes
    ----------
    site, period
        The site and the period.
    baseline_periods
        The names of the earlier periods that it is compared with.
    current, baseline, history
        First-round audits of the proportional streams, one row per audit: of the period, of the earlier periods, and
        of the two years before the end of the period. `baseline` is None if there are no earlier audits.
    all_audits, baseline_all_audits
        The audits of every stream and round: of the period, and of the earlier periods (None if there are none).
    ratings
        The overlap ratings of the audited items.
    events, targets
        The events and targets of the site that its report may show.
    taxonomy
        The taxonomy of the store.
    dimensions
        The columns to search for slices.
    ledger
        The ledger, restricted to the site.
    fingerprint
        The SHA-256 of everything that a report on the case reads.
    coverage
        The days that the audits of all sites cover, as far as these periods are concerned. None: not known; every
        period counts as complete.

    Notes
    -----
    `history` is a DuckDB relation, which may hold millions of rows: count it instead of fetching it. The other audits
    are pandas frames with the columns of the schema, the dimensions, the columns that scopes of events and targets
    name, and all others with few values. Text is categorical. `comment` is there for errors only.
    """

    site: str
    period: Period
    baseline_periods: tuple[str, ...]
    current: Any
    baseline: Any
    history: Any
    all_audits: Any
    baseline_all_audits: Any
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
        """The names of the baseline periods, and the first day with audits if it is inside the baseline."""
        if not self.baseline_periods:
            return "no earlier period"
        names = join_words(self.baseline_periods)
        first_period = parse_period(self.baseline_periods[0])
        if self.coverage is None or not self.coverage.begins_within(first_period):
            return names
        return f"{names} (audits from {format_value(self.coverage.first.isoformat(), 'date')} on)"


def open_case(
    store: Path | str,
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
        The folder that `ingest` wrote, or "demo" for the simulated audits.
    site, period
        The site as the audits spell it; the name of a month, quarter or week.
    baseline_periods
        The number of earlier periods with audits to compare with.
    dimensions
        The columns to search for slices; the default ones that the audits have if it is empty.

    Returns
    -------
    Case
        The audits of the period and of its baseline, with events, targets, ratings, taxonomy and ledger.

    Raises
    ------
    DataError
        If the folder is not a store, or has no audits of the site and period.

    Examples
    --------
    >>> case = open_case("demo", site="lisbon", period="2026-03")
    >>> case.compared_with
    '2026-02'
    """
    folder = resolve_store(store)
    covered = parse_period(period)
    files = list_month_files(folder, site, covered)
    connection = connect_duckdb(folders=[folder])
    days = list_audit_days(connection, files)
    if not any(covered.start <= day < covered.end for day in days):
        raise DataError(f"no audits of {site} in {period}", column="day", hint=f"it has {_format_span(days)}")
    previous = list_previous_periods(covered, days, baseline_periods)
    history = select_days(connection, files, covered.end - timedelta(days=HISTORY_DAYS), covered.end)
    events, targets = _read_visible_tables(folder, site, covered, _list_vendors(history))
    audits = select_days(connection, files, previous[0].start if previous else covered.start, covered.end)
    frame = read_audit_frame(audits, {*dimensions, *_list_scope_columns(events), *_list_scope_columns(targets)})
    all_audits = _keep_days(frame, covered.start, covered.end)
    baseline_all_audits = _keep_days(frame, previous[0].start, previous[-1].end) if previous else None
    return Case(
        site=site,
        period=covered,
        baseline_periods=tuple(previous_period.name for previous_period in previous),
        current=keep_proportional(all_audits),
        baseline=keep_proportional(baseline_all_audits) if previous else None,
        history=keep_proportional(history, reference=all_audits),
        all_audits=all_audits,
        baseline_all_audits=baseline_all_audits,
        ratings=read_item_ratings(folder, all_audits),
        events=events,
        targets=targets,
        taxonomy=read_store_taxonomy(folder),
        dimensions=tuple(dimensions) or tuple(name for name in DIMENSIONS if name in all_audits),
        ledger=restrict_ledger(read_ledger(folder), site, list_periods(folder, site)),
        fingerprint=compute_fingerprint(folder, site, period),
        coverage=read_coverage(folder).clip_to(previous[0] if previous else covered, covered),
    )


def open_store(store: Path | str) -> Any:
    """Open all audits of a store as one table, for questions across sites.

    Parameters
    ----------
    store
        The folder that `ingest` wrote, or "demo" for the simulated audits.

    Returns
    -------
    duckdb.DuckDBPyRelation
        One row per audit, of every site, stream and round.

    Raises
    ------
    DataError
        If the folder is not a store, or its audits are missing.
    """
    folder = resolve_store(store)
    files = list_audit_files(folder)
    if not files:
        raise DataError(f"the store {folder} has no audits", hint="ingest the file again")
    return connect_duckdb(folders=[folder]).sql(f"select * from {build_parquet_scan(files)}")


def open_calibration(
    store: Path | str, *, sites: Sequence[str] = (), periods: Sequence[str] = ()
) -> tuple[Any, pd.DataFrame]:
    """Open what the review of truth and auditors needs: the audits of all sites in one period, and overlap ratings.

    Parameters
    ----------
    store
        The folder that `ingest` wrote, or "demo" for the simulated audits.
    sites
        The sites; all sites if it is empty.
    periods
        The last of these periods is opened; the last month with audits if it is empty.

    Returns
    -------
    relation, DataFrame
        The audits of every stream and round, and the ratings of their items. With several sites the names of raters
        begin with their site.

    Raises
    ------
    DataError
        If the folder is not a store, or has no audits of the sites and the period.
    """
    folder = resolve_store(store)
    chosen_sites = tuple(sites) or list_sites(folder)
    period_names = periods or [name for site in chosen_sites for name in list_periods(folder, site)]
    period = max({parse_period(name) for name in period_names}, default=None)
    files = [file for site in chosen_sites for file in list_month_files(folder, site, period)] if period else []
    if period is None or not files:
        raise DataError("no audits", column="day", hint="name sites and periods that the store has")
    audits = select_days(connect_duckdb(folders=[folder]), files, period.start, period.end)
    if not audits.limit(1).fetchall():
        raise DataError(f"no audits in {period.name}", column="day", hint="name periods that the store has")
    ratings = read_item_ratings(folder, audits)
    if len(chosen_sites) > 1:
        ratings = _add_site_to_raters(ratings, audits)
        audits = audits.select("* replace (site || ' ' || rater as rater)")
    return audits, ratings


def _add_site_to_raters(ratings: pd.DataFrame, audits: Any) -> pd.DataFrame:
    """Put the site of the item in front of the names of raters; other roles keep their names."""
    items = audits.select("item_id, site").distinct().df().drop_duplicates("item_id")
    site_by_item = items.set_index("item_id")["site"]
    names = ratings["item_id"].map(site_by_item) + " " + ratings["rater"]
    roles = ratings["role"].fillna("rater") if "role" in ratings else pd.Series("rater", ratings.index)
    return ratings.assign(rater=names.where(roles == "rater", ratings["rater"]))


def open_ledger(store: Path | str) -> Ledger:
    """Read the ledger of a store: what happened to every row of the export.

    Parameters
    ----------
    store
        The folder that `ingest` wrote, or "demo" for the simulated audits.

    Returns
    -------
    Ledger
        The ledger.

    Raises
    ------
    DataError
        If the folder is not a store, or the ledger is damaged.
    """
    return read_ledger(resolve_store(store))


def _read_visible_tables(
    store: Path, site: str, period: Period, vendors: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the events and the targets of a site that its report may show."""
    events = read_known_events(store, site, period)
    targets = select_targets(read_targets(store), site, period)
    return filter_visible(events, site, vendors), filter_visible(targets, site, vendors)


def _keep_days(audits: pd.DataFrame, start: date, end: date) -> pd.DataFrame:
    """Return the audits from `start` to the day before `end`."""
    is_selected = audits["day"].between(pd.Timestamp(start), pd.Timestamp(end), inclusive="left")
    return audits[is_selected].reset_index(drop=True)


def _list_scope_columns(table: pd.DataFrame) -> set[str]:
    """Return the columns that the scopes of events or targets name."""
    return {name for scope in table["scope"] for name in parse_scope(scope)}


def _list_vendors(audits: Any) -> tuple[str, ...]:
    """Return the vendors in some audits."""
    if "vendor" not in column_names(audits):
        return ()
    return tuple(name for (name,) in audits.select("vendor").distinct().fetchall() if name is not None)


def _format_span(days: Sequence[date]) -> str:
    """Return the first and last day with audits in words."""
    return f"audits from {days[0]} to {days[-1]}" if days else "no audits up to this period"
