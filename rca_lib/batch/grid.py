"""The batch file and the grid of runs it asks for: everything is typed and checked before anything starts."""

from __future__ import annotations

import ast
import difflib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, TypeAdapter, ValidationError

from rca_lib.audits.periods import Period, parse_period
from rca_lib.audits.tables import folder_name

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
NOTHING: Mapping[str, Any] = MappingProxyType({})
PATHS = ("data", "mapping", "events", "targets", "population", "taxonomy")
KINDS: Mapping[str, Any] = {"str": str, "int": int, "float": float, "bool": bool, "list[str]": list[str]}

NAME, EDITION = r"^[A-Za-z0-9][A-Za-z0-9._-]*$", r"^(internal|vendor:.+)$"

PeriodName = Annotated[str, AfterValidator(lambda name: parse_period(name).name)]
File = Annotated[Path | None, Field(description="a file")]
Notebook = Annotated[Path | None, Field(description="a notebook")]


class Notebooks(BaseModel, frozen=True, extra="forbid"):
    """The notebooks of a batch: one for each site and period, one over all of them, one on the intake."""

    deep_dive: Notebook = Path("10_deep_dive.ipynb")
    portfolio: Notebook = Path("40_portfolio.ipynb")
    intake: Notebook = Path("00_intake.ipynb")


class Batch(BaseModel, frozen=True, extra="forbid"):
    """A batch file: which data, which sites and periods, which notebooks with which parameters.

    Paths are as seen from the working directory. A description says what the value must be.
    """

    batch: str = Field(description="a name for a folder: letters, digits and . _ -", pattern=NAME)
    title: str = Field("", description="a title")
    data: Path | Literal["synthetic"] | None = Field(None, description='a file or "synthetic"')
    seed: int = Field(0, description="a whole number", ge=0)
    mapping: File = None
    events: File = None
    targets: File = None
    population: File = None
    taxonomy: File = None
    sites: Literal["all"] | tuple[str, ...] = Field("all", description='"all" or a list of sites', min_length=1)
    periods: Literal["all months"] | tuple[PeriodName, ...] = Field(
        "all months", description='"all months" or a list such as [2026-03, 2026-W12, 2026-Q1]', min_length=1
    )
    baseline_periods: int = Field(1, description="a whole number from 0", ge=0)
    notebooks: Notebooks = Field(Notebooks(), description="a mapping of deep_dive, portfolio, intake to notebooks")
    parameters: Mapping[str, Any] = Field(default_factory=dict, description="a mapping of the notebooks' parameters")
    timeout_seconds: int = Field(600, description="whole seconds from 1", ge=1)
    edition: str = Field("internal", description='"internal" or "vendor:NAME"', pattern=EDITION)
    _source: Path = PrivateAttr(Path("the batch"))


@dataclass(frozen=True, slots=True)
class Run:
    """One notebook to run with its parameters; `site` and `period` are None where it covers all of them.

    `folder` is the report's place below the batch's folder. Runs of a `stage` start when those of the stages before
    have ended. `fingerprint` stands for the data that the run reads; an empty one is never taken as unchanged.
    """

    site: str | None
    period: str | None
    notebook: Path
    folder: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    stage: int = 0
    timeout_seconds: int = 600
    fingerprint: str = ""


def read_batch(path: Path | str) -> Batch:
    """Read a batch file; its paths are relative to itself, those of notebooks also to the project's notebooks.

    Raises
    ------
    ValueError
        If the file, a key or a value is not what it must be; the message names every fault.
    """
    path = Path(path)
    raw = _read_yaml(path)
    for key in PATHS:
        if isinstance(raw.get(key), str) and (key, raw[key]) != ("data", "synthetic"):
            raw[key] = _beside(path, raw[key])
    try:
        batch = Batch(**raw)
    except ValidationError as error:
        faults = {_key_of(fault): _explain(fault) for fault in error.errors()}
        raise ValueError(f"{path}: {'; '.join(faults.values())}") from None
    for key in PATHS[1:]:
        if getattr(batch, key) and not getattr(batch, key).is_file():
            raise ValueError(f"{path}: {key}: there is no file {getattr(batch, key)}")
    found = {kind: _find_notebook(path, kind, name) if name else None for kind, name in batch.notebooks}
    batch = batch.model_copy(update={"notebooks": Notebooks(**found)})
    batch._source = path
    return batch


