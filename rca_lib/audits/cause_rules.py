# Tested in tests/questions/test_error_tagging.py.
"""Rules of the taxonomy that suggest a cause: their fields, their SQL, and their application to errors."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Annotated, Literal

import duckdb
import pandas as pd
from pydantic import ConfigDict, Field
from pydantic import dataclasses as checked

from rca_lib.audits.schema import AUDIT_COLUMNS, DIMENSIONS, EVENT_TYPES, parse_scope
from rca_lib.io.duckdb_connection import connect_duckdb
from rca_lib.stats.text.embedding import extract_texts

COLUMN_TYPES = {column.name: column.kind for column in AUDIT_COLUMNS}
NUMERIC_TYPES = ("number", "whole")
EMPTY_EVENTS = pd.DataFrame(columns=["type", "start", "end", "scope"])
STRICT_CONFIG = ConfigDict(extra="forbid")
Text = Annotated[str, Field(min_length=1)]


@checked.dataclass(frozen=True, slots=True, config=STRICT_CONFIG)
class EventWindow:
    """The decision fell within some days after an event of this `type` started.

    Without `within_days` the window lasts until the event's end, or one day where it has none. Where `names` is a
    column, only events count whose scope names it ("a policy update on that policy").
    """

    type: Literal[EVENT_TYPES]  # type: ignore[valid-type]
    within_days: Annotated[float, Field(ge=0)] | None = None
    names: Literal["site", *DIMENSIONS] | None = None  # type: ignore[valid-type]


@checked.dataclass(frozen=True, slots=True, config=STRICT_CONFIG)
class Rule:
    """A rule that suggests a cause where all its conditions hold.

    The conditions are `when` (SQL on the columns of audits), a match of one of the `comment` patterns, and an `event`.

    `confidence` is the author's probability that the cause is right where the rule matches.
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
        return [word for word in words if word in COLUMN_TYPES]


def apply_rules(rules: Mapping[str, Rule], rows: pd.DataFrame, events: pd.DataFrame = EMPTY_EVENTS) -> list[str]:
    """Find the first rule that matches each row.

    Parameters
    ----------
    rules
        Rules by name, in order of precedence.
    rows
        One row per error, with the columns that the rules read. A missing value matches no rule.
    events
        `type`, `start`, `end` (UTC, without a zone) and `scope`. An event with a column in its scope that the rows lack
        matches nothing.

    Returns
    -------
    list of str
        The name of the rule per row; "" where none matches.

    Notes
    -----
    Patterns are RE2 expressions, which run in linear time on any text.
    """
    cases = [
        f"when {_rule_to_sql(rule, events, list(rows.columns))} then {_quote_sql(name)}" for name, rule in rules.items()
    ]
    with _open_facts_engine(rows) as engine:
        answers = engine.execute(f"select case {' '.join(cases)} when true then '' end from facts").fetchall()
    return [name for (name,) in answers]


def find_invalid_rules(rules: Mapping[str, Rule]) -> dict[str, str]:
    """Run each rule on a row with every column of the schema, and return what the engine says of those that fail.

    Parameters
    ----------
    rules
        Rules by name.

    Returns
    -------
    dict of str to str
        The problem by the name of the rule: a condition that is not SQL on the columns of audits, or a pattern that is
        no regular expression (RE2). Empty if all rules can be applied.
    """
    values = {**dict.fromkeys(NUMERIC_TYPES, "1::double"), "time": "null::timestamp"}
    columns = ", ".join(f"{values.get(kind, _quote_sql('a'))} as {name}" for name, kind in COLUMN_TYPES.items())
    problems = {}
    with connect_duckdb() as engine:
        engine.execute(f"create table facts as select {columns}")
        for name, rule in rules.items():
            try:
                engine.execute(f"select 1 from facts where {_rule_to_sql(rule, EMPTY_EVENTS, ())}")
            except duckdb.Error as error:
                problems[name] = " ".join(str(error).partition("\n\nLINE")[0].split())
    return problems


def _open_facts_engine(rows: pd.DataFrame) -> duckdb.DuckDBPyConnection:
    """Open an engine that sees the rows as `facts`, typed by the schema, and neither files nor the network."""
    facts: dict[str, pd.Series] = {name: extract_texts(rows, name).replace("", None) for name in rows.columns}
    for name in set(facts) & set(COLUMN_TYPES):
        if COLUMN_TYPES[name] in NUMERIC_TYPES:
            facts[name] = pd.to_numeric(facts[name], errors="coerce")
        elif COLUMN_TYPES[name] == "time":
            facts[name] = pd.to_datetime(rows[name], utc=True, format="ISO8601", errors="coerce").dt.tz_localize(None)
    return connect_duckdb().register("facts", pd.DataFrame(facts))


def _rule_to_sql(rule: Rule, events: pd.DataFrame, known: Sequence[str]) -> str:
    """Return the conditions of a rule as SQL; `known` are the columns that scopes of events may name."""
    conditions = [f"({rule.when})"] if rule.when else []
    if rule.comment:
        pattern = "|".join(f"(?:{part})" for part in rule.comment)
        conditions.append(f"regexp_matches(comment, {_quote_sql(pattern)}, 'i')")
    if rule.event:
        conditions.append(_event_to_sql(rule.event, events, known))
    return " and ".join(conditions)


def _event_to_sql(window: EventWindow, events: pd.DataFrame, known: Sequence[str]) -> str:
    """Return the condition that a decision fell into the window of one of the events."""
    moments = ["false"]
    for event in events[events["type"] == window.type].itertuples():
        scope = parse_scope(event.scope)
        if (not window.names or window.names in scope) and set(scope) <= set(known):
            days = 1 if window.within_days is None else window.within_days
            closed = window.within_days is None and pd.notna(event.end)
            end = event.end if closed else event.start + pd.Timedelta(days=days)
            inside = [f"decided_at between timestamp '{event.start}' and timestamp '{end}'"]
            inside += [_scope_pair_to_sql(name, value) for name, value in scope.items()]
            moments.append(" and ".join(inside))
    return f"({' or '.join(moments)})"


def _scope_pair_to_sql(name: str, value: str) -> str:
    column = '"' + name.replace('"', '""') + '"'
    return f"({column} = {_quote_sql(value)} or {column} glob {_quote_sql(value)})"


def _quote_sql(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
