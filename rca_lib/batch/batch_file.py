"""The batch file: which audits, sites, periods, notebooks and parameters make up a batch.

A batch file is YAML. `read_batch` validates keys, values and paths before anything runs, and reports all faults in one
message. `run_grid` then derives the runs from the file and the audits.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError, ValidationInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from rca_lib.audits.periods import Frequency, parse_period
from rca_lib.findings import DataError
from rca_lib.io.folder_names import MAX_NAME_CHARS, WINDOWS_DEVICE
from rca_lib.io.yaml_files import read_yaml
from rca_lib.resources import find_resource

NOTEBOOK_FOLDER = find_resource("notebooks")
NOTEBOOKS = {
    "deep_dive": "10_deep_dive.ipynb",
    "ground_truth": "30_ground_truth.ipynb",
    "portfolio": "40_portfolio.ipynb",
    "intake": "00_intake.ipynb",
}
FOLDER_NAME_PATTERN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9_-])?")
URL_PASSWORD_PATTERN = re.compile(r"(\w://)[^\s/@:\"]*:[^\s/@\"]+@")  # user and password in a URL
MIN_NAME_SIMILARITY = 0.4  # similarity from which on a known name is suggested for a misspelled one
PASSWORD_HINT = "put it into an environment variable, name that under `environment`, and let the notebook read it"


def _resolve_path(path: Path, info: ValidationInfo) -> Path:
    """Return a path relative to the batch file; for a notebook also relative to the project's notebooks."""
    batch_file: Any = info.context
    folders = [batch_file.parent]
    if path.suffix == ".ipynb":
        folders.append(NOTEBOOK_FOLDER)
    for folder in folders:
        # The export need not exist: --data may replace it.
        if (folder / path).is_file() or info.field_name == "data":
            return Path(os.path.normpath(folder / path))
    candidates = {file.name for folder in folders for file in folder.glob(f"*{path.suffix}")}
    raise ValueError(f"there is no {path}{suggest_name(path.name, candidates)}")


def _validate_folder_name(name: str) -> str:
    # The pattern allows only names that `encode_folder_name` leaves unchanged and that every system accepts.
    if len(name) > MAX_NAME_CHARS or not FOLDER_NAME_PATTERN.fullmatch(name) or WINDOWS_DEVICE.match(name):
        raise PydanticCustomError("folder", "not a valid name for a folder")
    return name


def _add_default_notebooks(notebooks: object) -> object:
    return NOTEBOOKS | notebooks if isinstance(notebooks, dict) else notebooks


ExistingFile = Annotated[Path, AfterValidator(_resolve_path)] | None
NotebookKind = Literal["deep_dive", "ground_truth", "portfolio", "intake"]
Notebooks = Annotated[
    dict[NotebookKind, ExistingFile],
    BeforeValidator(_add_default_notebooks),
]
PeriodName = Annotated[str, AfterValidator(lambda name: parse_period(name).name)]


class PeriodSelection(BaseModel, frozen=True, extra="forbid"):
    """The periods of a batch as a rule, so that the batch file stays the same while the audits grow.

    Attributes
    ----------
    frequency
        Months, quarters or ISO weeks.
    last
        Only this many of the latest periods with audits; None for all.
    complete
        Only periods that the audits cover from start to end.
    """

    frequency: Frequency = "month"
    last: Annotated[int, Field(ge=1)] | None = None
    complete: bool = False


PERIOD_SELECTIONS: Mapping[str, PeriodSelection] = {
    "months": PeriodSelection(),
    "quarters": PeriodSelection(frequency="quarter"),
    "weeks": PeriodSelection(frequency="week"),
    "latest-complete": PeriodSelection(last=1, complete=True),
}


def _read_period_selection(value: object) -> object:
    """Return the selection that a word such as "weeks" stands for; any other value as it is."""
    return PERIOD_SELECTIONS.get(value, value) if isinstance(value, str) else value


PeriodNames = Annotated[tuple[PeriodName, ...], Field(min_length=1)]
Periods = Annotated[PeriodSelection | PeriodNames, BeforeValidator(_read_period_selection)]


