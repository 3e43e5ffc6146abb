"""Weights from the population: a sampled audit stands for N_h / n_h decisions of its stratum.

N_h is what the population names, n_h counts the kept first-round audits of the proportional streams (Horvitz and
Thompson 1952).
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import pandas as pd

from rca_lib.audits.engine import open_engine
from rca_lib.audits.mapping import Mapping
from rca_lib.audits.periods import parse_period
from rca_lib.audits.reading import read_source, run_file
from rca_lib.audits.tables import POPULATION, columns
from rca_lib.findings import DataError

MEND = "correct the population table"
HEAVY, FEWEST = 0.5, 10  # share of all weights of a site that one audit should not carry, among so many


def read_population(path: Path | None, work: Path) -> pd.DataFrame:
    """Read a population: a row per period, site, queue and stratum with its `decisions`; adds `start` and `end`.

    Raises
    ------
    DataError
        If a column is missing, a period is none, or a number of decisions is not above 0.
    """
    table = _read(path, work) if path else pd.DataFrame(columns=columns(POPULATION), dtype=str)
    table["decisions"] = pd.to_numeric(table["decisions"], errors="coerce")
    bad = table[~(table["decisions"] > 0)]
    if len(bad):
        first = {"source_row": int(bad.index[0]) + 2, **bad.iloc[0]}
        raise DataError("a stratum without decisions", column="decisions", rows=len(bad), first=first, mend=MEND)
    try:
        periods = [parse_period(name) for name in table["period"]]
    except ValueError as error:
        raise DataError(f"population: {error}", column="period", mend=MEND) from None
    bounds = {name: pd.to_datetime([getattr(period, name) for period in periods]) for name in ("start", "end")}
    return table.assign(**bounds)


def _read(path: Path, work: Path) -> pd.DataFrame:
    with open_engine(folders=[work], files=[path]) as engine:
        read = read_source(engine, path, Mapping(header_row=1), work)
        rows = engine.sql("select * exclude (row, rejected) from raw order by row").fetchall()
    table = pd.DataFrame(rows, columns=list(read.names)).apply(lambda cells: cells.str.strip().replace("", None))
    for name in columns(POPULATION, "required"):
        if name not in table:
            raise DataError(f"{read.name}: no column {name!r}", column=name, mend=MEND)
    return table.reindex(columns=list(columns(POPULATION)))


def add_weights(engine: duckdb.DuckDBPyConnection, population: pd.DataFrame) -> None:
    """Create the view `weighted` over `fates`: weights filled in, rows of the sample without one quarantined.

    Raises
    ------
    DataError
        If a row lies in two lines of the population, or a stratum has fewer decisions than audits.
    """
    engine.register("population", population.reset_index(names="line"))
    run_file(engine, "weighted.sql")
    twice = engine.sql("select max(line), 1 from weights group by row having count(*) > 1 limit 1").fetchall()
    _refuse("two lines of the population hold the same decisions", twice, population)
    small = engine.sql("select line, count(*) from weights where weight < 1 group by line order by line").fetchall()
    _refuse("a stratum has fewer decisions than audits", small, population)


def _refuse(problem: str, found: list[tuple[int, int]], population: pd.DataFrame) -> None:
    if found:
        first = population.loc[found[0][0], list(columns(POPULATION))].dropna().to_dict()
        raise DataError(problem, rows=found[0][1], first=first, mend=MEND)


def note_heavy_audits(engine: duckdb.DuckDBPyConnection) -> list[tuple[str, int, str]]:
    """Note the sites in which one kept audit carries more than half of all weights, among at least ten.

    Returns
    -------
    list
        What a person should look at, the rows concerned, and what to do; a note per site, by name.
    """
    found = engine.sql(
        "select site, max(weight) / sum(weight) as share, arg_max(audit_id, weight) from weighted where fate = 'kept' "
        f"and weight is not null group by site having count(*) >= {FEWEST} and share > {HEAVY} order by site"
    ).fetchall()
    mend = "check its weight in the source system: 1 / probability of being sampled"
    return [
        (f"audit {audit} carries {100 * share:.1f} % of all weights of {site}", 1, mend) for site, share, audit in found
    ]
