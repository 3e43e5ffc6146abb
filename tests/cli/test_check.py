"""`rca check` reports everything at once: columns, labels, dates, sites, open questions, issues of a batch file."""

import json
import signal
import sys

import pandas as pd
import pytest

from rca_lib.cli import main

SIDE = "event_id,type,start,scope,title\n"


@pytest.fixture
def rca(tmp_path, monkeypatch, capsys):
    """Return a function that runs the command line in this process, in a temporary folder."""
    monkeypatch.chdir(tmp_path)
    handler = signal.getsignal(signal.SIGTERM)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["rca", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        printed = capsys.readouterr()
        return caught.value.code or 0, printed.out, printed.err

    yield run
    signal.signal(signal.SIGTERM, handler)


def make_audits(count=40, **columns):
    rows = [
        {
            "audit_id": f"a{n}", "item_id": f"i{n}", "site": ("Lisbon", "Manila")[n % 2], "rater": f"r{n % 3}",
            "decided_at": f"2026-02-{1 + n % 28:02d} 10:00", "label": ("Spam", "spam ", "ok")[n % 3],
            "truth": ("spam", "ok")[n % 2],
        }
        for n in range(count)
    ]  # fmt: skip
    return pd.DataFrame(rows).assign(**columns)


@pytest.fixture
def batch(tmp_path):
    """Return a function that writes a batch file with an export, a mapping and further tables."""

    def write(lines="", mapping="time_zone: UTC\n", audits=None, **tables):
        (make_audits() if audits is None else audits).to_csv(tmp_path / "audits.csv", index=False)
        (tmp_path / "mapping.yml").write_text(mapping)
        text = "batch: weekly\ndata: audits.csv\nmapping: mapping.yml\n"
        text += "notebooks: {intake: null, ground_truth: null, portfolio: null}\n"
        for name, content in tables.items():
            (tmp_path / f"{name}.csv").write_text(content)
            text += f"{name}: {name}.csv\n"
        (tmp_path / "weekly.yml").write_text(text + lines)
        return "weekly.yml"

    return write


def test_check_lists_days_sites_labels_columns_and_quarantined_values(rca, tmp_path):
    make_audits().assign(**{"Shift lead": "Ann"}).to_csv("audits.csv", index=False)
    audits = pd.read_csv("audits.csv", dtype=str)
    audits.loc[3, "decided_at"] = "next week"
    audits.to_csv("audits.csv", index=False)
    (tmp_path / "m.yml").write_text("time_zone: UTC\n")
    status, out, _ = rca("check", "audits.csv", "--mapping", "m.yml")
    assert status == 0
    assert "Days: 2026-02-01 to 2026-02-28." in out
    assert "Lisbon 20" in out and "Manila 19 (1 quarantined)" in out
    assert "row 5: 'next week'" in out
    for expected in (("Spam", "14"), ("ok", "13", "20")):
        assert any(all(word in line for word in expected) for line in out.splitlines()), expected
    assert "Shift lead" in out and "Not available: comparing vendors" in out


def test_all_missing_columns_are_listed_with_those_of_the_file_and_their_values(rca):
    make_audits().rename(columns=lambda name: f"My {name}").to_csv("audits.csv", index=False)
    status, out, err = rca("check", "audits.csv")
    assert status == 1
    for name in ("audit_id", "item_id", "site", "rater", "decided_at", "label", "truth"):
        assert f"My {name}" in out and name in err
    assert "'Lisbon'" in out


def test_all_open_questions_are_reported_at_once_and_the_rest_is_read_with_assumptions(rca):
    make_audits(decided_at="03/04/2026 10:00", weight="1,500").to_csv("audits.csv", index=False)
    status, out, err = rca("check", "audits.csv")
    assert status == 1 and "40 kept" in out
    assert "Read as if the mapping said" in out
    for expected in ("order of day and month", "decimal mark", "time zone"):
        assert expected in err, expected
    assert "03/04/2026" in err and "1,500" in err


def test_the_first_value_is_quoted_if_no_row_can_be_kept(rca):
    make_audits(decided_at="soon").to_csv("audits.csv", index=False)
    status, out, err = rca("check", "audits.csv")
    assert status == 1 and "'soon'" in out + err


def test_a_batch_file_is_checked_with_all_files_that_it_names(rca, batch):
    file = batch(events=f"{SIDE}e1,Outage,2026-02-03,site=Lisboa,x\n", targets="metric,contract\naccuracy,97%\n")
    status, out, err = rca("check", file)
    assert status == 0
    assert "The batch can be run: 2 runs." in out
    assert "'Outage' is read as outage" in out and "'97%' is read as 0.97" in out
    assert "Warning: events.csv, row 2, column scope: site 'Lisboa' matches no audit" in err and "'Lisbon'" in err
    assert rca("check", file, "--strict")[0] == 3


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"lines": "sites: [Lisbonn]\n"}, ("sites: 'Lisbonn'", "'Lisbon'")),
        ({"lines": "periods: [2031-02]\n"}, ("periods: 2031-02",)),
        ({"lines": "periods: [2026-13]\n"}, ("2026-13", "latest-complete")),
        ({"lines": "sitess: [Lisbon]\n"}, ("unknown key 'sitess'", "'sites'")),
        ({"lines": "seed: one\n"}, ("seed is 'one'", "whole number")),
        ({"lines": "parameters: {alhpa: 1}\n"}, ("no notebook has 'alhpa'", "nearest")),
        ({"lines": "memory_mb: [1]\n"}, ("memory_mb", "whole megabytes")),
        ({"lines": "events: evnts.csv\n"}, ("there is no evnts.csv",)),
        ({"lines": "title: &x y\n"}, ("line 5", "&x is an anchor", "quotes")),
        ({"lines": "data: b.csv\n"}, ("line 5", "duplicate key 'data'", "keep one")),
        ({"mapping": "time_zone: UCT+1\n"}, ("time_zone", "Europe/Berlin")),
        ({"mapping": "colums: {}\n"}, ("unknown key 'colums'", "columns")),
        ({"mapping": "labels: *x\n"}, ("line=1", "*x is an alias", "quotes")),
        ({"mapping": "time_zone: UTC\ncolumns: {truth: QA}\n"}, ("'QA'", "names it for truth", "nearest")),
        ({"events": "event,type\n1,outage\n"}, ("no column 'event_id'", "no column 'start'", "no column 'title'")),
        ({"targets": "metric,contract\naccuracy,97\n"}, ("row 2, column contract", "'97'", "0.97 or 97%")),
        ({"ratings": "item_id,rater,label,role\ni1,a,ok,boss\n"}, ("row 2, column role", "'boss'", "rater")),
        ({"population": "period,site,stratum,decisions\n2026-02,X,a,5\n"}, ("site 'X' matches no audit", "'Lisbon'")),
        ({"audits": make_audits().drop(columns="truth")}, ("no column 'truth'", "columns: truth")),
    ],
)  # fmt: skip
def test_check_and_run_report_an_invalid_batch_with_the_same_hint(rca, batch, tmp_path, changes, expected):
    file = batch(**changes)
    for command in (("check", file), ("run", file, "--list", "--reports", "out")):
        status, out, err = rca(*command)
        assert status == 1, out
        output = " ".join(err.split())
        for word in expected:
            assert word in output, (command[0], word, output)
    assert not [path for path in tmp_path.glob("out/weekly/*") if path.name not in (".lock", "_audits")]


