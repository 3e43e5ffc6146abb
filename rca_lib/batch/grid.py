"""The batch file and the grid of runs it asks for: everything is typed and checked before anything starts."""

from __future__ import annotations

import ast
import difflib
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
)
from pydantic_core import PydanticCustomError

from rca_lib.audits.folders import DEVICE, LONGEST, folder_names
from rca_lib.audits.periods import Period, name_period_before, parse_period
from rca_lib.audits.yaml_files import read_yaml
from rca_lib.findings import DataError

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = {
    "deep_dive": "10_deep_dive.ipynb",
    "ground_truth": "30_ground_truth.ipynb",
    "portfolio": "40_portfolio.ipynb",
    "intake": "00_intake.ipynb",
}
KINDS: dict[str, Any] = {"str": str, "int": int, "float": float, "bool": bool, "list[str]": list[str]}
READING = ConfigDict(coerce_numbers_to_str=True, allow_inf_nan=False)
KINDS |= {f"{name} | None": kind | None for name, kind in KINDS.items()}
BATCH = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9_-])?")
PASSWORD = re.compile(r"(\w://)[^\s/@:\"]*:[^\s/@\"]+@")  # in an address


def _find(path: Path, batch_file: ValidationInfo) -> Path:
    folders = (batch_file.context.parent, FOLDER) if path.suffix == ".ipynb" else (batch_file.context.parent,)
    for folder in folders:
        # The data need not be there: others may be given in their place.
        if (folder / path).is_file() or batch_file.field_name == "data":
            return Path(os.path.normpath(folder / path))
    known = {file.name for folder in folders for file in folder.glob(f"*{path.suffix}")}
    raise ValueError(f"there is no {path}{_nearest(path.name, known)}")


def _name_folder(name: str) -> str:
    # What `folder_name` leaves as it is, and no name that begins or ends as it must not, is safe everywhere.
    if len(name) > LONGEST or not BATCH.fullmatch(name) or DEVICE.match(name):
        raise PydanticCustomError("folder", "no name for a folder")
    return name


File = Annotated[Path, AfterValidator(_find)] | None
Notebooks = Annotated[
    dict[Literal["deep_dive", "ground_truth", "portfolio", "intake"], File],
    BeforeValidator(lambda given: NOTEBOOKS | given if isinstance(given, dict) else given),
]
Periods = Literal["all months"] | tuple[Annotated[str, AfterValidator(lambda name: parse_period(name).name)], ...]


class Batch(BaseModel, frozen=True, extra="forbid"):
    """A batch file: which data, which sites and periods, which notebooks with which parameters.

    Paths are relative to the file, those of notebooks also to the project's. A description says what a value must be.
    """

    batch: Annotated[str, AfterValidator(_name_folder)] = Field(
        description=f"a name for a folder: letters, digits and ._-, at most {LONGEST}"
    )
    title: str = Field("", description="a title")
    data: Literal["synthetic"] | File = Field(None, description='a file or "synthetic"')
    seed: int = Field(0, description="a whole number", ge=0)
    mapping: File = None
    events: File = None
    targets: File = None
    population: File = None
    ratings: File = None
    taxonomy: File = None
    sites: Literal["all"] | tuple[str, ...] = Field("all", description='"all" or a list of sites', min_length=1)
    periods: Periods = Field("all months", description='"all months" or a list such as [2026-03]', min_length=1)
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


@dataclass(frozen=True, slots=True)
class Run:
    """One notebook to run with its parameters; `site` and `period` are None where it covers all of them.

    `folder` is the report's place below the batch's folder, `before` that of the period before, "" where there is none.
    Runs of a `stage` start when those of the stages before have ended. A cell may take `timeout_seconds`, the run
    `deadline_seconds`, each of its processes `memory_mb`. `fingerprint` stands for the data that the run reads; an
    empty one is never taken as unchanged.
    """

    site: str | None
    period: str | None
    notebook: Path
    folder: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    stage: int = 0
    timeout_seconds: int = 600
    deadline_seconds: int = 3600
    memory_mb: int | None = None
    fingerprint: str = ""
    before: str = ""


