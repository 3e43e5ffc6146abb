"""Prefect: a weekly batch with one task per report. Set RCA_BATCH to the path of the batch file."""

import json
import os
import subprocess

from prefect import flow, task

BATCH = os.environ.get("RCA_BATCH", "weekly.yml")


@task
def list_reports() -> list[str]:
    """Ingest the export, and return the reports that are due."""
    done = subprocess.run(["rca", "run", BATCH, "--list", "--json"], check=True, capture_output=True, text=True)
    return [
        run["folder"] for run in json.loads(done.stdout)["runs"] if run["due"] and not run["folder"].startswith("_")
    ]


@task(retries=1)
def make_report(report: str) -> None:
    """Make one report."""
    subprocess.run(["rca", "run-one", BATCH, report], check=True)


@flow
def rca_weekly() -> None:
    """List the reports, make each, then write the pages over all sites and the index."""
    make_report.map(list_reports()).wait()
    subprocess.run(["rca", "run", BATCH, "--strict"], check=True)


if __name__ == "__main__":
    rca_weekly.serve(name="rca-weekly", cron="15 6 * * 1")
