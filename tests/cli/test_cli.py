"""The command line as a whole: help, version, and errors as one readable message with an exit status."""

import subprocess
import sys

import pytest

import rca_lib

COMMANDS = ("demo", "check", "run", "verify", "simulate", "lab")
EXIT_STATUSES = ("Exit status: 0", "1 a run failed", "2 a wrong", "3 done", "130", "143")


def rca(*arguments, folder):
    command = [sys.executable, "-m", "rca_lib", *map(str, arguments)]
    process = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    assert "Traceback" not in process.stderr
    return process


@pytest.mark.parametrize(
    ("arguments", "message"),
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
def test_an_error_is_one_readable_message_and_a_status(tmp_path, arguments, message):
    (tmp_path / "batch.yml").write_text("batch: x\nperods: [2026-03]\n")
    (tmp_path / "broken.csv").write_text(
        "audit_id,item_id,site,rater,decided_at,label\n1,1,a,r,2026-03-01T00:00:00Z,x\n"
    )
    process = rca(*arguments, folder=tmp_path)
    assert process.returncode not in (0, None)
    assert message in process.stderr and len(process.stderr.strip().splitlines()) <= 3


def test_the_help_lists_every_command_the_exit_statuses_and_completion(tmp_path):
    text = " ".join(rca("--help", folder=tmp_path).stdout.split())
    for word in (*COMMANDS, *EXIT_STATUSES, "--install-completion"):
        assert word in text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help_text(tmp_path, command):
    process = rca(command, "--help", folder=tmp_path)
    assert process.returncode == 0 and "Usage:" in process.stdout


def test_the_version_is_printed(tmp_path):
    assert rca("--version", folder=tmp_path).stdout == f"rca {rca_lib.__version__}\n"