def plan_runs(
    batch: Batch,
    sites_in_data: Iterable[str],
    periods_in_data: Iterable[str] | Mapping[str, Iterable[str]],
    *,
    site: str | None = None,
    period: str | None = None,
    given: Mapping[str, Any] = NOTHING,
) -> tuple[Run, ...]:
    """List the runs of a batch, each with the parameters that its notebook declares.

    Parameters
    ----------
    sites_in_data, periods_in_data
        What the audits hold: months, as one list or as one for each site. A site and period without audits is no run.
    site, period
        Narrow the grid to one site, to one period of any kind; the notebooks that cover all of them are then left out.
    given
        Further values for the notebooks that declare them, such as the store.

    Raises
    ------
    ValueError
        If a site or a period is not in the data, a parameter is unknown or of the wrong type, or nothing is left.
    """
    sites = tuple(sites_in_data)
    each = periods_in_data if isinstance(periods_in_data, Mapping) else dict.fromkeys(sites, tuple(periods_in_data))
    held = {name: tuple(parse_period(month) for month in each.get(name, ())) for name in sites}
    declared = {kind: _read_parameters(path) for kind, path in batch.notebooks if path}
    _check_names(batch, declared, given)
    cells = _cells(batch, held, site, period)
    values = {**batch.model_dump(), **given, "title": batch.title or batch.batch}
    values |= {"sites": list(dict(cells)), "periods": sorted({name for _, name in cells})}
    kinds = [kind for kind in ("intake", "portfolio") if kind in declared and site is period is None]
    each_cell = [{"site": one, "period": name} for one, name in cells if "deep_dive" in declared]
    runs = [_run(batch, "deep_dive", declared["deep_dive"], values | cell) for cell in each_cell]
    runs += [_run(batch, kind, declared[kind], values) for kind in kinds]
    if not runs:
        raise ValueError(f"{batch._source}: nothing to run: no chosen site has audits in a chosen period")
    return tuple(runs)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        node = yaml.compose(path.read_text(encoding="utf-8-sig"), Loader=yaml.BaseLoader)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(node, yaml.MappingNode):
        raise ValueError(f"{path}: must hold lines `key: value`")
    return {key: value for key, value in _plain(node, path).items() if value is not None}


def _plain(node: yaml.Node, path: Path) -> Any:
    # Scalars stay text until a type is asked for: YAML reads a site called NO as False and 2026-03-01 as a date.
    if isinstance(node, yaml.SequenceNode):
        return [_plain(part, path) for part in node.value]
    if isinstance(node, yaml.ScalarNode):
        return None if node.style is None and node.value in ("", "~", "null") else node.value
    values: dict[str, Any] = {}
    for key, value in node.value:
        if key.value in values:
            raise ValueError(f"{path}: line {key.start_mark.line + 1}: {key.value!r} stands there twice")
        values[key.value] = _plain(value, path)
    return values


def _beside(path: Path, name: str) -> Path:
    return Path(os.path.normpath(path.parent / name))


def _key_of(fault: Mapping[str, Any]) -> str:
    where = [str(part) for part in fault["loc"]]
    return where[1] if where[0] == "notebooks" and len(where) > 1 else where[0]


def _explain(fault: Mapping[str, Any]) -> str:
    key, model = _key_of(fault), Notebooks if _key_of(fault) != fault["loc"][0] else Batch
    if fault["type"] == "extra_forbidden":
        return f"unknown key {key!r}{_nearest(key, model.model_fields)}"
    must = model.model_fields[key].description
    return (
        f"{key} is missing; give {must}" if fault["type"] == "missing" else f"{key} is {fault['input']!r}, not {must}"
    )


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.4)
    return f"; the nearest known is {close[0]!r}" if close else ""


