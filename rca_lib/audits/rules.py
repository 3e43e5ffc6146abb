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
from rca_lib.audits.names import FAMILIES, FAMILY_OF, NO_VALUE, Notes, declare_texts, settle_names
from rca_lib.audits.nothing import names_of_people, pattern_of_nothing
from rca_lib.audits.reading import run, run_file
from rca_lib.audits.spelling import clean_text
from rca_lib.audits.tables import AUDITS, PROPORTIONAL_STREAMS

LABELS = FAMILIES["label"]
LONGEST_WORD = 30  # no word for "no value" is longer
LONGEST_NAME = 200  # longer values of the user's columns are texts
FREE = ("comment",)  # text that is nobody's name, and stays as it was written
HIDDEN_SIGNS, QUOTED = "hidden signs or doubled blanks", "quotes around values"
# Kinds of values that a word such as "none" can only be missing from.
CLOSED = tuple(column.name for column in AUDITS if column.name in MAPPABLE and (column.kind != "text" or column.values))


def create_texts(engine: duckdb.DuckDBPyConnection, plan: Plan, mapping: Mapping, count: int, mended: bool) -> Notes:
    """Create the view `texts` over the first `count` cells of `raw`; `mended` takes escaped formulas back.

    It has a clean text `t_<name>` for every column of audits and `x<n>` for every extra one; `label`, `truth` and
    `model_label` as the mapping and `names` read them; and `marks`, what was repaired on the way.

    Returns
    -------
    Notes
        What a person should look at among the names.
    """
    _declare(engine, mapping)
    declare_texts(engine)
    create_formats(engine, mapping)
    run_file(engine, "formulas.sql")
    run_file(engine, "rules.sql")
    parts = _parts(plan)
    _create_cells(engine, parts, plan, mapping, count, mended)
    moments = {name: _text(name, plan, mapping) for name in TIMES}
    empty = ", ".join(f"{text} as m_{name}" for name, text in moments.items())
    run(engine, f"create table moments as select row, {empty} from told limit 0")
    tidy_moments(engine, moments, mapping)
    texts = [f"{_read(name, plan, mapping)} as t_{name}" for name in MAPPABLE]
    texts += [f"{_text(name, plan, mapping)} as t_raw_{name}" for name in (*TIMES, *NUMBERS)]
    texts += [f"{_as_written(name, parts, mapping)} as w_{name}" for name in ("label", "truth")]
    texts += [f"{_without(f'e{n}', '', mapping)} as x{n}" for n in range(len(plan.extras))]
    texts += [f"coalesce({', '.join(f'c{n}' for n in range(count))}) as first_text"]
    texts += [f"{_marks(parts, mapping)} as marks"]
    listed = ["row", "rejected", "pointed_id", *texts]
    _create_views(engine, written=("told left join moments using (row)", listed))
    return settle_names(engine, plan, mapping)


def _create_cells(
    engine: duckdb.DuckDBPyConnection,
    parts: Sequence[tuple[str, str, int]],
    plan: Plan,
    mapping: Mapping,
    count: int,
    mended: bool,
) -> None:
    """Create the view `told`: the cells c<n>; for each part the text without quotes u_, clean y_, and not empty v_.

    Each view refers to columns of the one before: an expression that is used twice is written, and computed, once.
    """
    raw = [f"unescape_formula(c{place})" if mended else f"c{place}" for place in range(count)]
    content = ", ".join(f"c{place}" for place in range(count))
    bare = [f"{f'unwrap(c{place})' if name not in FREE else f'c{place}'} as u_{part}" for part, name, place in parts]
    tidy = [f"{_tidy(name, mapping)}(u_{part}) as y_{part}" for part, name, _ in parts]
    told = [f"{_without(f'y_{part}', name, mapping)} as v_{part}" for part, name, _ in parts]
    tidy += [
        f"case when length(c{place}) <= {LONGEST_NAME} then clean_text(c{place}) else c{place} end as e{n}"
        for n, place in enumerate(plan.extras.values())
    ]
    pointed = [f"coalesce(c{place} <> tidy_id(c{place}), false)" for _, name, place in parts if name in IDS]
    _create_views(
        engine,
        cells=("raw", ["row", "rejected", *(f"clean({cell}) as c{place}" for place, cell in enumerate(raw))]),
        contents=("raw", ["row", f"[{content}]::varchar as content"]),
        bare=("cells", ["*", *bare]),
        tidied=("bare", ["*", *tidy]),
        told=("tidied", ["*", *told, f"{' or '.join(pointed) or 'false'} as pointed_id"]),
    )


def _parts(plan: Plan) -> list[tuple[str, str, int]]:
    """Return a name for each cell that a column of audits is made of, the column, and the cell's position."""
    places = {name: source for name, source in plan.places.items() if not isinstance(source, str)}
    return [(f"{name}_{n}", name, place) for name, source in places.items() for n, place in enumerate(source)]


def _create_views(engine: duckdb.DuckDBPyConnection, **views: tuple[str, list[str]]) -> None:
    for name, (source, listed) in views.items():
        run(engine, f"create view {name} as select {', '.join(listed)} from {source}")


