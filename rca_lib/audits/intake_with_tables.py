"""Taking audits in together with all that belongs to them: mapping, taxonomy and side tables."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping as Pairs
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from rca_lib.audits.intake import take_in
from rca_lib.audits.ledger import Ledger
from rca_lib.audits.mapping import Mapping, read_mapping
from rca_lib.audits.side_tables import SideTables, read_side_tables
from rca_lib.audits.table_fit import fit_side_tables
from rca_lib.audits.taxonomy_file import read_taxonomy


def read_beside(files: Pairs[str, Path]) -> tuple[Mapping, SideTables]:
    """Read and validate all that belongs to audits, before they are taken in.

    Parameters
    ----------
    files
        Files by what they are: mapping, taxonomy, events, targets, ratings, population; any may be missing.

    Raises
    ------
    DataError
        If the mapping or the taxonomy is at fault; a `SideTableError` with all faults of the side tables.
    """
    mapping = read_mapping(files.get("mapping"))
    if "taxonomy" in files:
        read_taxonomy(files["taxonomy"])
    return mapping, read_side_tables(files, mapping)


def take_in_with(
    source: Path,
    store: Path | None,
    tables: SideTables,
    mapping: Mapping,
    now: datetime | None,
    on_judged: Callable[[duckdb.DuckDBPyConnection], None] = lambda _: None,
    base: Path | None = None,
) -> tuple[Ledger, SideTables]:
    """Take audits in, and hold their side tables against them.

    Parameters
    ----------
    source, store, mapping, now, on_judged, base
        As for `take_in`; without a store nothing is written.
    tables
        The side tables; their population gives missing weights.

    Returns
    -------
    Ledger, SideTables
        What became of every row, and the side tables with the warnings of `fit_side_tables`.

    Raises
    ------
    DataError
        As `take_in` and `fit_side_tables`.
    """
    fitted: list[SideTables] = []

    def look(engine: duckdb.DuckDBPyConnection) -> None:
        on_judged(engine)
        fitted.append(fit_side_tables(engine, tables, mapping))

    with TemporaryDirectory(prefix="rca-tables-") as folder:
        population = Path(folder) / "population.csv" if "population" in tables.frames else None
        if population:
            tables.frames["population"].to_csv(population, index=False)
        told = {"mapping": mapping, "population": population, "now": now, "base": base}
        ledger = take_in(source, store, **told, on_judged=look)
    return ledger, fitted[0]
