"""The taxonomy file: the kinds of error, the causes with their owners, and the rules that hint at a cause."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal

import duckdb
import pandas as pd
import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic import dataclasses as checked
from yaml.error import MarkedYAMLError

from rca_lib.audits.tables import AUDITS, DIMENSIONS, EVENT_TYPES, SEVERITIES, parse_scope
from rca_lib.findings import DataError
from rca_lib.stats.clusters import read_texts

DEFAULT = Path(__file__).resolve().parents[2] / "parameters" / "taxonomy.yml"
KINDS = (
    "over_enforcement", "under_enforcement", "wrong_policy", "wrong_label", "wrong_action", "wrong_escalation",
    "incomplete", "one_step_off", "more_steps_off", "technical",
)  # fmt: skip
COLUMNS = {column.name: column.kind for column in AUDITS}
Text = Annotated[str, Field(min_length=1)]
Control = Literal["site", "client", "shared"]
Place = tuple[str | int, ...]  # the keys that lead to a value of the file
STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class Cause:
    """Why an error happened: its level-1 `bone`, who mends it, and whether it is the measurement's, not a rater's."""

    code: str
    name: str
    bone: str
    owner: str
    controllable_by: Control
    measurement: bool


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
    """A hint at a cause: its condition holds, one of its comment patterns is found, its event came before.

    `confidence` is the probability that the cause is the right one where the rule matches, as its author judges it.
    `when` is a condition in SQL on the columns of audits; with a missing value it does not hold.
    """

    cause: str
    confidence: Annotated[float, Field(gt=0, le=1)]
    when: str = ""
    comment: list[Text] = field(default_factory=list)
    event: EventWindow | None = None

    def columns(self) -> list[str]:
        """Return the columns that the rule reads."""
        words = [word.lower() for word in re.findall(r"'[^']*'|\w+", self.when)]
        read = {"comment": self.comment, "decided_at": self.event}
        return [word for word in words if word in COLUMNS] + [name for name, part in read.items() if part]


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """What can go wrong and why: names of the kinds, severity weights, causes by code, rules by name, the first first.

    `unknown` is the code of no cause found.
    """

    kinds: Mapping[str, str]
    criticality: Mapping[str, float]
    causes: Mapping[str, Cause]
    unknown: str
    rules: Mapping[str, Rule]

    def name(self, code: str) -> str:
        """Return what a code stands for."""
        return self.causes[code].name

    def owner(self, code: str) -> str:
        """Return who can mend it."""
        return self.causes[code].owner

    def controllable_by(self, code: str) -> str:
        """Return in whose hands it is: site, client or shared."""
        return self.causes[code].controllable_by


def read_taxonomy(path: str | Path | None = None) -> Taxonomy:
    """Read and check a taxonomy file, arranged as `parameters/taxonomy.yml`, which is read where none is given.

    Raises
    ------
    DataError
        With the line: no YAML, an unknown or repeated key, an unknown code, a cycle of parents, a condition that is no
        SQL on the columns of the contract, a pattern that is no regular expression (RE2), a value out of range.

    Examples
    --------
    >>> taxonomy = read_taxonomy()
    >>> taxonomy.causes["MEA.GT_STALE"].measurement, taxonomy.owner("TRN.UPD")
    (True, 'training')
    """
    file = DEFAULT if path is None else Path(path)
    if not file.is_file():
        raise DataError(f"no taxonomy file {file}", mend="name one, or restore parameters/taxonomy.yml of the project")
    node: yaml.Node | None = None
    try:
        loader = _Loader(file.read_text(encoding="utf-8-sig"))
        node = loader.get_single_node()
        return _build(TypeAdapter(_File).validate_python(loader.construct_document(node) if node else None))
    except (_Fault, ValidationError) as error:
        place, problem, mend = error.args if isinstance(error, _Fault) else _tell_first(error)
        line = _find_line(node, place)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark, problem = getattr(error, "problem_mark", None), f"no plain YAML: {getattr(error, 'problem', error)}"
        line, mend = mark.line + 1 if mark else 1, "mend the line; save the file as UTF-8"
    raise DataError(problem, first={"file": file.name, "line": line}, mend=mend)


def ask_rules(rules: Mapping[str, Rule], rows: pd.DataFrame, events: pd.DataFrame) -> list[str]:
    """Return for each row the name of the first rule that matches, "" where none does.

    `rows` hold at least the columns that the rules read; `events` have `type`, `start`, `end` and `scope`, in UTC
    without a zone, and match nothing where their scope is on a column that the rows lack.
    """
    conditions = {name: " and ".join(_write_parts(rule, events, list(rows)).values()) for name, rule in rules.items()}
    cases = " ".join(f"when {condition} then {_quote(name)}" for name, condition in conditions.items())
    with _open_engine(rows) as engine:
        return [name for (name,) in engine.execute(f"select case {cases} when true then '' end from facts").fetchall()]


@checked.dataclass(frozen=True, slots=True, config=STRICT)
class _Cause:
    name: Text
    parent: str | None = None
    owner: Text | None = None
    controllable_by: Control | None = None
    measurement: bool | None = None


@checked.dataclass(frozen=True, slots=True, config=STRICT)
class _File:
    version: Literal["1"]
    what: Annotated[dict[Literal[KINDS], Text], Field(min_length=len(KINDS))]  # type: ignore[valid-type]
    criticality: Annotated[
        dict[Literal[SEVERITIES], Annotated[float, Field(ge=0)]],  # type: ignore[valid-type]
        Field(min_length=len(SEVERITIES)),
    ]
    causes: dict[Text, _Cause]
    unknown: str
    rules: dict[Text, Rule]


class _Loader(yaml.BaseLoader):
    """Reads scalars as text and refuses a key that is written twice, of which YAML would keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[str, object]:
        """Construct a mapping as YAML does."""
        keys = [key.value for key, _ in node.value]
        for place, key in enumerate(keys):
            if key in keys[:place]:
                mark = node.value[place][0].start_mark
                raise MarkedYAMLError(problem=f"the key {key!r} stands twice", problem_mark=mark)
        return super().construct_mapping(node, deep)


