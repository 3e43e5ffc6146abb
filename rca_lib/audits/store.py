"""The store that intake writes, and the case that a deep dive opens in it.

A store is a folder: `site=<site>/month=<YYYY-MM>/audits.parquet`, the ledger of the intake, and the tables that go
with the audits (events, targets, ratings). A case is opened by building the paths of one site's months, so that its
cost does not depend on how much else the store holds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache, lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote

import duckdb
import pandas as pd

from rca_lib.audits.counting import column_names, keep_proportional
from rca_lib.audits.intake import take_in
from rca_lib.audits.ledger import Ledger, read_ledger
from rca_lib.audits.periods import Period, parse_period, period_of, periods_before
from rca_lib.audits.tables import DIMENSIONS, EVENTS, RATINGS, TARGETS, columns, folder_name, parse_scope
from rca_lib.audits.taxonomy_file import Taxonomy, read_taxonomy
from rca_lib.findings import DataError, join_words

HISTORY_DAYS = 730


@dataclass(frozen=True, slots=True)
class Case:
    """The audits of one site and period, and what they are compared with.

    `current` and `baseline` hold the first-round audits of the proportional streams (a row per audit) of the period and
    of the earlier periods it is compared with; `history` the same from up to two years before to the period's end.
    `sample` and `sample_before` hold every stream and round. `baseline` and `sample_before` are None where nothing came
    before. `ratings` are those of the overlap sample on items of the sample. The other tables are DuckDB relations:
    count them, do not fetch them.
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

    @property
    def benign(self) -> tuple[str, ...]:
        """The labels that mean "no violation", as the mapping declares them."""
        return tuple(self.ledger.benign)

    @property
    def compared_with(self) -> str:
        """The baseline in words."""
        return join_words(self.baseline_periods) if self.baseline_periods else "no earlier period"


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
    folder = Path(store) if store else demo_store()
    covered = parse_period(period)
    files = _month_files(folder, site, covered)
    engine = duckdb.connect()
    days = _days_with_audits(engine, files)
    if not any(covered.start <= day < covered.end for day in days):
        raise DataError(f"no audits of {site} in {period}", column="day", mend=f"it has {_span(days)}")
    before = periods_before(covered, days, baseline_periods)
    sample = _between(engine, files, covered.start, covered.end)
    sample_before = _between(engine, files, before[0].start, before[-1].end) if before else None
    history = _between(engine, files, covered.end - timedelta(days=HISTORY_DAYS), covered.end)
    return Case(
        site=site,
        period=covered,
        baseline_periods=tuple(part.name for part in before),
        current=keep_proportional(sample),
        baseline=keep_proportional(sample_before) if before else None,
        history=keep_proportional(history),
        sample=sample,
        sample_before=sample_before,
        ratings=_ratings_of(folder, sample),
        events=_events_until(folder, site, covered),
        targets=_targets_of(read_targets(folder), site, covered),
        taxonomy=_taxonomy_of(folder),
        dimensions=tuple(dimensions) or tuple(name for name in DIMENSIONS if name in column_names(sample)),
        ledger=read_ledger(folder),
        fingerprint=fingerprint(folder, site, period),
    )


def list_sites(store: Path) -> tuple[str, ...]:
    """Return the sites a store holds, in order."""
    return tuple(sorted(unquote(folder.name.removeprefix("site=")) for folder in store.glob("site=*")))


def list_periods(store: Path, site: str, kind: str = "month") -> tuple[str, ...]:
    """Return the periods of a kind in which a site has audits, in order."""
    files = sorted((store / f"site={folder_name(site)}").glob("month=*/audits.parquet"))
    if kind == "month":
        return tuple(file.parent.name.removeprefix("month=") for file in files)
    days = _days_with_audits(duckdb.connect(), files)
    return tuple(period.name for period in sorted({period_of(day, kind) for day in days}))


