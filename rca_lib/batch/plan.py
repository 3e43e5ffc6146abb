"""The plan of a batch: which reports its folder must hold, each with its site, period, notebook and parameters.

`rca run` writes it into the store. Verification reads from it what a report has to be, and never from the report.
"""

from __future__ import annotations

import json
import keyword
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from rca_lib.audits.periods import parse_period
from rca_lib.audits.store import list_periods, list_sites
from rca_lib.batch.grid import FOLDER, NOTEBOOKS, Batch, Run, plan_runs
from rca_lib.findings import DataError
from rca_lib.reporting.html import replace_page

PLAN = "plan.json"
LIMITS = ("timeout_seconds", "deadline_seconds", "memory_mb")
LONGEST = 10**7  # seconds or megabytes of a limit
PLACES = ("store", "output")  # parameters that differ from place to place, and nothing else
Origin = Literal["batch file", "plan", "assumed"]


@dataclass(frozen=True, slots=True)
class PlannedRuns:
    """The runs that a batch's folder must hold, by folder.

    `origin` says where this is known from: the batch file, the plan in the store, or neither; then all sites and months
    of the store with the default parameters are assumed, and a missing report is no fault.
    """

    title: str
    runs: Mapping[str, Run]
    origin: Origin


def write_plan(folder: Path, store: Path, title: str, runs: Sequence[Run], *, narrowed: bool) -> None:
    """Record in a store what a batch was asked to make.

    Parameters
    ----------
    folder, store
        The batch's folder and its store.
    title
        The title of the index.
    runs
        What was asked for now.
    narrowed
        Whether this is only a part of the batch. Earlier entries then stay; else they stay where their report does.
    """
    try:
        known = read_plan(store)
    except DataError:
        known = None
    entries = {name: run for name, run in (known.runs if known else {}).items() if narrowed or (folder / name).exists()}
    entries |= {run.folder: run for run in runs}
    listed = [
        {
            "folder": run.folder,
            "site": run.site,
            "period": run.period,
            "notebook": run.notebook.name,
            "parameters": {name: value for name, value in run.parameters.items() if name not in PLACES},
            "stage": run.stage,
            "before": run.before,
            **{name: getattr(run, name) for name in LIMITS},
        }
        for run in entries.values()
    ]
    text = json.dumps({"title": title, "runs": listed}, indent=1) + "\n"
    replace_page(store / PLAN, text)


def read_plan(store: Path) -> PlannedRuns | None:
    """Read the plan of a store, None where it has none.

    Only notebooks of the project itself are named by it: a folder that somebody sent must not bring its own code.

    Raises
    ------
    DataError
        If it is damaged.
    """
    file = store / PLAN
    if not file.exists():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        runs = [_read_run(entry) for entry in content["runs"]]
        return PlannedRuns(str(content["title"]), {run.folder: run for run in runs}, "plan")
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as problem:
        raise DataError(f"{PLAN} of the store is damaged: {problem}", mend="run the batch again") from None


def list_held(batch: Batch, store: Path, period: str | None = None) -> dict[str, list[str]]:
    """Return for each site of a store the months in which it has audits, and the other kinds of period asked for."""
    named = [period] if period else () if batch.periods == "all months" else batch.periods
    kinds = dict.fromkeys(["month", *(parse_period(name).kind for name in named)])
    return {name: [one for kind in kinds for one in list_periods(store, name, kind)] for name in list_sites(store)}


def plan_batch_file(batch: Batch, store: Path) -> PlannedRuns:
    """Plan what a batch file asks for, from the audits of a store."""
    return PlannedRuns(batch.title or batch.batch, _by_folder(_plan(batch, store)), "batch file")


def assume_plan(store: Path, name: str) -> PlannedRuns:
    """Assume the plan of a store that has none: all sites and months, default parameters."""
    return PlannedRuns(name, _by_folder(_plan(_default_batch(), store)), "assumed")


def plan_one(store: Path, site: str, period: str) -> Run:
    """Plan a single report with the default parameters.

    Raises
    ------
    ValueError
        If the store has no audits of the site and period.
    """
    return _plan(_default_batch(), store, site=site, period=period)[0]


def _default_batch() -> Batch:
    batch = Batch.model_validate({"batch": "batch"}, context=FOLDER / "batch.yml")
    batch._source = Path("the default batch")
    return batch


def _plan(batch: Batch, store: Path, **narrow: str) -> tuple[Run, ...]:
    held = list_held(batch, store, narrow.get("period"))
    return plan_runs(batch, held, held, given={"store": str(store)}, **narrow)


def _by_folder(runs: Sequence[Run]) -> dict[str, Run]:
    return {run.folder: run for run in runs}


def _read_run(entry: Mapping[str, Any]) -> Run:
    site, period, parameters = entry["site"], entry["period"], dict(entry["parameters"])
    if (site is None) != (period is None) or not all(isinstance(one, str | None) for one in (site, period)):
        raise ValueError("site and period are not two texts")
    if period is not None:
        parse_period(period)
    depth = 1 if site is None else 2
    folder, before = _read_folder(entry["folder"], depth), entry["before"] and _read_folder(entry["before"], depth)
    for name, value in parameters.items():
        if not name.isidentifier() or keyword.iskeyword(name) or not _is_plain(value):
            raise ValueError(f"{name!r} is no parameter")
    kind = folder.strip("_") if site is None else "deep_dive"
    # Another notebook than the project's own is never run: the project's of this kind takes its place.
    named = (
        entry["notebook"] if entry["notebook"] in NOTEBOOKS.values() else NOTEBOOKS.get(kind, NOTEBOOKS["deep_dive"])
    )
    numbers = {name: entry[name] for name in ("stage", *LIMITS) if entry.get(name) is not None}
    if not all(type(value) is int and 0 <= value < LONGEST for value in numbers.values()):
        raise ValueError(f"{numbers} are no limits")
    return Run(site, period, FOLDER / named, folder, parameters, before=before, **numbers)


def _read_folder(folder: object, depth: int) -> str:
    parts = PurePosixPath(folder).parts if isinstance(folder, str) else ()
    if len(parts) != depth or any(part[:1] in (".", "/") or "\\" in part for part in parts):
        raise ValueError(f"{folder!r} is no folder of a report")
    return str(folder)


def _is_plain(value: object) -> bool:
    plain = str | int | float | bool | None
    return isinstance(value, plain) or (isinstance(value, list) and all(isinstance(one, plain) for one in value))