def read_batch(path: Path | str) -> Batch:
    """Read a batch file.

    Raises
    ------
    ValueError
        If the file, a key or a value is not what it must be; the message names every fault.
    """
    path = Path(path)
    try:
        # Scalars stay text until a type is asked for: YAML reads a site called NO as False and 2026-03-01 as a date.
        content = read_yaml(path, empty=("", "~", "null")).content
        if not isinstance(content, dict):
            raise ValueError(f"{path}: must hold lines `key: value`")
        raw = {key: value for key, value in content.items() if value is not None}
        _refuse_passwords(raw, path)
        batch = Batch.model_validate(raw, context=path)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from None
    except DataError as error:
        line = f"line {error.first['line']}: " if error.first else ""
        raise ValueError(f"{path}: {line}{error.problem}; {error.mend}") from None
    except ValidationError as error:
        raise ValueError(f"{path}: {_explain(error)}") from None
    batch._source = path
    return batch


def plan_runs(
    batch: Batch,
    sites_in_data: Iterable[str],
    periods_in_data: Mapping[str, Iterable[str]],
    *,
    site: str | None = None,
    period: str | None = None,
    given: Mapping[str, Any] | None = None,
) -> tuple[Run, ...]:
    """List the runs of a batch, each with the parameters that its notebook declares.

    The audits hold `sites_in_data` and the periods of each in `periods_in_data`: its months, and its weeks where the
    batch asks for weeks. A site and period without audits is no run (`list_idle` names those that were asked for).
    `site` and `period` narrow the grid to one site, to one period of any kind; the notebooks that cover all of them are
    then left out. `given` holds further values for the notebooks that declare them, such as the store.

    Raises
    ------
    ValueError
        If a site is not in the data, a period lies outside them, a parameter is unknown, missing or of the wrong type,
        or the data hold nothing.
    """
    months = {name: [parse_period(month) for month in periods_in_data[name]] for name in sites_in_data}
    declared = {kind: _read_parameters(path) for kind, path in batch.notebooks.items() if path}
    given = given or {}
    _check_names(batch, declared, given)
    cells = [cell for cell, audited in _choose_cells(batch, months, site, period).items() if audited]
    if not cells:
        return ()
    values = {**batch.model_dump(mode="json"), **given, "title": batch.title or batch.batch}
    values |= {"sites": list(dict(cells)), "periods": sorted({name for _, name in cells})}
    wide = [kind for kind in ("intake", "ground_truth", "portfolio") if kind in declared and site is period is None]
    each, folders = cells if "deep_dive" in declared else (), folder_names(months)
    # A report of one site is told of no other.
    own = [{"site": one, "period": name, "sites": [one], "periods": [name]} for one, name in each]
    runs = [_run(batch, "deep_dive", declared["deep_dive"], values | cell, folders[cell["site"]]) for cell in own]
    return tuple(runs + [_run(batch, kind, declared[kind], values) for kind in wide])


def list_idle(
    batch: Batch,
    periods_in_data: Mapping[str, Iterable[str]],
    *,
    site: str | None = None,
    period: str | None = None,
) -> tuple[tuple[str, str], ...]:
    """List the sites and periods that were asked for by name and hold no audits; arguments as for `plan_runs`."""
    months = {name: [parse_period(month) for month in held] for name, held in periods_in_data.items()}
    if period is None and batch.periods == "all months":
        return ()
    return tuple(cell for cell, audited in _choose_cells(batch, months, site, period).items() if not audited)


def _refuse_passwords(raw: Mapping[str, Any], path: Path) -> None:
    # The values stand in every report; those of environment variables are blotted out of it.
    for key, value in raw.items():
        if isinstance(value, dict):
            _refuse_passwords(value, path)
        elif PASSWORD.search(json.dumps(value, ensure_ascii=False)):
            mend = "put it into an environment variable, name that under `environment`, and let the notebook read it"
            raise ValueError(f"{path}: {key} is an address with a password: {mend}")


def _explain(error: ValidationError) -> str:
    fields, faults = Batch.model_fields, {}
    for fault in error.errors():
        key, kind, what = str(fault["loc"][0]), fault["type"], fault["msg"].removeprefix("Value error, ")
        must = (key in fields and fields[key].description) or "a file"
        told = {"missing": f"{key} is missing; give {must}", "value_error": f"{key}: {what}"}
        told["extra_forbidden"] = f"unknown key {key!r}{_nearest(key, fields)}"
        faults.setdefault(key, told.get(kind, f"{key} is {fault['input']!r}, not {must}"))
    return "; ".join(faults.values())


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.4)
    return f"; the nearest known is {close[0]!r}" if close else ""


