"""The mapping: which file column is which canonical column, and how its values are written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from rca_lib.audits.nothing import NULLS, require_value
from rca_lib.audits.tables import AUDITS, columns, keep_apart
from rca_lib.audits.text_encoding import known_encoding
from rca_lib.audits.yaml_files import read_yaml
from rca_lib.findings import DataError

MAPPABLE = columns(AUDITS, "required", "advised", "optional")
IDS = ("audit_id", "item_id", "rater", "auditor")
DELIMITERS = {
    "comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "pipe": "|", "ctrl-a": "\x01",
    "\\x01": "\x01", "\\001": "\x01", "unit separator": "\x1f", "\\x1f": "\x1f", "colon": ":", "caret": "^",
    "tilde": "~", "blank": " ",
}  # fmt: skip
EXTRA_OF_QUARANTINE = ("source_row", "reason", "suggestion")


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is no IANA time zone such as Europe/Berlin") from error
    return name


def _known_delimiter(text: str) -> str:
    delimiter = DELIMITERS.get(text.casefold(), text)
    if delimiter not in DELIMITERS.values():
        names = ", ".join(DELIMITERS)
        raise ValueError(f"{text!r} is no delimiter that is read; known: {names}; or the sign itself")
    return delimiter


def _one_sign(text: str) -> str:
    if len(text) != 1 or text.isalnum() or not text.isprintable():
        raise ValueError(f"{text!r} is not one sign of punctuation")
    return text


def _known_date_formats(formats: tuple[str, ...]) -> tuple[str, ...]:
    for text in formats:
        codes = re.findall("%-?(.)", text.replace("%%", ""))
        unknown = sorted(set(codes) - set("aAbBhdmyYHIkljpMSfgnszGVujw"))
        if unknown:
            raise ValueError(f"%{unknown[0]} in {text!r} is no code of strptime that is read here")
        if not any(needed <= set(codes) for needed in map(set, ("s", "Yj", "GVu", "Gvu"))) and not (
            set("yY") & set(codes) and set("bBhm") & set(codes) and set("d") & set(codes)
        ):
            raise ValueError(f"{text!r} is no date: it needs a day, a month and a year, such as %d.%m.%Y")
    return formats


def _twelve(names: tuple[str, ...]) -> tuple[str, ...]:
    if names and len(set(map(str.casefold, names))) != 12:
        raise ValueError(f"give twelve different names, January first, not {len(names)}")
    return names


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


Zone = Annotated[str, AfterValidator(_known_zone)]
Words = Annotated[tuple[str, ...], BeforeValidator(_as_list)]


class Constant(BaseModel):
    """A value that every row of the file has."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    constant: Annotated[str, AfterValidator(require_value)]


