"""`rca`: the command line."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from rca_lib.findings import DataError

if TYPE_CHECKING:
    from rca_lib.audits.ledger import Ledger
    from rca_lib.batch.job import Job, Plan
    from rca_lib.batch.records import Outcome
    from rca_lib.reporting.verification import Verification

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
Site = Annotated[str | None, typer.Option("--site", help="Only this site.")]
OnePeriod = Annotated[str | None, typer.Option("--period", help="Only this period.")]
Force = Annotated[bool, typer.Option("--force", help="Also run what has not changed.")]
Verified = Annotated[
    list[Path] | None, typer.Argument(help="The folder of a report, of a batch, or of several batches.")
]
TakenInAgain = Annotated[
    Path | None, typer.Option("--data", help="Take this export in again, in place of the batch's store.")
]
BatchFile = Annotated[Path | None, typer.Option("--batch", help="Take plan, mapping and tables from this batch file.")]
Claims = Annotated[
    Path | None, typer.Option("--claims", help="Check the claims in this CSV, XLSX, PPTX or DOCX file instead.")
]
ClaimMapping = Annotated[Path | None, typer.Option("--mapping", help="With --claims: the mapping of --data.")]
ClaimFolder = Annotated[Path, typer.Option("--out", help="With --claims: the folder for the page and workbook.")]


def main() -> None:
    """Run the command line; every error is one readable message and an exit status other than 0."""
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # several threads each wait for one another where several processes run
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # by way of all that clears away what was started
    try:
        sys.exit(app(standalone_mode=False))  # it returns the status of a command that left by typer.Exit
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
    site: Site = None,
    period: OnePeriod = None,
    reports: Reports = Path("reports"),
    workers: Workers = 2,
    force: Force = False,
    cold: Annotated[bool, typer.Option("--cold", help="Start each kernel anew instead of forking it.")] = False,
    plan: Annotated[bool, typer.Option("--list", help="Only say what would run, and why.")] = False,
) -> None:
    """The main job: audits in, a report for every site and period out."""
    from rca_lib.batch.job import plan_batch, run_batch

    chosen = {"data": data, "site": site, "period": period, "reports": reports, "force": force}
    chosen["now"] = datetime.now(UTC)
    if plan:
        with _working("Taking the audits in"):
            planned = plan_batch(batch, **chosen)
        _show_plan(planned)
        return
    outcomes: list[Outcome] = []
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("about"), TimeRemainingColumn(), TextColumn("to go"), console=errors,
    ) as progress:  # fmt: skip
        task = progress.add_task("Taking the audits in", total=None)
        try:
            job = run_batch(
                batch, **chosen, workers=workers, cold=cold,
                on_intake=lambda ledger: console.print(ledger.summary()),
                on_plan=lambda runs: progress.update(task, description="Running notebooks", total=len(runs)),
                on_progress=lambda outcome: (outcomes.append(outcome), progress.advance(task)),
            )  # fmt: skip
        finally:
            progress.stop()
            _show_outcomes(outcomes)
    _show_job(job)
    if job.failed:
        raise typer.Exit(1)


@app.command()
def verify(
    reports: Verified = None,
    data: TakenInAgain = None,
    batch: BatchFile = None,
    claims: Claims = None,
    mapping: ClaimMapping = None,
    out: ClaimFolder = Path(),
    workers: Workers = 2,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show every check, not only those that fail.")] = False,
    signature: Annotated[
        bool, typer.Option("--signature", help="Only check the signed certificate; nothing is derived again.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write the result as JSON to standard output.")] = False,
) -> None:
    """Make every report again from the audits and compare all of it; or check somebody's claims (--claims).

    For a whole batch a certificate is written. It is signed where the environment variable RCA_SIGNING_KEY is set.

    Exit status: 0 if all is verified. 1 if anything is wrong, missing or failed, or the command could not start.
    2 if an option is wrong. 3 if nothing is wrong, but something could not be checked.
    """
    from rca_lib.reporting.verification import count_verdicts, find_status

    if claims is not None:
        _verify_claims(claims, data=data, batch=reports[0] if reports else None, mapping=mapping, out=out)
        return
    if not reports:
        raise ValueError("name the folder of a report or of a batch, or give --claims")
    if signature and (data or batch):
        raise typer.BadParameter("--signature derives nothing: leave --data and --batch out")
    verifications: list[Verification] = []
    for folder in reports:
        if signature:
            verifications += _check_signature(folder, verbose=verbose, quiet=as_json)
        else:
            options = {"data": data, "batch_file": batch, "workers": workers}
            verifications += _verify(folder, options, verbose=verbose, quiet=as_json)
    counts = count_verdicts(verifications)
    status = find_status(verifications)
    if as_json:
        told = {"verdicts": counts, "status": status, "reports": [one.to_dict() for one in verifications]}
        print(json.dumps(told, indent=1, allow_nan=False))  # noqa: T201  for other programs
        raise typer.Exit(status)
    if status:
        words = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
        _fail(f"{words[:1].upper()}{words[1:]}.", status)


def _check_signature(folder: Path, *, verbose: bool, quiet: bool) -> list[Verification]:
    from rca_lib.batch.signing import check_signature

    checked = check_signature(folder)
    if not quiet:
        _show_verification(checked, verbose=verbose)
    return [checked]


def _verify_claims(claims: Path, *, data: Path | None, batch: Path | None, mapping: Path | None, out: Path) -> None:
    from rca_lib.batch.claims import check_claim_file, write_claim_report

    now = datetime.now(UTC)
    with _working(f"Checking {claims.name}"):
        checks = check_claim_file(claims, data=data, batch=batch, mapping=mapping, now=now)
        audits = data.name if data else f"the audits of {batch.name}" if batch else ""
        pages = write_claim_report(checks, out, audits=audits, now=now)
    for check in checks.checks:
        told = f"{check.claim.source}: {check.outcome}. {check.explanation}"
        console.print(told, markup=False, soft_wrap=True)
    console.print(checks.summary(), markup=False, soft_wrap=True)
    console.print(f"Open {pages[0]} or {pages[1]}", markup=False, soft_wrap=True)
    if not checks.holds:
        raise typer.Exit(1)


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
    rows = [("noted", *note) for note in ledger.notes] + [("repaired", *repair, "") for repair in ledger.repairs]
    rows += [("quarantined", reason, count, mend) for reason, count, _, mend in ledger.reasons]
    if rows:
        table = Table("what", "why", "rows", "suggestion")
        for what, why, count, mend in rows:
            table.add_row(what, _plain(why), f"{count:,}", _plain(mend))
        console.print(table)
    for column, serves in ledger.not_available:
        console.print(f"not available: {serves} (no column {column})", markup=False)


def _verify(folder: Path, options: dict[str, Any], *, verbose: bool, quiet: bool) -> list[Verification]:
    """Verify a folder with a bar of progress, show each report, write the certificates."""
    from rca_lib.batch.certificate import write_certificate
    from rca_lib.batch.verifying import verify_folder

    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        console=errors,
    ) as progress:  # fmt: skip
        task = progress.add_task("Making the reports again", total=None)
        options["on_start"] = lambda runs: progress.update(task, total=runs, completed=0)
        batches = verify_folder(folder, **options, on_progress=lambda _: progress.advance(task))
    for batch in batches:
        for verification in batch.verifications if not quiet else ():
            _show_verification(verification, verbose=verbose)
        try:
            certificate = write_certificate(batch, now=datetime.now(UTC))
        except OSError as problem:
            errors.print(f"No certificate was written: {problem}", markup=False, soft_wrap=True)
            continue
        if certificate and not quiet:
            console.print(f"Open {os.path.relpath(certificate)}", markup=False, soft_wrap=True)
    return [verification for batch in batches for verification in batch.verifications]


def _show_verification(verification: Verification, *, verbose: bool) -> None:
    from rca_lib.reporting.verification import GOOD

    console.print(verification.summary(), markup=False, soft_wrap=True)
    for line in verification.checks:
        if verbose or line.outcome not in GOOD:
            console.print(f"  {line.outcome}: {line.id}", markup=False, soft_wrap=True)
            console.print(f"    reported: {line.reported}", markup=False, soft_wrap=True)
            console.print(f"    derived:  {line.derived}", markup=False, soft_wrap=True)
    for left in verification.not_covered if verbose else ():
        console.print(f"  not covered: {left}", markup=False, soft_wrap=True)


def _show_plan(plan: Plan) -> None:
    for run, reason in plan.runs:
        console.print(f"{run.folder}: {f'due, {reason}' if reason else 'stands'}", markup=False, soft_wrap=True)
    _show_notes(plan)
    due = sum(bool(reason) for _, reason in plan.runs)
    console.print(f"{due} of {len(plan.runs)} runs are due.", markup=False)


def _show_outcomes(outcomes: list[Outcome]) -> None:
    """Print a line per run, by name, those that failed last."""
    for outcome in sorted(outcomes, key=lambda one: (one.outcome == "failed", one.run.folder)):
        again = f" at attempt {outcome.attempt}" if outcome.attempt > 1 and not outcome.kept else ""
        if outcome.outcome == "failed":
            said = f"failed{again}: {outcome.error}"
            errors.print(f"{outcome.run.folder}: {said}", markup=False, soft_wrap=True, style="red")
        else:
            said = "stands" if outcome.kept else f"made in {outcome.seconds:.1f} s{again}"
            console.print(f"{outcome.run.folder}: {said}", markup=False, soft_wrap=True)
    if outcomes:
        succeeded = sum(outcome.outcome == "succeeded" for outcome in outcomes)
        console.print(f"{succeeded} of {len(outcomes)} runs succeeded.", markup=False)


def _show_notes(job: Job | Plan) -> None:
    for note in job.notes:
        console.print(note, markup=False, soft_wrap=True)
    for warning in job.warnings:
        errors.print(f"Warning: {warning}.", markup=False, soft_wrap=True, style="yellow")
    for alarm in job.alarms:
        errors.print(alarm, markup=False, soft_wrap=True, style="red")


def _show_job(job: Job) -> None:
    _show_notes(job)
    path = os.path.relpath(job.index)
    console.print(f"Open {path if not path.startswith('..') else job.index}", markup=False, soft_wrap=True)


def _plain(text: object) -> str:
    return str(text).replace("[", r"\[")


def _fail(message: str, status: int = 1) -> NoReturn:
    errors.print(message, markup=False, soft_wrap=True, style="red")
    sys.exit(status)