class BatchConfig(BaseModel, frozen=True, extra="forbid"):
    """The validated content of a batch file.

    Paths are relative to the batch file; notebooks may also be named relative to the project's notebooks. The
    description of a field completes the error message "<key> is <value>, not <description>".
    """

    batch: Annotated[str, AfterValidator(_validate_folder_name)] = Field(
        description=f"a name for a folder: letters, digits and ._-, at most {MAX_NAME_CHARS}"
    )
    title: str = Field("", description="a title")
    data: Literal["synthetic"] | ExistingFile = Field(None, description='a file or "synthetic"')
    seed: int = Field(0, description="a whole number", ge=0)
    mapping: ExistingFile = None
    events: ExistingFile = None
    targets: ExistingFile = None
    population: ExistingFile = None
    ratings: ExistingFile = None
    taxonomy: ExistingFile = None
    sites: Literal["all"] | tuple[str, ...] = Field("all", description='"all" or a list of sites', min_length=1)
    periods: Periods = Field(
        PeriodSelection(),
        description="months, weeks, quarters, latest-complete, a rule such as {last: 8, frequency: week}, "
        "or a list such as [2026-03]",
    )
    max_quarantine: float | None = Field(None, description="a share of the rows from 0 to 1", ge=0, le=1)
    baseline_periods: int = Field(1, description="a whole number from 0", ge=0)
    notebooks: Notebooks = Field(
        {}, description="a notebook for deep_dive, ground_truth, portfolio, intake", validate_default=True
    )
    parameters: Mapping[str, Any] = Field({}, description="a mapping of the notebooks' parameters")
    timeout_seconds: int = Field(600, description="whole seconds from 1", ge=1)
    deadline_seconds: int = Field(3600, description="whole seconds from 1", ge=1)
    memory_mb: int | None = Field(None, description="whole megabytes from 1", ge=1)
    environment: tuple[str, ...] = Field((), description="a list of names of environment variables")
    _source: Path

    def list_frequencies(self, period: str | None = None) -> tuple[Frequency, ...]:
        """Return the frequencies of the requested periods, months first; `period` replaces those of the batch file."""
        if period is not None:
            requested = [parse_period(period).kind]
        elif isinstance(self.periods, PeriodSelection):
            requested = [self.periods.frequency]
        else:
            requested = [parse_period(name).kind for name in self.periods]
        return tuple(dict.fromkeys(["month", *requested]))

    def list_files(self, names: Iterable[str]) -> dict[str, Path]:
        """Return the files that are named under these keys, without the keys that name none."""
        paths = {name: getattr(self, name) for name in names}
        return {name: Path(path) for name, path in paths.items() if path}


def read_batch(path: Path | str) -> BatchConfig:
    """Read a batch file.

    Parameters
    ----------
    path
        The batch file (YAML).

    Returns
    -------
    BatchConfig
        Its validated content, with absolute paths.

    Raises
    ------
    ValueError
        If the file cannot be read, or a key or a value is wrong. The message names every fault.
    """
    path = Path(path)
    try:
        # Scalars stay text until a type is known: YAML would read the site NO as False and 2026-03-01 as a date.
        content = read_yaml(path, null_words=("", "~", "null")).content
        if not isinstance(content, dict):
            raise ValueError(f"{path}: must contain lines `key: value`")
        values = {key: value for key, value in content.items() if value is not None}
        _reject_passwords(values, path)
        batch = BatchConfig.model_validate(values, context=path)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from None
    except DataError as error:
        line = f"line {error.first['line']}: " if error.first else ""
        raise ValueError(f"{path}: {line}{error.problem}; {error.hint}") from None
    except ValidationError as error:
        raise ValueError(f"{path}: {_format_validation_errors(error)}") from None
    batch._source = path  # type: ignore[misc]  # private attributes of a frozen model can be set
    return batch


def suggest_name(name: str, known_names: Iterable[str]) -> str:
    """Return the end of an error message that names the most similar known name; "" if none is similar.

    Examples
    --------
    >>> suggest_name("lisbo", ["manila", "lisbon"])
    " (nearest known: 'lisbon')"
    """
    matches = difflib.get_close_matches(name, sorted(known_names), n=1, cutoff=MIN_NAME_SIMILARITY)
    return f" (nearest known: {matches[0]!r})" if matches else ""


def _reject_passwords(values: Mapping[str, Any], path: Path) -> None:
    """Refuse URLs with a password: reports print these values, and only environment variables are redacted."""
    for key, value in values.items():
        if isinstance(value, dict):
            _reject_passwords(value, path)
        elif URL_PASSWORD_PATTERN.search(json.dumps(value, ensure_ascii=False)):
            raise ValueError(f"{path}: {key} is an address with a password: {PASSWORD_HINT}")


def _format_validation_errors(error: ValidationError) -> str:
    """Return one sentence per key, for the first fault of each."""
    messages: dict[str, str] = {}
    for details in error.errors():
        key = str(details["loc"][0])
        messages.setdefault(key, _format_validation_error(key, details))
    return "; ".join(messages.values())


def _format_validation_error(key: str, details: ErrorDetails) -> str:
    fields = BatchConfig.model_fields
    expected = (key in fields and fields[key].description) or "a file"
    match details["type"]:
        case "missing":
            return f"{key} is missing; give {expected}"
        case "extra_forbidden" if key in fields:
            return f"{key} has the unknown key {str(details['loc'][-1])!r}; give {expected}"
        case "extra_forbidden":
            return f"unknown key {key!r}{suggest_name(key, fields)}"
        case "value_error":
            return f"{key}: {details['msg'].removeprefix('Value error, ')}"
    return f"{key} is {details['input']!r}, not {expected}"
