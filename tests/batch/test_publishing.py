"""Publishing: a report replaces the previous one as a whole, and nothing is written outside the batch's folder."""

import json
from dataclasses import replace

import pytest

from rca_lib.batch import publishing
from rca_lib.batch.publishing import clean_run_folder, render_failure_page
from rca_lib.batch.run_records import Failure
from rca_lib.findings import DataError
from rca_lib.reporting.index import write_index


def test_a_process_that_was_killed_while_publishing_loses_nothing(run, make_report, tmp_path):
    make_report(run, tmp_path, "earlier")
    final = tmp_path / run.folder
    final.rename(final.with_name(".2026-01.old"))
    final.with_name(".2026-01.new").mkdir()
    clean_run_folder(run, tmp_path)
    assert [path.name for path in final.parent.iterdir()] == ["2026-01"]
    assert (final / "report.html").read_text() == "earlier"


@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_new_report_replaces_the_previous_one_completely(run, make_report, tmp_path, monkeypatch, can_exchange):
    if not can_exchange:  # as on a system that cannot exchange two paths in one step
        monkeypatch.setattr(publishing, "_exchange_paths", lambda first, second: False)
    make_report(run, tmp_path, "earlier")
    (tmp_path / run.folder / "more.csv").touch()
    make_report(run, tmp_path, "later")
    assert sorted(file.name for file in (tmp_path / run.folder).iterdir()) == ["claims.json", "report.html", "run.json"]
    assert (tmp_path / run.folder / "report.html").read_text() == "later"
    assert json.loads((tmp_path / run.folder / "run.json").read_text())["started"] == "2026-03-09T12:00:00+00:00"


def test_a_failure_page_escapes_texts(run):
    failure = Failure("<b>E", "<script>alert(1)</script>", 2)
    page = render_failure_page(replace(run, site="<i>"), failure, "x = '<img src=y>'")
    assert "<script" not in page
    assert "<img" not in page
    assert "<strong>&lt;b&gt;E</strong>: &lt;script&gt;" in page
    assert "<title>&lt;i&gt; · 2026-01</title>" in page


def test_a_failure_page_repeats_the_hint_of_a_data_error(run):
    error = str(DataError("no labels", column="label", hint="name the column <in> the mapping"))
    assert "<p>Name the column &lt;in&gt; the mapping.</p>" in render_failure_page(run, Failure("DataError", error))


@pytest.mark.parametrize("folder", ["", "/2026-01", "../x/2026-01", "a/../../b", "a/.."])
def test_no_folder_leads_out_of_the_batch(run, tmp_path, folder):
    with pytest.raises(OSError, match="leads out of the batch's folder"):
        clean_run_folder(replace(run, folder=folder), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("link", ["a%2Fb", "a%2Fb/2026-01"])
def test_nothing_is_written_through_a_link(run, make_report, tmp_path, link):
    out = tmp_path / "out"
    elsewhere = tmp_path / "elsewhere"
    for folder in (elsewhere / "2026-01", elsewhere / ".2026-01.new", (out / link).parent):
        folder.mkdir(parents=True, exist_ok=True)
    (out / link).symlink_to(elsewhere)
    with pytest.raises(OSError, match="is a link; nothing is written through it"):
        make_report(run, out)
    assert sorted(path.name for path in elsewhere.iterdir()) == [".2026-01.new", "2026-01"]


@pytest.mark.parametrize("kind", ["new", "old"])
def test_a_link_in_the_place_of_a_work_folder_is_removed(run, make_report, tmp_path, kind):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept.txt").touch()
    link = tmp_path / "a%2Fb" / f".2026-01.{kind}"
    link.parent.mkdir()
    link.symlink_to(tmp_path / "elsewhere")
    assert make_report(run, tmp_path).outcome == "succeeded"
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["kept.txt"]
    assert [path.name for path in link.parent.iterdir()] == ["2026-01"]


def test_the_index_is_not_written_through_a_link(tmp_path):
    letter = tmp_path / "letter.txt"
    letter.write_text("dear")
    for name in (".index.html.new", "index.html"):
        (tmp_path / "b").mkdir(exist_ok=True)
        (tmp_path / "b" / name).symlink_to(letter)
    assert write_index(tmp_path / "b").read_text().startswith("<!DOCTYPE html>")
    assert letter.read_text() == "dear"
