"""Weights from the population: a sampled audit stands for N_h / n_h decisions of its stratum.

N_h is what the population names, n_h counts the kept first-round audits of the proportional streams (Horvitz and
Thompson 1952).
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import pandas as pd

from rca_lib.audits.csv_files import run
from rca_lib.audits.mapping import Mapping, Plan, quote
from rca_lib.audits.periods import parse_period
from rca_lib.audits.reading import read_source
from rca_lib.audits.tables import POPULATION, PROPORTIONAL_STREAMS, columns
from rca_lib.findings import DataError

MEND = "correct the population table"


def read_population(path: Path, work: Path) -> pd.DataFrame:
    """Read a population: a row per period, site, queue and stratum with its `decisions`; adds `start` and `end`.

    Raises
    ------
    DataError
        If a column is missing, a period is none, or a number of decisions is not above 0.
    """
    with duckdb.connect() as engine:
        read = read_source(engine, path, Mapping(header_row=1), work)
        cells = ", ".join(f"trim(c{place})" for place in range(len(read.names)))
        table = pd.DataFrame(engine.sql(f"select {cells} from raw order by row").fetchall(), columns=list(read.names))
    for name in columns(POPULATION, "required"):
        if name not in table:
            raise DataError(f"{read.name}: no column {name!r}", column=name, mend=MEND)
    table["decisions"] = pd.to_numeric(table["decisions"], errors="coerce")
    bad = table[~(table["decisions"] > 0)]
    if len(bad):
        first = {"source_row": int(bad.index[0]) + 2, **bad.iloc[0]}
        raise DataError("a stratum without decisions", column="decisions", rows=len(bad), first=first, mend=MEND)
    try:
        periods = [parse_period(name) for name in table["period"]]
    except ValueError as error:
        raise DataError(f"{read.name}: {error}", column="period", mend=MEND) from None
    return table.assign(start=[period.start for period in periods], end=[period.end for period in periods])


def add_weights(engine: duckdb.DuckDBPyConnection, plan: Plan, population: pd.DataFrame | None) -> None:
    """Create the view `weighted` over `fates`: weights filled in, rows of the sample without one quarantined.

    A missing weight is filled from the population; outside the sampled rows, which stand for themselves, it is 1.

    Raises
    ------
    DataError
        If the audits have no stratum, a row lies in two lines of the population, or a stratum has fewer decisions
        than audits.
    """
    declared = "weight" in plan.places
    if population is None and not declared:
        run(engine, "create view weighted as from fates")
        return
    if population is None:
        run(engine, "create table weights (row bigint, weight double)")
    else:
        _weigh(engine, plan, population)
    given, others = ("f.k_weight", "f.* exclude (k_weight)") if declared else ("null", "f.*")
    run(
        engine,
        "create view weighted as select * replace ("
        "case when fate = 'kept' and k_weight is null then 'quarantined' else fate end as fate, "
        "case when k_weight is null then list_append(reasons, 'missing weight') else reasons end as reasons) "
        f"from (select {others}, coalesce({given}, w.weight, case when not ({_is_sampled(plan)}) then 1.0 end) "
        "as k_weight from fates f left join weights w on f.row = w.row)",
    )


def _is_sampled(plan: Plan) -> str:
    first_round = "coalesce(k_audit_round, 1) = 1" if "audit_round" in plan.places else "true"
    streams = ", ".join(map(quote, PROPORTIONAL_STREAMS))
    return f"{first_round} and coalesce(k_stream in ({streams}), false)" if "stream" in plan.places else first_round


def _weigh(engine: duckdb.DuckDBPyConnection, plan: Plan, population: pd.DataFrame) -> None:
    if "stratum" not in plan.places:
        raise DataError("weights from a population need the column stratum", column="stratum", mend="map it")
    keys = [name for name in ("site", "queue", "stratum") if name in population and name in plan.places]
    fits = " and ".join(f"f.k_{name} is not distinct from nullif(p.{name}, '')" for name in keys)
    engine.register("population", population.reset_index(names="line"))
    run(
        engine,
        "create table weights as select f.row, p.line, p.decisions / count(*) over (partition by p.line) as weight "
        f"from fates f join population p on {fits} and f.k_day >= p.start and f.k_day < p.end "
        f"where fate = 'kept' and {_is_sampled(plan)}",
    )
    twice = engine.sql("select max(line) from weights group by row having count(*) > 1 limit 1").fetchall()
    if twice:
        first = population.loc[twice[0][0], ["period", *keys]].to_dict()
        raise DataError("two lines of the population hold the same decisions", first=first, mend=MEND)
    small = engine.sql("select line, count(*) from weights where weight < 1 group by line order by line").fetchall()
    if small:
        first = population.loc[small[0][0], ["period", *keys, "decisions"]].to_dict()
        raise DataError("a stratum has fewer decisions than audits", rows=small[0][1], first=first, mend=MEND)
