"""The taxonomy file: the kinds of error, the causes with their owners, and the rules that hint at a cause."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal

import duckdb
import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic import dataclasses as checked
from yaml.error import MarkedYAMLError

from rca_lib.audits.tables import AUDITS, EVENT_TYPES, SEVERITIES
from rca_lib.findings import DataError

DEFAULT = Path(__file__).resolve().parents[2] / "parameters" / "taxonomy.yml"
KINDS = (
    "over_enforcement", "under_enforcement", "wrong_policy", "wrong_label", "wrong_action", "wrong_escalation",
    "incomplete", "one_step_off", "more_steps_off", "technical",
)  # fmt: skip
COLUMNS = {column.name: column for column in AUDITS}
Text = Annotated[str, Field(min_length=1)]
Test = Literal["equals", "one_of", "equals_column", "not_equal_column", "at_most", "at_least"]
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
    names: str = ""


@checked.dataclass(frozen=True, slots=True, config=STRICT)
class Rule:
    """A hint at a cause: its conditions hold, one of its comment patterns is found, its event came before.

    `confidence` is the probability that the cause is the right one where the rule matches, as its author judges it.
    `when` leads from a column to its tests and their values; a missing value passes no test.
    """

    name: Text
    cause: str
    confidence: Annotated[float, Field(gt=0, le=1)]
    when: dict[str, dict[Test, Text | list[Text]]] = field(default_factory=dict)
    comment: list[Text] = field(default_factory=list)
    event: EventWindow | None = None

    def columns(self) -> list[str]:
        """Return the columns that the rule reads."""
        others = [str(tests[test]) for tests in self.when.values() for test in tests if test.endswith("_column")]
        return [*self.when, *others, *(["comment"] if self.comment else []), *(["decided_at"] if self.event else [])]


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """What can go wrong and why: names of the kinds, severity weights, causes by code, rules in order of precedence.

    `spellings` leads from each code, and from its last part where no other ends so (lower case), to the code; `unknown`
    is the code of no cause found.
    """

    kinds: Mapping[str, str]
    criticality: Mapping[str, float]
    causes: Mapping[str, Cause]
    spellings: Mapping[str, str]
    unknown: str
    rules: tuple[Rule, ...]

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
    """Read and check a taxonomy file.

    Parameters
    ----------
    path
        A YAML file arranged as `parameters/taxonomy.yml`, which is read where none is given.

    Raises
    ------
    DataError
        With the line: no YAML, an unknown or repeated key, an unknown code, a cycle of parents, a rule on a column that
        the contract does not know, a pattern that is no regular expression (RE2), a value out of range.

    Examples
    --------
    >>> taxonomy = read_taxonomy()
    >>> taxonomy.causes["MEA.GT_STALE"].measurement, taxonomy.causes["TRN.UPD"].owner
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
    except (_FileError, ValidationError) as error:
        fault = error if isinstance(error, _FileError) else _to_fault(error)
        line, problem, mend = _find_line(node, fault.path), fault.problem, fault.mend
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark, problem = getattr(error, "problem_mark", None), f"no plain YAML: {getattr(error, 'problem', error)}"
        line, mend = mark.line + 1 if mark else 1, "mend the line; save the file as UTF-8"
    raise DataError(problem, first={"file": file.name, "line": line}, mend=mend)


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
    what: dict[Literal[KINDS], Text]  # type: ignore[valid-type]
    criticality: dict[Literal[SEVERITIES], Annotated[float, Field(ge=0)]]  # type: ignore[valid-type]
    causes: dict[Text, _Cause]
    unknown: str
    rules: list[Rule]


class _Loader(yaml.BaseLoader):
    """Reads scalars as text and refuses a key that is written twice, of which YAML would keep the last."""

    def compose_node(self, parent: yaml.Node | None, index: object) -> yaml.Node | None:
        """Compose a node as YAML does."""
        node = super().compose_node(parent, index)
        keys = [key.value for key, _ in node.value] if isinstance(node, yaml.MappingNode) else []
        for i, key in enumerate(keys):
            if key in keys[:i]:
                raise MarkedYAMLError(problem=f"the key {key!r} stands twice", problem_mark=node.value[i][0].start_mark)
        return node


class _FileError(Exception):
    """A fault of the file, at the path of keys that leads to it."""

    def __init__(self, path: Place, problem: str, mend: str) -> None:
        self.path, self.problem, self.mend = path, problem, mend
        super().__init__(problem)


def _to_fault(error: ValidationError) -> _FileError:
    """Tell of an unknown key before the missing one that it may have been meant for."""
    first = min(error.errors(), key=lambda one: "unexpected" not in one["type"])
    path, place, unknown = first["loc"], ", ".join(map(str, first["loc"])), "unexpected" in first["type"]
    problem = f"unknown key {path[-1]!r} ({place})" if unknown else f"{place}: {first['msg']}"
    return _FileError(path, problem, "arrange it as parameters/taxonomy.yml")


