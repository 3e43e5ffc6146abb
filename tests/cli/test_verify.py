"""`rca verify`: reports and claims of others, with the same result as text and as JSON."""

import json
import shutil
import subprocess
import sys

KEY = "a key of more than sixteen bytes"


def test_the_command_gives_the_same_result_as_text_and_as_json(small_batch, tmp_path, monkeypatch, keep_in_plan):
    monkeypatch.setenv("RCA_SIGNING_KEY", KEY)
    shutil.copytree(small_batch / "_audits", tmp_path / "_audits")
    shutil.copytree(small_batch / "lisbon/2026-01", tmp_path / "lisbon/2026-01")
    keep_in_plan(tmp_path, "lisbon/2026-01", "lisbon/2026-02")
    process = rca("verify", tmp_path / "lisbon/2026-01", "--json")
    output = json.loads(process.stdout)
    assert (process.returncode, output["status"], output["verdicts"]["verified"]) == (0, 0, 1), process.stderr
    assert {check["outcome"] for check in output["reports"][0]["checks"]} == {"exact"}
    page = tmp_path / "lisbon/2026-01/report.html"
    page.write_text(page.read_text().replace(">Accuracy", ">\x1b[31mQuality", 1))
    process = rca("verify", tmp_path)
    assert process.returncode == 1 and "NOT verified" in process.stdout and "wrong: page one" in process.stdout
    assert "\x1b[31m" not in process.stdout and KEY not in process.stdout + process.stderr
    assert "missing" in process.stdout and "certificate.html" in process.stdout
    process = rca("verify", tmp_path, "--signature")
    assert process.returncode == 1 and "wrong: lisbon 2026-01" in process.stdout
    (tmp_path / "_audits/ledger.json").write_bytes(b"\xff")
    process = rca("verify", tmp_path)
    assert process.returncode == 1 and "ledger.json is damaged" in process.stderr.splitlines()[-1]


def rca(*arguments):
    command = [sys.executable, "-m", "rca_lib", *map(str, arguments)]
    process = subprocess.run(command, capture_output=True, text=True)
    assert "Traceback" not in process.stderr
    return process


def test_claims_are_checked_and_the_status_is_0_only_if_every_claim_holds(tmp_path):
    rows = [f"a{n},i{n},lisbon,r{n % 3},2026-02-0{n % 9 + 1}T10:00:00Z,ok,ok" for n in range(40)]
    (tmp_path / "audits.csv").write_text("\n".join(["audit_id,item_id,site,rater,decided_at,label,truth", *rows]))
    claims = tmp_path / "claims.csv"
    command = ["verify", "--claims", claims, "--data", tmp_path / "audits.csv", "--out", tmp_path]
    claims.write_text("metric,scope,period,value\nsample size,site=lisbon,2026-02,40\n")
    process = rca(*command)
    assert (process.returncode, "1 of 1 claim holds" in process.stdout) == (0, True), process.stdout
    claims.write_text("metric,scope,period,value\nsample size,site=lisbon,2026-02,41\n")
    process = rca(*command)
    assert (process.returncode, "row 2: wrong. The audits give 40 items." in process.stdout) == (1, True), (
        process.stdout
    )


def test_signature_and_data_exclude_each_other_and_a_folder_is_needed(tmp_path):
    process = rca("verify", tmp_path, "--signature", "--data", "audits.csv")
    assert process.returncode == 2 and "leave --data and --batch out" in process.stderr
    process = rca("verify")
    assert process.returncode == 1 and "give --claims" in process.stderr
