"""Publishing and its records: a report stands only while nothing that it came from, and nothing in it, has changed."""

import json
import os
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from rca_lib.batch import publishing
from rca_lib.batch.grid import Run
from rca_lib.batch.locks import LOCK, hold
from rca_lib.batch.publishing import publish, sweep, write_failure
from rca_lib.batch.records import Failure, Outcome, find_reason, is_whole, list_inputs, read_outcome, read_record
from rca_lib.findings import DataError
from rca_lib.reporting.index import write_index

NOON = datetime(2026, 3, 9, 12, tzinfo=UTC)


@pytest.fixture
def run(tmp_path):
    (tmp_path / "q.ipynb").write_text("{}")
    return Run("a/b", "2026-01", tmp_path / "q.ipynb", "a%2Fb/2026-01", {"alpha": 0.05}, fingerprint="f1")


def make_report(run, out, page="whole", failure=None):
    new = sweep(run, out)
    new.mkdir(parents=True)
    (new / "claims.json").write_text("[]")
    inputs = list_inputs(run, out)
    publish(run, new, page, failure, inputs=inputs, started=NOON, seconds=1.234, attempt=2)
    return read_outcome(run, out)


def why(run, out):
    return find_reason(run, out, list_inputs(run, out))


def test_a_report_stands_while_nothing_changed(run, tmp_path):
    assert why(run, tmp_path) == "it has not run yet"
    assert make_report(run, tmp_path) == Outcome(run, "succeeded", 1.23, attempt=2)
    assert why(run, tmp_path) == ""
    assert read_outcome(run, tmp_path, kept=True).kept


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"fingerprint": "f2"}, "the data changed"),
        ({"parameters": {"alpha": 0.01}}, "a parameter changed"),
        ({"folder": "c/2026-01"}, "it has not run yet"),
        ({"before": "b/2025-12"}, "the report of the period before changed"),
        ({"stage": 1}, "the reports that it reads changed"),
    ],
)
def test_other_inputs_are_another_report(run, tmp_path, change, reason):
    make_report(run, tmp_path)
    make_report(replace(run, folder="b/2025-12"), tmp_path)
    assert why(replace(run, **change), tmp_path) == reason


def test_nothing_is_known_of_data_without_a_fingerprint(run, tmp_path):
    run = replace(run, fingerprint="")
    make_report(run, tmp_path)
    assert why(run, tmp_path) == "nobody knows whether the data changed"


def test_a_notebook_that_changed_runs_again(run, tmp_path):
    make_report(run, tmp_path)
    run.notebook.write_text("{ }")
    assert why(run, tmp_path) == "the notebook changed"


def test_another_library_or_package_runs_again(run, tmp_path):
    make_report(run, tmp_path)
    inputs = list_inputs(run, tmp_path)
    assert find_reason(run, tmp_path, inputs | {"library": ""}) == "rca_lib changed"
    assert find_reason(run, tmp_path, inputs | {"packages": ""}) == "the version of a package changed"


@pytest.mark.parametrize("name", ["claims.json", "report.html", "run.json"])
@pytest.mark.parametrize("text", [None, "tampered", "[]"])
def test_a_report_that_was_tampered_with_does_not_stand(run, tmp_path, name, text):
    make_report(run, tmp_path)
    file = tmp_path / run.folder / name
    if name == "claims.json" and text == "[]":
        text = "[ ]"
    file.unlink() if text is None else file.write_text(text)
    assert why(run, tmp_path) == ("it has not run yet" if name == "run.json" else "its files were changed")


def test_a_failed_run_runs_again(run, tmp_path):
    made = make_report(run, tmp_path, failure=Failure("ValueError", "no\ncolumn", 3))
    assert (made.outcome, made.error) == ("failed", "cell 3: ValueError: no column")
    assert why(run, tmp_path) == "it failed"


