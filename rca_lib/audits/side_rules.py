"""What events, targets and the population must hold, value by value."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import pandas as pd

from rca_lib.audits.mapping import Mapping
from rca_lib.audits.periods import parse_period
from rca_lib.audits.table_files import TableFile, fold_word, show_value
from rca_lib.audits.tables import AUDITS, EVENT_TYPES, TARGET_METRICS, columns, parse_scope

DATE_HINT = "write it as 2026-03-09 or 2026-03-09 14:30"
SCOPE_HINT = "write column=value, such as site=Lisbon, with ; between pairs; leave it empty for everywhere"
SHARE_HINT = "write it as a share or with a percent sign: 0.97 or 97%"
FIRST, LAST = pd.Timestamp("1990-01-01"), pd.Timestamp("2100-01-01")
DIRECTIONS = {"at_least": "at_least", "at_most": "at_most", ">=": "at_least", "≥": "at_least", "<=": "at_most",
              "≤": "at_most"}  # fmt: skip
ERROR_METRICS = ("over_enforcement", "under_enforcement")  # lower is better
KNOWN_KEYS = columns(AUDITS)
TWO_NUMBERS = re.compile(r"\d{1,2}[-/.]\d{1,2}[-/.]")
MIDNIGHT = re.compile(r"[ T]0?0:00(:00(\.0+)?)?$|[ T]12:00(:00)? ?AM$", re.IGNORECASE)


def check_events(read: TableFile, mapping: Mapping) -> pd.DataFrame:
    """Check events row by row, and return them as the store holds them; faults are added to `read`."""
    table = read.texts.copy()
    starts, ends = times_of(read, "start"), times_of(read, "end")
    rows: list[dict[str, Any]] = []
    seen: dict[str, object] = {}
    for row, texts in zip(table.index, table.to_dict("records"), strict=True):
        event = dict(texts)
        name = event["event_id"]
        if name is None:
            read.refuse(row, "event_id", "the event has no id", "name each event, such as e-001")
        elif name in seen:
            problem = f"{show_value(name)} is also the id of row {seen[name]}"
            read.refuse(row, "event_id", problem, "give each event an id of its own, or remove the copy")
        seen.setdefault(name, row)
        event["type"] = check_word(read, row, "type", event["type"], EVENT_TYPES)
        event["title"] = event["title"] or (event["type"] or "").replace("_", " ").capitalize()
        event["start"] = check_time(read, row, "start", texts["start"], starts, required=True)
        event["end"] = check_time(read, row, "end", texts.get("end"), ends)
        _check_order(read, row, texts, starts, ends)
        event["scope"] = check_scope(read, row, event.get("scope"))
        event["share"] = check_share(read, row, "share", event.get("share"))
        event["visibility"] = _check_visibility(read, row, event.get("visibility"))
        rows.append(event)
    names = [*dict.fromkeys(["event_id", "type", "start", "end", "scope", "title", *table])]
    names += [name for name in ("visibility",) if name not in names]
    return pd.DataFrame(rows, table.index, names, dtype=object)


def times_of(read: TableFile, column: str) -> dict[object, tuple[pd.Timestamp | None, bool]]:
    """Return by row the moment in UTC, and whether it is a day without a clock time.

    Midnight by the file's clock is such a day: spreadsheets write days as midnights.
    """
    if column not in read.typed:
        return {}
    found: dict[object, tuple[pd.Timestamp | None, bool]] = {}
    for row, moment in read.typed[column].items():
        text = str(read.texts.at[row, column] or "")
        if pd.isna(moment):
            found[row] = (None, False)
        elif read.days.at[row, column]:
            found[row] = (pd.Timestamp(moment), True)
        elif MIDNIGHT.search(text):
            local = pd.Timestamp(moment).tz_localize("UTC").tz_convert(read.zone).tz_localize(None)
            found[row] = (local.normalize(), True)
        else:
            found[row] = (pd.Timestamp(moment), False)
    return found


def check_time(
    read: TableFile,
    row: object,
    column: str,
    text: str | None,
    times: dict[object, tuple[pd.Timestamp | None, bool]],
    *,
    required: bool = False,
) -> str | None:
    """Return a moment as the store writes it: 2026-03-09, or 2026-03-09T14:30:00Z."""
    if text is None:
        if required:
            read.refuse(row, column, "there is no date", DATE_HINT)
        return None
    moment, is_day = times.get(row, (None, False))
    if moment is None:
        if read.open_order and TWO_NUMBERS.match(text):
            return None  # told of already
        hint = f"{DATE_HINT}, or correct date_order in the mapping"
        read.refuse(row, column, f"{show_value(text)} cannot be read as a date", hint)
        return None
    if not FIRST <= moment < LAST:
        read.refuse(row, column, f"{show_value(text)} lies before 1990 or after 2099", "correct the year")
    return f"{moment:%Y-%m-%d}" if is_day else f"{moment.isoformat()}Z"


def _check_order(read: TableFile, row: object, texts: dict[str, Any], starts: Any, ends: Any) -> None:
    (start, _), (end, is_day) = starts.get(row, (None, False)), ends.get(row, (None, False))
    if start is None or end is None:
        return
    if end < (start.normalize() if is_day else start):
        problem = f"the end {show_value(texts['end'])} lies before the start {show_value(texts['start'])}"
        read.refuse(row, "end", problem, "correct one of the two dates, or leave the end empty")


def check_word(
    read: TableFile, row: object, column: str, text: str | None, words: Sequence[str], *, required: bool = True
) -> str | None:
    """Return a word of the contract; case, blanks and hyphens may differ."""
    if text is None:
        if required:
            read.refuse(row, column, f"there is no {column}", f"choose among {', '.join(words)}")
        return None
    word = fold_word(text)
    if word not in words:
        near = get_close_matches(word, words, 3, 0.5)
        hint = f"nearest: {', '.join(near)}" if near else f"choose among {', '.join(words)}"
        read.refuse(row, column, f"{show_value(text)} is not a known {column}", hint)
        return None
    if word != text:
        read.repair(row, column, f"{show_value(text)} is read as {word}")
    return word


def check_scope(read: TableFile, row: object, text: str | None) -> str | None:
    """Return a scope as the store writes it: `site=Lisbon;policy=hate`."""
    if text is None or text.strip() in ("", "*"):
        return None
    pairs: dict[str, str] = {}
    for part in re.split(r"[;\n]", text):
        if not part.strip():
            continue
        name, sign, value = (piece.strip() for piece in part.partition("="))
        problem = _judge_pair(part.strip(), name, sign, value, pairs)
        if problem:
            read.refuse(row, "scope", problem, SCOPE_HINT)
            return None
        pairs[fold_word(name) if fold_word(name) in KNOWN_KEYS else name] = value
    scope = ";".join(f"{name}={value}" for name, value in pairs.items())
    if parse_scope(text) != pairs:
        read.repair(row, "scope", f"{show_value(text)} is read as {scope}")
    return scope or None


def _judge_pair(part: str, name: str, sign: str, value: str, before: dict[str, str]) -> str:
    """Say what is wrong with a pair of a scope, "" where nothing is."""
    if not sign:
        return f"{show_value(part)} is no pair of column and value"
    if not name or not value or value.startswith("="):
        return f"{show_value(part)} lacks a column or a value"
    if re.search(r"([,&|]|\band\b)\s*\w+\s*=", value):
        return f"{show_value(part)} holds several pairs"
    known = {fold_word(key) for key in before}
    return f"{show_value(name)} is there twice in the scope" if fold_word(name) in known else ""


def check_share(read: TableFile, row: object, column: str, text: str | None, *, required: bool = False) -> str | None:
    """Return a share between 0 and 1 as text; `0,97`, `97%` and `97 %` are read, 97 is not."""
    if text is None:
        if required:
            read.refuse(row, column, "there is no number", SHARE_HINT)
        return None
    number = read_number(text)
    if number is None:
        read.refuse(row, column, f"{show_value(text)} is not a number", SHARE_HINT)
        return None
    if not 0 <= number <= 1:
        near = f"{number / 100:g} or {number:g}%" if 1 < number <= 100 and "%" not in text else ""
        hint = f"write it as {near}" if near else SHARE_HINT
        read.refuse(row, column, f"{show_value(text)} is not a share between 0 and 1", hint)
        return None
    written = f"{number:.10g}"
    if "%" in text or "," in text:
        read.repair(row, column, f"{show_value(text)} is read as {written}")
    return written


def read_number(text: str) -> float | None:
    """Read a number that has no thousands: a decimal point or comma, perhaps a percent sign.

    Examples
    --------
    >>> read_number("97,5 %"), read_number("0.97"), read_number("1,000.5"), read_number("nan")
    (0.975, 0.97, None, None)
    """
    found = re.fullmatch(r"([+-]?\d*[.,]?\d+|[+-]?\d+[.,])\s*(%?)", text.replace("\u00a0", " ").strip(), re.ASCII)
    if not found or len(text) > 40:
        return None
    number = float(found[1].replace(",", "."))
    return round(number / 100, 12) if found[2] else number


def read_whole(text: str, mapping: Mapping) -> int | None:
    """Read a whole number; blanks, apostrophes or the sign that is not the mapping's decimal mark may group thousands.

    Examples
    --------
    >>> read_whole("12 000", Mapping()), read_whole("12,000", Mapping()), read_whole("12,000", Mapping(decimal="."))
    (12000, None, 12000)
    """
    group = {".": ",", ",": r"\."}.get(mapping.decimal or "", "'")
    mark = re.escape(mapping.decimal or ".")
    plain = text.strip()
    grouped = rf"\d{{1,3}}(?:(?:['’ \u00a0\u202f]\d{{3}}){{1,4}}|(?:{group}\d{{3}}){{1,4}})"
    found = re.fullmatch(rf"(\d{{1,15}}|{grouped})(?:{mark}0+)?", plain, re.ASCII)
    return int(re.sub(r"\D", "", found[1])) if found else None


def _check_visibility(read: TableFile, row: object, text: str | None) -> str | None:
    if text is None:
        return None
    kind, sign, vendor = (part.strip() for part in text.partition(":"))
    if sign and fold_word(kind) == "vendor" and vendor:
        return f"vendor:{vendor}"
    return check_word(read, row, "visibility", text, ("internal", "all", "vendor:NAME"), required=False)


def check_targets(read: TableFile, mapping: Mapping) -> pd.DataFrame:
    """Check targets row by row, and return them as the store holds them; faults are added to `read`."""
    table = read.texts.copy()
    first, last = times_of(read, "valid_from"), times_of(read, "valid_to")
    rows: list[dict[str, Any]] = []
    for row, texts in zip(table.index, table.to_dict("records"), strict=True):
        target = dict(texts)
        target["metric"] = check_word(read, row, "metric", target["metric"], TARGET_METRICS)
        target["scope"] = check_scope(read, row, target.get("scope"))
        target["direction"] = _check_direction(read, row, target)
        for name in ("contract", "realistic", "stretch"):
            target[name] = check_share(read, row, name, target.get(name), required=name == "contract")
        target["valid_from"] = _day(check_time(read, row, "valid_from", texts.get("valid_from"), first))
        target["valid_to"] = _day(check_time(read, row, "valid_to", texts.get("valid_to"), last))
        target["min_audits"] = _check_count(read, row, "min_audits", target.get("min_audits"), mapping, least=0)
        _check_target(read, row, target)
        rows.append({"row": row, **target})
    _check_overlaps(read, rows)
    names = ["metric", "direction", "contract", "realistic", "stretch", "scope", "valid_from", "valid_to", "min_audits"]
    names = [name for name in names if name in table or name in ("direction", "scope")]
    names += [name for name in table if name not in names]
    return pd.DataFrame(rows, table.index, names, dtype=object)


def _day(text: str | None) -> str | None:
    return text and text[:10]


def _check_direction(read: TableFile, row: object, target: dict[str, Any]) -> str | None:
    text = target.get("direction")
    if text is None:
        return "at_most" if target["metric"] in ERROR_METRICS else "at_least"
    return DIRECTIONS.get(text.strip()) or check_word(read, row, "direction", text, ("at_least", "at_most"))


def _check_target(read: TableFile, row: object, target: dict[str, Any]) -> None:
    """Check what concerns several values of a target."""
    first, last, metric = target["valid_from"], target["valid_to"], target["metric"]
    if first and last and last < first:
        problem = f"the last day {last} lies before the first day {first}"
        read.refuse(row, "valid_to", problem, "correct one of the two days")
    if metric and target["direction"] and (target["direction"] == "at_most") != (metric in ERROR_METRICS):
        sign = "at_most" if metric in ERROR_METRICS else "at_least"
        problem = f"{target['direction']} for {metric}"
        read.refuse(row, "direction", problem, f"write {sign}, or correct the metric")
    if target["contract"] == "1" and metric in ERROR_METRICS:
        problem = "1 is the share 100 %, which everybody meets"
        read.refuse(row, "contract", problem, "write 0.01 or 1% for one percent")


def _check_overlaps(read: TableFile, rows: list[dict[str, Any]]) -> None:
    """Refuse two targets for one metric and scope that hold on the same day."""
    earlier: dict[tuple[object, ...], list[dict[str, Any]]] = {}
    for target in rows:
        same = earlier.setdefault((target["metric"], *sorted(parse_scope(target["scope"]).items())), [])
        for other in same if target["metric"] else ():
            begins_in = (target["valid_from"] or "0") <= (other["valid_to"] or "9")
            if begins_in and (other["valid_from"] or "0") <= (target["valid_to"] or "9"):
                problem = f"row {other['row']} sets the same metric and scope for the same days"
                read.refuse(target["row"], "metric", problem, "remove one, or set valid_from and valid_to")
                break
        same.append(target)


def _check_count(
    read: TableFile, row: object, column: str, text: str | None, mapping: Mapping, *, least: int
) -> str | None:
    if text is None:
        return None
    count = read_whole(text, mapping)
    if count is None or count < least:
        hint = f"write a whole number from {least}, without signs between thousands"
        read.refuse(row, column, f"{show_value(text)} is not a whole number from {least}", hint)
        return None
    return str(count)


def check_population(read: TableFile, mapping: Mapping) -> pd.DataFrame:
    """Check the population row by row, and return it as the store holds it; faults are added to `read`."""
    table, rows, seen = read.texts, [], {}
    keys = [name for name in ("site", "queue", "stratum") if name in read.typed]
    for row, texts in zip(table.index, table.to_dict("records"), strict=True):
        line = dict(texts) | {name: read.typed.at[row, name] for name in keys}
        line |= {name: None for name in keys if pd.isna(line[name])}
        line["period"] = _check_period(read, row, texts["period"])
        for name in ("site", "stratum"):
            if line[name] is None:
                read.refuse(row, name, f"there is no {name}", f"fill in the {name} as the audits spell it")
        if texts["decisions"] is None:
            read.refuse(row, "decisions", "there is no number", "fill in how many decisions the stratum holds")
        line["decisions"] = _check_count(read, row, "decisions", texts["decisions"], mapping, least=1)
        key = tuple(line.get(name) for name in ("period", "site", "queue", "stratum"))
        if key in seen and None not in (key[0], key[1], key[3]):
            read.refuse(
                row, "stratum", f"row {seen[key]} counts the same stratum", "keep one row per stratum and period"
            )
        seen.setdefault(key, row)
        rows.append(line)
    names = [name for name in ("period", "site", "queue", "stratum", "decisions") if name in table]
    return pd.DataFrame(rows, table.index, names, dtype=object)


def _check_period(read: TableFile, row: object, text: str | None) -> str | None:
    if text is None:
        read.refuse(row, "period", "there is no period", "write 2026-03, 2026-Q1 or 2026-W12")
        return None
    try:
        return parse_period(text).name
    except ValueError:
        problem = f"{show_value(text)} is not a period"
        read.refuse(row, "period", problem, "write a month 2026-03, a quarter 2026-Q1 or a week 2026-W12")
        return None
