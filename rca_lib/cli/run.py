"""`rca run`: make a report for every site and period of a batch, or list which reports are due."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rca_lib.cli.options import (
    DataOption,
    ForceOption,
    JsonOption,
    PeriodOption,
    ReportsOption,
    SiteOption,
    StrictOption,
    WorkersOption,
)
from rca_lib.cli.terminal import (
    EXIT_FAILED,
    EXIT_WARNED,
    print_json,
    print_line,
    print_warning,
    shorten_path,
    show_progress,
    show_spinner,
)

if TYPE_CHECKING:
    from rca_lib.batch.batch_run import BatchPlan, BatchResult
    from rca_lib.batch.run_records import RunOutcome
    from rca_lib.intake.ledger import Ledger

INGEST_TITLE = "Ingesting the audits"


def run(
    batch: Annotated[Path, typer.Argument(help="The batch file (YAML).")],
    data: DataOption = None,
    site: SiteOption = None,
    period: PeriodOption = None,
    reports: ReportsOption = Path("reports"),
    workers: WorkersOption = 2,
    force: ForceOption = False,
    cold: Annotated[
        bool, typer.Option("--cold", help="Start each kernel as a new process instead of forking a prepared one.")
    ] = False,
    plan: Annotated[bool, typer.Option("--list", help="Only list the runs, and why they are due.")] = False,
    strict: StrictOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a report for every site and period of a batch.

    Exit status: 0 if all runs succeeded. 1 if a run failed, a site lost its audits, or the batch could not start.
    2 if an option is wrong. 3 with --strict, if all runs succeeded with warnings. 130 or 143 if it was stopped.
    """
    options: dict[str, Any] = {
        "data": data,
        "site": site,
        "period": period,
        "reports": reports,
        "force": force,
        "now": datetime.now(UTC),
    }
    if plan:
        status = _list_runs(batch, options, strict=strict, as_json=as_json)
    else:
        status = _run_batch(batch, options | {"workers": workers, "cold": cold}, strict=strict, as_json=as_json)
    if status:
        raise typer.Exit(status)


def _list_runs(batch: Path, options: dict[str, Any], *, strict: bool, as_json: bool) -> int:
    """Print the runs of a batch and why they are due; return the exit status."""
    from rca_lib.batch.batch_run import plan_batch

    with show_spinner(INGEST_TITLE):
        plan = plan_batch(batch, **options)
    status = EXIT_WARNED if strict and plan.warnings else 0
    if as_json:
        print_json(_plan_to_dict(plan, status))
        return status
    for run, reason in plan.runs:
        print_line(f"{run.folder}: {f'due, {reason}' if reason else 'up to date'}")
    _print_messages(plan)
    due_runs = sum(bool(reason) for _, reason in plan.runs)
    print_line(f"{due_runs} of {len(plan.runs)} runs are due.")
    return status


def _run_batch(batch: Path, options: dict[str, Any], *, strict: bool, as_json: bool) -> int:
    """Run a batch and print the result; return the exit status."""
    result = _run_with_progress(batch, options, quiet=as_json)
    status = EXIT_WARNED if strict and result.warnings else 0
    if result.failed:
        status = EXIT_FAILED
    if as_json:
        print_json(_result_to_dict(result, status))
    else:
        _print_messages(result)
        print_line(f"Open {shorten_path(result.index)}")
    return status


def _run_with_progress(batch: Path, options: dict[str, Any], *, quiet: bool) -> BatchResult:
    """Run a batch with a progress bar; unless `quiet`, print the ledger and how each run ended, also after an error."""
    from rca_lib.batch.batch_run import run_batch

    outcomes: list[RunOutcome] = []
    with show_progress(INGEST_TITLE) as progress:

        def print_ledger(ledger: Ledger) -> None:
            if not quiet:
                print_line(ledger.summary())

        def add_outcome(outcome: RunOutcome) -> None:
            outcomes.append(outcome)
            progress.advance(format_outcome(outcome))

        try:
            return run_batch(
                batch,
                **options,
                on_intake=print_ledger,
                on_plan=lambda runs: progress.start(len(runs), "Running notebooks"),
                on_progress=add_outcome,
            )
        finally:
            progress.stop()
            if not quiet:
                _print_outcomes(outcomes)


def format_outcome(outcome: RunOutcome) -> str:
    """Return a line about a run: how it ended, and in how many seconds."""
    folder = outcome.run.folder
    if outcome.kept:
        return f"{folder}: up to date"
    attempt = f" at attempt {outcome.attempt}" if outcome.attempt > 1 else ""
    if outcome.outcome == "failed":
        return f"{folder}: failed{attempt}: {outcome.error}"
    return f"{folder}: made in {outcome.seconds:.1f} s{attempt}"


def _print_outcomes(outcomes: list[RunOutcome]) -> None:
    """Print a line per run in order of folders; failed runs come last."""
    for outcome in sorted(outcomes, key=lambda outcome: (outcome.outcome == "failed", outcome.run.folder)):
        is_failed = outcome.outcome == "failed"
        print_line(format_outcome(outcome), error=is_failed, style="red" if is_failed else None)
    if outcomes:
        succeeded = sum(outcome.outcome == "succeeded" for outcome in outcomes)
        print_line(f"{succeeded} of {len(outcomes)} runs succeeded.")


def _print_messages(batch: BatchResult | BatchPlan) -> None:
    for note in batch.notes:
        print_line(note)
    for warning in batch.warnings:
        print_warning(warning)
    for alarm in batch.alarms:
        print_line(alarm, style="red", error=True)


def _messages_to_dict(batch: BatchResult | BatchPlan, status: int) -> dict[str, Any]:
    messages = {name: list(getattr(batch, name)) for name in ("notes", "warnings", "alarms")}
    return {"status": status, "folder": str(batch.folder), "ledger": batch.ledger.to_dict(), **messages}


def _result_to_dict(result: BatchResult, status: int) -> dict[str, Any]:
    runs = [outcome.to_dict() for outcome in sorted(result.outcomes, key=lambda outcome: outcome.run.folder)]
    return _messages_to_dict(result, status) | {"index": str(result.index), "runs": runs}


def _plan_to_dict(plan: BatchPlan, status: int) -> dict[str, Any]:
    runs = [
        {"folder": run.folder, "site": run.site, "period": run.period, "due": bool(reason), "reason": reason}
        for run, reason in plan.runs
    ]
    return _messages_to_dict(plan, status) | {"runs": runs}