def _declare(engine: duckdb.DuckDBPyConnection, mapping: Mapping) -> None:
    """Make macros of what the mapping declares: the words known, the zones of the sites."""
    words = {column.name: column.values for column in AUDITS if column.values}
    words |= {"label": mapping.known_labels, "proportional": PROPORTIONAL_STREAMS}
    lists = " ".join(f"when {quote(name)} then {_list(values)}" for name, values in words.items())
    everywhere = mapping.site_time_zones if isinstance(mapping.site_time_zones, str) else mapping.time_zone or "UTC"
    zones = mapping.site_time_zones if isinstance(mapping.site_time_zones, dict) else {}
    run(
        engine,
        f"create macro words(name) as case name {lists} end; "
        f"create macro is_probability() as {mapping.weight_is == 'probability'}; "
        f"create macro has_zone(site) as {f'list_contains({_list(tuple(zones))}, site)' if zones else 'true'}; "
        f"create macro zone_of(site) as {_translate('site', zones, quote(everywhere)) if zones else quote(everywhere)}",
    )


def _list(words: Sequence[str]) -> str:
    return f"[{', '.join(map(quote, words))}]::varchar[]"


def _translate(text: str, spellings: Pairs[str, str], other: str = "null") -> str:
    cases = " ".join(f"when {quote(old)} then {quote(new)}" for old, new in spellings.items())
    return f"case {text} {cases} else {other} end" if cases else other


def _read(name: str, plan: Plan, mapping: Mapping) -> str:
    """Return the SQL of a canonical column's text, moments and numbers brought to few forms."""
    text = _text(name, plan, mapping)
    if name not in plan.places or name not in (*TIMES, *NUMBERS):
        return text
    return f"coalesce(m_{name}, {text})" if name in TIMES else f"tidy_number({text})"


def _text(name: str, plan: Plan, mapping: Mapping) -> str:
    """Write the SQL for the text of a column; names are read on by `names`."""
    source = plan.places.get(name)
    if source is None or isinstance(source, str):
        return "null::varchar" if source is None else quote(source)
    parts = [f"tidy_id(v_{name}_{n})" if name in IDS else f"v_{name}_{n}" for n in range(len(source))]
    if name in TIMES and len(parts) > 1:
        return join_date_and_time(parts)
    joined = " || ':' || ".join(parts)
    if name in FAMILY_OF or name not in mapping.values:
        return joined
    exact = mapping.values[name]
    lowered = {old.lower(): new for old, new in reversed(exact.items())}
    return _translate(f"({joined})", exact, _translate(f"lower({joined})", lowered, joined))


def _as_written(name: str, parts: Sequence[tuple[str, str, int]], mapping: Mapping) -> str:
    """Write the SQL for a label before it is cleaned, null where a translation or the order of a set may change it."""
    cells = [f"c{place}" for _, column, place in parts if column == name]
    if len(cells) != 1 or mapping.label_scale == "multilabel":
        return "null::varchar"
    known = ", ".join(map(quote, mapping.labels))
    return f"case when {cells[0]} not in ({known}) then {cells[0]} end" if known else cells[0]


def _tidy(name: str, mapping: Mapping) -> str:
    """Return the SQL function that cleans a column; the notation of a set needs its line ends."""
    if name in FREE or (name in LABELS and mapping.label_scale == "multilabel"):
        return ""
    return "fold_id" if name in (*CLOSED, "audit_id", "item_id") else "clean_text"


def _without(cell: str, name: str, mapping: Mapping) -> str:
    """Write the SQL that leaves out words for no value; what the mapping translates is a value."""
    pattern = _pattern(name, mapping, doubtful=name in CLOSED)
    longest = max([LONGEST_WORD, *map(len, mapping.nulls)])
    return f"case when length({cell}) > {longest} or not regexp_full_match({cell}, {pattern}) then {cell} end"


def _pattern(name: str, mapping: Mapping, *, doubtful: bool) -> str:
    values = next((column.values for column in AUDITS if column.name == name), ())
    translated = mapping.labels if name in LABELS else mapping.values.get(name, {})
    if name in IDS:
        values = names_of_people(mapping.nulls)
    words = [word for word in map(clean_text, mapping.nulls) if word]
    return quote(pattern_of_nothing(doubtful=doubtful, words=words, but=[*values, *translated]))


def _marks(parts: Sequence[tuple[str, str, int]], mapping: Mapping) -> str:
    """Write the SQL that lists what was cleaned in a row."""
    named = [(part, name, place) for part, name, place in parts if name not in FREE]
    hidden = " or ".join(f"u_{part} is distinct from y_{part}" for part, *_ in named) or "false"
    quoted = " or ".join(f"c{place} is distinct from u_{part}" for part, _, place in named) or "false"
    marks = [f"case when {test} then {quote(what)} end" for test, what in ((hidden, HIDDEN_SIGNS), (quoted, QUOTED))]
    for part, name, _ in named:
        if name in CLOSED:
            plain = f"regexp_full_match(y_{part}, {_pattern(name, mapping, doubtful=False)})"
            test = f"y_{part} is not null and v_{part} is null and not {plain}"
            marks.append(f"case when {test} then {quote(NO_VALUE.format(name))} end")
    return f"[{', '.join(marks)}]::varchar[]"


def judge(engine: duckdb.DuckDBPyConnection, now: datetime | None, extras: int = 0) -> None:
    """Create the view `fates`: a value per column of audits, the reasons against each row, and what becomes of it."""
    moment = (now.astimezone(UTC) if now and now.tzinfo else now) or datetime(9999, 1, 1)
    run(engine, f"create macro latest() as timestamp '{moment:%Y-%m-%d %H:%M:%S}'")
    run_file(engine, "judged.sql")
    # A list: functions of very many arguments take the engine time with the cube of their number.
    values = ", ".join(f"{name}::varchar" for name in (*MAPPABLE, *(f"x{n}" for n in range(extras))))
    run(engine, f"create view values_of_rows as select row, audit_id, reasons, [{values}]::varchar as said from judged")
    run_file(engine, "twins.sql")
