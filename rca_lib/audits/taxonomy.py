"""The taxonomy file: causes with owners and actions, which cause a finding stands for, and rules that suggest a cause.

The file is the only place that knows cause codes. Questions name a *subject*, which is an event type or a kind of
finding, and `Taxonomy.find_cause` returns its cause.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import field, fields
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, ValidationError
from pydantic import dataclasses as checked

from rca_lib.audits.cause_rules import STRICT_CONFIG, EventWindow, Rule, Text, find_invalid_rules
from rca_lib.audits.schema import EVENT_TYPES
from rca_lib.findings import DataError
from rca_lib.io.hashing import compute_sha256
from rca_lib.io.yaml_files import KeyPath, read_yaml
from rca_lib.resources import find_resource

DEFAULT_TAXONOMY = find_resource("parameters", "taxonomy.yml")
MEASUREMENT_FINDINGS = ("stale truth", "auditors", "dispute", "sampling")  # the audit changed or erred, not the work
WORK_FINDINGS = ("mix", "one rater", "new starters")
MEASUREMENT_SUBJECTS = (*MEASUREMENT_FINDINGS, "sampling_change", "truth_change")
SUBJECTS = (*EVENT_TYPES, *MEASUREMENT_FINDINGS, *WORK_FINDINGS)  # the keys of `cause_of`
INHERITED_KEYS = ("owner", "controllable_by", "measurement", "action")
DEFAULT_DUE_DAYS = 14  # days from the end of the period to the due date of an action: time for one coaching cycle
MAX_DUE_DAYS = 366
MAX_LISTED_FAULTS = 20  # faults listed after the first, so that an error stays readable


def _require_one_line(text: str) -> str:
    if not text.strip() or len(text.splitlines()) > 1:
        raise ValueError("write one line of text")
    return text.strip()


Line = Annotated[str, AfterValidator(_require_one_line)]  # text that stands in a sentence or a table of a report


@checked.dataclass(frozen=True, slots=True, config=STRICT_CONFIG)
class Action:
    """What corrects a cause.

    `kind` groups similar actions; `text` is the instruction, without place and full stop; `due_days` is the number of
    days from the end of the period to the due date.
    """

    kind: Line
    text: Line
    due_days: Annotated[int, Field(ge=1, le=MAX_DUE_DAYS)] = DEFAULT_DUE_DAYS


@checked.dataclass(frozen=True, slots=True, config=STRICT_CONFIG)
class Cause:
    """A cause of errors.

    `top_category` is its top-level category, as in a fishbone diagram; `owner` corrects it; `measurement` tells whether
    the audit is at fault and not the work; `action` is None where the file gives none.
    """

    code: str
    name: Line
    top_category: str
    owner: Line
    controllable_by: Literal["site", "client", "shared"]
    measurement: bool = False
    action: Action | None = None


@checked.dataclass(frozen=True, slots=True, config=STRICT_CONFIG)
class Taxonomy:
    """Causes by code, rules by name in order of precedence, and `unknown`, the code of no cause found.

    `cause_of` names the code that stands for an event type or a kind of finding (`SUBJECTS`).
    """

    causes: Annotated[dict[str, Cause], BeforeValidator(lambda entries: _inherit_fields(entries))]
    unknown: str
    rules: dict[Text, Rule]
    cause_of: dict[str, str] = field(default_factory=dict)

    def find_cause(self, subject: str) -> Cause:
        """Return the cause that stands for an event type or a kind of finding.

        Parameters
        ----------
        subject
            One of `SUBJECTS`; "" where no cause was found.

        Returns
        -------
        Cause
            The cause that `cause_of` names. Otherwise the first measurement cause for a subject that concerns the
            measurement, and the unknown cause for any other.

        Examples
        --------
        >>> taxonomy = read_taxonomy()
        >>> taxonomy.find_cause("policy_update").name, taxonomy.find_cause("").name
        ('Policy update not trained or not read in time', 'Not determined: more evidence needed')
        """
        unknown = self.causes[self.unknown]
        if subject in self.cause_of:
            return self.causes[self.cause_of[subject]]
        if subject in MEASUREMENT_SUBJECTS:
            # The first is a top-level category as a rule. It claims no more than the finding does.
            return next((cause for cause in self.causes.values() if cause.measurement), unknown)
        return unknown


KNOWN_KEYS = {
    "causes": (*(key.name for key in fields(Cause) if key.name not in ("code", "top_category")), "parent"),
    "rules": tuple(key.name for key in fields(Rule)),
    "action": tuple(key.name for key in fields(Action)),
    "event": tuple(key.name for key in fields(EventWindow)),
}


def read_taxonomy(path: str | Path | None = None) -> Taxonomy:
    """Read and validate a taxonomy file.

    Parameters
    ----------
    path
        A file arranged as `parameters/taxonomy.yml`. None: that file.

    Returns
    -------
    Taxonomy
        The causes, the rules and the cause of each event type and finding.

    Raises
    ------
    DataError
        With all faults and their lines: invalid YAML, an unknown or duplicate key, an unknown code or subject, a cycle
        of parents, a condition that is not SQL on the columns of the schema, a pattern that is not a regular expression
        (RE2), or a value out of range.

    Examples
    --------
    >>> cause = read_taxonomy().find_cause("truth_change")
    >>> cause.measurement, cause.owner, cause.action.kind
    (True, 'qa', 'correct_ground_truth')
    """
    file = DEFAULT_TAXONOMY if path is None else Path(path)
    try:
        return _read_taxonomy(file, compute_sha256(file))
    except OSError as error:
        raise DataError(f"no taxonomy file {file}", hint="name one, or restore parameters/taxonomy.yml") from error


@lru_cache(maxsize=8)
def _read_taxonomy(file: Path, _sha256: str) -> Taxonomy:
    """Read and validate a taxonomy file once for each of its contents; a batch opens it for each report."""
    document = read_yaml(file)
    lines = {(): 1, **document.lines}
    try:
        taxonomy = TypeAdapter(Taxonomy).validate_python(document.content)
        faults = _find_unknown_names(taxonomy) + _find_rule_faults(taxonomy)
    except _TaxonomyFault as fault:
        faults = [fault]
    except ValidationError as error:
        faults = _list_faults(error, lines)
    if faults:
        raise _build_data_error(file, faults, lines)
    return taxonomy


class _TaxonomyFault(Exception):  # noqa: N818
    """A fault of the file: the keys that lead to it, the problem and the hint."""

    def __init__(self, path: KeyPath, problem: str, hint: str) -> None:
        super().__init__(problem)
        self.path = path
        self.problem = problem
        self.hint = hint


def _inherit_fields(entries: Any) -> Any:
    """Complete each cause with the `INHERITED_KEYS` of its nearest ancestor."""
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        return entries  # the validation that follows reports it
    causes = {}
    for code, entry in entries.items():
        lineage = _find_ancestors(entries, code)
        inherited = {
            key: entries[ancestor][key]
            for ancestor in reversed(lineage)
            for key in INHERITED_KEYS
            if key in entries[ancestor]
        }
        own = {key: value for key, value in entry.items() if key != "parent"}
        causes[code] = {**inherited, **own, "code": code, "top_category": lineage[-1]}
    return causes


def _find_ancestors(entries: Mapping[str, Mapping[str, str]], code: str) -> list[str]:
    """Return the code, its parent (named, or the part before its last dot), and so on up to the top level."""
    lineage = [code]
    while parent := entries[lineage[-1]].get("parent") or lineage[-1].rpartition(".")[0]:
        path = ("causes", lineage[-1])
        if parent not in entries:
            raise _unknown_name(path, "unknown parent", parent, entries)
        if parent in lineage:
            cycle = " > ".join([*lineage, parent])
            raise _TaxonomyFault(path, f"a cycle of parents: {cycle}", "give one of them another parent")
        lineage.append(parent)
    return lineage


def _unknown_name(path: KeyPath, problem: str, name: str, known: Collection[str]) -> _TaxonomyFault:
    """Return the fault of a name that is none of the known ones, with the nearest of them as a hint."""
    near = get_close_matches(name, known, cutoff=0.5) or sorted(known)
    return _TaxonomyFault(path, f"{', '.join(map(str, path))}: {problem} {name!r}", f"choose {' or '.join(near)}")


def _find_unknown_names(taxonomy: Taxonomy) -> list[_TaxonomyFault]:
    """Return the faults of codes and subjects that do not exist."""
    codes: dict[KeyPath, str] = {("unknown",): taxonomy.unknown}
    codes |= {("cause_of", subject): code for subject, code in taxonomy.cause_of.items()}
    codes |= {("rules", name, "cause"): rule.cause for name, rule in taxonomy.rules.items()}
    unknown_subjects = [subject for subject in taxonomy.cause_of if subject not in SUBJECTS]
    return [
        *(
            _unknown_name(path, "unknown code", code, taxonomy.causes)
            for path, code in codes.items()
            if code not in taxonomy.causes
        ),
        *(_unknown_name(("cause_of", name), "no event type or finding", name, SUBJECTS) for name in unknown_subjects),
    ]


def _find_rule_faults(taxonomy: Taxonomy) -> list[_TaxonomyFault]:
    """Return the faults of rules that cannot be applied to audits."""
    hint = "when takes SQL on the columns of audits, comment takes regular expressions as RE2 reads them"
    problems = find_invalid_rules(taxonomy.rules)
    return [_TaxonomyFault(("rules", name), f"rule {name!r}: {text}", hint) for name, text in problems.items()]


def _list_faults(error: ValidationError, lines: Collection[KeyPath]) -> list[_TaxonomyFault]:
    """List the faults, unknown keys before the missing ones that they may stand for.

    A wrong value that a cause inherits is reported at the ancestor that gives it.
    """
    details = sorted(error.errors(), key=lambda detail: "unexpected" not in detail["type"])
    faults = []
    for detail in details:
        path = detail["loc"]
        is_unknown = "unexpected" in detail["type"]
        is_inherited = path[:1] == ("causes",) and path[2:3] and path[2] in INHERITED_KEYS and path[:3] not in lines
        if is_inherited and not (len(path) == 3 and detail["type"] == "missing"):
            continue
        known_keys = KNOWN_KEYS.get(str(path[0] if len(path) == 3 else path[-2]), ()) if len(path) > 2 else ()
        near = get_close_matches(str(path[-1]), known_keys, 1, 0.5) if is_unknown else ()
        hint = f"nearest known key: {near[0]}" if near else "arrange it as parameters/taxonomy.yml"
        problem = f"{', '.join(map(str, path))}: {'unknown key' if is_unknown else detail['msg']}"
        faults.append(_TaxonomyFault(path, problem, hint))
    return faults


def _build_data_error(file: Path, faults: Sequence[_TaxonomyFault], lines: Mapping[KeyPath, int]) -> DataError:
    """Build one error from all faults: the first with its hint, up to 20 others with their lines."""

    def line_of(fault: _TaxonomyFault) -> int:
        lengths = range(len(fault.path), -1, -1)
        return next(lines[fault.path[:length]] for length in lengths if fault.path[:length] in lines)

    first, rest = faults[0], faults[1:]
    listed = [f"line {line_of(fault)}: {fault.problem} ({fault.hint})" for fault in rest[:MAX_LISTED_FAULTS]]
    listed += [f"{len(rest) - MAX_LISTED_FAULTS:,} more"] * (len(rest) > MAX_LISTED_FAULTS)
    message = "; ".join([first.problem, *listed])
    return DataError(message, first={"file": file.name, "line": line_of(first)}, hint=first.hint)