class Mapping(BaseModel):
    """How one source writes audits; `parameters/mappings/example.yml` explains every key.

    Examples
    --------
    >>> Mapping(columns={"label": "judgment"}, time_zone="UTC").columns["label"]
    'judgment'
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    columns: dict[str, str | tuple[str, ...] | Constant] = {}
    labels: dict[str, str] = {}
    label_scale: Literal["binary", "nominal", "ordinal", "multilabel"] = "nominal"
    label_order: Words = ()
    benign: Words = ("benign",)
    nulls: Words = NULLS
    date_order: Literal["ymd", "dmy", "mdy"] | None = None
    date_format: Annotated[Words, AfterValidator(_known_date_formats)] = ()
    months: Annotated[Words, AfterValidator(_twelve)] = ()
    time_zone: Zone | None = None
    site_time_zones: Zone | dict[str, Zone] | None = None
    decimal: Literal[".", ","] | None = None
    percent: Literal["share", "percent"] | None = None
    weight_is: Literal["weight", "probability"] | None = None
    encoding: Annotated[str, AfterValidator(known_encoding)] | None = None
    delimiter: Annotated[str, AfterValidator(_known_delimiter)] | None = None
    quote: Annotated[str, AfterValidator(lambda text: text if text == "none" else _one_sign(text))] | None = None
    escape: Annotated[str, AfterValidator(_one_sign)] | None = None
    sheet: str | None = None
    header_row: Annotated[int, Field(ge=0)] | None = None
    query: str | None = None
    values: dict[str, dict[str, str]] = {}
    keep: Words | None = None

    @model_validator(mode="after")
    def _agree(self) -> Mapping:
        for key in ("columns", "values"):
            for name in getattr(self, key):
                if name not in MAPPABLE:
                    raise ValueError(f"{key}: {name!r} is no column of audits; nearest: {show_nearest(name, MAPPABLE)}")
        spelled = set(self.labels.values())
        for key in ("benign", "label_order"):
            strange = sorted(set(getattr(self, key)) - spelled) if spelled and key in self.model_fields_set else ()
            if strange:
                raise ValueError(f"{key}: {strange[0]!r} is none of the labels: {show_nearest(strange[0], spelled)}")
        if self.label_scale == "ordinal" and not self.label_order:
            raise ValueError("label_order: an ordinal scale needs its labels in order, lowest first")
        if self.label_scale == "binary" and len(spelled) > 2:
            raise ValueError(f"label_scale: binary, but labels names {len(spelled)} labels")
        lost = sorted(spelled - set(self.label_order)) if self.label_scale == "ordinal" else ()
        if lost:
            raise ValueError(f"label_order: lacks {lost[0]!r}, which labels names")
        if len(set(self.label_order)) < len(self.label_order):
            raise ValueError("label_order: a label stands twice")
        return self

    @property
    def known_labels(self) -> tuple[str, ...]:
        """The labels that may occur; empty where any may."""
        return tuple(sorted({*self.labels.values(), *self.label_order}))


def read_mapping(path: Path | None) -> Mapping:
    """Read a mapping; None means that the file has the canonical names and needs no translation.

    Every scalar is read as the text that stands there: `no` is a label, not a truth value.

    Raises
    ------
    DataError
        If a key is unknown, stands twice or has a wrong value: the file, the key, the nearest known name.

    Examples
    --------
    >>> read_mapping(None).label_scale
    'nominal'
    """
    if path is None:
        return Mapping()
    try:
        content = read_yaml(path).content
        return Mapping(**_without_blanks({} if content in (None, "") else content))
    except OSError as error:
        raise DataError(f"mapping {path} cannot be read: {error.strerror}", mend="check its path") from None
    except DataError as error:
        raise DataError(f"mapping {path}: {error.problem}", first=error.first, mend=error.mend) from None
    except TypeError as error:
        raise DataError(f"mapping {path} is no YAML mapping: {error}", mend="compare it with example.yml") from None
    except ValidationError as error:
        raise _explain(path, max(error.errors(), key=lambda found: len(found["loc"]))) from None


def _without_blanks(content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise TypeError("it holds no keys")
    return {key: value for key, value in content.items() if value not in ("", None)}


def _explain(path: Path, error: Any) -> DataError:
    key = ".".join(str(part) for part in error["loc"] if not str(part).startswith(("function-", "dict[", "Constant")))
    if error["type"] == "extra_forbidden":
        near = show_nearest(key, Mapping.model_fields)
        return DataError(f"mapping {path}: unknown key {key!r}", mend=f"nearest known: {near}")
    text = error["msg"].removeprefix("Value error, ")
    return DataError(f"mapping {path}: {key + ': ' if key else ''}{text}", mend="change it there; see example.yml")


@dataclass(frozen=True, slots=True)
class Plan:
    """Where each canonical column comes from: positions in the file, joined with ":", or a constant; and the extras."""

    places: dict[str, tuple[int, ...] | str]
    extras: dict[str, int]


def plan_columns(mapping: Mapping, names: Sequence[str]) -> Plan:
    """Find the file column of each canonical column, and the extra columns that are kept under their own names.

    Raises
    ------
    DataError
        If headers are duplicated, or mapped or required columns are missing: all of them, with the nearest names of
        the file.

    Examples
    --------
    >>> plan = plan_columns(Mapping(columns={"truth": "expert", "site": Constant(constant="S")}, keep=()),
    ...                     ["audit_id", "item_id", "rater", "decided_at", "label", "expert"])
    >>> plan.places["truth"], plan.places["site"]
    ((5,), 'S')
    """
    positions = _positions(names, _wanted(mapping))
    places: dict[str, tuple[int, ...] | str] = {}
    missing: list[tuple[str, str]] = []  # the file's column, the column of audits
    for name in MAPPABLE:
        source = mapping.columns.get(name, name)
        if isinstance(source, Constant):
            places[name] = source.constant
        elif name in mapping.columns or name in positions:
            parts = [source] if isinstance(source, str) else source
            if parts not in ([""], ()):
                tidy = [" ".join(part.split()) for part in parts]
                missing += [(part, name) for part in tidy if part not in positions]
                places[name] = tuple(positions.get(part, -1) for part in tidy)
    missing += [(name, name) for name in columns(AUDITS, "required") if name not in places]
    if missing:
        raise _missing(missing, positions)
    return Plan(places, _extras(mapping, places, positions))


def _wanted(mapping: Mapping) -> set[str]:
    """Return the names of file columns that the mapping or the table of audits ask for, in lower case."""
    named = [source for source in mapping.columns.values() if not isinstance(source, Constant)]
    parts = [part for source in named for part in ([source] if isinstance(source, str) else source)]
    return {" ".join(name.split()).casefold() for name in (*parts, *MAPPABLE, *(mapping.keep or ()))}


def _positions(names: Sequence[str], wanted: set[str]) -> dict[str, int]:
    """Return where each name stands; one that nobody asks for may stand twice, and then tells its column."""
    folded = [name.casefold() for name in names]
    twice = [name for name in folded if folded.count(name) > 1]
    asked = next((name for name in twice if name in wanted), None)
    if asked is not None:
        where = [str(place + 1) for place, name in enumerate(folded) if name == asked]
        mend = f"rename or remove one of the columns {', '.join(where)}"
        raise DataError(f"the header has {names[folded.index(asked)]!r} {len(where)} times", column=asked, mend=mend)
    return {f"{name} (column {n + 1})" if folded[n] in twice else name: n for n, name in enumerate(names)}


def _missing(missing: Sequence[tuple[str, str]], positions: dict[str, int]) -> DataError:
    """Name all columns that are missing, each with the nearest of the file."""
    one = len(missing) == 1
    nearest = {wanted: show_nearest(wanted, positions, 3 if one else 1, everything=one) for wanted, _ in missing}
    if one:
        ((wanted, name),) = missing
        problem = f"no column {wanted!r} in the file" + (
            "" if wanted == name else f", which the mapping names for {name}"
        )
        hint = f"name it in the mapping under columns: {name}; nearest in the file: {nearest[wanted]}"
    else:
        listed = [wanted if wanted == name else f"{wanted!r} for {name}" for wanted, name in missing]
        problem = f"no columns {', '.join(listed)} in the file"
        near = ", ".join(f"{nearest[wanted]} for {wanted}" for wanted, _ in missing if nearest[wanted])
        hint = "name them in the mapping under columns" + (f"; nearest in the file: {near}" if near else "")
        hint += f"; the file has: {', '.join(list(positions)[:60])}"
    hints = [hint, *(quoting for wanted, _ in missing if (quoting := _hint_at_quotes(wanted, positions)))]
    if not set(MAPPABLE) & set(positions) and any(re.fullmatch(r"[\d.,:/ -]+", cell) for cell in positions):
        hints.append("if the file has no header, write header_row: 0, and its columns are column_1, column_2 …")
    return DataError(problem, column=missing[0][1], mend="; ".join(hints))


def _hint_at_quotes(wanted: str, names: Iterable[str]) -> str:
    """Say how a name is written that YAML cut where it takes a comment to begin."""
    cut = next((name for name in names if name.startswith((f"{wanted} #", f"{wanted}: "))), None)
    return f"write '{cut}' in quotes, because YAML takes what follows # for a comment" if cut else ""


def _extras(mapping: Mapping, places: dict[str, tuple[int, ...] | str], positions: dict[str, int]) -> dict[str, int]:
    used = {place for source in places.values() if not isinstance(source, str) for place in source if len(source) == 1}
    wanted = mapping.keep if mapping.keep is not None else [name for name in positions if positions[name] not in used]
    tidy = {name: " ".join(name.split()) for name in wanted}
    absent = [(part, name) for name, part in tidy.items() if part not in positions]
    if absent:
        raise _missing([(name, name) for _, name in absent], positions)
    extras: dict[str, int] = {}
    taken = {name.casefold() for name in positions}
    for name in wanted:
        extras[keep_apart(name, taken)] = positions[tidy[name]]
    return extras


def show_nearest(name: str, names: Any, count: int = 3, *, everything: bool = True) -> str:
    """Name the nearest of some names; all of them where none is near, or none at all.

    Examples
    --------
    >>> show_nearest("lable", ["label", "truth", "site"])
    'label'
    """
    folded = {_fold(known): known for known in names}
    near = ", ".join(folded[known] for known in get_close_matches(_fold(name), list(folded), count, 0.5))
    return near or (", ".join(list(names)[:30]) or "none" if everything else "")


def _fold(name: str) -> str:
    return name.casefold().replace(" ", "_").replace("-", "_")


def tidy_names(cells: Sequence[object]) -> tuple[str, ...]:
    """Collapse white space in header cells, and name the nameless by their position.

    Examples
    --------
    >>> tidy_names(["Audit\\n ID", ""])
    ('Audit ID', 'column_2')
    """
    names = [" ".join(str("" if cell is None else cell).replace("\ufeff", "").split()) for cell in cells]
    return tuple(name or f"column_{place + 1}" for place, name in enumerate(names))


def quote(text: str) -> str:
    """Write text as a SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Write a name as a SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
