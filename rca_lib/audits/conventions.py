"""What a file proves about how it writes dates, numbers and times; where it proves nothing, a person decides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import duckdb

from rca_lib.audits.csv_files import Source
from rca_lib.audits.mapping import COLUMNS, IDS, Mapping, Plan, quote
from rca_lib.findings import DataError


@dataclass(frozen=True, slots=True)
class Conventions:
    """How the file writes dates, numbers and times, declared or proven."""

    order: str
    decimal: str
    per_cent: bool
    zone: str
    epoch: str


def settle(engine: duckdb.DuckDBPyConnection, plan: Plan, mapping: Mapping, source: Source) -> Conventions:
    """Settle how the file writes dates, numbers and times.

    Raises
    ------
    DataError
        If the order of day and month, the decimal mark, the unit of percentages or the time zone stay open.
    """
    times = [f"t_{name}" for name in plan.places if COLUMNS[name].kind == "time"]
    numbers = [f"t_{name}" for name in plan.places if COLUMNS[name].kind in ("number", "whole")]
    decimal = mapping.decimal or source.decimal or _settle_decimal(engine, numbers)
    if mapping.percent is None:
        _refuse_mixed_percent(engine, numbers, decimal)
    open_zone = first_offender(engine, times, "not has_offset({0})") if mapping.time_zone is None else None
    if open_zone:
        mend = "write time_zone: with the IANA zone of the export's clock, such as UTC or Europe/Berlin, in the mapping"
        raise _open_question(engine, "no time zone is declared", open_zone, mend)
    order = mapping.date_order or _settle_order(engine, times)
    return Conventions(order, decimal, mapping.percent == "percent", mapping.time_zone or "UTC", source.epoch)


def _settle_decimal(engine: duckdb.DuckDBPyConnection, numbers: Sequence[str]) -> str:
    dot = first_offender(engine, numbers, "proves_point({0})")
    comma = first_offender(engine, numbers, "proves_comma({0})")
    unclear = None if dot or comma else first_offender(engine, numbers, "proves_no_mark({0})")
    mend = 'write decimal: "." or decimal: "," in the mapping'
    if dot and comma:
        raise _open_question(engine, f"ambiguous decimal mark: {dot[2]} and {comma[2]} stand in one file", comma, mend)
    if unclear:
        raise _open_question(
            f"ambiguous decimal mark: {unclear[2]} may be thousands, and no value proves it", unclear, mend
        )
    return "," if comma else "."


def _refuse_mixed_percent(engine: duckdb.DuckDBPyConnection, numbers: Sequence[str], decimal: str) -> None:
    mend = "write percent: share or percent: percent in the mapping, for the numbers without a sign"
    value = f"number({{0}}, {quote(decimal)}, false)"
    for name in numbers:
        signed = first_offender(engine, [name], "contains({0}, '%')")
        plain = first_offender(engine, [name], "not contains({0}, '%')") if signed else None
        if name == "t_model_score" and not signed:
            signed = first_offender(engine, [name], f"{value} > 1 and {value} <= 100")
            plain = first_offender(engine, [name], f"{value} > 0 and {value} < 1") if signed else None
        if signed and plain:
            raise _open_question(
                engine, f"mixed percent units: {signed[2]} and {plain[2]} stand in one column", plain, mend
            )


def _settle_order(engine: duckdb.DuckDBPyConnection, times: Sequence[str]) -> str:
    day_first = first_offender(engine, times, "is_two_numbers({0}) and first_number({0}) > 12")
    month_first = first_offender(engine, times, "is_two_numbers({0}) and second_number({0}) > 12")
    mend = "write date_order: dmy or date_order: mdy in the mapping"
    if day_first and month_first:
        both = f"{day_first[2]} and {month_first[2]} stand in one file"
        raise _open_question(engine, f"ambiguous order of day and month: {both}", month_first, mend)
    unclear = None if day_first or month_first else first_offender(engine, times, "is_two_numbers({0})")
    if unclear:
        raise _open_question(
            f"ambiguous order of day and month: values such as {unclear[2]} prove nothing", unclear, mend
        )
    return "dmy" if day_first else "mdy" if month_first else "ymd"


def first_offender(
    engine: duckdb.DuckDBPyConnection, names: Iterable[str], condition: str
) -> tuple[int, str, str, str] | None:
    """Return row, column and value of the first text of which a condition holds, and the condition."""
    found = []
    for name in names:
        test = condition.format(name)
        rows = engine.sql(f"select row, {name} from texts where {test} limit 1").fetchall()
        found += [(row, name.removeprefix("t_"), value, test) for row, value in rows]
    return min(found, default=None)


def _open_question(
    engine: duckdb.DuckDBPyConnection, problem: str, offender: tuple[int, str, str, str], mend: str
) -> DataError:
    row, column, value, test = offender
    rows = engine.sql(f"select count(*) from texts where {test}").fetchall()[0][0]
    return DataError(problem, column=column, rows=rows, first={"source_row": row, column: value}, mend=mend)


def count_repairs(
    engine: duckdb.DuckDBPyConnection, plan: Plan, mapping: Mapping, how: Conventions
) -> tuple[tuple[str, int], ...]:
    """Count the rows in which something was repaired: (what, rows), nothing for what did not occur."""
    kinds: dict[str, list[str]] = {}
    for name in plan.places:
        kinds.setdefault(COLUMNS[name].kind, []).append(f"t_{name}")
    cells = [place for name in IDS for place in plan.places.get(name, ()) if isinstance(place, int)]
    numbers = kinds.get("number", []) + kinds.get("whole", [])
    rules = {
        "ids with .0": [f"regexp_matches(c{place}, '^\\s*\\d+\\.0\\s*$')" for place in cells],
        f"serial dates, day 0 is {how.epoch}": [f"is_serial({text})" for text in kinds["time"]],
        "days without a time, read as the site's midnight": [f"is_day_only({text})" for text in kinds["time"]],
        "mm:ss durations": [f"contains({text}, ':')" for text in numbers],
        "per cent signs": [f"contains({text}, '%')" for text in numbers],
        "decimal commas": [f"contains({text}, ',')" for text in numbers if how.decimal == ","],
    }
    if not mapping.date_order:
        rules[f"day and month by the order that other dates prove ({how.order})"] = [
            f"is_two_numbers({text})" for text in kinds["time"]
        ]
    if isinstance(mapping.site_time_zones, dict):
        named = ", ".join(map(quote, mapping.site_time_zones))
        rules["sites without a time zone of their own, read in the file's"] = [f"t_site not in ({named})"]
    counts = [
        f"count_if({' or '.join(f'coalesce({test}, false)' for test in tests)})" if tests else "0"
        for tests in rules.values()
    ]
    found = engine.sql(f"select {', '.join(counts)} from texts join raw using (row)").fetchall()[0]
    return tuple((what, rows) for what, rows in zip(rules, found, strict=True) if rows)
