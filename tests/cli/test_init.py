"""`rca init` leads from an unknown export to files that `rca run` accepts, asking only what the export leaves open."""

import signal
import sys

import pandas as pd
import pytest

from rca_lib.batch.validation import validate_batch
from rca_lib.cli import init, main
from rca_lib.intake.column_mapping import read_mapping

ROWS = 60


@pytest.fixture
def rca(tmp_path, monkeypatch, capsys):
    """Return a function that runs the command line beside an export, in this process."""
    monkeypatch.chdir(tmp_path)
    handler = signal.getsignal(signal.SIGTERM)
    pd.DataFrame(
        {
            "Case #": [f"c{n}" for n in range(ROWS)],
            "Content ID": [f"i{n}" for n in range(ROWS)],
            "Agent": [f"agent {n % 5}" for n in range(ROWS)],
            "Decision time": [f"{1 + n % 28:02d}/03/2026 10:00" for n in range(ROWS)],
            "Agent label": ["Spam", "No violation", "Hate"] * (ROWS // 3),
            "QA label": ["Spam", "No violation", "Spam"] * (ROWS // 3),
        }
    ).to_csv(tmp_path / "Lisbon audits.csv", index=False)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["rca", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        printed = capsys.readouterr()
        return caught.value.code or 0, printed.out, printed.err

    yield run
    signal.signal(signal.SIGTERM, handler)


def test_all_proposals_accepted_give_a_batch_that_can_be_run(rca, tmp_path):
    status, out, err = rca("init", "Lisbon audits.csv", "--yes")
    assert (status, out.splitlines()[-1]) == (0, "Next: rca run lisbon_audits/batch.yml")
    assert "truth" in out
    assert "QA label" in out
    for key in ("site: site-1", "stream: random", "time_zone: UTC", "benign: No violation"):
        assert f"Warning: assumed, not confirmed: {key}." in err
    validation = validate_batch(tmp_path / "lisbon_audits" / "batch.yml")
    assert validation.audits.ledger.kept == ROWS
    assert validation.runs == 4
    assert sorted(path.name for path in (tmp_path / "lisbon_audits").iterdir()) == [
        "batch.yml", "events.csv", "mapping.yml", "targets.csv",
    ]  # fmt: skip


def test_without_a_terminal_open_questions_are_an_error_and_nothing_is_written(rca, tmp_path):
    status, _, err = rca("init", "Lisbon audits.csv")
    assert status == 1
    assert "Which time zone is the clock of the export? Proposed: UTC." in err
    assert "accept all with --yes" in err
    assert not (tmp_path / "lisbon_audits").exists()


def test_on_a_terminal_each_question_is_asked_and_an_invalid_answer_is_asked_again(rca, tmp_path, monkeypatch):
    answers = {"site": ["Lisbon"], "stream": [""], "time_zone": ["Lisbon", "Europe/Lisbon"], "benign": ["No violation"]}
    asked = []

    def prompt(key, default, show_default):
        asked.append(key)
        return answers[key].pop(0) or default

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(init.typer, "prompt", prompt)
    status, _, err = rca("init", "Lisbon audits.csv", "--out", "here")
    assert status == 0, err
    assert asked == ["site", "stream", "time_zone", "time_zone", "benign"]
    assert "'Lisbon' is not an IANA time zone" in err
    mapping = read_mapping(tmp_path / "here" / "mapping.yml")
    assert (mapping.time_zone, mapping.columns["site"].constant, mapping.assumed) == ("Europe/Lisbon", "Lisbon", ())


def test_on_a_terminal_the_sheet_of_a_workbook_is_asked_for(rca, tmp_path, monkeypatch):
    audits = pd.read_csv(tmp_path / "Lisbon audits.csv")
    with pd.ExcelWriter(tmp_path / "two.xlsx") as workbook:
        pd.DataFrame({"a": [1]}).to_excel(workbook, sheet_name="Notes", index=False)
        audits.to_excel(workbook, sheet_name="Audits", index=False)
    status, _, err = rca("init", "two.xlsx", "--yes")
    assert status == 1
    assert "name one under sheet: in the mapping: Notes, Audits" in err
    answers = ["Audit", "Audits"]
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(init.typer, "prompt", lambda key, **_: answers.pop(0))
    status, _, err = rca("init", "two.xlsx", "--yes")
    assert (status, answers) == (0, []), err
    assert read_mapping(tmp_path / "two" / "mapping.yml").sheet == "Audits"


def test_existing_files_are_replaced_only_on_request(rca, tmp_path):
    (tmp_path / "lisbon_audits").mkdir()
    (tmp_path / "lisbon_audits" / "events.csv").write_text("mine")
    status, _, err = rca("init", "Lisbon audits.csv", "--yes")
    assert status == 1
    assert "events.csv exists" in err
    assert (tmp_path / "lisbon_audits" / "events.csv").read_text() == "mine"
    assert rca("init", "Lisbon audits.csv", "--yes", "--force")[0] == 0
    assert (tmp_path / "lisbon_audits" / "events.csv").read_text().startswith("event_id,")


@pytest.mark.parametrize(("name", "expected"), [("none.csv", "no file"), ("empty.csv", "empty")])
def test_a_file_that_cannot_be_read_gives_the_error_of_check(rca, tmp_path, name, expected):
    (tmp_path / "empty.csv").touch()
    status, _, err = rca("init", name, "--yes")
    assert status == 1
    assert expected in err
    assert not (tmp_path / name.removesuffix(".csv")).exists()
