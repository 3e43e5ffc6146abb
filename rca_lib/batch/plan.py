"""The plan of a batch: which reports its folder must contain, with site, period, notebook and parameters of each.

`rca run` writes the plan into the store. `rca verify` takes from it what each report has to be, and never from the
report itself. A plan may come from somebody else, so reading it validates every entry.
"""

from __future__ import annotations

import json
import keyword
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from rca_lib.audits.periods import parse_period
from rca_lib.batch.batch_file import NOTEBOOK_FOLDER, NOTEBOOKS, BatchConfig, PeriodSelection
from rca_lib.batch.run_grid import RUN_LIMITS, Run, plan_runs
from rca_lib.findings import DataError
from rca_lib.reporting.html import write_file_atomically
from rca_lib.store.catalog import list_periods, list_sites, read_coverage

PLAN_FILE = "plan.json"
MAX_LIMIT = 10**7  # largest limit that a plan may state, in seconds or megabytes
PATH_PARAMETERS = ("store", "output")  # parameters that depend on where the batch runs
PlanOrigin = Literal["batch file", "plan", "assumed"]


@dataclass(frozen=True, slots=True)
class PlannedRuns:
    """The runs whose reports a batch's folder must contain.

    Attributes
    ----------
    title
        The title of the index.
    runs
        The runs by folder.
    origin
        Where they come from: the batch file, the plan in the store, or neither. In the last case all sites and months
        of the store with the default parameters are assumed, and a missing report is not an error.
    """

    title: str
    runs: Mapping[str, Run]
    origin: PlanOrigin


def write_plan(folder: Path, store: Path, title: str, runs: Sequence[Run], *, is_partial: bool) -> None:
    """Write the plan of a batch into its store.

    Parameters
    ----------
    folder, store
        The batch's folder and its store.
    title
        The title of the index.
    runs
        The runs that are requested now.
    is_partial
        Whether they are only a part of the batch. All earlier entries of the plan are then kept; otherwise only those
        whose report exists.
    """
    try:
        plan = read_plan(store)
    except DataError:
        plan = None
    earlier_runs = plan.runs if plan else {}
    entries = {name: run for name, run in earlier_runs.items() if is_partial or (folder / name).exists()}
    entries |= _index_by_folder(runs)
    content = {"title": title, "runs": [_describe_run(run) for run in entries.values()]}
    write_file_atomically(store / PLAN_FILE, json.dumps(content, indent=1) + "\n")


def read_plan(store: Path, trusted_notebooks: Sequence[Path] = ()) -> PlannedRuns | None:
    """Read the plan of a store.

    A plan can only name notebooks of the project: a folder from somebody else must not bring its own code.

    Parameters
    ----------
    store
        The store.
    trusted_notebooks
        Further notebooks that may run where the plan names them.

    Returns
    -------
    PlannedRuns or None
        None if the store has no plan.

    Raises
    ------
    DataError
        If the plan is damaged.
    """
    file = store / PLAN_FILE
    if not file.exists():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        trusted = {notebook.name: notebook.absolute() for notebook in trusted_notebooks}
        runs = [_parse_run(entry, trusted) for entry in content["runs"]]
        return PlannedRuns(str(content["title"]), _index_by_folder(runs), "plan")
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as problem:
        raise DataError(f"{PLAN_FILE} of the store is damaged: {problem}", hint="run the batch again") from None


def list_audited_periods(batch: BatchConfig, store: Path, period: str | None = None) -> dict[str, list[str]]:
    """List the periods with audits of each site in a store.

    Parameters
    ----------
    batch
        The batch file; its periods determine whether weeks and other kinds are listed beside months.
    store
        The store.
    period
        A single period that is requested instead of those of the batch file.

    Returns
    -------
    dict
        Names of periods by site.
    """
    frequencies = batch.list_frequencies(period)
    return {
        site: [name for frequency in frequencies for name in list_periods(store, site, frequency)]
        for site in list_sites(store)
    }


def plan_from_batch_file(batch: BatchConfig, store: Path, folder: Path) -> PlannedRuns:
    """Return the plan of a batch file for the audits of a store.

    Where the batch file selects the latest periods, the existing reports of earlier periods belong to the plan too.

    Parameters
    ----------
    batch
        The batch file.
    store
        The store.
    folder
        The batch's folder.

    Returns
    -------
    PlannedRuns
        The plan.
    """
    runs = _index_by_folder(_plan_runs_of_store(batch, store))
    if isinstance(batch.periods, PeriodSelection):
        every_period = PeriodSelection(frequency=batch.periods.frequency)
        earlier = _plan_runs_of_store(batch.model_copy(update={"periods": every_period}), store)
        runs = {run.folder: run for run in earlier if (folder / run.folder).exists()} | runs
    return PlannedRuns(batch.title or batch.batch, runs, "batch file")