def _find_line(node: yaml.Node | None, path: Place) -> int:
    """Return the last line that the path's keys still lead to."""
    line = node.start_mark.line if node else 0
    for step in path:
        if isinstance(node, yaml.MappingNode) and (pairs := [pair for pair in node.value if pair[0].value == step]):
            line, node = pairs[-1][0].start_mark.line, pairs[-1][1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            node = node.value[step]
            line = node.start_mark.line
    return line + 1


def _build(file: _File) -> Taxonomy:
    for part, entries, names in (("what", file.what, KINDS), ("criticality", file.criticality, SEVERITIES)):
        for name in names:
            _require(name, entries, (part,), f"{part} lacks")
    causes = {code: _build_cause(file.causes, code) for code in file.causes}
    _require(file.unknown, causes, ("unknown",), "unknown code")
    for i, rule in enumerate(file.rules):
        _check_rule(rule, ("rules", i), causes)
        if rule.name in [other.name for other in file.rules[:i]]:
            raise _FileError(("rules", i, "name"), f"two rules are named {rule.name!r}", "give one another name")
    leaves = [code.rpartition(".")[2].casefold() for code in causes]
    short = {leaf: code for leaf, code in zip(leaves, causes, strict=True) if leaves.count(leaf) == 1}
    spellings = short | {code.casefold(): code for code in causes}
    return Taxonomy(file.what, file.criticality, causes, spellings, file.unknown, tuple(file.rules))


def _build_cause(entries: Mapping[str, _Cause], code: str) -> Cause:
    """Build a cause; owner, controllable_by and measurement are its own or its nearest forebear's."""
    line = [code]
    while parent := entries[line[-1]].parent or line[-1].rpartition(".")[0]:
        _require(parent, entries, ("causes", line[-1]), "unknown parent")
        if parent in line:
            circle = " > ".join([*line, parent])
            raise _FileError(("causes", line[-1]), f"a cycle of parents: {circle}", "give one of them another parent")
        line.append(parent)
    found = {
        name: next((value for step in line if (value := getattr(entries[step], name)) is not None), None)
        for name in ("owner", "controllable_by", "measurement")
    }
    if found["owner"] is None or found["controllable_by"] is None:
        raise _FileError(("causes", code), f"{code} has no owner or controllable_by", "add them, or to its parent")
    measurement = bool(found["measurement"])
    return Cause(code, entries[code].name, line[-1], found["owner"], found["controllable_by"], measurement)


def _check_rule(rule: Rule, path: Place, causes: Mapping[str, Cause]) -> None:
    _require(rule.cause, causes, (*path, "cause"), "unknown code")
    if not (rule.when or rule.comment or rule.event):
        raise _FileError(path, f"the rule {rule.name!r} has no condition", "add when, comment or event")
    try:
        with duckdb.connect() as engine:  # its patterns are RE2's: none can run away on a hostile text
            engine.execute("select regexp_matches('', ?)", ["|".join(f"(?:{one})" for one in rule.comment)])
    except duckdb.Error as error:
        raise _FileError((*path, "comment"), f"no regular expression: {error}", "write it as RE2 reads it") from error
    if rule.event and rule.event.names:
        _require(rule.event.names, COLUMNS, (*path, "event", "names"), "the contract of audits has no column")
    for name, tests in rule.when.items():
        for test, value in tests.items():
            _check_test(name, test, value, (*path, "when", name, test))


def _check_test(name: str, test: Test, value: str | list[str], path: Place) -> None:
    for column in (name, str(value)) if test.endswith("_column") else (name,):
        _require(column, COLUMNS, path, "the contract of audits has no column")
    if isinstance(value, list) != (test == "one_of"):
        raise _FileError(path, f"{test} of {name} is {value!r}", "one_of takes a [list], every other test one value")
    if (COLUMNS[name].kind in ("number", "whole")) != (test in ("at_most", "at_least")):
        raise _FileError(path, f"{test} does not suit {name}", "numbers take at_most and at_least, nothing else does")
    if test in ("at_most", "at_least"):
        if not re.fullmatch(r"-?\d+(\.\d+)?", str(value)):
            raise _FileError(path, f"{test} of {name} is {value!r}", "write a number")
    elif (allowed := COLUMNS[name].values) and not test.endswith("_column"):
        for one in value if isinstance(value, list) else [value]:
            _require(one, allowed, path, f"{name} is never")


def _require(word: str, words: Collection[str], path: Place, problem: str) -> None:
    if word not in words:
        near = get_close_matches(word, words, cutoff=0.5) or sorted(words)
        raise _FileError(path, f"{problem} {word!r}", f"choose {' or '.join(near)}")
