# Tested in tests/intake/test_side_tables.py.
"""The tables of a store beside its audits: events, targets, ratings, taxonomy."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import narwhals as nw
import pandas as pd

from rca_lib.audits.counting import collect
from rca_lib.audits.periods import Period
from rca_lib.audits.schema import EVENTS, RATINGS, TARGETS, list_columns, matches_pattern, parse_scope
from rca_lib.audits.taxonomy import Taxonomy, read_taxonomy
from rca_lib.findings import DataError
from rca_lib.intake.column_mapping import read_mapping
from rca_lib.intake.side_tables import SideTables, is_store_file, read_notes, read_side_tables, read_stored_table
from rca_lib.io.duckdb_connection import connect_duckdb, quote_literal
from rca_lib.simulation.demo import DEMO_STORE, create_demo_store

RATINGS_INDEX = "ratings.json"
NUMERIC_COLUMNS = ("contract", "realistic", "stretch", "min_audits", "share")  # of events and targets


def read_events(store: Path | str, *, site: str | None = None) -> pd.DataFrame:
    """Read the events of a store.

    Parameters
    ----------
    store
        The folder that `ingest` wrote, or "demo" for the simulated audits.
    site
        Only events whose scope includes this site; None for all events.

    Returns
    -------
    pandas.DataFrame
        One row per event, ordered by start. `start` and `end` are timestamps in UTC without a zone.

    Raises
    ------
    DataError
        If the folder is not a store, or a file that was added by hand is invalid.
    """
    events = _read_stored_table(resolve_store(store), "events", list_columns(EVENTS, "required"))
    events = events.reindex(columns=list(dict.fromkeys([*events.columns, "end", "scope", "visibility"])))
    for name in ("start", "end"):
        events[name] = pd.to_datetime(events[name], utc=True, format="ISO8601").dt.tz_localize(None)
    if site is not None:
        events = events[match_site_scope(events, site)]
    return events.sort_values(["start", "event_id"], ignore_index=True)


def read_targets(store: Path | str) -> pd.DataFrame:
    """Read the targets of a store.

    Parameters
    ----------
    store
        The folder that `ingest` wrote, or "demo" for the simulated audits.

    Returns
    -------
    pandas.DataFrame
        One row per metric and scope; targets are shares between 0 and 1.

    Raises
    ------
    DataError
        If the folder is not a store, or a file that was added by hand is invalid.
    """
    return _read_stored_table(resolve_store(store), "targets", ("scope", *list_columns(TARGETS, "required")))


def read_known_events(store: Path, site: str, period: Period) -> pd.DataFrame:
    """Return the events of a site that start before the end of a period."""
    events = read_events(store, site=site)
    return events[~(events["start"] >= pd.Timestamp(period.end))].reset_index(drop=True)


def select_targets(targets: pd.DataFrame, site: str, period: Period) -> pd.DataFrame:
    """Return the targets of a site that are in force when a period starts."""
    is_selected = match_site_scope(targets, site)
    start = pd.Timestamp(period.start)
    for name, compare in (("valid_from", pd.Series.le), ("valid_to", pd.Series.ge)):
        if name in targets:
            limit = pd.to_datetime(targets[name])
            is_selected = (limit.isna() | compare(limit, start)) & is_selected
    return targets[is_selected].reset_index(drop=True)


def read_item_ratings(store: Path, audits: Any) -> pd.DataFrame:
    """Return the ratings of the items in some audits."""
    ratings = _read_stored_table(store, "ratings", list_columns(RATINGS, "required"))
    if ratings.empty:
        return ratings
    items = collect(nw.from_native(audits).lazy().select("item_id").unique())["item_id"]
    return ratings[ratings["item_id"].isin(items)].reset_index(drop=True)


def write_ratings_index(store: Path) -> None:
    """Write the hash of the ratings of each site and month into a store, for `compute_fingerprint`.

    Parameters
    ----------
    store
        The folder of the store. Call this whenever its ratings or its audits have changed.

    Raises
    ------
    DataError
        If ratings that were added by hand are invalid.
    """
    ratings = _read_stored_table(store, "ratings", list_columns(RATINGS, "required"))
    index = store / RATINGS_INDEX
    index.unlink(missing_ok=True)
    if ratings.empty:
        return
    connection = connect_duckdb(folders=[store]).register("ratings", ratings)
    scan = build_parquet_scan([*store.glob("site=*/month=*/audits.parquet")], option="filename = 'file'")
    rows = connection.execute(
        f"with items as (select distinct file, item_id from {scan}) "
        "select file, sha256(string_agg(ratings::varchar, chr(10) order by ratings::varchar)) "
        "from items join ratings using (item_id) group by file"
    ).fetchall()
    hashes = {str(Path(file).parent.relative_to(store)): digest for file, digest in rows}
    index.write_text(json.dumps(hashes, indent=1, sort_keys=True), encoding="utf-8")


def read_store_taxonomy(store: Path) -> Taxonomy:
    """Read the taxonomy of a store; the default taxonomy if it has none."""
    file = store / "taxonomy.yml"
    return read_taxonomy(file if file.exists() else None)


def build_parquet_scan(files: Sequence[Path], *, option: str = "filename = false") -> str:
    """Return the SQL that reads Parquet files as one table.

    Parameters
    ----------
    files
        The files.
    option
        A further option of DuckDB's `read_parquet`.

    Returns
    -------
    str
        A call of `read_parquet` for the from clause.
    """
    paths = ", ".join(quote_literal(str(file)) for file in files)
    return f"read_parquet([{paths}], hive_partitioning = false, {option})"


def match_site_scope(table: pd.DataFrame, site: str) -> pd.Series:
    """Return for each row of a table whether its scope includes a site."""
    is_included = [matches_pattern(site, parse_scope(scope).get("site", site)) for scope in table["scope"]]
    return pd.Series(is_included, dtype=bool)


def open_side_tables(store: Path | str) -> SideTables:
    """Open the warnings and repairs of the side tables of a store.

    Parameters
    ----------
    store
        The folder that `ingest` wrote, or "demo" for the simulated audits.

    Returns
    -------
    SideTables
        The notes, and frames that have the right number of rows and no columns.

    Raises
    ------
    DataError
        If the folder is not a store, or the notes are damaged.
    """
    return read_notes(resolve_store(store))


def resolve_store(store: Path | str) -> Path:
    """Return the folder of a store.

    Parameters
    ----------
    store
        The folder that `ingest` wrote, or "demo" for the simulated audits. `./demo` is a folder of that name.

    Returns
    -------
    pathlib.Path
        The folder, which has a ledger.

    Raises
    ------
    DataError
        If no store is named, there is no such folder, or it is not a store. The hint names the store that is
        probably meant.
    """
    if store == "":
        hint = f'name the folder of the store, or "{DEMO_STORE}" for the simulated audits'
        raise DataError("no store of audits is named", hint=hint)
    if store == DEMO_STORE:
        return create_demo_store()
    folder = Path(store)
    if (folder / "ledger.json").is_file():
        return folder
    candidates = [folder / "_audits", *(parent / name for parent in folder.parents[:3] for name in ("_audits", ""))]
    nearest = next((path for path in candidates if (path / "ledger.json").is_file()), None)
    hint = "ingest a file first; `rca run` keeps its store in BATCH/_audits"
    if nearest:
        hint = f"open the store instead: {nearest}"
    if not folder.exists():
        raise DataError(f"there is no folder {folder}", hint=hint)
    if folder.is_file():
        raise DataError(f"{folder} is a file, not a store of audits", hint=hint)
    problem = "is not a store of audits: it has no ledger.json" if any(folder.iterdir()) else "is empty"
    raise DataError(f"the folder {folder} {problem}", hint=hint)


def _read_stored_table(store: Path, name: str, required: Sequence[str]) -> pd.DataFrame:
    """Read a table of a store; an empty table with the required columns if there is none."""
    file = store / f"{name}.csv"
    if not file.exists():
        return pd.DataFrame({column: pd.Series(dtype="str") for column in required})
    table = _read_cached_table(file, file.stat().st_mtime_ns).copy()
    return table if "scope" in table or "scope" not in required else table.assign(scope=None)


@lru_cache(maxsize=8)
def _read_cached_table(file: Path, _mtime_ns: int) -> pd.DataFrame:
    """Read a table of a store; the modification time only identifies the cached result."""
    if is_store_file(file):
        table = read_stored_table(file)
    else:  # the file was added by hand
        mapping = file.parent / "mapping.yml"
        tables = read_side_tables({file.stem: file}, read_mapping(mapping if mapping.exists() else None))
        table = tables.frames[file.stem].reset_index(drop=True)
        texts = [name for name in table if table[name].dtype == object]
        table = table.astype(dict.fromkeys(texts, "str"))  # the type of text in a stored table
    for name in NUMERIC_COLUMNS:
        if name in table:
            table[name] = pd.to_numeric(table[name])
    return table
