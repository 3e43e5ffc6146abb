"""`rca simulate`: the export that it writes can be ingested."""

import subprocess
import sys


def rca(*arguments):
    command = [sys.executable, "-m", "rca_lib", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_simulated_audits_pass_the_check(tmp_path):
    process = rca("simulate", tmp_path / "out")
    assert process.returncode == 0 and "policy_update" in process.stdout, process.stderr
    process = rca("check", tmp_path / "out" / "audits.csv")
    assert process.returncode == 0, process.stderr
    assert "60,000 rows read" in process.stdout.replace("\n", " ") and "quarantined" in process.stdout