def open_store(store: Path | str = "") -> Any:
    """Open all audits of a store as one table, for questions across sites; synthetic audits where it is empty."""
    folder = Path(store) if store else demo_store()
    files = sorted(folder.glob("site=*/month=*/audits.parquet"))
    return duckdb.connect().sql(f"select * from {_scan(files)}")


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
    folder = Path(store) if store else demo_store()
    chosen = tuple(sites) or list_sites(folder)
    known = {parse_period(name) for name in periods or (name for site in chosen for name in list_periods(folder, site))}
    last = max(known, default=None)
    files = [file for site in chosen for file in (_month_files(folder, site, last) if last else ())]
    if not files:
        raise DataError("no audits", column="day", mend="name sites and periods that the store holds")
    sample = _between(duckdb.connect(), files, last.start, last.end)
    if not sample.limit(1).fetchall():
        raise DataError(f"no audits in {last.name}", column="day", mend="name periods that the store holds")
    ratings = _ratings_of(folder, sample)
    if len(chosen) > 1:
        home = sample.select("item_id, site").distinct().df().drop_duplicates("item_id").set_index("item_id")["site"]
        named = ratings["item_id"].map(home) + " " + ratings["rater"]
        ratings = ratings.assign(rater=named.where(_roles(ratings) == "rater", ratings["rater"]))
        sample = sample.select("* replace (site || ' ' || rater as rater)")
    return sample, ratings


def open_ledger(store: Path | str = "") -> Ledger:
    """Read what the intake of a store did with every row; of the synthetic audits where it is empty."""
    return read_ledger(Path(store) if store else demo_store())


def read_events(store: Path | str = "", *, site: str | None = None) -> pd.DataFrame:
    """Read the events of a store, those that concern a site only where one is named: a row per event, by start."""
    events = _read_table(Path(store) if store else demo_store(), "events", columns(EVENTS, "required"))
    events = events.reindex(columns=list(dict.fromkeys([*events.columns, "end", "scope", "visibility"])))
    events["start"], events["end"] = pd.to_datetime(events["start"]), pd.to_datetime(events["end"])
    if site is not None:
        events = events[_of_site(events, site)]
    return events.sort_values(["start", "event_id"], ignore_index=True)


def read_targets(store: Path | str = "") -> pd.DataFrame:
    """Read the targets of a store: a row per metric and scope."""
    return _read_table(Path(store) if store else demo_store(), "targets", ("scope", *columns(TARGETS, "required")))


def fingerprint(store: Path, site: str, period: str) -> str:
    """Return a SHA-256 over all that a report of the site and period reads, and nothing else.

    That is the audits of its months, how labels are to be read, its targets, the events before its end, the ratings,
    and the taxonomy; not from which export they came, nor what else that held.
    """
    covered, digest = parse_period(period), hashlib.sha256()
    files = _month_files(store, site, covered)
    files += [file for file in (store / "ratings.csv", store / "taxonomy.yml") if file.exists()]
    for file in files:
        digest.update(file.relative_to(store).as_posix().encode() + b"\0" + _hash_file(file, file.stat().st_mtime_ns))
    ledger = read_ledger(store)
    read = [(name, getattr(ledger, name)) for name in ("label_scale", "label_order", "benign", "time_zone", "columns")]
    tables = _events_until(store, site, covered), _targets_of(read_targets(store), site, covered)
    digest.update(json.dumps([read, *(table.to_csv(index=False) for table in tables)]).encode())
    return digest.hexdigest()


@lru_cache(maxsize=16)
def _hash_file(file: Path, changed: int) -> bytes:
    return hashlib.sha256(file.read_bytes()).digest()


def _events_until(store: Path, site: str, period: Period) -> pd.DataFrame:
    """Read the events that a report can know of."""
    events = read_events(store, site=site)
    return events[~(events["start"] >= pd.Timestamp(period.end))].reset_index(drop=True)


def demo_store() -> Path:
    """Return a store of the demo's synthetic audits, made once per process and gone with it."""
    return Path(_make_demo_store().name)


