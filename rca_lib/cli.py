"""`rca`: the command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from rca_lib.findings import DataError

if TYPE_CHECKING:
    from rca_lib.audits.ledger import Ledger
    from rca_lib.batch.job import Job

PROJECT = Path(__file__).resolve().parents[1]
app = typer.Typer(
    help="Root-cause analysis of audited decisions.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
console, errors = Console(highlight=False), Console(stderr=True, highlight=False)

File = Annotated[Path, typer.Argument(help="CSV, XLSX or Parquet file of audits.")]
Data = Annotated[Path | None, typer.Option("--data", help="The audits, in place of those the batch file names.")]
Reports = Annotated[Path, typer.Option("--reports", help="Where the batch's folder is made.")]
Workers = Annotated[int, typer.Option("--workers", min=1, help="How many notebooks run at the same time.")]
Force = Annotated[bool, typer.Option("--force", help="Also run what has not changed.")]


def main() -> None:
    """Run the command line; every error is one readable message and an exit status other than 0."""
    try:
        app(standalone_mode=False)
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except typer.Abort:
        _fail("Stopped.", 130)
    except (DataError, ValueError, OSError) as problem:
        _fail(str(problem))
    except Exception as problem:
        if not hasattr(problem, "format_message"):
            raise
        _fail(problem.format_message(), 2)


@app.command()
def demo(reports: Reports = Path("reports"), workers: Workers = 2, force: Force = False) -> None:
    """The main job on synthetic audits with planted causes."""
    run(PROJECT / "parameters" / "demo.yml", reports=reports, workers=workers, force=force)


@app.command()
def check(
    file: File,
    mapping: Annotated[Path | None, typer.Option("--mapping", help="The mapping of its columns (YAML).")] = None,
) -> None:
    """Intake only: what would be kept, quarantined, and not available."""
    from rca_lib.audits.intake import take_in
    from rca_lib.audits.mapping import read_mapping

    with _working(f"Reading {file.name}"):
        ledger = take_in(file, None, mapping=read_mapping(mapping), now=datetime.now(UTC))
    _show_ledger(ledger)


@app.command()
def run(
    batch: Annotated[Path, typer.Argument(help="The batch file (YAML).")],
    data: Data = None,
    site: Annotated[str | None, typer.Option("--site", help="Only this site.")] = None,
    period: Annotated[str | None, typer.Option("--period", help="Only this period.")] = None,
    reports: Reports = Path("reports"),
    workers: Workers = 2,
    force: Force = False,
) -> None:
    """The main job: audits in, a report for every site and period out."""
    from rca_lib.batch.job import run_batch

    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        console=errors,
    ) as progress:  # fmt: skip
        task = progress.add_task("Taking the audits in", total=None)
        job = run_batch(
            batch, data=data, site=site, period=period, reports=reports, workers=workers, force=force,
            now=datetime.now(UTC),
            on_intake=lambda ledger: console.print(ledger.summary()),
            on_plan=lambda runs: progress.update(task, description="Running notebooks", total=len(runs)),
            on_progress=lambda _: progress.advance(task),
        )  # fmt: skip
    _show_job(job)


@app.command()
def verify(
    reports: Annotated[list[Path], typer.Argument(help="The folder of a report, or of a batch.")],
    data: Annotated[
        Path | None, typer.Option("--data", help="Take this file in again and derive the claims from it.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show every check, not only those that fail.")] = False,
) -> None:
    """Derive every number of page one again from the audits."""
    from rca_lib.batch.job import verify_folder

    failed = 0
    for folder in reports:
        for verification in verify_folder(folder, data=data):
            failed += not verification.holds
            console.print(verification.summary(), markup=False, soft_wrap=True)
            for line in verification.checks:
                if verbose or line.outcome not in ("exact", "within rounding"):
                    console.print(f"  {line.outcome}: {line.id}", markup=False, soft_wrap=True)
                    console.print(f"    reported: {line.reported}", markup=False, soft_wrap=True)
                    console.print(f"    derived:  {line.derived}", markup=False, soft_wrap=True)
    if failed:
        _fail(f"{failed} report{'s' if failed > 1 else ''} not verified.")


@app.command()
def simulate(
    out: Annotated[Path, typer.Argument(help="The folder that receives audits, events, targets and ratings.")],
    seed: Annotated[int, typer.Option("--seed", help="Other audits for another number.")] = 1,
) -> None:
    """Write the demo's synthetic audits, with their planted causes, as an export would look."""
    from rca_lib.audits.synthetic import demo_simulation, write_simulation

    with _working("Simulating audits"):
        simulation = demo_simulation(seed=seed)
        write_simulation(simulation, out)
    for cause in simulation.causes:
        where = ", ".join(f"{name} = {value}" for name, value in cause.where.items())
        console.print(f"{cause.site}: {cause.kind} from {cause.start}{f' ({where})' if where else ''}", markup=False)
    console.print(f"{len(simulation.audits):,} audits in {out}", markup=False)


@app.command()
def lab() -> None:
    """JupyterLab on the notebooks."""
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={PROJECT}"]
    command += ["--LabApp.default_url=/lab/tree/notebooks"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # a container has no other user; the server listens on this machine only
    os.execv(sys.executable, command)


@contextmanager
def _working(what: str) -> Iterator[None]:
    with errors.status(what):
        yield


def _show_ledger(ledger: Ledger) -> None:
    console.print(ledger.summary(), markup=False, soft_wrap=True)
    rows = [("repaired", what, count, "") for what, count in ledger.repairs]
    rows += [("quarantined", reason, count, mend) for reason, count, _, mend in ledger.reasons]
    if rows:
        table = Table("what", "why", "rows", "suggestion")
        for what, why, count, mend in rows:
            table.add_row(what, _plain(why), f"{count:,}", _plain(mend))
        console.print(table)
    for column, serves in ledger.not_available:
        console.print(f"not available: {serves} (no column {column})", markup=False)


def _show_job(job: Job) -> None:
    failed = [outcome for outcome in job.outcomes if outcome.outcome == "failed"]
    for outcome in failed:
        errors.print(f"failed: {outcome.run.folder}: {outcome.error}", markup=False, soft_wrap=True, style="red")
    failures = len(failed)
    console.print(f"{len(job.outcomes) - failures} of {len(job.outcomes)} runs succeeded.", markup=False)
    path = os.path.relpath(job.index)
    console.print(f"Open {path if not path.startswith('..') else job.index}", markup=False, soft_wrap=True)
    if failures:
        raise typer.Exit(1)


def _plain(text: object) -> str:
    return str(text).replace("[", r"\[")


def _fail(message: str, status: int = 1) -> NoReturn:
    errors.print(message, markup=False, soft_wrap=True, style="red")
    sys.exit(status)
