"""The rules of a row, as SQL: what it says, what was repaired, and why it cannot be kept.

On the table `raw` stand the view `texts` (a trimmed text `t_<name>` per canonical column, `x<n>` per extra), the table
`judged` (a typed `k_<name>` per column, and `reasons`) and the view `fates` (what becomes of each row).
"""

from __future__ import annotations

from collections.abc import Mapping as Pairs
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.resources import files

import duckdb

from rca_lib.audits.conventions import Conventions
from rca_lib.audits.csv_files import run
from rca_lib.audits.mapping import COLUMNS, IDS, Mapping, Plan, quote
from rca_lib.audits.tables import AUDITS, TENURES, columns

LABELS = ("label", "truth", "model_label")
NOT_NEGATIVE = ("handle_seconds", "tenure_days")
EARLIEST = "timestamp '1990-01-01'"
TWINS = "same audit_id with different content"
SUGGESTIONS = {
    "line the CSV reader rejects": "bring it to the columns of the header; quote text that holds quotes or delimiters",
    "footer total": "remove it, it is no audit",
    "missing weight": "give the weight, or the decisions of its stratum in the population",
    "missing": "fill it from the source system",
    "id destroyed by a spreadsheet": "take the id from the source system; export ids as text",
    "unparseable date": "write it as 2026-03-09 14:30, or correct date_order in the mapping",
    "date before 1990": "correct it in the source system",
    "future date": "correct it, or the time zone in the mapping",
    "audit before decision": "check both times, and whether they are in one time zone",
    "label not in the map": "correct it, or add it under labels in the mapping",
    "value not known": "correct it, or translate it under values in the mapping",
    "not a number": "correct it, or the decimal mark in the mapping",
    "negative": "correct it in the source system",
    "weight not above 0": "give 1 / probability of being sampled",
    TWINS: "keep the true one, or give each an id of its own",
}


def create_texts(engine: duckdb.DuckDBPyConnection, plan: Plan, mapping: Mapping, count: int, mended: bool) -> None:
    """Create the view `texts` over the first `count` cells of `raw`; `mended` takes escaped formulas back."""
    run(engine, files("rca_lib.audits").joinpath("rules.sql").read_text(encoding="utf-8"))
    cells = [f"clean({f'unescape_formula(c{place})' if mended else f'c{place}'}) as c{place}" for place in range(count)]
    texts = [f"{_text(name, source, mapping)} as t_{name}" for name, source in plan.places.items()]
    texts += [f"{_without(f'c{place}', mapping.nulls)} as x{n}" for n, place in enumerate(plan.extras.values())]
    first = f"coalesce({', '.join(f'c{place}' for place in range(count))}) as first_text"
    pointed = [f"coalesce(c{place} <> tidy_id(c{place}), false)" for name in IDS for place in _cells_of(plan, name)]
    texts += [f"{' or '.join(pointed) or 'false'} as pointed_id"]
    run(
        engine,
        f"create view cells as select row, rejected, {', '.join(cells)} from raw; "
        f"create view texts as select row, rejected, {first}, {', '.join(texts)} from cells",
    )


def _cells_of(plan: Plan, name: str) -> tuple[int, ...]:
    source = plan.places.get(name, ())
    return () if isinstance(source, str) else source


def _text(name: str, source: tuple[int, ...] | str, mapping: Mapping) -> str:
    if isinstance(source, str):
        return quote(source)
    spellings = mapping.labels if name in LABELS else {}
    parts = [_without(f"c{place}", [word for word in mapping.nulls if word not in spellings]) for place in source]
    if name in IDS:
        parts = [f"tidy_id({part})" for part in parts]
    return _translate(" || ':' || ".join(parts), mapping.values.get(name, {}), keep=True)


def _without(cell: str, nulls: Sequence[str]) -> str:
    return f"case when {cell} not in ({', '.join(map(quote, nulls))}) then {cell} end" if nulls else cell


def _translate(text: str, spellings: Pairs[str, str], *, keep: bool) -> str:
    cases = " ".join(f"when {quote(old)} then {quote(new)}" for old, new in spellings.items())
    return f"case {text} {cases} {f'else {text}' if keep else ''} end" if cases else text


# what a row says -----------------------------------------------------------------------------------------------------


