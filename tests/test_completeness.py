"""A report is complete whatever optional column is missing; what needs it is not available, and nothing else.

`python tests/benchmarks/bench_completeness.py` runs every notebook on all single omissions and on 200 random subsets.
"""

import runpy
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

SHARED = runpy.run_path(str(Path(__file__).parent / "benchmarks" / "bench_completeness.py"))
REQUIRED, EXPORT, run_notebooks = SHARED["REQUIRED"], SHARED["make_export"](), SHARED["run_notebooks"]
OPTIONAL_COLUMNS = SHARED["list_optional"](EXPORT)
GROUPS = 6  # the columns of a group are left out together; `make bench-completeness` leaves out each column alone


def test_the_export_has_every_optional_column():
    assert len(OPTIONAL_COLUMNS) > 30


@pytest.mark.parametrize("group", range(GROUPS))
def test_a_deep_dive_is_complete_without_a_group_of_columns(group):
    run_notebooks(EXPORT.drop(columns=[*OPTIONAL_COLUMNS[group::GROUPS]]), ["deep_dive"])


@pytest.mark.parametrize("kept", [*SHARED["draw_subsets"](OPTIONAL_COLUMNS, 2, 3)], ids=len)
def test_every_notebook_runs_on_a_random_subset_of_the_columns(kept):
    run_notebooks(EXPORT[[*REQUIRED, *kept]])


def test_a_batch_of_the_required_columns_alone_succeeds_with_a_site_of_one_day_and_one_of_second_rounds(tmp_path):
    day = EXPORT[EXPORT["site"] == "lisbon"].assign(site="faro", decided_at=pd.Timestamp("2026-03-05 10:00"))
    day["audit_id"] = "day" + day["audit_id"]
    second = EXPORT[EXPORT["site"] == "manila"].assign(site="cebu", audit_round=2)
    second["audit_id"] = "second" + second["audit_id"]
    for name, export in {
        "bare": EXPORT[[*REQUIRED]],
        "odd": pd.concat([EXPORT, day, second])[[*REQUIRED, "audit_round", "queue", "stream"]],
    }.items():
        export.to_csv(tmp_path / f"{name}.csv", index=False)
        (tmp_path / "m.yml").write_text("time_zone: UTC\n")
        (tmp_path / f"{name}.yml").write_text(f"batch: {name}\ndata: {name}.csv\nmapping: m.yml\nperiods: [2026-03]\n")
        command = [sys.executable, "-m", "rca_lib", "run", f"{name}.yml"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, "failed" in done.stdout + done.stderr) == (0, False), done.stdout + done.stderr
