"""Incidents through `rca run`: reports are whole, whatever changed, and quote no comment."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

SLURS = ("vexglorb", "thrumpkin", "quazzledolt")  # invented words, in many comments each
DEFECT = "screen stayed black and nothing loaded"


def _generator():
    """Load the generator of incidents, which is a test module of its own."""
    place = Path(__file__).with_name("test_incidents.py")
    spec = importlib.util.spec_from_file_location("incidents_to_run", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """Run two sites: at one a policy got worse, with harmful comments; at the other truth and an auditor changed."""
    folder, make = tmp_path_factory.mktemp("incidents"), _generator().make_audits
    sizes = {"months": ("2026-01", "2026-02"), "per_month": 3000}
    worse = make(0, {"policy": 10.0}, **sizes)
    strict = make(1, {"strict auditor": 0.25, "stale truth": 0.7}, **sizes).assign(site="there")
    strict["audit_id"] = "t" + strict["audit_id"]
    audits = pd.concat([worse, strict], ignore_index=True).drop(columns=["day", "error"])
    said = np.random.default_rng(0).choice([*(f"quotes {slur} about them" for slur in SLURS), DEFECT], len(audits))
    audits.assign(comment=said).to_csv(folder / "audits.csv", index=False)
    batch = "batch: incidents\ndata: audits.csv\nmapping: mapping.yml\nperiods: [2026-02]\n"
    (folder / "mapping.yml").write_text("time_zone: UTC\n", encoding="utf-8")
    (folder / "batch.yml").write_text(batch, encoding="utf-8")
    command = [sys.executable, "-m", "rca_lib", "run", "batch.yml", "--reports", "out"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode in (0, 3), done.stdout + done.stderr
    return folder / "out"


def test_a_strict_auditor_and_a_changed_truth_get_a_whole_report(reports):
    (told,) = (json.loads(file.read_text(encoding="utf-8")) for file in reports.glob("*/there/2026-02/findings.json"))
    assert told["verdict"] == "artefact" and "policy version" in told["headline"] and "q-2" in told["headline"]


def test_no_word_of_a_comment_stands_in_any_file_of_a_run(reports):
    files = [file for file in reports.rglob("*") if file.is_file() and "_audits" not in file.parts]  # the data itself
    assert {".html", ".json", ".ipynb"} <= {file.suffix for file in files}
    texts = {file: file.read_bytes().decode("utf-8", "replace").lower() for file in files}
    assert [(str(file), slur) for slur in SLURS for file, text in texts.items() if slur in text] == []
    (report,) = (text for file, text in texts.items() if file.match("*/here/2026-02/report.html"))
    assert "text group 1" in report