def create_judged(
    engine: duckdb.DuckDBPyConnection, plan: Plan, mapping: Mapping, how: Conventions, now: datetime | None
) -> None:
    """Create the table `judged`: a typed `k_<name>` per column, `x<n>` per extra, `reasons` and a label's `near`."""
    zone = _site_zone(mapping, how)
    typed = [f"{_typed(name, mapping, how, zone)} as k_{name}" for name in plan.places]
    wanted = [f"k_{name}" for name in plan.places] + [f"x{n}" for n in range(len(plan.extras))]
    wanted += [f"{expression} as k_{name}" for name, expression in _derived(plan, mapping, zone).items()]
    unknown = [f"case when k_{name} is null then t_{name} end" for name in LABELS if name in plan.places]
    known = f"[{', '.join(map(quote, mapping.known_labels))}]::varchar[]"
    reasons = ", ".join(f"case when {test} then {quote(reason)} end" for test, reason in _reasons(plan, mapping, now))
    run(
        engine,
        f"create table judged as select row, {', '.join(wanted)}, first_text is null as is_empty, "
        f"nearest_labels(coalesce({', '.join(unknown)}), {known}) as near, "
        f"list_filter([{reasons}], lambda reason: reason is not null) as reasons "
        f"from (select *, {', '.join(typed)} from texts)",
    )


def _site_zone(mapping: Mapping, how: Conventions) -> str:
    zones = mapping.site_time_zones
    if isinstance(zones, str) or not zones:
        return quote(zones or how.zone)
    return f"coalesce({_translate('t_site', zones, keep=False)}, {quote(how.zone)})"


def _typed(name: str, mapping: Mapping, how: Conventions, zone: str) -> str:
    text, column = f"t_{name}", COLUMNS[name]
    mark, per_cent = quote(how.decimal), str(how.per_cent and name == "model_score").lower()
    if name in LABELS:
        return _label(text, mapping)
    if column.values:
        return f"case when known_word({text}) in ({', '.join(map(quote, column.values))}) then known_word({text}) end"
    if name == "handle_seconds":
        return f"duration({text}, {mark})"
    dates = f"{str(how.day_first).lower()}, timestamp {quote(how.epoch)}"
    return {
        "time": f"moment({text}, {dates}, {quote(how.zone)}, {zone})",
        "number": f"number({text}, {mark}, {per_cent})",
        "whole": f"whole({text}, {mark})",
        "flag": f"flag({text})",
    }.get(column.kind, text)


def _label(text: str, mapping: Mapping) -> str:
    spellings = {label: label for label in mapping.known_labels} | mapping.labels
    if mapping.label_scale != "multilabel":
        return _translate(text, spellings, keep=False)
    part = _translate("part", spellings, keep=False)
    parts = f"list_transform(regexp_split_to_array({text}, '\\s*[;|,]\\s*'), lambda part: {part})"
    unknown = f"len(list_filter({parts}, lambda part: part is null)) > 0"
    return f"case when not {unknown} then array_to_string(list_sort(list_distinct({parts})), '|') end"


def _derived(plan: Plan, mapping: Mapping, zone: str) -> dict[str, str]:
    local = f"timezone({zone}, timezone('UTC', k_decided_at))"
    derived = {"day": f"cast({local} as date)", "error": "cast(k_label <> k_truth as tinyint)"}
    if "tenure_days" in plan.places:
        limits = zip((30, 90, 365), TENURES, strict=False)
        bands = " ".join(f"when k_tenure_days <= {days} then {quote(band)}" for days, band in limits)
        derived["tenure"] = f"case {bands} when k_tenure_days > 365 then {quote(TENURES[-1])} end"
    if mapping.site_time_zones and "shift" not in plan.places:
        derived["shift"] = f"case when not is_day_only(t_decided_at) then part_of_day(hour({local})) end"
    return derived


def output_columns(plan: Plan, mapping: Mapping) -> dict[str, str]:
    """Name the columns of the store, each with its column in `fates`: canonical ones in order, then the extras."""
    made = {*plan.places, *_derived(plan, mapping, ""), "source_row", "source_file"}
    own = {"source_row": "row", "source_file": "source_file"}
    canonical = {name: own.get(name, f"k_{name}") for name in COLUMNS if name in made}
    return canonical | {name: f"x{number}" for number, name in enumerate(plan.extras)}


