"""Publishing: a report stands only while nothing that it came from, and nothing in it, has changed."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from rca_lib.batch.grid import Run
from rca_lib.batch.publishing import Failure, find_standing, publish, sweep, write_failure
from rca_lib.findings import DataError

NOON = datetime(2026, 3, 9, 12, tzinfo=UTC)


@pytest.fixture
def run(tmp_path):
    (tmp_path / "q.ipynb").write_text("{}")
    return Run("a/b", "2026-01", tmp_path / "q.ipynb", "a%2Fb/2026-01", {"alpha": 0.05}, fingerprint="f1")


def make_report(run, out, page="whole", failure=None):
    new = sweep(run, out)
    new.mkdir(parents=True)
    (new / "claims.json").write_text("[]")
    return publish(run, new, page, failure, NOON, 1.234)


def test_a_report_stands_while_nothing_changed(run, tmp_path):
    made = make_report(run, tmp_path)
    assert find_standing(run, tmp_path) == replace(made, kept=True)
    assert made.seconds == 1.23


@pytest.mark.parametrize(
    "change", [{"fingerprint": "f2"}, {"fingerprint": ""}, {"parameters": {"alpha": 0.01}}, {"folder": "c/2026-01"}]
)
def test_other_inputs_are_another_report(run, tmp_path, change):
    make_report(run, tmp_path)
    assert find_standing(replace(run, **change), tmp_path) is None


def test_a_notebook_that_changed_runs_again(run, tmp_path):
    make_report(run, tmp_path)
    run.notebook.write_text("{ }")
    assert find_standing(run, tmp_path) is None


@pytest.mark.parametrize("name", ["claims.json", "report.html", "run.json"])
@pytest.mark.parametrize("text", [None, "tampered"])
def test_a_report_that_was_tampered_with_does_not_stand(run, tmp_path, name, text):
    make_report(run, tmp_path)
    file = tmp_path / run.folder / name
    file.unlink() if text is None else file.write_text(text)
    assert find_standing(run, tmp_path) is None


def test_a_failed_run_runs_again(run, tmp_path):
    made = make_report(run, tmp_path, failure=Failure("ValueError", "no\ncolumn", 3))
    assert (made.outcome, made.error) == ("failed", "cell 3: ValueError: no column")
    assert find_standing(run, tmp_path) is None


def test_a_runner_that_was_killed_while_publishing_loses_nothing(run, tmp_path):
    make_report(run, tmp_path, "earlier")
    final = tmp_path / run.folder
    final.rename(final.with_name(".2026-01.old"))
    final.with_name(".2026-01.new").mkdir()
    sweep(run, tmp_path)
    assert [path.name for path in final.parent.iterdir()] == ["2026-01"]
    assert (final / "report.html").read_text() == "earlier"


def test_a_new_report_takes_the_whole_place_of_the_earlier(run, tmp_path):
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
