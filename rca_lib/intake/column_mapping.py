"""The mapping: which column of a file is which column of audits, and how the file writes values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from rca_lib.audits.schema import AUDIT_COLUMNS, list_columns
from rca_lib.findings import DataError
from rca_lib.intake.missing_values import DEFAULT_NULLS, require_value
from rca_lib.intake.text_encoding import normalize_encoding
from rca_lib.io.yaml_files import read_yaml

MAPPABLE_COLUMNS = list_columns(AUDIT_COLUMNS, "required", "advised", "optional")
ID_COLUMNS = ("audit_id", "item_id", "rater", "auditor")
DELIMITERS = {
    "comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "pipe": "|", "ctrl-a": "\x01",
    "\\x01": "\x01", "\\001": "\x01", "unit separator": "\x1f", "\\x1f": "\x1f", "colon": ":", "caret": "^",
    "tilde": "~", "blank": " ",
}  # fmt: skip
QUARANTINE_COLUMNS = ("source_row", "reason", "suggestion")
STRPTIME_CODES = frozenset("aAbBhdmyYHIkljpMSfgnszGVujw")  # the codes that DuckDB's strptime reads
COMPLETE_DATE_CODES = (frozenset("s"), frozenset("Yj"), frozenset("GVu"), frozenset("Gvu"))  # each set is a full date
MIN_SIMILARITY = 0.5  # Ratcliff-Obershelp similarity from which a name is suggested
MAX_LISTED_NAMES = 30  # names in a hint if none is similar


def _validate_time_zone(name: str) -> str:
    """Return the name of a time zone if it exists."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is not an IANA time zone such as Europe/Berlin") from error
    return name


def _validate_delimiter(text: str) -> str:
    """Return the character of a delimiter that is given by name or as itself."""
    delimiter = DELIMITERS.get(text.casefold(), text)
    if delimiter not in DELIMITERS.values():
        names = ", ".join(DELIMITERS)
        raise ValueError(f"{text!r} is not a supported delimiter; write one of {names}, or the character itself")
    return delimiter


def _validate_character(text: str) -> str:
    """Return a text if it is one printable character of punctuation."""
    if len(text) != 1 or text.isalnum() or not text.isprintable():
        raise ValueError(f"{text!r} is not a single punctuation character")
    return text


def _validate_quote(text: str) -> str:
    """Return the quotation mark, or "none" for files without quotation marks."""
    return text if text == "none" else _validate_character(text)


def _validate_date_formats(formats: tuple[str, ...]) -> tuple[str, ...]:
    """Return date formats if each has known codes that make up a full date."""
    for text in formats:
        codes = re.findall("%-?(.)", text.replace("%%", ""))
        unknown = sorted(set(codes) - STRPTIME_CODES)
        if unknown:
            raise ValueError(f"%{unknown[0]} in {text!r} is not a supported strptime code")
        has_day_month_year = set("yY") & set(codes) and set("bBhm") & set(codes) and set("d") & set(codes)
        if not has_day_month_year and not any(needed <= set(codes) for needed in COMPLETE_DATE_CODES):
            raise ValueError(f"{text!r} is not a full date: it needs a day, a month and a year, such as %d.%m.%Y")
    return formats


