"""The runs of a batch: one deep dive per site and period with audits, and the notebooks that cover all sites.

Each run gets the parameters that its notebook declares in the cell tagged `parameters`, converted to the declared
types. Unknown, missing and mistyped parameters are errors before anything runs.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from rca_lib.audits.periods import Coverage, Frequency, Period, get_previous_period, parse_period
from rca_lib.batch.batch_file import BatchConfig, NotebookKind, PeriodSelection, suggest_name
from rca_lib.io.folder_names import encode_folder_names

PARAMETER_TYPES: dict[str, Any] = {"str": str, "int": int, "float": float, "bool": bool, "list[str]": list[str]}
PARAMETER_TYPES |= {f"{name} | None": type_ | None for name, type_ in PARAMETER_TYPES.items()}
TYPE_CONFIG = ConfigDict(coerce_numbers_to_str=True, allow_inf_nan=False)
ALL_SITES_NOTEBOOKS: tuple[NotebookKind, ...] = (
    "intake",
    "ground_truth",
    "portfolio",
)  # kinds of notebook that cover all sites and periods
RUN_LIMITS = ("timeout_seconds", "deadline_seconds", "memory_mb")
SITE_PERIOD_PARAMETERS = ("output", "site", "period")  # parameters that a deep dive must declare


@dataclass(frozen=True, slots=True)
class Run:
    """One notebook to run.

    Attributes
    ----------
    site, period
        What the report is about; None if it covers all sites and periods.
    notebook
        The notebook.
    folder
        The folder of the report, relative to the batch's folder.
    parameters
        The parameters of the notebook, except `output`.
    stage
        Runs of a stage start once those of the previous stages have ended.
    timeout_seconds, deadline_seconds, memory_mb
        The limits for a cell, for the run, and for each of its processes.
    fingerprint
        A hash of the data that the run reads; "" if it is unknown. The run is then always due.
    before
        The folder of the previous period's report; "" if there is none.
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


@dataclass(frozen=True, slots=True)
class ParameterCell:
    """The cell tagged `parameters` of a notebook: its lines `name: type = value`, by name; the value may be missing."""

    notebook: Path
    lines: Mapping[str, ast.AnnAssign]


def plan_runs(
    batch: BatchConfig,
    sites_in_data: Iterable[str],
    periods_in_data: Mapping[str, Iterable[str]],
    *,
    coverage: Coverage | None = None,
    site: str | None = None,
    period: str | None = None,
    extra_values: Mapping[str, Any] | None = None,
) -> tuple[Run, ...]:
    """List the runs of a batch, each with the parameters that its notebook declares.

    Parameters
    ----------
    batch
        The batch file.
    sites_in_data
        The sites that have audits.
    periods_in_data
        Per site, the months with audits, and the weeks with audits if the batch names weeks. A site and period without
        audits is not a run; `list_unaudited_periods` lists those that were requested.
    coverage
        The days that the audits of all sites cover. It is needed where the batch file asks for complete periods.
    site, period
        Restrict the runs to one site or one period of any kind. The notebooks over all sites are then left out.
    extra_values
        Further values for notebooks that declare them, such as the store.

    Returns
    -------
    tuple of Run
        The deep dives by site and period, then the notebooks over all sites.

    Raises
    ------
    ValueError
        If a site or a period is not in the data, a parameter is unknown, missing or of the wrong type, or no requested
        site has audits.
    """
    extra_values = extra_values or {}
    months = _parse_periods(sites_in_data, periods_in_data)
    cells = {kind: _read_parameter_cell(path) for kind, path in batch.notebooks.items() if path}
    _validate_parameter_names(batch, cells, extra_values)
    requested = _select_site_periods(batch, months, coverage, site, period)
    audited = [site_period for site_period, has_audits in requested.items() if has_audits]
    if not audited:
        return ()
    values = batch.model_dump(mode="json") | dict(extra_values) | {"title": batch.title or batch.batch}
    values["sites"] = list(dict(audited))
    values["periods"] = _add_baseline_periods(batch, months, sorted({name for _, name in audited}))
    runs = []
    folders = encode_folder_names(months)
    for site_name, period_name in audited if "deep_dive" in cells else ():
        # A report about one site must not receive the names of the others.
        own = {"site": site_name, "period": period_name, "sites": [site_name], "periods": [period_name]}
        runs.append(_build_run(batch, "deep_dive", cells["deep_dive"], values | own, folders[site_name]))
    for kind in ALL_SITES_NOTEBOOKS if site is None and period is None else ():
        if kind in cells:
            runs.append(_build_run(batch, kind, cells[kind], values))
    return tuple(runs)


