"""What a file proves about how it writes dates, numbers and times; where it proves nothing, a person decides."""

from __future__ import annotations

import duckdb

from rca_lib.audits.formats import NUMBERS, TIMES
from rca_lib.audits.mapping import Mapping, Plan, quote
from rca_lib.audits.reading import Source, run, run_file
from rca_lib.findings import DataError

PROBLEMS = {
    "date_order": ("ambiguous order of day and month", "write date_order: dmy or date_order: mdy in the mapping"),
    "decimal_mark": ("ambiguous decimal mark", 'write decimal: "." or decimal: "," in the mapping'),
    "unit": ("mixed percent units", "write percent: share or percent: percent in the mapping"),
    "time_zone": (
        "no time zone is declared",
        "write time_zone: with the IANA zone of the export's clock, such as UTC or Europe/Berlin, in the mapping",
    ),
}


def settle(engine: duckdb.DuckDBPyConnection, plan: Plan, mapping: Mapping, source: Source) -> None:
    """Settle how the file writes dates, numbers and times, from the view `texts`, as macros for the rules.

    Raises
    ------
    DataError
        If the order of day and month, the decimal mark, the unit of percentages or the time zone stay open.
    """
    run_file(engine, "evidence.sql")
    mark = mapping.decimal or _find_mark(engine, plan, source)
    for name in [] if mapping.percent else ("weight", "handle_seconds", "model_score"):
        _prove(engine, "unit", f"name = '{name}'")
    if mapping.time_zone is None:
        _prove(engine, "time_zone")
    for name in TIMES:
        _refuse_swapped(engine, name, plan, source)
    proven = None if mapping.date_order else _prove(engine, "date_order")
    macros = {
        "mark": quote(mark),
        "per_cent": mapping.percent == "percent",
        "zone": quote(mapping.time_zone or "UTC"),
        "day_first": (mapping.date_order or proven) == "dmy",
        "order_is_proven": proven is not None,
        "epoch": f"timestamp {quote(source.epoch)}",
        "has_shifts": bool(mapping.site_time_zones) and "shift" not in plan.places,
        "has_streams": "stream" in plan.places,
    }
    run(engine, "; ".join(f"create macro {name}() as {value}" for name, value in macros.items()))


def _find_mark(engine: duckdb.DuckDBPyConnection, plan: Plan, source: Source) -> str:
    """Return the decimal mark; cells typed as numbers were written with `source.decimal` and prove nothing else."""
    if source.decimal is None:
        return _prove(engine, "decimal_mark") or "."
    places = {name: place for name, place in plan.places.items() if not isinstance(place, str)}
    texts = [name for name in NUMBERS if set(places.get(name, ())) & source.number_texts]
    told = f"name in ({', '.join(map(quote, texts))})" if texts else "false"
    return _prove(engine, "decimal_mark", f"({told} or decimal_mark <> 'either')") or source.decimal


def _refuse_swapped(engine: duckdb.DuckDBPyConnection, name: str, plan: Plan, source: Source) -> None:
    """Refuse dates of which a spreadsheet took those it could for another order, and left the others as text.

    That shows where no typed date has a day beyond 12 and each text has a number beyond 12.
    """
    place = plan.places.get(name, ())
    days = [] if isinstance(place, str) else [source.typed_days[part] for part in place if part in source.typed_days]
    if not days or max(days) > 12:
        return
    texts = engine.sql(
        f"select min(row), arg_min(t_raw_{name}, row), count(*) from texts where order_of(t_{name}) in ('dmy', 'mdy')"
    ).fetchall()[0]
    if texts[2]:
        problem = "a spreadsheet has swapped day and month: typed dates have no day beyond 12, the rest are texts"
        mend = "open the original export with this column as text, or turn every cell of it into a right date"
        raise DataError(problem, column=name, rows=texts[2], first={"source_row": texts[0], name: texts[1]}, mend=mend)


def _prove(engine: duckdb.DuckDBPyConnection, proof: str, of: str = "true") -> str | None:
    """Return the one convention that the texts prove, None where they do not matter; 'either' proves nothing."""
    found = engine.sql(
        f"select {proof}, min(row), arg_min(name, row), arg_min(value, row), sum(rows) from evidence "
        f"where {of} and {proof} is not null group by {proof} order by {proof} = 'either', 2"
    ).fetchall()
    proven = [group for group in found if group[0] != "either"]
    if len(proven) == 1 or not found:
        return proven[0][0] if proven else None
    _, row, column, value, rows = (proven or found)[-1]
    what, mend = PROBLEMS[proof]
    problem = f"{proven[0][3]} and {value} stand in one file" if proven else f"values such as {value} prove nothing"
    first = {"source_row": row, column: value}
    raise DataError(f"{what}: {problem}", column=column, rows=int(rows), first=first, mend=mend)