@pytest.mark.parametrize(
    "arguments", [("check", "audits.csv", "--data", "x"), ("check", "b.yml", "--mapping", "m.yml")]
)
def test_incompatible_options_are_rejected(rca, arguments):
    status, _, err = rca(*arguments)
    assert status == 2 and "batch file" in err


def test_standard_output_contains_only_json(rca, batch):
    file = batch(events=f"{SIDE}e1,outage,2026-02-03,site=Lisboa,x\n")
    status, out, _ = rca("check", file, "--json")
    output = json.loads(out)
    assert (status, output["status"], output["runs"]) == (0, 0, 2)
    assert output["ledger"]["kept"] == 40 and output["days"] == ["2026-02-01", "2026-02-28"]
    assert "Lisboa" in output["warnings"][0] and output["columns"][0]["examples"]
    status, out, _ = rca("run", file, "--list", "--json", "--reports", "out")
    output = json.loads(out)
    assert status == 0 and [run["due"] for run in output["runs"]] == [True, True]
    assert output["runs"][0]["site"] == "Lisbon" and "Lisboa" in output["warnings"][0]
    assert rca("run", file, "--list", "--strict", "--reports", "out")[0] == 3


def test_errors_are_printed_as_json_if_requested(rca, batch):
    file = batch(targets="metric,contract\naccuracy,97\nacuracy,.9\n")
    status, out, err = rca("check", file, "--json")
    output = json.loads(out)
    assert status == output["status"] == 1
    assert len(output["errors"]) == 3 and "row 3, column metric" in output["errors"][2] and "row 3" in err


def test_text_from_the_data_cannot_control_the_terminal_or_forge_a_line(rca, batch):
    bad = "ok\x1b[31m\u202eevil\nWarning: none"
    audits = make_audits(policy=bad)
    audits.loc[0, "label"] = bad
    file = batch(
        audits=audits, events=f'{SIDE}e1,outage,2026-02-03,"policy=x\x1b[2J\u2066y",t\ne2,"{bad}",2026-02-03,,t\n'
    )
    for arguments in (("check", "audits.csv", "--mapping", "mapping.yml"), ("check", file)):
        _, out, err = rca(*arguments)
        for sign in ("\x1b[31m", "\x1b[2J", "\u202e", "\u2066", "\nWarning: none"):
            assert sign not in out + err
    assert "evil" in err


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("folder", None, ("folder is a folder", "name one file")),
        ("audits.csv.gz", b"\x1f\x8b\x08\x00abc", ("damaged or cut off", "export it again")),
        ("audits.json", b'{"audit_id": 1}\n', ("one JSON object", "one per audit")),
        ("audits.json", b'[\n {"audit_id": 1}]', ("no columns item_id", "under columns")),
        ("audits.pdf", b"%PDF-1.7", ("PDF", "CSV")),
        ("page.html", b"<html>", ("web page", "CSV")),
        ("empty.csv", b"", ("empty",)),
        ("none.csv", b"-", ("no file", "path")),
    ],
)
def test_a_file_that_is_not_a_table_gives_a_hint(rca, tmp_path, name, content, expected):
    if content is None:
        (tmp_path / name).mkdir()
    elif content != b"-":
        (tmp_path / name).write_bytes(content)
    status, _, err = rca("check", name)
    assert status == 1
    assert all(word in err for word in expected), err