def list_unaudited_periods(
    batch: BatchConfig,
    periods_in_data: Mapping[str, Iterable[str]],
    *,
    coverage: Coverage | None = None,
    site: str | None = None,
    period: str | None = None,
) -> tuple[tuple[str, str], ...]:
    """List the sites and periods that were requested, by name or as the latest ones, and have no audits.

    Parameters
    ----------
    batch, periods_in_data, coverage, site, period
        As for `plan_runs`.

    Returns
    -------
    tuple of (str, str)
        Site and period.
    """
    if period is None and isinstance(batch.periods, PeriodSelection) and batch.periods.last is None:
        return ()
    months = _parse_periods(periods_in_data, periods_in_data)
    requested = _select_site_periods(batch, months, coverage, site, period)
    return tuple(site_period for site_period, has_audits in requested.items() if not has_audits)


def _parse_periods(sites: Iterable[str], periods: Mapping[str, Iterable[str]]) -> dict[str, list[Period]]:
    return {site: [parse_period(name) for name in periods[site]] for site in sites}


def _read_parameter_cell(notebook: Path) -> ParameterCell:
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        tagged = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", ())]
        statements = ast.parse("".join(tagged[0]["source"])).body if tagged else []
    except (ValueError, KeyError, TypeError, SyntaxError) as error:
        raise ValueError(f"{notebook}: cannot read the cell tagged parameters: {error}") from None
    lines = {}
    for statement in statements:
        if not (isinstance(statement, ast.AnnAssign) and ast.unparse(statement.annotation) in PARAMETER_TYPES):
            problem = f"`{ast.unparse(statement)}` is not `name: type = value`"
            raise ValueError(f"{notebook}: parameters: {problem}, type {', '.join(PARAMETER_TYPES)}")
        lines[ast.unparse(statement.target)] = statement
    return ParameterCell(notebook, lines)


def _validate_parameter_names(
    batch: BatchConfig, cells: Mapping[NotebookKind, ParameterCell], extra_values: Mapping[str, Any]
) -> None:
    reserved = {*BatchConfig.model_fields, *extra_values, "site", "period", "output"}
    known = {name for cell in cells.values() for name in cell.lines} - reserved
    for name in batch.parameters:
        if name in reserved:
            raise ValueError(f"{batch._source}: parameters: {name!r} is set by the batch itself, not here")
        if name not in known:
            raise ValueError(f"{batch._source}: parameters: no notebook has {name!r}{suggest_name(name, known)}")
    for kind, cell in cells.items():
        for name in SITE_PERIOD_PARAMETERS if kind == "deep_dive" else ("output",):
            if name not in cell.lines:
                raise ValueError(f"{cell.notebook}: parameters: {name!r} is not declared")


def _select_site_periods(
    batch: BatchConfig,
    months: Mapping[str, list[Period]],
    coverage: Coverage | None,
    site: str | None,
    period: str | None,
) -> dict[tuple[str, str], bool]:
    """Return every requested site and period, and whether it has audits."""
    sites = list(months if batch.sites == "all" else dict.fromkeys(batch.sites))
    if site is not None:
        sites = [site]
    for name in sites:
        if name not in months:
            raise ValueError(f"{batch._source}: sites: {name!r} is not in the data{suggest_name(name, months)}")
    audited = sorted({audited_period for name in sites for audited_period in months[name]})
    if not audited:
        raise ValueError(f"{batch._source}: nothing to run: no chosen site has audits")
    month_names = [audited_period.name for audited_period in audited if audited_period.kind == "month"]
    names: Sequence[str]
    if period is not None:
        names = [period]
    elif isinstance(batch.periods, PeriodSelection):
        names = _select_latest_periods(batch, months, coverage)
    else:
        names = batch.periods
    requested = [parse_period(name) for name in dict.fromkeys(names)]
    for requested_period in requested:
        _validate_period(batch, requested_period, audited, month_names)
    return {
        (name, requested_period.name): _has_audits(months[name], requested_period)
        for name in sites
        for requested_period in requested
    }


