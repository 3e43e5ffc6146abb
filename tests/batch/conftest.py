"""Fixtures and helpers that the tests of several batch modules share."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rca_lib.batch.batch_verification import verify_folder
from rca_lib.batch.publishing import clean_run_folder, publish_report
from rca_lib.batch.report_comparison import compare_report
from rca_lib.batch.run_grid import Run
from rca_lib.batch.run_records import hash_run_inputs, read_outcome
from rca_lib.batch.verification_source import open_source

STARTED = datetime(2026, 3, 9, 12, tzinfo=UTC)
DEEP_DIVE_PARAMETERS = """\
site: str = "a"  # the site
period: str = "2026-01"
output: str = ""
mapping: str | None = None
alpha: float = 0.05  # the false-alarm rate
masked: bool = True
order: int = 2
dimensions: list[str] = []
limit: int | None = None
"""
PORTFOLIO_PARAMETERS = 'output: str = ""\nsites: list[str] = []\nperiods: list[str] = []\nstore: str = ""\n'


@pytest.fixture
def write_parameter_notebook(tmp_path):
    """Return a function that writes a notebook with only a cell tagged `parameters`."""

    def write(name, parameters):
        cell = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": parameters}
        content = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
        (tmp_path / name).write_text(json.dumps(content))

    return write


@pytest.fixture
def deep_dive_parameters():
    return DEEP_DIVE_PARAMETERS


@pytest.fixture
def batch_file(tmp_path, write_parameter_notebook):
    """The path of a batch file that does not exist yet, beside two notebooks."""
    write_parameter_notebook("deep.ipynb", DEEP_DIVE_PARAMETERS)
    write_parameter_notebook("wide.ipynb", PORTFOLIO_PARAMETERS)
    return tmp_path / "demo.yml"


@pytest.fixture
def run(tmp_path):
    """A run of a notebook that is never executed."""
    (tmp_path / "q.ipynb").write_text("{}")
    return Run("a/b", "2026-01", tmp_path / "q.ipynb", "a%2Fb/2026-01", {"alpha": 0.05}, fingerprint="f1")


@pytest.fixture
def make_report():
    """Return a function that publishes a report of a run, without running anything, and returns its outcome."""

    def make(run, out, page="whole", failure=None):
        work_folder = clean_run_folder(run, out)
        work_folder.mkdir(parents=True)
        (work_folder / "claims.json").write_text("[]")
        inputs = hash_run_inputs(run, out)
        publish_report(run, work_folder, page, failure, inputs=inputs, started=STARTED, seconds=1.234, attempt=2)
        return read_outcome(run, out)

    return make


@pytest.fixture(scope="session")
def verified(small_batch):
    """The verification of the unchanged small batch."""
    (batch_verification,) = verify_folder(small_batch, workers=2)
    return batch_verification


@dataclass
class ReportCopy:
    """A copy of one report that a test may change, with the original and the run behind it."""

    folder: Path
    original: Path
    run: object

    def read(self, name="report.html"):
        return (self.folder / name).read_text(encoding="utf-8")

    def write(self, text, name="report.html"):
        """Replace a file and its hash in run.json, as somebody would who knows how reports are made."""
        (self.folder / name).write_text(text, encoding="utf-8")
        record = json.loads(self.read("run.json"))
        if name != "run.json":
            record["files"][name] = hashlib.sha256(text.encode()).hexdigest()
            (self.folder / "run.json").write_text(json.dumps(record, indent=1), encoding="utf-8")

    def replace(self, old, new, name="report.html"):
        text = self.read(name)
        assert old in text
        self.write(text.replace(old, new, 1), name)

    def edit(self, name, change):
        content = json.loads(self.read(name))
        change(content)
        self.write(json.dumps(content, indent=1), name)

    def verify(self):
        # The original stands for the report made again: `verified` shows that both have the same bytes.
        return compare_report(self.folder, self.original, self.run, title="a report")


@pytest.fixture
def copy_of(small_batch, verified, tmp_path):
    """Return a function that copies a report of the small batch."""

    def copy(name):
        shutil.copytree(small_batch / name, tmp_path / name)
        with open_source(small_batch) as source:
            run, _ = source.complete_run(source.plan.runs[name], "2026-03-09T12:00:00+00:00")
        return ReportCopy(tmp_path / name, small_batch / name, run)

    return copy
