"""`rca run` and `rca demo`: the main job."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rca_lib.cli.options import PROJECT, Data, Force, Json, OnePeriod, Reports, Site, Strict, Workers
from rca_lib.cli.terminal import FAILED, WARNED, say, shorten_path, show_progress, warn, working, write_json

if TYPE_CHECKING:
    from rca_lib.batch.job import Job, Plan
    from rca_lib.batch.records import Outcome


def demo(reports: Reports = Path("reports"), workers: Workers = 2, force: Force = False) -> None:
    """The main job on synthetic audits with planted causes."""
    run(PROJECT / "parameters" / "demo.yml", reports=reports, workers=workers, force=force)


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
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """The main job: audits in, a report for every site and period out.

    Exit status: 0 if all succeeded. 1 if a run failed, a site has lost its audits, or the batch could not start.
    2 if an option is wrong. 3 with --strict, if all succeeded with warnings. 130 or 143 if it was stopped.
    """
    from rca_lib.batch.job import plan_batch

    chosen = {"data": data, "site": site, "period": period, "reports": reports, "force": force}
    chosen["now"] = datetime.now(UTC)
    if plan:
        with working("Taking the audits in"):
            planned = plan_batch(batch, **chosen)
        status = WARNED if strict and planned.warnings else 0
        if as_json:
            write_json(_describe_plan(planned, status))
        else:
            _show_plan(planned)
    else:
        job = _run(batch, {**chosen, "workers": workers, "cold": cold}, quiet=as_json)
        status = FAILED if job.failed else WARNED if strict and job.warnings else 0
        if as_json:
            write_json(_describe_job(job, status))
        else:
            _show_notes(job)
            say(f"Open {shorten_path(job.index)}")
    if status:
        raise typer.Exit(status)


def _run(batch: Path, options: dict[str, Any], *, quiet: bool) -> Job:
    from rca_lib.batch.job import run_batch

    outcomes: list[Outcome] = []
    with show_progress("Taking the audits in") as progress:
        try:
            return run_batch(
                batch, **options,
                on_intake=lambda ledger: None if quiet else say(ledger.summary()),
                on_plan=lambda runs: progress.expect(len(runs), "Running notebooks"),
                on_progress=lambda outcome: (outcomes.append(outcome), progress.advance(_tell(outcome))),
            )  # fmt: skip
        finally:
            if progress.bar:
                progress.bar.stop()
            if not quiet:
                _show_outcomes(outcomes)


def _tell(outcome: Outcome) -> str:
    again = f" at attempt {outcome.attempt}" if outcome.attempt > 1 and not outcome.kept else ""
    if outcome.outcome == "failed":
        return f"{outcome.run.folder}: failed{again}: {outcome.error}"
    made = f"made in {outcome.seconds:.1f} s{again}"
    return f"{outcome.run.folder}: {'stands' if outcome.kept else made}"


def _show_outcomes(outcomes: list[Outcome]) -> None:
    """Print a line per run, by name, those that failed last."""
    for outcome in sorted(outcomes, key=lambda one: (one.outcome == "failed", one.run.folder)):
        failed = outcome.outcome == "failed"
        say(_tell(outcome), error=failed, style="red" if failed else None)
    if outcomes:
        succeeded = sum(outcome.outcome == "succeeded" for outcome in outcomes)
        say(f"{succeeded} of {len(outcomes)} runs succeeded.")


def _show_plan(plan: Plan) -> None:
    for planned, reason in plan.runs:
        say(f"{planned.folder}: {f'due, {reason}' if reason else 'stands'}")
    _show_notes(plan)
    due = sum(bool(reason) for _, reason in plan.runs)
    say(f"{due} of {len(plan.runs)} runs are due.")


def _show_notes(job: Job | Plan) -> None:
    for note in job.notes:
        say(note)
    for warning in job.warnings:
        warn(warning)
    for alarm in job.alarms:
        say(alarm, style="red", error=True)


def _describe(job: Job | Plan, status: int) -> dict[str, Any]:
    told = {name: list(getattr(job, name)) for name in ("notes", "warnings", "alarms")}
    return {"status": status, "folder": str(job.folder), "ledger": job.ledger.to_dict(), **told}


def _describe_job(job: Job, status: int) -> dict[str, Any]:
    runs = [outcome.to_dict() for outcome in sorted(job.outcomes, key=lambda outcome: outcome.run.folder)]
    return _describe(job, status) | {"index": str(job.index), "runs": runs}


def _describe_plan(plan: Plan, status: int) -> dict[str, Any]:
    runs = [
        {
            "folder": planned.folder,
            "site": planned.site,
            "period": planned.period,
            "due": bool(reason),
            "reason": reason,
        }
        for planned, reason in plan.runs
    ]
    return _describe(plan, status) | {"runs": runs}
