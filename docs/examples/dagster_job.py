"""Dagster: a weekly batch with one op per report. Set RCA_BATCH to the path of the batch file."""

import json
import os
import subprocess

from dagster import DynamicOut, DynamicOutput, ScheduleDefinition, job, op

BATCH = os.environ.get("RCA_BATCH", "weekly.yml")


@op(out=DynamicOut(str))
def list_reports():
    """Ingest the export, and yield each report that is due."""
    done = subprocess.run(["rca", "run", BATCH, "--list", "--json"], check=True, capture_output=True, text=True)
    for number, run in enumerate(json.loads(done.stdout)["runs"]):
        if run["due"] and not run["folder"].startswith("_"):
            yield DynamicOutput(run["folder"], mapping_key=f"report_{number}")


@op
def make_report(report: str) -> str:
    """Make one report."""
    subprocess.run(["rca", "run-one", BATCH, report], check=True)
    return report


@op
def finish_batch(made: list[str]) -> None:
    """Write the pages over all sites and the index."""
    subprocess.run(["rca", "run", BATCH, "--strict"], check=True)


@job
def rca_weekly():
    """List the reports, make each, then finish the batch."""
    finish_batch(list_reports().map(make_report).collect())


weekly = ScheduleDefinition(job=rca_weekly, cron_schedule="15 6 * * 1")
