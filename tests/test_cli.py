import subprocess
import sys

import pytest


def rca(*words, folder):
    done = subprocess.run(
        [sys.executable, "-m", "rca_lib", *map(str, words)], capture_output=True, text=True, cwd=folder
    )
    assert "Traceback" not in done.stderr
    return done


def test_simulate_writes_an_export_that_check_takes_in(tmp_path):
    done = rca("simulate", tmp_path / "out", folder=tmp_path)
    assert done.returncode == 0 and "policy_update" in done.stdout
    done = rca("check", tmp_path / "out" / "audits.csv", folder=tmp_path)
    assert done.returncode == 0
    assert "60,000 rows read" in done.stdout.replace("\n", " ") and "quarantined" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "missing.yml"], "missing.yml"),
        (["run", "batch.yml"], "perods"),
        (["check", "missing.csv"], "missing.csv"),
        (["check", "broken.csv"], "truth"),
        (["verify", "."], "no report"),
        (["run"], "batch"),
        (["nonsense"], "nonsense"),
    ],
)
def test_an_error_is_one_readable_message_and_a_status(tmp_path, words, said):
    (tmp_path / "batch.yml").write_text("batch: x\nperods: [2026-03]\n")
    (tmp_path / "broken.csv").write_text(
        "audit_id,item_id,site,rater,decided_at,label\n1,1,a,r,2026-03-01T00:00:00Z,x\n"
    )
    done = rca(*words, folder=tmp_path)
    assert done.returncode not in (0, None)
    assert said in done.stderr and len(done.stderr.strip().splitlines()) <= 3


def test_help_lists_every_command(tmp_path):
    done = rca("--help", folder=tmp_path)
    for command in ("demo", "check", "run", "verify", "simulate", "lab"):
        assert command in done.stdout