# why it cannot be kept -----------------------------------------------------------------------------------------------


def _reasons(plan: Plan, mapping: Mapping, now: datetime | None) -> list[tuple[str, str]]:
    required = columns(AUDITS, "required")
    gaps = " + ".join(f"(t_{name} is null)::int" for name in required)
    pairs = [(f"is_footer(first_text) and {gaps} >= 2", "footer total")]
    pairs += [("rejected is not null", "line the CSV reader rejects")]
    pairs += [(f"t_{name} is null", f"missing {name}") for name in required]
    for name in plan.places:
        pairs += _reasons_of_column(name, mapping, now)
    if "audited_at" in plan.places:
        end = "k_audited_at + case when is_day_only(t_audited_at) then interval 1 day else interval 1 microsecond end"
        pairs += [(f"{end} <= k_decided_at", "audit before decision")]
    return pairs


def _reasons_of_column(name: str, mapping: Mapping, now: datetime | None) -> list[tuple[str, str]]:
    unread, column = f"t_{name} is not null and k_{name} is null", COLUMNS[name]
    pairs = [(f"is_destroyed(t_{name})", f"id destroyed by a spreadsheet ({name})")] if name in IDS else []
    if name in LABELS and mapping.known_labels:
        pairs += [(unread, f"label not in the map ({name})")]
    elif column.values or column.kind == "flag":
        pairs += [(unread, f"value not known ({name})")]
    elif column.kind == "time":
        pairs += [(unread, f"unparseable date ({name})"), (f"k_{name} < {EARLIEST}", f"date before 1990 ({name})")]
        if now is not None:
            moment = (now.astimezone(UTC) if now.tzinfo else now).strftime("%Y-%m-%d %H:%M:%S")
            pairs += [(f"k_{name} > timestamp {quote(moment)}", f"future date ({name})")]
    elif column.kind in ("number", "whole"):
        pairs += [(unread, f"not a number ({name})")]
    if name in NOT_NEGATIVE:
        pairs += [(f"k_{name} < 0", f"negative {name}")]
    if name == "weight":
        pairs += [("k_weight <= 0 or isinf(k_weight)", "weight not above 0")]
    return pairs


def create_fates(engine: duckdb.DuckDBPyConnection, count: int) -> None:
    """Create the view `fates`: `judged` with `fate` (kept, quarantined, exact duplicate, empty).

    Twins share an audit_id: `repeated` copies an earlier row, `conflict` means that contents differ. Grouping hashes
    first keeps the memory small; only the few candidates are compared in full.
    """
    content = ", ".join(f"coalesce(c{place}, chr(0))" for place in range(count))
    run(
        engine,
        "create table twins as with again as (select hash(k_audit_id) as h from judged where k_audit_id is not null "
        "group by h having count(*) > 1), candidates as (select j.row, k_audit_id as id, "
        f"md5(concat_ws(chr(31), {content})) as content from judged j join cells on cells.row = j.row "
        "where hash(k_audit_id) in (select h from again)) "
        "select row, row > min(row) over (partition by id, content) as repeated, "
        "min(content) over (partition by id) <> max(content) over (partition by id) as conflict from candidates; "
        f"create view fates as select * exclude (conflict, repeated, reasons), "
        f"case when conflict then list_append(reasons, {quote(TWINS)}) else reasons end as reasons, "
        "case when is_empty then 'empty' when repeated then 'exact duplicate' "
        "when conflict or len(reasons) > 0 then 'quarantined' else 'kept' end as fate "
        "from judged left join (select row as twin, conflict, repeated from twins) on row = twin",
    )


def suggest(reason: str, near: str | None = None) -> str:
    """Return what can be done about a reason; `near` are the labels nearest to one that is not in the map.

    Examples
    --------
    >>> suggest("missing truth")
    'fill it from the source system'
    """
    mend = next((mend for start, mend in SUGGESTIONS.items() if reason.startswith(start)), "")
    known = COLUMNS[reason[reason.index("(") + 1 : -1]].values if reason.startswith("value not known") else ()
    offered = f"; nearest: {near}" if near else f"; known: {', '.join(known)}" if known else ""
    return mend + offered