class _Fault(Exception):  # noqa: N818
    """A fault that only the whole file shows: the keys that lead to it, the problem, the mend."""


def _tell_first(error: ValidationError) -> tuple[Place, str, str]:
    """Tell of an unknown key before the missing one that it may have been meant for."""
    first = min(error.errors(), key=lambda one: "unexpected" not in one["type"])
    problem = "unknown key" if "unexpected" in first["type"] else first["msg"]
    return first["loc"], f"{', '.join(map(str, first['loc']))}: {problem}", "arrange it as parameters/taxonomy.yml"


def _find_line(node: yaml.Node | None, place: Place) -> int:
    """Return the last line that the keys still lead to."""
    line = node.start_mark.line if node else 0
    for key in place:
        if isinstance(node, yaml.MappingNode) and (pairs := [pair for pair in node.value if pair[0].value == key]):
            line, node = pairs[0][0].start_mark.line, pairs[0][1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(key, int):
            node = node.value[key]
            line = node.start_mark.line
    return line + 1


def _build(file: _File) -> Taxonomy:
    causes = {code: _build_cause(file.causes, code) for code in file.causes}
    _require(file.unknown, causes, ("unknown",), "unknown code")
    with _open_engine(pd.DataFrame([dict.fromkeys(COLUMNS, "a")])) as engine:  # a row, so that values are read too
        for name, rule in file.rules.items():
            _require(rule.cause, causes, ("rules", name, "cause"), "unknown code")
            _check_rule(rule, ("rules", name), engine)
    return Taxonomy(file.what, file.criticality, causes, file.unknown, file.rules)


def _build_cause(entries: Mapping[str, _Cause], code: str) -> Cause:
    """Build a cause; owner, controllable_by and measurement are its own or its nearest forebear's."""
    line = [code]
    while parent := entries[line[-1]].parent or line[-1].rpartition(".")[0]:
        _require(parent, entries, ("causes", line[-1]), "unknown parent")
        if parent in line:
            circle = " > ".join([*line, parent])
            raise _Fault(("causes", line[-1]), f"a cycle of parents: {circle}", "give one of them another parent")
        line.append(parent)
    names = ("owner", "controllable_by", "measurement")
    inherited = {
        name: getattr(entries[step], name)
        for step in reversed(line)
        for name in names
        if getattr(entries[step], name) is not None
    }
    if not {"owner", "controllable_by"} <= set(inherited):
        raise _Fault(("causes", code), f"{code} has no owner or controllable_by", "add them, or to its parent")
    return Cause(code, entries[code].name, line[-1], **{"measurement": False, **inherited})


def _require(word: str, words: Collection[str], place: Place, problem: str) -> None:
    if word not in words:
        near = get_close_matches(word, words, cutoff=0.5) or sorted(words)
        raise _Fault(place, f"{problem} {word!r}", f"choose {' or '.join(near)}")


def _check_rule(rule: Rule, place: Place, engine: duckdb.DuckDBPyConnection) -> None:
    parts = _write_parts(rule, pd.DataFrame(columns=["type"]), ())
    if not parts:
        raise _Fault(place, f"the rule {place[-1]!r} has no condition", "add when, comment or event")
    for part, condition in parts.items():
        try:
            engine.execute(f"select 1 from facts where {condition}")
        except duckdb.Error as error:
            problem = " ".join(str(error).partition("\n\nLINE")[0].split())
            mend = "comment takes regular expressions (RE2), when a condition in SQL on the columns of audits"
            raise _Fault((*place, part), f"{', '.join(map(str, place))}, {part}: {problem}", mend) from error


def _open_engine(rows: pd.DataFrame) -> duckdb.DuckDBPyConnection:
    """Open the rows as `facts`, typed by the contract; the engine sees nothing else, neither files nor the network."""
    facts = {name: read_texts(rows, name).replace("", None) for name in rows}
    for name, texts in facts.items():
        if COLUMNS.get(name) in ("number", "whole"):
            facts[name] = pd.to_numeric(texts, errors="coerce")
        elif COLUMNS.get(name) == "time":
            facts[name] = pd.to_datetime(rows[name], utc=True, format="ISO8601", errors="coerce").dt.tz_localize(None)
    engine = duckdb.connect(config={"enable_external_access": "false"})
    return engine.register("facts", pd.DataFrame(facts))


def _write_parts(rule: Rule, events: pd.DataFrame, known: Collection[str]) -> dict[str, str]:
    """Write the parts that a rule has as conditions in SQL, which no missing value passes.

    The engine's patterns are RE2's: none can run away on a hostile text.
    """
    patterns = _quote("|".join(f"(?:{one})" for one in rule.comment))
    parts = {"when": f"({rule.when})", "comment": f"regexp_matches(comment, {patterns}, 'i')"}
    parts["event"] = _write_event(rule.event, events, known) if rule.event else ""
    return {part: condition for part, condition in parts.items() if getattr(rule, part)}


def _write_event(window: EventWindow, events: pd.DataFrame, known: Collection[str]) -> str:
    moments = ["false"]
    for event in events[events["type"] == window.type].itertuples():
        scope = parse_scope(event.scope)
        if (not window.names or window.names in scope) and set(scope) <= set(known):
            days = window.within_days
            end = event.end if days is None else event.start + pd.Timedelta(days=days)
            inside = [f"decided_at between timestamp '{event.start}' and timestamp '{end}'"]
            inside += ['"' + name.replace('"', '""') + '" glob ' + _quote(value) for name, value in scope.items()]
            moments.append(" and ".join(inside))
    return f"({' or '.join(moments)})"


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