def _validate_months(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the months if there are none or twelve."""
    if names and len(set(map(str.casefold, names))) != 12:
        raise ValueError(f"give twelve different names, January first, not {len(names)}")
    return names


def _as_list(value: object) -> object:
    """Return a single text as a list."""
    return [value] if isinstance(value, str) else value


TimeZoneName = Annotated[str, AfterValidator(_validate_time_zone)]
Character = Annotated[str, AfterValidator(_validate_character)]
StringTuple = Annotated[tuple[str, ...], BeforeValidator(_as_list)]


class ConstantColumn(BaseModel):
    """A value that is the same in every row of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    constant: Annotated[str, AfterValidator(require_value)]


class ColumnMapping(BaseModel):
    """How one source writes audits; `parameters/mappings/example.yml` explains every key.

    Examples
    --------
    >>> ColumnMapping(columns={"label": "judgment"}, time_zone="UTC").columns["label"]
    'judgment'
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    columns: dict[str, str | tuple[str, ...] | ConstantColumn] = {}
    labels: dict[str, str] = {}
    label_scale: Literal["binary", "nominal", "ordinal", "multilabel"] = "nominal"
    label_order: StringTuple = ()
    benign: StringTuple = ("benign",)
    nulls: StringTuple = DEFAULT_NULLS
    date_order: Literal["ymd", "dmy", "mdy"] | None = None
    date_format: Annotated[StringTuple, AfterValidator(_validate_date_formats)] = ()
    months: Annotated[StringTuple, AfterValidator(_validate_months)] = ()
    time_zone: TimeZoneName | None = None
    site_time_zones: TimeZoneName | dict[str, TimeZoneName] | None = None
    decimal: Literal[".", ","] | None = None
    percent: Literal["share", "percent"] | None = None
    weight_is: Literal["weight", "probability"] | None = None
    encoding: Annotated[str, AfterValidator(normalize_encoding)] | None = None
    delimiter: Annotated[str, AfterValidator(_validate_delimiter)] | None = None
    quote: Annotated[str, AfterValidator(_validate_quote)] | None = None
    escape: Character | None = None
    sheet: str | None = None
    records: str | None = None
    header_row: Annotated[int, Field(ge=0)] | None = None
    query: str | None = None
    values: dict[str, dict[str, str]] = {}
    keep: StringTuple | None = None
    assumed: StringTuple = ()

    @model_validator(mode="after")
    def _validate_consistency(self) -> ColumnMapping:
        """Raise ValueError if keys contradict each other, or name columns that audits do not have."""
        for key in ("columns", "values"):
            for name in getattr(self, key):
                if name not in MAPPABLE_COLUMNS:
                    nearest = suggest_names(name, MAPPABLE_COLUMNS)
                    raise ValueError(f"{key}: {name!r} is not a column of audits; nearest: {nearest}")
        labels = set(self.labels.values())
        for key in ("benign", "label_order"):
            is_declared = bool(labels) and key in self.model_fields_set
            unknown = sorted(set(getattr(self, key)) - labels) if is_declared else []
            if unknown:
                raise ValueError(f"{key}: {unknown[0]!r} is not one of the labels: {suggest_names(unknown[0], labels)}")
        if self.label_scale == "binary" and len(labels) > 2:
            raise ValueError(f"label_scale: binary, but labels lists {len(labels)} labels")
        self._validate_label_order(labels)
        return self

    def _validate_label_order(self, labels: set[str]) -> None:
        """Raise ValueError if the order of the labels is missing, incomplete or contradictory."""
        if self.label_scale == "ordinal" and not self.label_order:
            raise ValueError("label_order: an ordinal scale needs its labels in order, lowest first")
        missing = sorted(labels - set(self.label_order)) if self.label_scale == "ordinal" else []
        if missing:
            raise ValueError(f"label_order: lacks {missing[0]!r}, which is listed under labels")
        if len(set(self.label_order)) < len(self.label_order):
            raise ValueError("label_order: a label appears twice")

    @property
    def known_labels(self) -> tuple[str, ...]:
        """The labels that may occur; empty if every label may occur."""
        return tuple(sorted({*self.labels.values(), *self.label_order}))


def read_mapping(path: Path | None) -> ColumnMapping:
    """Read a mapping.

    Parameters
    ----------
    path
        A YAML file. None means that the file of audits has canonical names and needs no translation.

    Returns
    -------
    ColumnMapping
        The mapping. Every scalar is read as text: `no` is a label, not a truth value.

    Raises
    ------
    DataError
        If a key is unknown, duplicate or has an invalid value. The error names the file, the key and the nearest known
        name.

    Examples
    --------
    >>> read_mapping(None).label_scale
    'nominal'
    """
    if path is None:
        return ColumnMapping()
    try:
        content = read_yaml(path).content
        return ColumnMapping(**_drop_blank_keys({} if content in (None, "") else content))
    except OSError as error:
        raise DataError(f"mapping {path} cannot be read: {error.strerror}", hint="check its path") from None
    except DataError as error:
        raise DataError(f"mapping {path}: {error.problem}", first=error.first, hint=error.hint) from None
    except TypeError as error:
        raise DataError(f"mapping {path} is not a YAML mapping: {error}", hint="compare it with example.yml") from None
    except ValidationError as error:
        deepest = max(error.errors(), key=lambda details: len(details["loc"]))
        raise _build_mapping_error(path, deepest) from None


def _drop_blank_keys(content: Any) -> dict[str, Any]:
    """Return the content of a mapping without keys that have no value."""
    if not isinstance(content, dict):
        raise TypeError("it has no keys")
    return {key: value for key, value in content.items() if value not in ("", None)}


def _build_mapping_error(path: Path, details: Any) -> DataError:
    """Convert an error of pydantic into one that names the file, the key and the nearest known key."""
    # Pydantic adds the names of validators and of the members of a union to the location.
    internal = ("function-", "dict[", "Constant")
    key = ".".join(str(part) for part in details["loc"] if not str(part).startswith(internal))
    if details["type"] == "extra_forbidden":
        nearest = suggest_names(key, ColumnMapping.model_fields)
        return DataError(f"mapping {path}: unknown key {key!r}", hint=f"nearest known: {nearest}")
    text = details["msg"].removeprefix("Value error, ")
    return DataError(f"mapping {path}: {key + ': ' if key else ''}{text}", hint="change it there; see example.yml")


# names and SQL -------------------------------------------------------------------------------------------------------


def suggest_names(name: str, candidates: Iterable[str], count: int = 3, *, list_all: bool = True) -> str:
    """List the candidates that are most similar to a name.

    Parameters
    ----------
    name
        The name that is not known.
    candidates
        The known names.
    count
        The largest number of names to return.
    list_all
        Whether to return up to 30 candidates if none is similar; otherwise "".

    Returns
    -------
    str
        Names, separated by commas; "none" if `list_all` is set and there are no candidates.

    Examples
    --------
    >>> suggest_names("lable", ["label", "truth", "site"])
    'label'
    """
    names = {_normalize_name(candidate): candidate for candidate in candidates}
    matches = get_close_matches(_normalize_name(name), list(names), count, MIN_SIMILARITY)
    nearest = ", ".join(names[match] for match in matches)
    if nearest:
        return nearest
    return (", ".join(list(candidates)[:MAX_LISTED_NAMES]) or "none") if list_all else ""


def _normalize_name(name: str) -> str:
    """Return a name in lower case with underscores for spaces and hyphens."""
    return name.casefold().replace(" ", "_").replace("-", "_")


def normalize_header(cells: Sequence[object]) -> tuple[str, ...]:
    """Collapse white space in header cells, and name empty cells by their position.

    Examples
    --------
    >>> normalize_header(["Audit\\n ID", ""])
    ('Audit ID', 'column_2')
    """
    names = [" ".join(str("" if cell is None else cell).replace("\ufeff", "").split()) for cell in cells]
    return tuple(name or f"column_{number}" for number, name in enumerate(names, 1))
