"""What stands beside the audits of a store: events, targets, ratings, the taxonomy."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from rca_lib.audits.demo import demo_store
from rca_lib.audits.engine import open_engine
from rca_lib.audits.mapping import read_mapping
from rca_lib.audits.periods import Period
from rca_lib.audits.side_tables import SideTables, is_stored, read_notes, read_side_tables, read_stored
from rca_lib.audits.tables import EVENTS, RATINGS, TARGETS, columns, fits_pattern, parse_scope
from rca_lib.audits.taxonomy_file import Taxonomy, read_taxonomy
from rca_lib.findings import DataError

RATINGS_INDEX = "ratings.json"


def read_events(store: Path | str = "", *, site: str | None = None) -> pd.DataFrame:
    """Read the events of a store, those that concern a site only where one is named: a row per event, by start.

    Raises
    ------
    DataError
        If the folder is not a store, or a file that was put there by hand is at fault.
    """
    events = _read_table(find_store(store), "events", columns(EVENTS, "required"))
    events = events.reindex(columns=list(dict.fromkeys([*events.columns, "end", "scope", "visibility"])))
    for name in ("start", "end"):
        moments = pd.to_datetime(events[name], utc=True, format="ISO8601")
        events[name] = moments.dt.tz_localize(None)
    if site is not None:
        events = events[of_site(events, site)]
    return events.sort_values(["start", "event_id"], ignore_index=True)


def read_targets(store: Path | str = "") -> pd.DataFrame:
    """Read the targets of a store: a row per metric and scope.

    Raises
    ------
    DataError
        If the folder is not a store, or a file that was put there by hand is at fault.
    """
    return _read_table(find_store(store), "targets", ("scope", *columns(TARGETS, "required")))


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
    engine = open_engine(folders=[store]).register("ratings", ratings)
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
    return pd.Series([fits_pattern(site, parse_scope(scope).get("site", site)) for scope in table["scope"]], dtype=bool)


def open_side_tables(store: Path | str = "") -> SideTables:
    """Open what the intake noted of the side tables of a store: warnings and repairs; the tables are left empty.

    Raises
    ------
    DataError
        If the folder is not a store, or the notes are damaged.
    """
    return read_notes(find_store(store))


def find_store(store: Path | str) -> Path:
    """Return the folder of a store; that of the synthetic audits where it is empty.

    Raises
    ------
    DataError
        If there is no such folder, or it is not a store: with the store that is probably meant.
    """
    if not store:
        return demo_store()
    folder = Path(store)
    if (folder / "ledger.json").is_file():
        return folder
    near = [folder / "_audits", *(parent / name for parent in folder.parents[:3] for name in ("_audits", ""))]
    meant = next((path for path in near if (path / "ledger.json").is_file()), None)
    hint = f"name the store: {meant}" if meant else "take a file in first; `rca run` keeps its store in BATCH/_audits"
    if not folder.exists():
        raise DataError(f"there is no folder {folder}", mend=hint)
    if folder.is_file():
        raise DataError(f"{folder} is a file, not a store of audits", mend=hint)
    what = "is not a store of audits: it has no ledger.json" if any(folder.iterdir()) else "is empty"
    raise DataError(f"the folder {folder} {what}", mend=hint)


def _read_table(store: Path, name: str, needed: Sequence[str]) -> pd.DataFrame:
    file = store / f"{name}.csv"
    if not file.exists():
        return pd.DataFrame({column: pd.Series(dtype="str") for column in needed})
    table = _read_file(file, file.stat().st_mtime_ns).copy()
    return table if "scope" in table or "scope" not in needed else table.assign(scope=None)


@lru_cache(maxsize=8)
def _read_file(file: Path, changed: int) -> pd.DataFrame:
    if is_stored(file):
        table = read_stored(file)
    else:  # put there by hand
        mapping = file.parent / "mapping.yml"
        tables = read_side_tables({file.stem: file}, read_mapping(mapping if mapping.exists() else None))
        table = tables.frames[file.stem].reset_index(drop=True)
        texts = [name for name in table if table[name].dtype == object]
        table = table.astype(dict.fromkeys(texts, "str"))  # as a stored table is read
    for name in ("contract", "realistic", "stretch", "min_audits", "share"):
        if name in table:
            table[name] = pd.to_numeric(table[name])
    return table
