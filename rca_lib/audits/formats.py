"""How moments are written: the patterns that a mapping declares become SQL, beside what `dates.sql` reads by itself."""

from __future__ import annotations

import re
from collections.abc import Sequence

import duckdb

from rca_lib.audits.mapping import Mapping, quote
from rca_lib.audits.reading import run, run_file

TIMES = ("decided_at", "audited_at")
NUMBERS = ("weight", "model_score", "audit_round", "tenure_days", "handle_seconds")
MONTH_CODE = re.compile("%[bBh]")


def create_formats(engine: duckdb.DuckDBPyConnection, mapping: Mapping) -> None:
    """Create the macros that read moments and numbers; months that the mapping names come before those known here."""
    run(engine, f"create macro own_months(v) as {_name_months('v', mapping, 'm')}")
    run_file(engine, "dates.sql")
    run_file(engine, "numbers.sql")


def tidy_moments(engine: duckdb.DuckDBPyConnection, texts: dict[str, str], mapping: Mapping) -> None:
    """Fill the table `moments` with the rows of `told` whose moments are not yet in a form that `dates.sql` reads.

    Parameters
    ----------
    engine
        It has the view `told`, the cells that say something, and the empty table `moments`: `row`, a text per moment.
    texts
        The SQL of each moment's text.
    mapping
        Its `date_format` decides alone where it is given. A date in ISO form is read beside it, as a typed cell of a
        workbook is written, unless a format begins with the year too.

    Notes
    -----
    Most files need none of the patterns, and compiling those takes longer than reading such a file.
    """
    untidy = "true" if mapping.date_format else " or ".join(f"not is_tidy_moment({text})" for text in texts.values())
    if engine.sql(f"select 1 from told where {untidy} limit 1").fetchall():
        tidied = ", ".join(_read_moment(name, mapping) for name in texts)
        given = ", ".join(f"{text} as {name}" for name, text in texts.items())
        run(engine, f"insert into moments select row, {tidied} from (select row, {given} from told where {untidy})")


def _read_moment(text: str, mapping: Mapping) -> str:
    if not mapping.date_format:
        return f"tidy_moment({text})"
    formats = mapping.date_format
    readings = [_read_format(f"plain_noon(plain_blanks({text}))", pattern, mapping) for pattern in formats]
    if not any(pattern.startswith(("%Y", "%G")) for pattern in formats):
        iso = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?)?$"
        readings.append(f"case when regexp_matches({text}, '{iso}') then {text} end")
    return f"coalesce({', '.join(readings)}, '? ' || {text})"


def _read_format(text: str, pattern: str, mapping: Mapping) -> str:
    if pattern.startswith(("%a", "%A")):  # the name of the day says nothing that the date does not
        text, pattern = f"ltrim(regexp_replace({text}, '^\\pL+', ''), ' .,')", pattern[2:].lstrip(" .,")
    text, pattern = _name_months(text, mapping, ""), MONTH_CODE.sub("%m", pattern)
    if not mapping.months:
        english = "month_words(" + text + ")"
        text = f"regexp_replace({english}, '(^|[^\\pL])m(\\d)', '\\1\\2')" if "%m" in pattern else text
    form = "%Y-%m-%d" + (" %H:%M:%S.%f" if re.search("%[HIkls]", pattern) else "")
    form += "+00:00" if re.search("%[zs]", pattern) else ""
    return f"strftime(try_strptime({text}, {quote(pattern)}), {quote(form)})"


def _name_months(text: str, mapping: Mapping, mark: str) -> str:
    """Return SQL that writes the months' names that a mapping gives as `mark` and their number."""
    for number, name in enumerate(mapping.months, 1):
        spelled = re.sub(r"([^\w\s])", r"\\\1", name).replace("'", "''")
        text = f"regexp_replace({text}, '(?i)(^|[^\\pL]){spelled}($|[^\\pL])', '\\1{mark}{number}\\2')"
    return text


def join_date_and_time(parts: Sequence[str]) -> str:
    """Return the SQL that joins a date and a time of several columns; a missing time leaves a day.

    A date typed in a workbook has a midnight of its own, and a time without a format is a share of the day.
    """
    day = f"regexp_replace({parts[0]}, '[ T]00:00(:00(\\.0+)?)?$', '')"
    rest = [
        f"case when regexp_matches({part}, '^0?[.,]\\d+$') then strftime(timestamp '2000-01-01' + to_seconds(round("
        f"try_cast(replace({part}, ',', '.') as double) * 86400)::bigint), '%H:%M:%S') "
        f"else regexp_replace({part}, '^(1899-12-3[01]|1900-01-0\\d) ', '') end"
        for part in parts[1:]
    ]
    return f"case when {parts[0]} is not null then concat_ws(' ', {day}, {', '.join(rest)}) end"
