"""The rules of a row. They stand in SQL: `rules.sql` says how a cell is read, `judged.sql` what becomes of a row.

Here the mapping becomes the views and macros that they build on.
"""

from __future__ import annotations

from collections.abc import Mapping as Pairs
from collections.abc import Sequence
from datetime import UTC, datetime

import duckdb

from rca_lib.audits.formats import NUMBERS, TIMES, create_formats, join_date_and_time, tidy_moments
from rca_lib.audits.mapping import IDS, MAPPABLE, Mapping, Plan, quote
from rca_lib.audits.reading import run, run_file
from rca_lib.audits.tables import AUDITS, PROPORTIONAL_STREAMS

LABELS = ("label", "truth", "model_label")


def create_texts(engine: duckdb.DuckDBPyConnection, plan: Plan, mapping: Mapping, count: int, mended: bool) -> None:
    """Create the view `texts` over the first `count` cells of `raw`; `mended` takes escaped formulas back.

    It has a trimmed text `t_<name>` for every column of audits and `x<n>` for every extra one.
    """
    _declare(engine, mapping)
    create_formats(engine, mapping)
    run_file(engine, "rules.sql")
    raw = [f"unescape_formula(c{place})" if mended else f"c{place}" for place in range(count)]
    cells = ", ".join(f"clean({cell}) as c{place}" for place, cell in enumerate(raw))
    texts = [f"{_tidy(name, plan, mapping)} as t_{name}" for name in MAPPABLE]
    moments = {name: _text(name, plan, mapping) for name in TIMES}
    texts += [f"{_text(name, plan, mapping)} as t_raw_{name}" for name in (*TIMES, *NUMBERS)]
    texts += [f"{_without(f'c{place}', mapping.nulls)} as x{n}" for n, place in enumerate(plan.extras.values())]
    pointed = [f"coalesce(c{n} <> tidy_id(c{n}), false)" for name in IDS for n in _cells_of(plan, name)]
    first = ", ".join(f"c{place}" for place in range(count))
    content = ", ".join(f"coalesce(c{place}, chr(0))" for place in range(count))
    run(
        engine,
        f"create view cells as select row, rejected, {cells} from raw; "
        f"create table moments as select row, {', '.join(f'{text} as m_{name}' for name, text in moments.items())} "
        "from cells limit 0; "
        f"create view texts as select row, rejected, coalesce({first}) as first_text, "
        f"{' or '.join(pointed) or 'false'} as pointed_id, {', '.join(texts)} "
        "from cells left join moments using (row); "
        f"create view contents as select row, concat_ws(chr(31), {content}) as content from cells",
    )
    tidy_moments(engine, moments, mapping)


def _declare(engine: duckdb.DuckDBPyConnection, mapping: Mapping) -> None:
    """Make macros of what the mapping declares: how labels are spelled, the words known, the zones of the sites."""
    known = mapping.known_labels
    words = {column.name: column.values for column in AUDITS if column.values}
    words |= {"label": known, "proportional": PROPORTIONAL_STREAMS}
    lists = " ".join(f"when {quote(name)} then {_list(values)}" for name, values in words.items())
    everywhere = mapping.site_time_zones if isinstance(mapping.site_time_zones, str) else mapping.time_zone or "UTC"
    zones = mapping.site_time_zones if isinstance(mapping.site_time_zones, dict) else {}
    run(
        engine,
        f"create macro spell(v) as {_translate('v', {label: label for label in known} | mapping.labels)}; "
        f"create macro is_set() as {mapping.label_scale == 'multilabel'}; "
        f"create macro words(name) as case name {lists} end; "
        f"create macro has_zone(site) as {f'list_contains({_list(tuple(zones))}, site)' if zones else 'true'}; "
        f"create macro zone_of(site) as {_translate('site', zones, quote(everywhere)) if zones else quote(everywhere)}",
    )


def _list(words: Sequence[str]) -> str:
    return f"[{', '.join(map(quote, words))}]::varchar[]"


def _translate(text: str, spellings: Pairs[str, str], other: str = "null") -> str:
    cases = " ".join(f"when {quote(old)} then {quote(new)}" for old, new in spellings.items())
    return f"case {text} {cases} else {other} end" if cases else text


def _tidy(name: str, plan: Plan, mapping: Mapping) -> str:
    """Return the SQL of a canonical column's text, moments and numbers brought to few forms."""
    text = _text(name, plan, mapping)
    if name not in plan.places or name not in (*TIMES, *NUMBERS):
        return text
    return f"coalesce(m_{name}, {text})" if name in TIMES else f"tidy_number({text})"


def _text(name: str, plan: Plan, mapping: Mapping) -> str:
    source = plan.places.get(name)
    if source is None:
        return "null::varchar"
    if isinstance(source, str):
        return quote(source)
    spelled = mapping.labels if name in LABELS else {}
    parts = [_without(f"c{place}", [word for word in mapping.nulls if word not in spelled]) for place in source]
    if name in TIMES and len(parts) > 1:
        return join_date_and_time(parts)
    joined = " || ':' || ".join(f"tidy_id({part})" if name in IDS else part for part in parts)
    return _translate(f"({joined})", mapping.values.get(name, {}), joined)


def _without(cell: str, nulls: Sequence[str]) -> str:
    return f"case when {cell} not in ({', '.join(map(quote, nulls))}) then {cell} end" if nulls else cell


def _cells_of(plan: Plan, name: str) -> tuple[int, ...]:
    source = plan.places.get(name, ())
    return () if isinstance(source, str) else source


def judge(engine: duckdb.DuckDBPyConnection, now: datetime | None) -> None:
    """Create the view `fates`: a value per column of audits, the reasons against each row, and what becomes of it."""
    moment = (now.astimezone(UTC) if now and now.tzinfo else now) or datetime(9999, 1, 1)
    run(engine, f"create macro latest() as timestamp '{moment:%Y-%m-%d %H:%M:%S}'")
    run_file(engine, "judged.sql")