def _select_latest_periods(
    batch: BatchConfig, periods: Mapping[str, list[Period]], coverage: Coverage | None
) -> list[str]:
    """Return the periods that the rule of the batch file selects, from those in which any site has audits."""
    selection = batch.periods
    assert isinstance(selection, PeriodSelection)
    audited = _list_periods_of(periods, selection.frequency)
    if selection.complete:
        audited = [period for period in audited if coverage is not None and coverage.covers_period(period)]
        if not audited:
            problem = f"the audits do not cover any {selection.frequency} from start to end"
            raise ValueError(f"{batch._source}: periods: {problem}; leave out complete, or wait for more audits")
    return [period.name for period in audited[-(selection.last or 0) :]]


def _add_baseline_periods(batch: BatchConfig, periods: Mapping[str, list[Period]], names: list[str]) -> list[str]:
    """Return the names, preceded by the baseline periods where the batch file selects the latest ones.

    The notebooks over all sites compare the last two of their periods.
    """
    if not isinstance(batch.periods, PeriodSelection) or batch.periods.last is None:
        return names
    audited = [period.name for period in _list_periods_of(periods, parse_period(names[0]).kind)]
    earlier = [name for name in audited if name < names[0]]
    return [*earlier[max(0, len(earlier) - batch.baseline_periods) :], *names]


def _list_periods_of(periods: Mapping[str, list[Period]], frequency: Frequency) -> list[Period]:
    """Return the periods of a frequency in which any site has audits, in order."""
    return sorted({period for site_periods in periods.values() for period in site_periods if period.kind == frequency})


def _validate_period(batch: BatchConfig, period: Period, audited: list[Period], month_names: list[str]) -> None:
    """Refuse a period outside the range of the audits as a typing error; within the range, a site may be idle."""
    range_end = max(audited_period.end for audited_period in audited)
    if audited[0].start < period.end and period.start < range_end:
        return
    same_length = [candidate.name for candidate in audited if len(candidate.name) == len(period.name)]
    suggestion = suggest_name(period.name, same_length or month_names)
    raise ValueError(f"{batch._source}: periods: {period} is not in the data{suggestion}")


def _has_audits(audited: list[Period], period: Period) -> bool:
    same_kind = [candidate for candidate in audited if candidate.kind == period.kind]
    return any(candidate.start < period.end and period.start < candidate.end for candidate in same_kind or audited)


def _build_run(
    batch: BatchConfig, kind: NotebookKind, cell: ParameterCell, values: Mapping[str, Any], site_folder: str = ""
) -> Run:
    site: str | None = values.get("site")
    period: str | None = values.get("period")
    folder = f"_{kind}"
    previous_folder = ""
    if site is not None and period is not None:
        folder = f"{site_folder}/{period}"
        previous_folder = f"{site_folder}/{get_previous_period(period)}"
    return Run(
        site,
        period,
        cell.notebook,
        folder,
        _convert_parameters(batch, cell, values),
        before=previous_folder,
        stage=int(kind == "portfolio"),
        **{name: getattr(batch, name) for name in RUN_LIMITS},
    )


def _convert_parameters(batch: BatchConfig, cell: ParameterCell, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of the parameters that a notebook declares, in the declared types."""
    available = {name: value for name, value in values.items() if value is not None} | dict(batch.parameters)
    parameters = {}
    for name, line in cell.lines.items():
        type_name = ast.unparse(line.annotation)
        if name not in available:
            if line.value is None and name != "output":
                key = name if name in BatchConfig.model_fields else f"parameters: {name}"
                raise ValueError(f"{batch._source}: {key} is missing; {cell.notebook.name} has no value for it")
            continue
        adapter = TypeAdapter(PARAMETER_TYPES[type_name], config=TYPE_CONFIG)
        try:
            parameters[name] = adapter.validate_python(available[name])
        except ValidationError:
            problem = f"{name} is {available[name]!r}, but {cell.notebook.name} wants {type_name}"
            raise ValueError(f"{batch._source}: parameters: {problem}") from None
    return parameters
