"""What stands beside the audits of a store: events, targets, ratings, the taxonomy."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from rca_lib.audits.demo import demo_store
from rca_lib.audits.periods import Period
from rca_lib.audits.tables import EVENTS, RATINGS, TARGETS, columns, parse_scope
from rca_lib.audits.taxonomy_file import Taxonomy, read_taxonomy
from rca_lib.findings import DataError

RATINGS_INDEX = "ratings.json"


def read_events(store: Path | str = "", *, site: str | None = None) -> pd.DataFrame:
    """Read the events of a store, those that concern a site only where one is named: a row per event, by start."""
    events = _read_table(Path(store) if store else demo_store(), "events", columns(EVENTS, "required"))
    events = events.reindex(columns=list(dict.fromkeys([*events.columns, "end", "scope", "visibility"])))
    events["start"], events["end"] = pd.to_datetime(events["start"]), pd.to_datetime(events["end"])
    if site is not None:
        events = events[of_site(events, site)]
    return events.sort_values(["start", "event_id"], ignore_index=True)


def read_targets(store: Path | str = "") -> pd.DataFrame:
    """Read the targets of a store: a row per metric and scope."""
    return _read_table(Path(store) if store else demo_store(), "targets", ("scope", *columns(TARGETS, "required")))


def read_events_until(store: Path, site: str, period: Period) -> pd.DataFrame:
    """Read the events that a report can know of."""
    events = read_events(store, site=site)
    return events[~(events["start"] >= pd.Timestamp(period.end))].reset_index(drop=True)


def select_targets(targets: pd.DataFrame, site: str, period: Period) -> pd.DataFrame:
    """Keep the targets of a site that are in force when a period starts."""
    fits = of_site(targets, site)
    for name, in_force in (("valid_from", pd.Series.le), ("valid_to", pd.Series.ge)):
        if name in targets:
            limit = pd.to_datetime(targets[name])
            fits = (limit.isna() | in_force(limit, pd.Timestamp(period.start))) & fits
    return targets[fits].reset_index(drop=True)


def read_ratings_of(store: Path, sample: Any) -> pd.DataFrame:
    """Read the ratings of the items of some audits."""
    ratings = _read_table(store, "ratings", columns(RATINGS, "required"))
    if ratings.empty:
        return ratings
    items = sample.select("item_id").distinct().df()["item_id"]
    return ratings[ratings["item_id"].isin(items)].reset_index(drop=True)


def index_ratings(store: Path) -> None:
    """Note in a store the hash of the ratings of each site's and month's items, for `fingerprint`.

    Call it when the ratings of a store or its audits have changed.
    """
    ratings, index = _read_table(store, "ratings", columns(RATINGS, "required")), store / RATINGS_INDEX
    index.unlink(missing_ok=True)
    if ratings.empty:
        return
    engine = duckdb.connect().register("ratings", ratings)
    scan = scan_parquet([*store.glob("site=*/month=*/audits.parquet")], told="filename = 'file'")
    found = engine.execute(
        f"with items as (select distinct file, item_id from {scan}) "
        "select file, sha256(string_agg(ratings::varchar, chr(10) order by ratings::varchar)) "
        "from items join ratings using (item_id) group by file"
    )
    hashes = {str(Path(name).parent.relative_to(store)): digest for name, digest in found.fetchall()}
    index.write_text(json.dumps(hashes, indent=1, sort_keys=True), encoding="utf-8")


def read_taxonomy_of(store: Path) -> Taxonomy:
    """Read the taxonomy of a store, the project's own where it has none."""
    file = store / "taxonomy.yml"
    return read_taxonomy(file if file.exists() else None)


def scan_parquet(files: Sequence[Path], *, told: str = "filename = false") -> str:
    """Return the SQL that reads Parquet files as one table; `told` is a further option of DuckDB's."""
    paths = ", ".join("'" + str(file).replace("'", "''") + "'" for file in files)
    return f"read_parquet([{paths}], hive_partitioning = false, {told})"


def of_site(table: pd.DataFrame, site: str) -> pd.Series:
    """Tell which rows of a table have the site in their scope."""
    return pd.Series([parse_scope(scope).get("site", site) == site for scope in table["scope"]], dtype=bool)


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
