"""Airflow: a weekly batch with one task per report. Set RCA_BATCH to the path of the batch file on the workers."""

import json
import os
import subprocess
from datetime import datetime

from airflow.decorators import dag, task

BATCH = os.environ.get("RCA_BATCH", "weekly.yml")


def list_reports() -> list[str]:
    """Ingest the export, and return the reports that are due."""
    done = subprocess.run(["rca", "run", BATCH, "--list", "--json"], check=True, capture_output=True, text=True)
    return [
        run["folder"] for run in json.loads(done.stdout)["runs"] if run["due"] and not run["folder"].startswith("_")
    ]


def make_report(report: str) -> None:
    """Make one report."""
    subprocess.run(["rca", "run-one", BATCH, report], check=True)


def finish_batch() -> None:
    """Write the pages over all sites and the index; make again what failed."""
    subprocess.run(["rca", "run", BATCH, "--strict"], check=True)


@dag(schedule="15 6 * * 1", start_date=datetime(2026, 1, 5), catchup=False, max_active_runs=1)
def rca_weekly():
    """List the reports, make each in a task of its own, then finish the batch."""
    made = task(make_report).expand(report=task(list_reports)())
    made >> task(finish_batch, trigger_rule="all_done")()


rca_weekly()