def plan_from_store(store: Path, name: str) -> PlannedRuns:
    """Assume a plan for a store that has none: all sites and months with the default parameters."""
    runs = _plan_runs_of_store(_get_default_batch(), store)
    return PlannedRuns(name, _index_by_folder(runs), "assumed")


def plan_single_run(store: Path, site: str, period: str) -> Run:
    """Return the run of one site and period with the default parameters.

    Raises
    ------
    ValueError
        If the store has no audits of the site and period.
    """
    return _plan_runs_of_store(_get_default_batch(), store, site=site, period=period)[0]


def _get_default_batch() -> BatchConfig:
    batch = BatchConfig.model_validate({"batch": "batch"}, context=NOTEBOOK_FOLDER / "batch.yml")
    batch._source = Path("the default batch")  # type: ignore[misc]  # as in `read_batch`
    return batch


def _plan_runs_of_store(batch: BatchConfig, store: Path, **selection: str) -> tuple[Run, ...]:
    audited = list_audited_periods(batch, store, selection.get("period"))
    coverage = read_coverage(store) if audited else None
    return plan_runs(batch, audited, audited, coverage=coverage, extra_values={"store": str(store)}, **selection)


def _index_by_folder(runs: Sequence[Run]) -> dict[str, Run]:
    return {run.folder: run for run in runs}


def _describe_run(run: Run) -> dict[str, Any]:
    return {
        "folder": run.folder,
        "site": run.site,
        "period": run.period,
        "notebook": run.notebook.name,
        "parameters": {name: value for name, value in run.parameters.items() if name not in PATH_PARAMETERS},
        "stage": run.stage,
        "before": run.before,
        **{name: getattr(run, name) for name in RUN_LIMITS},
    }


def _parse_run(entry: Mapping[str, Any], trusted_notebooks: Mapping[str, Path]) -> Run:
    site = entry["site"]
    period = entry["period"]
    if (site is None) != (period is None) or not all(isinstance(name, str | None) for name in (site, period)):
        raise ValueError("site and period are not two texts")
    if period is not None:
        parse_period(period)
    depth = 1 if site is None else 2
    folder = _parse_folder(entry["folder"], depth)
    previous_folder = entry["before"] and _parse_folder(entry["before"], depth)
    parameters = _parse_parameters(entry["parameters"])
    kind = folder.strip("_") if site is None else "deep_dive"
    name = entry["notebook"]
    # A notebook from elsewhere runs only if it is trusted; the project's notebook of this kind replaces any other.
    own_name = name if name in NOTEBOOKS.values() else NOTEBOOKS.get(kind, NOTEBOOKS["deep_dive"])
    notebook = trusted_notebooks.get(name, NOTEBOOK_FOLDER / own_name)
    numbers = {name: entry[name] for name in ("stage", *RUN_LIMITS) if entry.get(name) is not None}
    if not all(type(value) is int and 0 <= value < MAX_LIMIT for value in numbers.values()):
        raise ValueError(f"{numbers} are not valid limits")
    return Run(site, period, notebook, folder, parameters, before=previous_folder, **numbers)


def _parse_folder(folder: object, depth: int) -> str:
    parts = PurePosixPath(folder).parts if isinstance(folder, str) else ()
    if len(parts) != depth or any(part[:1] in (".", "/") or "\\" in part for part in parts):
        raise ValueError(f"{folder!r} is not the folder of a report")
    return str(folder)


def _parse_parameters(content: Any) -> dict[str, Any]:
    """Refuse names and values that would be code once Papermill writes them into a cell."""
    parameters = dict(content)
    for name, value in parameters.items():
        if not name.isidentifier() or keyword.iskeyword(name) or not _is_plain(value):
            raise ValueError(f"{name!r} is not a parameter")
    return parameters


def _is_plain(value: object) -> bool:
    scalar = str | int | float | bool | None
    return isinstance(value, scalar) or (isinstance(value, list) and all(isinstance(item, scalar) for item in value))
