"""Fixtures that the tests of several packages share."""

import json
import shutil
from datetime import date

import pytest

from rca_lib.batch.batch_run import run_batch
from rca_lib.batch.plan import PLAN_FILE
from rca_lib.simulation.synthetic_audits import simulate_audits, write_simulation


def _write_export(folder, months: int, *, corrected: bool = False):
    """Write an export of some months; with `corrected`, Lisbon has fewer audits in February."""
    simulation = simulate_audits(
        sites=("lisbon", "manila"), start=date(2026, 1, 1), months=3, audits_per_month=400, seed=5
    )
    write_simulation(simulation, folder)
    header, *rows = (folder / "audits.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    column = header.split(",").index("decided_at")
    days = [row.split(",")[column][:10] for row in rows]
    kept_rows = [
        row
        for row, day in zip(rows, days, strict=True)
        if day[:7] <= f"2026-{months:02}" and not (corrected and ",lisbon," in row and day == "2026-02-10")
    ]
    (folder / "audits.csv").write_text(header + "".join(kept_rows), encoding="utf-8")
    return folder / "audits.csv"


def _make_batch(folder, export):
    """Run all notebooks on an export and return the folder of the batch."""
    tables = "".join(f"{name}: {export.parent / name}.csv\n" for name in ("events", "targets", "ratings"))
    (folder / "small.yml").write_text(f"batch: small\ntitle: Small & real\n{tables}", encoding="utf-8")
    result = run_batch(folder / "small.yml", data=export, reports=folder / "reports", workers=2)
    assert [outcome.error for outcome in result.outcomes if outcome.outcome == "failed"] == []
    return result.folder


@pytest.fixture(scope="session")
def small_workspace(tmp_path_factory):
    """A folder with room for exports of two and three months."""
    folder = tmp_path_factory.mktemp("small")
    for months in (2, 3):
        (folder / f"months-{months}").mkdir()
    return folder


@pytest.fixture(scope="session")
def small_export(small_workspace):
    """An export of two sites and two months."""
    return _write_export(small_workspace / "months-2", 2)


@pytest.fixture(scope="session")
def small_batch(small_workspace, small_export):
    """A batch of that export, copied from where it was made; no test changes it."""
    shutil.copytree(_make_batch(small_workspace, small_export), small_workspace / "batch")
    return small_workspace / "batch"


@pytest.fixture(scope="session")
def extended_small_batch(small_workspace, small_batch):
    """The batch run again where it was made, on an export with one more month and a correction in February."""
    return _make_batch(small_workspace, _write_export(small_workspace / "months-3", 3, corrected=True))


@pytest.fixture
def keep_in_plan():
    """Return a function that reduces the plan of a batch to some reports, which is quicker to verify."""

    def keep(folder, *names):
        file = folder / "_audits" / PLAN_FILE
        plan = json.loads(file.read_text(encoding="utf-8"))
        plan["runs"] = [run for run in plan["runs"] if run["folder"] in names]
        file.write_text(json.dumps(plan), encoding="utf-8")

    return keep