def _find_notebook(path: Path, kind: str, name: Path) -> Path:
    places = (_beside(path, str(name)), NOTEBOOKS / name)
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        known = {file.name for folder in (path.parent, NOTEBOOKS) for file in folder.glob("*.ipynb")}
        raise ValueError(f"{path}: notebooks: {kind}: there is no {name}{_nearest(name.name, known)}")
    return found


def _read_parameters(notebook: Path) -> dict[str, str]:
    """Return the types of a notebook's parameters as its tagged cell writes them."""
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        tagged = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", ())]
        lines = ast.parse("".join(tagged[0]["source"])).body if tagged else []
    except (ValueError, KeyError, TypeError, SyntaxError) as error:
        raise ValueError(f"{notebook}: cannot read the cell tagged parameters: {error}") from None
    kinds = {}
    for line in lines:
        if not (isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)):
            raise ValueError(f"{notebook}: parameters: `{ast.unparse(line)}` is not `name: type = value`")
        kinds[line.target.id] = ast.unparse(line.annotation)
        if kinds[line.target.id].removesuffix(" | None") not in KINDS:
            raise ValueError(f"{notebook}: parameters: `{ast.unparse(line)}`: a type is one of {', '.join(KINDS)}")
    return kinds


def _check_names(batch: Batch, declared: Mapping[str, Mapping[str, str]], given: Mapping[str, Any]) -> None:
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
                raise ValueError(f"{getattr(batch.notebooks, kind)}: parameters: {name!r} is not declared")


def _cells(
    batch: Batch, held: Mapping[str, tuple[Period, ...]], site: str | None, period: str | None
) -> list[tuple[str, str]]:
    sites = [site] if site is not None else list(held if batch.sites == "all" else dict.fromkeys(batch.sites))
    for name in sites:
        if name not in held:
            raise ValueError(f"{batch._source}: sites: {name!r} is not in the data{_nearest(name, held)}")
    if period is None and batch.periods == "all months":
        return [(name, month.name) for name in sites for month in held[name] if month.kind == "month"]
    wanted = [parse_period(name) for name in dict.fromkeys([period] if period is not None else batch.periods)]
    for one in wanted:
        if not any(_has_audits(held[name], one) for name in sites):
            months = {month.name for name in sites for month in held[name]}
            raise ValueError(f"{batch._source}: periods: {one} is not in the data{_nearest(one.name, months)}")
    return [(name, one.name) for name in sites for one in wanted if _has_audits(held[name], one)]


def _has_audits(months: tuple[Period, ...], period: Period) -> bool:
    return any(month.start < period.end and period.start < month.end for month in months)


def _run(batch: Batch, kind: str, kinds: Mapping[str, str], values: Mapping[str, Any]) -> Run:
    notebook, site, period = getattr(batch.notebooks, kind), values.get("site"), values.get("period")
    filled = {name: value for name, value in values.items() if value is not None} | dict(batch.parameters)
    where = f"{batch._source}: parameters"
    parameters = {
        name: _typed(filled[name], kinds[name], f"{where}: {name}", notebook.name) for name in kinds if name in filled
    }
    folder = f"_{kind}" if site is None else f"{folder_name(site)}/{period}"
    return Run(site, period, notebook, folder, parameters, int(kind == "portfolio"), batch.timeout_seconds)


def _typed(value: Any, kind: str, where: str, notebook: str) -> Any:
    value = str(value) if isinstance(value, Path) else value
    known = KINDS[kind.removesuffix(" | None")]
    try:
        return TypeAdapter(known | None if kind.endswith(" | None") else known, config=_READING).validate_python(value)
    except ValidationError:
        raise ValueError(f"{where} is {value!r}, but {notebook} wants {kind}") from None


_READING = ConfigDict(coerce_numbers_to_str=True, allow_inf_nan=False)
