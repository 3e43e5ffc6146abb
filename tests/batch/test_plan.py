"""The plan of a batch: a plan from somebody else can neither run code nor name a folder elsewhere."""

import json

import pytest

from rca_lib.batch.batch_file import NOTEBOOK_FOLDER
from rca_lib.batch.plan import PLAN_FILE, read_plan
from rca_lib.findings import DataError


def test_a_plan_cannot_inject_code_or_leave_its_folder(small_batch, tmp_path):
    content = json.loads((small_batch / "_audits" / PLAN_FILE).read_text())
    for change in (
        {"parameters": {"x = 1; import os": 1}},
        {"folder": "../x"},
        {"folder": "/x/y"},
        {"before": "../../x"},
    ):
        forged = json.loads(json.dumps(content))
        forged["runs"][0] |= change
        (tmp_path / PLAN_FILE).write_text(json.dumps(forged))
        with pytest.raises(DataError):
            read_plan(tmp_path)
    content["runs"][0]["notebook"] = str(tmp_path / "other.ipynb")
    (tmp_path / "other.ipynb").write_text("{}")
    (tmp_path / PLAN_FILE).write_text(json.dumps(content))
    assert {run.notebook.parent for run in read_plan(tmp_path).runs.values()} == {NOTEBOOK_FOLDER}
