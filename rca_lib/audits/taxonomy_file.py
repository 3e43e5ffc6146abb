"""The taxonomy file: causes with their owners, and the rules that hint at them. Read, checked, asked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import field, fields
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import duckdb
import pandas as pd
from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic import dataclasses as checked

from rca_lib.audits.cause_codes import USUAL
from rca_lib.audits.engine import open_engine
from rca_lib.audits.tables import AUDITS, DIMENSIONS, EVENT_TYPES, parse_scope
from rca_lib.audits.yaml_files import Place, read_yaml
from rca_lib.findings import DataError
from rca_lib.stats.texts import read_texts

DEFAULT = Path(__file__).resolve().parents[2] / "parameters" / "taxonomy.yml"
COLUMNS = {column.name: column.kind for column in AUDITS}
NUMBERS = ("number", "whole")
NO_EVENTS = pd.DataFrame(columns=["type", "start", "end", "scope"])
INHERITED = ("owner", "controllable_by", "measurement")
STRICT = ConfigDict(extra="forbid")
Text = Annotated[str, Field(min_length=1)]


@checked.dataclass(frozen=True, slots=True, config=STRICT)
class Cause:
    """Why an error happened: its level-1 `bone`, who mends it, and whether it is the measurement's, not a rater's."""

    code: str
    name: Text
    bone: str
    owner: Text
    controllable_by: Literal["site", "client", "shared"]
    measurement: bool = False


@checked.dataclass(frozen=True, slots=True, config=STRICT)
class EventWindow:
    """Decided within so many days after an event of this `type` began (none given: until its end, a day if open).

    Where `names` is a column, only events count whose scope names it ("a policy update *on that policy*").
    """

    type: Literal[EVENT_TYPES]  # type: ignore[valid-type]
    within_days: Annotated[float, Field(ge=0)] | None = None
    names: Literal["site", *DIMENSIONS] | None = None  # type: ignore[valid-type]


@checked.dataclass(frozen=True, slots=True, config=STRICT)
class Rule:
    """A hint at a cause: `when` (SQL on the columns of audits) holds, a `comment` pattern is found, its `event` was.

    `confidence` is the probability that the cause is the right one where the rule matches, as its author judges it.
    """

    cause: str
    confidence: Annotated[float, Field(gt=0, le=1)]
    when: str = ""
    comment: list[Text] = field(default_factory=list)
    event: EventWindow | None = None

    def __post_init__(self) -> None:
        if not (self.when or self.comment or self.event):
            raise ValueError("no condition: add when, comment or event")

    def columns(self) -> list[str]:
        """Return the columns that the rule reads."""
        words = [word.lower() for word in re.findall(r"'[^']*'|\w+", self.when)]
        words += ["comment"] * bool(self.comment) + ["decided_at"] * bool(self.event)
        return [word for word in words if word in COLUMNS]


@checked.dataclass(frozen=True, slots=True, config=STRICT)
class Taxonomy:
    """Causes by code, rules by name in order of precedence, and `unknown`, the code of no cause found.

    `cause_of` names the code that stands for an event type or a kind of finding, where codes are not the default
    taxonomy's (`cause_codes.USUAL`).
    """

    causes: Annotated[dict[str, Cause], BeforeValidator(lambda entries: _inherit(entries))]
    unknown: str
    rules: dict[Text, Rule]
    cause_of: dict[str, str] = field(default_factory=dict)

    def name(self, code: str) -> str:
        """Return what a code stands for."""
        return self.causes[code].name

    def owner(self, code: str) -> str:
        """Return who can mend it."""
        return self.causes[code].owner

    def controllable_by(self, code: str) -> str:
        """Return in whose hands it is: site, client or shared."""
        return self.causes[code].controllable_by


FIELDS = {
    "causes": (*(one.name for one in fields(Cause) if one.name not in ("code", "bone")), "parent"),
    "rules": tuple(one.name for one in fields(Rule)),
}
LISTED = 20  # further faults that are told


def read_taxonomy(path: str | Path | None = None) -> Taxonomy:
    """Read and check a taxonomy file, arranged as `parameters/taxonomy.yml`, which is read where none is given.

    Raises
    ------
    DataError
        With all faults and their lines: no YAML, an unknown or duplicate key, an unknown code, a cycle of parents, a
        condition that is no SQL on the columns of the contract, a pattern that is no regular expression (RE2), a value
        out of range.

    Examples
    --------
    >>> taxonomy = read_taxonomy()
    >>> taxonomy.causes["MEA.GT_STALE"].measurement, taxonomy.owner("TRN.UPD")
    (True, 'training')
    """
    file = DEFAULT if path is None else Path(path)
    try:
        read = read_yaml(file)
    except OSError as error:
        raise DataError(f"no taxonomy file {file}", mend="name one, or restore parameters/taxonomy.yml") from error
    lines = {(): 1, **read.lines}
    try:
        taxonomy = TypeAdapter(Taxonomy).validate_python(read.content)
        faults = _check(taxonomy)
    except _Fault as fault:
        faults = [fault]
    except ValidationError as error:
        faults = _list_faults(error)
    if faults:
        raise _explain(file, faults, lines)
    return taxonomy


def ask_rules(rules: Mapping[str, Rule], rows: pd.DataFrame, events: pd.DataFrame = NO_EVENTS) -> list[str]:
    """Return for each row the name of the first rule that matches, "" where none does.

    `rows` hold the columns that the rules read, of which a missing value makes no rule match; `events` have `type`,
    `start`, `end` (UTC, without a zone) and `scope`, and match nothing where it is on a column that the rows lack.
    Patterns are RE2's: none can run away on a hostile text.
    """
    cases = [f"when {_write_rule(rule, events, list(rows))} then {_quote(name)}" for name, rule in rules.items()]
    with _open_engine(rows) as engine:
        answers = engine.execute(f"select case {' '.join(cases)} when true then '' end from facts").fetchall()
    return [name for (name,) in answers]


def _open_engine(rows: pd.DataFrame) -> duckdb.DuckDBPyConnection:
    """Open an engine that sees the rows as `facts`, typed by the contract, and neither files nor the network."""
    facts = {name: read_texts(rows, name).replace("", None) for name in rows}
    for name in set(facts) & set(COLUMNS):
        if COLUMNS[name] in NUMBERS:
            facts[name] = pd.to_numeric(facts[name], errors="coerce")
        elif COLUMNS[name] == "time":
            facts[name] = pd.to_datetime(rows[name], utc=True, format="ISO8601", errors="coerce").dt.tz_localize(None)
    return open_engine().register("facts", pd.DataFrame(facts))


class _Fault(Exception):  # noqa: N818
    """What is wrong with the file: the keys that lead to it, the problem, the mend."""


def _inherit(entries: Any) -> Any:
    """Complete each cause by what its nearest forebear says of owner, controllable_by and measurement."""
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        return entries  # told of by the check that follows
    causes = {}
    for code, entry in entries.items():
        line = _find_forebears(entries, code)
        passed_on = {key: entries[one][key] for one in reversed(line) for key in INHERITED if key in entries[one]}
        own = {key: value for key, value in entry.items() if key != "parent"}
        causes[code] = {**passed_on, **own, "code": code, "bone": line[-1]}
    return causes


def _find_forebears(entries: Mapping[str, Mapping[str, str]], code: str) -> list[str]:
    """Return the code, its parent (named, or before its last dot), and so on up to its bone."""
    line = [code]
    while parent := entries[line[-1]].get("parent") or line[-1].rpartition(".")[0]:
        _require(parent, entries, ("causes", line[-1]), "unknown parent")
        if parent in line:
            circle = " > ".join([*line, parent])
            raise _Fault(("causes", line[-1]), f"a cycle of parents: {circle}", "give one of them another parent")
        line.append(parent)
    return line


def _explain(file: Path, faults: Sequence[_Fault], lines: Mapping[Place, int]) -> DataError:
    """Make one error of all faults, the first with its hint, up to 20 of the others with their lines."""

    def line_of(fault: _Fault) -> int:
        place = fault.args[0]
        return next(lines[place[:keys]] for keys in range(len(place), -1, -1) if place[:keys] in lines)

    (_, problem, hint), rest = faults[0].args, faults[1:]
    listed = [f"line {line_of(fault)}: {fault.args[1]} ({fault.args[2]})" for fault in rest[:LISTED]]
    listed += [f"{len(rest) - LISTED:,} more"] * (len(rest) > LISTED)
    told = "; ".join([problem, *listed])
    return DataError(told, first={"file": file.name, "line": line_of(faults[0])}, mend=hint)


def _list_faults(error: ValidationError) -> list[_Fault]:
    """List unknown keys before the missing ones that they may have been meant for."""
    found = sorted(error.errors(), key=lambda one: "unexpected" not in one["type"])
    faults = []
    for one in found:
        place, unknown = one["loc"], "unexpected" in one["type"]
        words = FIELDS.get(str(place[0]) if len(place) == 3 else "", ()) if unknown else ()
        near = get_close_matches(str(place[-1]), words, 1, 0.5) if words else ()
        hint = f"nearest known key: {near[0]}" if near else "arrange it as parameters/taxonomy.yml"
        problem = f"{', '.join(map(str, place))}: {'unknown key' if unknown else one['msg']}"
        faults.append(_Fault(place, problem, hint))
    return faults


def _check(taxonomy: Taxonomy) -> list[_Fault]:
    """Check the codes, ask each rule of a row with every column of the contract, and return what is wrong."""
    values = {**dict.fromkeys(NUMBERS, "1::double"), "time": "null::timestamp"}
    columns = ", ".join(f"{values.get(kind, _quote('a'))} as {name}" for name, kind in COLUMNS.items())
    checks = [partial(_require, taxonomy.unknown, taxonomy.causes, ("unknown",), "unknown code")]
    for subject, code in taxonomy.cause_of.items():
        checks.append(partial(_require, subject, USUAL, ("cause_of", subject), "no event type or finding"))
        checks.append(partial(_require, code, taxonomy.causes, ("cause_of", subject), "unknown code"))
    faults: list[_Fault] = []
    with open_engine() as engine:
        engine.execute(f"create table facts as select {columns}")
        for name, rule in taxonomy.rules.items():
            checks.append(partial(_require, rule.cause, taxonomy.causes, ("rules", name, "cause"), "unknown code"))
            checks.append(partial(_try_rule, engine, name, rule))
        for check in checks:
            try:
                check()
            except _Fault as fault:
                faults.append(fault)
    return faults


def _try_rule(engine: duckdb.DuckDBPyConnection, name: str, rule: Rule) -> None:
    try:
        engine.execute(f"select 1 from facts where {_write_rule(rule, NO_EVENTS, ())}")
    except duckdb.Error as error:
        problem = " ".join(str(error).partition("\n\nLINE")[0].split())
        hint = "when takes SQL on the columns of audits, comment takes regular expressions as RE2 reads them"
        raise _Fault(("rules", name), f"rule {name!r}: {problem}", hint) from error


def _require(word: str, words: Mapping[str, Any], place: Place, problem: str) -> None:
    if word not in words:
        near = get_close_matches(word, words, cutoff=0.5) or sorted(words)
        raise _Fault(place, f"{problem} {word!r}", f"choose {' or '.join(near)}")


def _write_rule(rule: Rule, events: pd.DataFrame, known: Sequence[str]) -> str:
    parts = [f"({rule.when})"] if rule.when else []
    if rule.comment:
        parts.append(f"regexp_matches(comment, {_quote('|'.join(f'(?:{one})' for one in rule.comment))}, 'i')")
    if rule.event:
        parts.append(_write_event(rule.event, events, known))
    return " and ".join(parts)


def _write_event(window: EventWindow, events: pd.DataFrame, known: Sequence[str]) -> str:
    moments = ["false"]
    for event in events[events["type"] == window.type].itertuples():
        scope = parse_scope(event.scope)
        if (not window.names or window.names in scope) and set(scope) <= set(known):
            days = 1 if window.within_days is None else window.within_days
            closed = window.within_days is None and pd.notna(event.end)
            end = event.end if closed else event.start + pd.Timedelta(days=days)
            inside = [f"decided_at between timestamp '{event.start}' and timestamp '{end}'"]
            inside += [_write_pair(name, value) for name, value in scope.items()]
            moments.append(" and ".join(inside))
    return f"({' or '.join(moments)})"


def _write_pair(name: str, value: str) -> str:
    column = '"' + name.replace('"', '""') + '"'
    return f"({column} = {_quote(value)} or {column} glob {_quote(value)})"


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