def _read_parameters(notebook: Path) -> dict[str, ast.AnnAssign]:
    """Return the lines of a notebook's tagged cell, `name: type = value`, by name; the value may be missing."""
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        tagged = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", ())]
        lines = ast.parse("".join(tagged[0]["source"])).body if tagged else []
    except (ValueError, KeyError, TypeError, SyntaxError) as error:
        raise ValueError(f"{notebook}: cannot read the cell tagged parameters: {error}") from None
    kinds = {}
    for line in lines:
        if not (isinstance(line, ast.AnnAssign) and ast.unparse(line.annotation) in KINDS):
            known = ", ".join(KINDS)
            raise ValueError(f"{notebook}: parameters: `{ast.unparse(line)}` is not `name: type = value`, type {known}")
        kinds[ast.unparse(line.target)] = line
    return kinds


def _check_names(batch: Batch, declared: Mapping[str, Mapping[str, Any]], given: Mapping[str, Any]) -> None:
    own = {*Batch.model_fields, *given, "site", "period", "output"}
    known = {name for kinds in declared.values() for name in kinds} - own
    for name in batch.parameters:
        if name in own:
            raise ValueError(f"{batch._source}: parameters: {name!r} is set by the batch itself, not here")
        if name not in known:
            raise ValueError(f"{batch._source}: parameters: no notebook has {name!r}{_nearest(name, known)}")
    for kind, kinds in declared.items():
        for name in ("output", "site", "period") if kind == "deep_dive" else ("output",):
            if name not in kinds:
                raise ValueError(f"{batch.notebooks[kind]}: parameters: {name!r} is not declared")


def _choose_cells(
    batch: Batch, months: Mapping[str, list[Period]], site: str | None, period: str | None
) -> dict[tuple[str, str], bool]:
    """Return every site and period that is asked for, and whether there are audits of it."""
    sites = [site] if site is not None else list(months if batch.sites == "all" else dict.fromkeys(batch.sites))
    for name in sites:
        if name not in months:
            raise ValueError(f"{batch._source}: sites: {name!r} is not in the data{_nearest(name, months)}")
    held = sorted({one for name in sites for one in months[name]})
    if not held:
        raise ValueError(f"{batch._source}: nothing to run: no chosen site has audits")
    known = [one.name for one in held if one.kind == "month"]
    named = [period] if period is not None else known if batch.periods == "all months" else batch.periods
    wanted = [parse_period(name) for name in dict.fromkeys(named)]
    for one in wanted:
        # A period without audits between others is an idle one; outside of all it is a slip of the pen.
        if not (held[0].start < one.end and one.start < max(each.end for each in held)):
            near = [name for name in (each.name for each in held) if len(name) == len(one.name)] or known
            raise ValueError(f"{batch._source}: periods: {one} is not in the data{_nearest(one.name, near)}")
    return {(name, one.name): _has_audits(months[name], one) for name in sites for one in wanted}


def _has_audits(held: Iterable[Period], period: Period) -> bool:
    alike = [one for one in held if one.kind == period.kind]
    return any(one.start < period.end and period.start < one.end for one in alike or held)


def _run(batch: Batch, kind: str, lines: Mapping[str, ast.AnnAssign], values: Mapping[str, Any], own: str = "") -> Run:
    notebook, site, period = batch.notebooks[kind], values.get("site"), values.get("period")
    filled = {name: value for name, value in values.items() if value is not None} | dict(batch.parameters)
    parameters = {}
    for name, line in lines.items():
        wanted = ast.unparse(line.annotation)
        if name not in filled:
            if line.value is None and name != "output":
                where = "" if name in Batch.model_fields else "parameters: "
                raise ValueError(f"{batch._source}: {where}{name} is missing; {notebook.name} has no value for it")
            continue
        try:
            parameters[name] = TypeAdapter(KINDS[wanted], config=READING).validate_python(filled[name])
        except ValidationError:
            about = f"{name} is {filled[name]!r}, but {notebook.name} wants {wanted}"
            raise ValueError(f"{batch._source}: parameters: {about}") from None
    folder, before = f"_{kind}", ""
    if site is not None:
        folder, before = (f"{own}/{name}" for name in (period, name_period_before(period)))
    limits = {name: getattr(batch, name) for name in ("timeout_seconds", "deadline_seconds", "memory_mb")}
    return Run(site, period, notebook, folder, parameters, before=before, stage=int(kind == "portfolio"), **limits)