@cache
def _make_demo_store() -> TemporaryDirectory[str]:
    from rca_lib.audits.synthetic import demo_simulation, write_simulation  # real audits have no use for it

    folder = TemporaryDirectory(prefix="rca-demo-")
    with TemporaryDirectory(prefix="rca-export-") as export:
        write_simulation(demo_simulation(), Path(export))
        take_in(Path(export) / "audits.csv", Path(folder.name))
        for name in ("events", "targets", "ratings"):
            (Path(folder.name) / f"{name}.csv").write_bytes((Path(export) / f"{name}.csv").read_bytes())
    return folder


def _month_files(store: Path, site: str, period: Period) -> list[Path]:
    folder = store / f"site={folder_name(site)}"
    if not folder.is_dir():
        known = join_words(list_sites(store)) or "none"
        raise DataError(f"no site {site!r} in the audits", column="site", mend=f"choose among {known}")
    first = f"{period.end - timedelta(days=HISTORY_DAYS):%Y-%m}"
    last = f"{period.end - timedelta(days=1):%Y-%m}"
    months = sorted(folder.glob("month=*/audits.parquet"))
    return [file for file in months if first <= file.parent.name.removeprefix("month=") <= last]


def _days_with_audits(engine: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> list[date]:
    if not files:
        return []
    return [row[0] for row in engine.sql(f"select distinct day from {_scan(files)} order by day").fetchall()]


def _between(engine: duckdb.DuckDBPyConnection, files: Sequence[Path], start: date, end: date) -> Any:
    return engine.sql(f"select * from {_scan(files)} where day >= date '{start}' and day < date '{end}'")


def _scan(files: Sequence[Path]) -> str:
    paths = ", ".join("'" + str(file).replace("'", "''") + "'" for file in files)
    return f"read_parquet([{paths}], hive_partitioning = false)"


def _ratings_of(store: Path, sample: Any) -> pd.DataFrame:
    ratings = _read_table(store, "ratings", columns(RATINGS, "required"))
    if ratings.empty:
        return ratings
    items = sample.select("item_id").distinct().df()["item_id"]
    return ratings[ratings["item_id"].isin(items)].reset_index(drop=True)


def _roles(ratings: pd.DataFrame) -> pd.Series:
    return ratings["role"].fillna("rater") if "role" in ratings else pd.Series("rater", ratings.index)


def _targets_of(targets: pd.DataFrame, site: str, period: Period) -> pd.DataFrame:
    fits = _of_site(targets, site)
    for name, in_force in (("valid_from", pd.Series.le), ("valid_to", pd.Series.ge)):
        if name in targets:
            limit = pd.to_datetime(targets[name])
            fits = (limit.isna() | in_force(limit, pd.Timestamp(period.start))) & fits
    return targets[fits].reset_index(drop=True)


def _of_site(table: pd.DataFrame, site: str) -> pd.Series:
    return pd.Series([parse_scope(scope).get("site", site) == site for scope in table["scope"]], dtype=bool)


def _taxonomy_of(store: Path) -> Taxonomy:
    file = store / "taxonomy.yml"
    return read_taxonomy(file if file.exists() else None)


def _read_table(store: Path, name: str, needed: Sequence[str]) -> pd.DataFrame:
    file = store / f"{name}.csv"
    if not file.exists():
        return pd.DataFrame({column: pd.Series(dtype="str") for column in needed})
    table = _read_csv(file, file.stat().st_mtime_ns).copy()
    missing = [column for column in needed if column not in table and column != "scope"]
    if missing:
        raise DataError(
            f"{name}.csv has no column {missing[0]!r}", column=missing[0], mend="see the tables in README.md"
        )
    if "scope" in needed and "scope" not in table:
        table["scope"] = None
    return table


@lru_cache(maxsize=8)
def _read_csv(file: Path, changed: int) -> pd.DataFrame:
    table = pd.read_csv(file, dtype=dict.fromkeys(("item_id", "rater", "label"), "str"))
    for column in table.select_dtypes("str"):  # white space is nobody's name: the intake takes it off audits, too
        table[column] = table[column].str.strip().replace("", None)
    return table


def _span(days: Sequence[date]) -> str:
    return f"audits from {days[0]} to {days[-1]}" if days else "none before"