def test_a_runner_that_was_killed_while_publishing_loses_nothing(run, tmp_path):
    make_report(run, tmp_path, "earlier")
    final = tmp_path / run.folder
    final.rename(final.with_name(".2026-01.old"))
    final.with_name(".2026-01.new").mkdir()
    sweep(run, tmp_path)
    assert [path.name for path in final.parent.iterdir()] == ["2026-01"]
    assert (final / "report.html").read_text() == "earlier"


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_new_report_takes_the_whole_place_of_the_earlier(run, tmp_path, monkeypatch, exchanges):
    if not exchanges:  # as on a system that cannot let two names change places
        monkeypatch.setattr(publishing, "_exchange", lambda one, other: False)
    make_report(run, tmp_path, "earlier")
    (tmp_path / run.folder / "more.csv").touch()
    make_report(run, tmp_path, "later")
    assert sorted(file.name for file in (tmp_path / run.folder).iterdir()) == ["claims.json", "report.html", "run.json"]
    assert (tmp_path / run.folder / "report.html").read_text() == "later"
    assert json.loads((tmp_path / run.folder / "run.json").read_text())["started"] == "2026-03-09T12:00:00+00:00"


def test_a_failure_page_escapes_what_it_tells(run):
    page = write_failure(replace(run, site="<i>"), Failure("<b>E", "<script>alert(1)</script>", 2), "x = '<img src=y>'")
    assert "<script" not in page
    assert "<img" not in page
    assert "<strong>&lt;b&gt;E</strong>: &lt;script&gt;" in page
    assert "<title>&lt;i&gt; · 2026-01</title>" in page


def test_a_failure_page_hands_on_the_mend_of_the_data(run):
    error = str(DataError("no labels", column="label", mend="name the column <in> the mapping"))
    assert "<p>Name the column &lt;in&gt; the mapping.</p>" in write_failure(run, Failure("DataError", error))


def test_a_file_that_was_spoilt_behind_the_clock_is_found_where_nothing_is_trusted(run, tmp_path):
    make_report(run, tmp_path)
    folder = tmp_path / run.folder
    (folder / "claims.json").write_text("[ ]")
    os.utime(folder / "claims.json", ns=(0, 0))
    assert why(run, tmp_path) == ""
    assert not is_whole(folder, read_record(folder))


@pytest.mark.parametrize("folder", ["", "/2026-01", "../x/2026-01", "a/../../b", "a/.."])
def test_no_folder_leads_out_of_the_batch(run, tmp_path, folder):
    with pytest.raises(OSError, match="leads out of the batch's folder"):
        sweep(replace(run, folder=folder), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("link", ["a%2Fb", "a%2Fb/2026-01"])
def test_nothing_is_written_through_a_link(run, tmp_path, link):
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    for folder in (elsewhere / "2026-01", elsewhere / ".2026-01.new", (out / link).parent):
        folder.mkdir(parents=True, exist_ok=True)
    (out / link).symlink_to(elsewhere)
    with pytest.raises(OSError, match="is a link; nothing is written through it"):
        make_report(run, out)
    assert sorted(path.name for path in elsewhere.iterdir()) == [".2026-01.new", "2026-01"]


@pytest.mark.parametrize("kind", ["new", "old"])
def test_a_link_in_the_place_of_a_folder_to_write_is_taken_away(run, tmp_path, kind):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept.txt").touch()
    link = tmp_path / "a%2Fb" / f".2026-01.{kind}"
    link.parent.mkdir()
    link.symlink_to(tmp_path / "elsewhere")
    assert make_report(run, tmp_path).outcome == "succeeded"
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["kept.txt"]
    assert [path.name for path in link.parent.iterdir()] == ["2026-01"]


def test_the_lock_and_the_index_are_not_written_through_a_link(tmp_path):
    letter = tmp_path / "letter.txt"
    letter.write_text("dear")
    for name in (LOCK, ".index.html.new", "index.html"):
        (tmp_path / "b").mkdir(exist_ok=True)
        (tmp_path / "b" / name).symlink_to(letter)
    with pytest.raises(ValueError, match="cannot be written"), hold(tmp_path / "b"):
        pass
    assert write_index(tmp_path / "b").read_text().startswith("<!DOCTYPE html>")
    assert letter.read_text() == "dear"
