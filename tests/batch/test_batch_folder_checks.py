"""Checks of the parts of a batch's folder that belong to no report, and of damaged records in its store."""

import json
import random
import shutil

import pytest

from rca_lib.batch.batch_folder_checks import verify_batch_folder
from rca_lib.batch.plan import PLAN_FILE
from rca_lib.batch.report_folders import list_report_folders
from rca_lib.batch.verification_source import open_source
from rca_lib.findings import DataError
from rca_lib.store.ingest_history import HISTORY_FILE

JUNK = [None, True, -1, 1e308, 10**400, float("nan"), float("inf"), "", "x" * 5000, "../../etc", "\x1b[31m", [], {},
        [[]], {"a": {"b": []}}, "2026-03", "\ud800"]  # fmt: skip
BYTES = [b"", b"\xff\xfe", b"[]", b"null", b"{", b"[" * 100_000, b'{"claims": 1e999}', b"\x00" * 10, b'"text"', b"NaN"]


def list_wrong(verification):
    return {check.id for check in verification.checks if check.outcome == "wrong"}


def mutate(content, rng):
    """Replace one value of a JSON content by junk, or delete it."""
    while True:
        keys = list(content) if isinstance(content, dict) else list(range(len(content)))
        if not keys:
            return
        key = rng.choice(keys)
        if isinstance(content[key], dict | list) and content[key] and rng.random() < 0.7:
            content = content[key]
            continue
        if rng.random() < 0.2:
            del content[key]
        else:
            content[key] = rng.choice(JUNK)
        return


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("ledger.json", lambda content: content.update(benign=["hate"]), "ledger: benign"),
        ("ledger.json", lambda content: content.update(kept=1500, rows_read=1500), "ledger: kept"),
        ("plan.json", lambda content: content.pop("runs"), "plan"),
    ],
)
def test_a_store_that_contradicts_itself_is_detected(small_batch, tmp_path, name, change, expected):
    folder = tmp_path / "small"
    shutil.copytree(small_batch, folder)
    content = json.loads((folder / "_audits" / name).read_text(encoding="utf-8"))
    change(content)
    (folder / "_audits" / name).write_text(json.dumps(content), encoding="utf-8")
    with open_source(folder) as source:
        assert expected in list_wrong(verify_batch_folder(folder, folder, source, list_report_folders(folder)))


@pytest.mark.parametrize("name", [PLAN_FILE, HISTORY_FILE, "ledger.json"])
def test_a_malformed_record_of_the_store_gives_one_message_or_an_outcome(small_batch, tmp_path, name):
    rng, folder = random.Random(name), tmp_path / "small"
    shutil.copytree(small_batch, folder)
    file = folder / "_audits" / name
    text = file.read_bytes()
    contents = [json.loads(text) for _ in range(60)]
    for content in contents:
        mutate(content, rng)
    for junk in [json.dumps(content).encode() for content in contents] + BYTES:
        file.write_bytes(junk)
        try:
            with open_source(folder) as source:
                for run in source.plan.runs.values():
                    source.complete_run(run, rng.choice([*JUNK, "2026-03-09T12:00:00+00:00"]))
                    assert (
                        source.plan_unlisted_report(rng.choice(["a/b", run.folder]), rng.choice(JUNK), rng.choice(JUNK))
                        is None
                    )
                verify_batch_folder(folder, folder, source, list_report_folders(folder))
        except DataError as error:
            assert str(error)
