# Tested in tests/intake/test_ingest.py.
"""Design weights from the population.

An audit of the sample stands for several decisions of its stratum. The weight of each is the inverse of its probability
of being sampled (Horvitz and Thompson 1952):

    w_h = N_h / n_h

N_h is the number of decisions in stratum h, from the population table. n_h is the number of kept first-round audits of
the proportional streams in h. A row of the population is one stratum: a period, a site, perhaps a queue, and a value of
`stratum`. Audits that are not part of the proportional sample stand for themselves: their weight is 1. A weight that
the file gives is not replaced. A sampled audit without a weight is quarantined if the file or the population gives
weights at all.

References
----------
Horvitz, D. G. and Thompson, D. J. (1952). A generalization of sampling without replacement from a finite universe.
Journal of the American Statistical Association 47, 663-685.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from rca_lib.audits.periods import parse_period
from rca_lib.audits.schema import POPULATION, list_columns
from rca_lib.findings import DataError
from rca_lib.intake.column_mapping import ColumnMapping
from rca_lib.intake.sources import read_source
from rca_lib.intake.sql_scripts import execute_script
from rca_lib.io.duckdb_connection import connect_duckdb

POPULATION_HINT = "correct the population table"
MAX_WEIGHT_SHARE = 0.5  # share of all weights of a site above which one audit decides the rates of the site
MIN_AUDITS = 10  # audits of a site from which the share is checked: with fewer, a large share is normal


def read_population(path: Path | None, work_folder: Path) -> pd.DataFrame:
    """Read a population.

    Parameters
    ----------
    path
        The file; None for an empty population.
    work_folder
        A folder for temporary files.

    Returns
    -------
    pandas.DataFrame
        One row per period, site, queue and stratum with its `decisions`, and the bounds `start` and `end` of the
        period.

    Raises
    ------
    DataError
        If a column is missing, a period is invalid, or a number of decisions is not above 0.
    """
    if path:
        table = _read_population_file(path, work_folder)
    else:
        table = pd.DataFrame(columns=list_columns(POPULATION), dtype=str)
    table["decisions"] = pd.to_numeric(table["decisions"], errors="coerce")
    invalid = table[~(table["decisions"] > 0)]
    if len(invalid):
        first = {"source_row": int(invalid.index[0]) + 2, **invalid.iloc[0]}
        problem = "a stratum without decisions"
        raise DataError(problem, column="decisions", rows=len(invalid), first=first, hint=POPULATION_HINT)
    try:
        periods = [parse_period(name) for name in table["period"]]
    except ValueError as error:
        raise DataError(f"population: {error}", column="period", hint=POPULATION_HINT) from None
    bounds = {name: pd.to_datetime([getattr(period, name) for period in periods]) for name in ("start", "end")}
    return table.assign(**bounds)


def _read_population_file(path: Path, work_folder: Path) -> pd.DataFrame:
    """Read the columns of a population as text."""
    with connect_duckdb(folders=[work_folder], files=[path]) as connection:
        source = read_source(connection, path, ColumnMapping(header_row=1), work_folder)
        rows = connection.sql("select * exclude (row, record_issue) from raw order by row").fetchall()
    table = pd.DataFrame(rows, columns=list(source.names)).apply(lambda column: column.str.strip().replace("", None))
    for name in list_columns(POPULATION, "required"):
        if name not in table:
            raise DataError(f"{source.name}: no column {name!r}", column=name, hint=POPULATION_HINT)
    return table.reindex(columns=list(list_columns(POPULATION)))


def compute_design_weights(connection: duckdb.DuckDBPyConnection, population: pd.DataFrame) -> None:
    """Create the view `weighted_rows` over `row_statuses`, with a weight for each sampled audit.

    Parameters
    ----------
    connection
        The connection, with the view `row_statuses` and the macros `needs_weights` and `source_name`.
    population
        The population, as `read_population` returns it.

    Raises
    ------
    DataError
        If an audit is in two rows of the population, or a stratum has fewer decisions than audits.

    Notes
    -----
    In `weighted_rows` a sampled audit without a weight is quarantined if `needs_weights` is true.
    """
    connection.register("population", population.reset_index(names="line"))
    execute_script(connection, "weights.sql")
    overlaps = connection.sql("select max(line), 1 from stratum_weights group by row having count(*) > 1 limit 1")
    _raise_if_any("two rows of the population count the same decisions", overlaps.fetchall(), population)
    too_small = connection.sql(
        "select line, count(*) from stratum_weights where weight < 1 group by line order by line"
    )
    _raise_if_any("a stratum has fewer decisions than audits", too_small.fetchall(), population)


def _raise_if_any(problem: str, rows: list[tuple[Any, ...]], population: pd.DataFrame) -> None:
    """Raise DataError about the first of some rows of the population, given with the number of audits."""
    if rows:
        row, count = rows[0]
        cells = population.loc[row, list(list_columns(POPULATION))].dropna()
        first = {str(name): value for name, value in cells.items()}
        raise DataError(problem, rows=count, first=first, hint=POPULATION_HINT)


def find_influential_audits(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, int, str]]:
    """Find sites in which one kept audit carries more than half of all weights, among at least ten audits.

    Parameters
    ----------
    connection
        The connection, with the view `weighted_rows`.

    Returns
    -------
    list of tuple
        Per site, by name: a sentence for a person to review, the number of rows, and a suggestion.
    """
    heaviest = connection.sql(
        "select site, max(weight) / sum(weight) as share, arg_max(audit_id, weight) "
        "from weighted_rows where row_status = 'kept' "
        f"and weight is not null group by site having count(*) >= {MIN_AUDITS} and share > "
        f"{MAX_WEIGHT_SHARE} order by site"
    ).fetchall()
    suggestion = "check its weight in the source system: 1 / probability of being sampled"
    return [
        (f"audit {audit} carries {100 * share:.1f} % of all weights of {site}", 1, suggestion)
        for site, share, audit in heaviest
    ]
