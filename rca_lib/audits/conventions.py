"""What a file proves about how it writes dates, numbers and times; where it proves nothing, a person decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from rca_lib.audits.csv_files import Source, run
from rca_lib.audits.mapping import COLUMNS, Mapping, Plan, quote
from rca_lib.findings import DataError


@dataclass(frozen=True, slots=True)
class Conventions:
    """How the file writes dates, numbers and times; `proven` says that its own dates prove the order of day and month.

    `epoch` is day 0 of serial dates, `per_cent` says that shares without a sign are per cent.
    """

    day_first: bool
    proven: bool
    decimal: str
    per_cent: bool
    zone: str
    epoch: str


@dataclass(frozen=True, slots=True)
class _Offender:
    row: int
    column: str
    value: str
    test: str


def settle(engine: duckdb.DuckDBPyConnection, plan: Plan, mapping: Mapping, source: Source) -> Conventions:
    """Settle how the file writes dates, numbers and times, from the view `texts`.

    Raises
    ------
    DataError
        If the order of day and month, the decimal mark, the unit of percentages or the time zone stay open.
    """
    times, numbers = _texts_of(plan, "time"), _texts_of(plan, "number", "whole")
    run(engine, f"create table evidence as select row, pointed_id, t_site, {', '.join(times + numbers)} from texts")
    decimal = mapping.decimal or source.decimal or _settle_decimal(engine, numbers)
    if mapping.percent is None:
        _refuse_mixed_percent(engine, numbers, decimal)
    open_zone = _first(engine, times, "not has_offset({0})") if mapping.time_zone is None else None
    if open_zone:
        mend = "write time_zone: with the IANA zone of the export's clock, such as UTC or Europe/Berlin, in the mapping"
        raise _question(engine, "no time zone is declared", open_zone, mend)
    proven = _settle_order(engine, times) if mapping.date_order is None else None
    return Conventions(
        day_first=(mapping.date_order or proven) == "dmy",
        proven=proven is not None,
        decimal=decimal,
        per_cent=mapping.percent == "percent",
        zone=mapping.time_zone or "UTC",
        epoch=source.epoch,
    )


def _texts_of(plan: Plan, *kinds: str) -> list[str]:
    return [f"t_{name}" for name in plan.places if COLUMNS[name].kind in kinds]


def _settle_decimal(engine: duckdb.DuckDBPyConnection, numbers: Sequence[str]) -> str:
    point, comma = _first(engine, numbers, "proves_point({0})"), _first(engine, numbers, "proves_comma({0})")
    unclear = None if point or comma else _first(engine, numbers, "proves_no_mark({0})")
    mend = 'write decimal: "." or decimal: "," in the mapping'
    if point and comma:
        problem = f"ambiguous decimal mark: {point.value} and {comma.value} stand in one file"
        raise _question(engine, problem, comma, mend)
    if unclear:
        problem = f"ambiguous decimal mark: {unclear.value} may be thousands, and no value proves which"
        raise _question(engine, problem, unclear, mend)
    return "," if comma else "."


def _refuse_mixed_percent(engine: duckdb.DuckDBPyConnection, numbers: Sequence[str], decimal: str) -> None:
    mend = "write percent: share or percent: percent in the mapping, for the numbers without a sign"
    value = f"number({{0}}, {quote(decimal)}, false)"
    for name in numbers:
        large = _first(engine, [name], "contains({0}, '%')")
        small = _first(engine, [name], "not contains({0}, '%')") if large else None
        if name == "t_model_score" and not large:
            large = _first(engine, [name], f"{value} > 1 and {value} <= 100")
            small = _first(engine, [name], f"{value} > 0 and {value} < 1") if large else None
        if large and small:
            problem = f"mixed percent units: {large.value} and {small.value} stand in one column"
            raise _question(engine, problem, small, mend)


def _settle_order(engine: duckdb.DuckDBPyConnection, times: Sequence[str]) -> str | None:
    day_first = _first(engine, times, "is_two_numbers({0}) and first_number({0}) > 12")
    month_first = _first(engine, times, "is_two_numbers({0}) and second_number({0}) > 12")
    unclear = None if day_first or month_first else _first(engine, times, "is_two_numbers({0})")
    mend = "write date_order: dmy or date_order: mdy in the mapping"
    if day_first and month_first:
        problem = f"ambiguous order of day and month: {day_first.value} and {month_first.value} stand in one file"
        raise _question(engine, problem, month_first, mend)
    if unclear:
        problem = f"ambiguous order of day and month: values such as {unclear.value} prove nothing"
        raise _question(engine, problem, unclear, mend)
    return "dmy" if day_first else "mdy" if month_first else None


def _first(engine: duckdb.DuckDBPyConnection, names: Sequence[str], test: str) -> _Offender | None:
    """Find the first row of which a test holds in one of the columns."""
    found = []
    for name in names:
        query = f"select row, {name} from evidence where {test.format(name)} limit 1"
        found += [(row, name, value) for row, value in engine.sql(query).fetchall()]
    if not found:
        return None
    row, name, value = min(found)
    return _Offender(row, name.removeprefix("t_"), value, test.format(name))


def _question(engine: duckdb.DuckDBPyConnection, problem: str, offender: _Offender, mend: str) -> DataError:
    rows = engine.sql(f"select count(*) from evidence where {offender.test}").fetchall()[0][0]
    first = {"source_row": offender.row, offender.column: offender.value}
    return DataError(problem, column=offender.column, rows=rows, first=first, mend=mend)


def count_repairs(
    engine: duckdb.DuckDBPyConnection, plan: Plan, mapping: Mapping, how: Conventions
) -> tuple[tuple[str, int], ...]:
    """Count the rows in which something was repaired: (what, rows), only what occurred."""
    times, numbers = _texts_of(plan, "time"), _texts_of(plan, "number", "whole")
    zones = mapping.site_time_zones if isinstance(mapping.site_time_zones, dict) else {}
    rules = {
        "ids with .0": ["pointed_id"],
        f"serial dates, day 0 is {how.epoch}": [f"is_serial({text})" for text in times],
        "days without a time, read as midnight at the site": [f"is_day_only({text})" for text in times],
        "order of day and month, by what other dates prove": [
            f"is_two_numbers({text})" for text in times if how.proven
        ],
        "mm:ss durations": [f"contains({text}, ':')" for text in numbers],
        "per cent signs": [f"contains({text}, '%')" for text in numbers],
        "decimal commas": [f"contains({text}, ',')" for text in numbers if how.decimal == ","],
        "sites not in site_time_zones, read in the file's zone": [f"t_site not in ({', '.join(map(quote, zones))})"]
        if zones
        else [],
    }
    counts = [
        f"count_if({' or '.join(f'coalesce({test}, false)' for test in tests) or 'false'})" for tests in rules.values()
    ]
    found = engine.sql(f"select {', '.join(counts)} from evidence").fetchall()[0]
    return tuple((what, rows) for what, rows in zip(rules, found, strict=True) if rows)
