"""The batch file and its grid: everything wrong is one clear error before anything starts."""

import json
from pathlib import Path

import pytest

from rca_lib.batch.grid import list_idle, plan_runs, read_batch

DEEP_DIVE = """\
site: str = "a"  # where
period: str = "2026-01"
output: str = ""
mapping: str | None = None
alpha: float = 0.05  # the false-alarm rate
masked: bool = True
order: int = 2
dimensions: list[str] = []
limit: int | None = None
"""
PORTFOLIO = 'output: str = ""\nsites: list[str] = []\nperiods: list[str] = []\nstore: str = ""\n'
BATCH = "batch: demo\nnotebooks: {deep_dive: deep.ipynb, portfolio: wide.ipynb, intake: null}\n"
HELD = {"lisbon": ["2026-01", "2026-02", "2026-03"], "NO": ["2026-03"]}


def write_notebook(file: Path, parameters: str) -> None:
    cell = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": parameters}
    file.write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))


@pytest.fixture
def batch_file(tmp_path):
    write_notebook(tmp_path / "deep.ipynb", DEEP_DIVE)
    write_notebook(tmp_path / "wide.ipynb", PORTFOLIO)
    return tmp_path / "demo.yml"


def plan(file, text, held=HELD, **options):
    file.write_text(BATCH + text)
    return plan_runs(read_batch(file), held, held, **options)


def test_every_site_and_month_with_audits_is_a_run_and_the_portfolio_comes_last(batch_file):
    runs = plan(batch_file, "", given={"store": "audits"})
    assert [run.folder for run in runs] == [
        "lisbon/2026-01", "lisbon/2026-02", "lisbon/2026-03", "NO/2026-03", "_ground_truth", "_portfolio"
    ]  # fmt: skip
    assert [run.stage for run in runs] == [0, 0, 0, 0, 0, 1]
    assert runs[3].parameters == {"site": "NO", "period": "2026-03"}
    assert runs[5].parameters == {
        "sites": ["lisbon", "NO"], "periods": ["2026-01", "2026-02", "2026-03"], "store": "audits"
    }  # fmt: skip


def test_parameters_take_the_types_that_the_notebook_declares(batch_file):
    text = 'parameters: {alpha: 1e-2, masked: no, order: 3, dimensions: [policy, "12"], limit: null}\n'
    parameters = plan(batch_file, text)[0].parameters
    assert parameters == {
        "site": "lisbon", "period": "2026-01", "alpha": 0.01, "masked": False, "order": 3,
        "dimensions": ["policy", "12"], "limit": None,
    }  # fmt: skip


def test_the_sites_of_a_batch_keep_their_spelling(batch_file):
    # YAML 1.1 reads NO as false, 007 as the number 7 and 2026-03-01 as a date.
    held = {"NO": ["2026-03"], "007": ["2026-03"], "2026-03-01": ["2026-03"]}
    runs = plan(batch_file, "sites: [NO, 007, 2026-03-01]\n", held)
    assert [run.site for run in runs[:3]] == ["NO", "007", "2026-03-01"]


def test_a_folder_of_a_site_never_leaves_the_batch_nor_hides(batch_file):
    held = {site: ["2026-03"] for site in ("../x", "_portfolio", ".git", "são paulo")}
    folders = [run.folder for run in plan(batch_file, "", held)[:4]]
    assert folders == ["%2E.%2Fx/2026-03", "%5Fportfolio/2026-03", "%2Egit/2026-03", "s%C3%A3o%20paulo/2026-03"]


def test_weeks_and_quarters_are_runs_where_the_site_has_audits_in_them(batch_file):
    runs = plan(batch_file, "periods: [2026-Q1, 2026-W07, 2026-W07]\n")
    # Week 7 is 9 to 15 February, when only lisbon has audits.
    assert [run.folder for run in runs[:-2]] == ["lisbon/2026-Q1", "lisbon/2026-W07", "NO/2026-Q1"]


def test_one_site_and_one_period_leave_out_what_covers_all(batch_file):
    assert [run.folder for run in plan(batch_file, "", site="lisbon", period="2026-02")] == ["lisbon/2026-02"]


def test_paths_are_seen_from_the_batch_file(batch_file):
    (batch_file.parent / "maps").mkdir()
    (batch_file.parent / "maps" / "m.yml").touch()
    runs = plan(batch_file, "mapping: maps/../maps/m.yml\ndata: synthetic\n")
    assert runs[0].parameters["mapping"] == str(batch_file.parent / "maps" / "m.yml")
    assert read_batch(batch_file).data == "synthetic"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sitess: [x]\n", "unknown key 'sitess'; the nearest known is 'sites'"),
        ("seed: one\n", "seed is 'one', not a whole number"),
        ("seed: 1\nseed: 2\n", "line 4: duplicate key 'seed'; keep one"),
        ("periods: [2026-13]\n", "periods is ['2026-13'], not \"all months\" or a list such as [2026-03]"),
        ("sites: []\n", 'sites is [], not "all" or a list'),
        ("mapping: none.yml\n", "mapping: there is no none.yml"),
        ("sites: [lisbo]\n", "sites: 'lisbo' is not in the data; the nearest known is 'lisbon'"),
        ("periods: [2026-04]\n", "periods: 2026-04 is not in the data; the nearest known is '2026-0"),
        ("periods: [2026-W15]\n", "periods: 2026-W15 is not in the data"),
        ("parameters: {alhpa: 0.1}\n", "parameters: no notebook has 'alhpa'; the nearest known is 'alpha'"),
        ("parameters: {order: 2.5}\n", "parameters: order is '2.5', but deep.ipynb wants int"),
        ("parameters: {order: null}\n", "parameters: order is None, but deep.ipynb wants int"),
        ("parameters: {alpha: nan}\n", "parameters: alpha is 'nan', but deep.ipynb wants float"),
        ("parameters: {dimensions: policy}\n", "parameters: dimensions is 'policy', but deep.ipynb wants list[str]"),
        ("parameters: {site: x}\n", "parameters: 'site' is set by the batch itself"),
        (
            "parameters: {alpha: 'db://ana:pw@x'}\n",
            "alpha is an address with a password: put it into an environment var",
        ),
        ("parameters: {dimensions: [a, 'db://:pw@x']}\n", "dimensions is an address with a password"),
        ("title: see https://ana:pw@x\n", "title is an address with a password"),
        ("timeout_seconds: 0\nbaseline_periods: -1\n", "baseline_periods is '-1', not a whole number from 0; timeout_"),
    ],
)
def test_a_fault_is_one_error_that_names_file_key_and_mend(batch_file, text, says):
    with pytest.raises(ValueError) as caught:
        plan(batch_file, text)
    assert type(caught.value) is ValueError
    assert str(caught.value).startswith(f"{batch_file}: ")
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "must hold lines"),
        ("[a, b]", "must hold lines"),
        ("batch: [", "line 1: not valid YAML"),
        ("title: x\n", "batch is missing; give a name for a folder"),
        ("batch: ../x\n", "batch is '../x', not a name for a folder"),
        ("batch: con\n", "batch is 'con', not a name for a folder"),
        ("batch: x.\n", "batch is 'x.', not a name for a folder"),
        (f"batch: {'x' * 81}\n", "not a name for a folder: letters, digits and ._-, at most 80"),
        ("batch: Ж\n", "batch is 'Ж', not a name for a folder"),
        (
            "batch: x\nnotebooks: {deep: a.ipynb}\n",
            "notebooks is 'deep', not a notebook for deep_dive, ground_truth, portfolio, intake",
        ),
        ("batch: x\nnotebooks: {deep_dive: depe.ipynb}\n", "there is no depe.ipynb; the nearest known is 'deep.ipynb'"),
    ],
)
def test_a_file_that_is_no_batch_is_refused(batch_file, text, says):
    batch_file.write_text(text)
    with pytest.raises(ValueError, match=r"demo\.yml") as caught:
        read_batch(batch_file)
    assert says in str(caught.value)


def test_a_parameter_without_a_value_has_to_be_given(batch_file):
    write_notebook(batch_file.parent / "deep.ipynb", DEEP_DIVE + "name: str\nevents: str  # a table\n")
    (batch_file.parent / "e.csv").touch()
    with pytest.raises(ValueError) as caught:
        plan(batch_file, "events: e.csv\n")
    assert str(caught.value) == f"{batch_file}: parameters: name is missing; deep.ipynb has no value for it"
    with pytest.raises(ValueError, match=r"demo.yml: events is missing; deep.ipynb has no value for it"):
        plan(batch_file, "parameters: {name: x}\n")
    runs = plan(batch_file, "events: e.csv\nparameters: {name: x}\n")
    assert runs[0].parameters["name"] == "x"


def test_no_error_repeats_a_password(batch_file):
    with pytest.raises(ValueError) as caught:
        plan(batch_file, "parameters: {order: 'db://ana:hunter2@x'}\n")
    assert "hunter2" not in str(caught.value)


def test_a_missing_batch_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"none.yml: cannot be read: No such file"):
        read_batch(tmp_path / "none.yml")


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        (DEEP_DIVE + "steps = 3\n", "`steps = 3` is not `name: type = value`"),
        (
            DEEP_DIVE + "start: date = None\n",
            "`start: date = None` is not `name: type = value`, type str, int, float, bool",
        ),
        (DEEP_DIVE + "if\n", "cannot read the cell tagged parameters"),
        (DEEP_DIVE.replace("output", "folder"), "parameters: 'output' is not declared"),
    ],
)
def test_a_notebook_with_loose_parameters_is_refused(batch_file, parameters, says):
    write_notebook(batch_file.parent / "deep.ipynb", parameters)
    with pytest.raises(ValueError, match=r"deep\.ipynb") as caught:
        plan(batch_file, "")
    assert says in str(caught.value)


def test_nothing_to_run_is_an_error(batch_file):
    with pytest.raises(ValueError, match="nothing to run"):
        plan(batch_file, "", {"lisbon": []}, site="lisbon")


WEEKS = {"lisbon": ["2026-01", "2026-W02", "2026-W04"], "manila": ["2026-01", "2026-W04", "2026-03"]}


@pytest.mark.parametrize(
    ("periods", "folders", "idle"),
    [
        ("[2026-W02]", ["lisbon/2026-W02"], [("manila", "2026-W02")]),
        ("[2026-W03]", [], [("lisbon", "2026-W03"), ("manila", "2026-W03")]),
        ("[2026-W04]", ["lisbon/2026-W04", "manila/2026-W04"], []),
        ("[2026-02]", [], [("lisbon", "2026-02"), ("manila", "2026-02")]),
        ("[2026-03]", ["manila/2026-03"], [("lisbon", "2026-03")]),
        ("all months", ["lisbon/2026-01", "manila/2026-01", "manila/2026-03"], []),
    ],
)
def test_a_site_that_is_idle_in_a_period_is_no_run_and_is_named(batch_file, periods, folders, idle):
    runs = plan(batch_file, f"periods: {periods}\n", WEEKS)
    assert [run.folder for run in runs if run.site] == folders
    assert [*list_idle(read_batch(batch_file), WEEKS)] == idle


def test_a_report_of_one_site_is_told_of_no_other(batch_file):
    write_notebook(batch_file.parent / "deep.ipynb", DEEP_DIVE + "sites: list[str] = []\n")
    runs = plan(batch_file, "")
    assert [run.parameters["sites"] for run in runs[:4]] == [["lisbon"]] * 3 + [["NO"]]
    assert runs[-1].parameters["sites"] == ["lisbon", "NO"]


def test_names_that_differ_in_case_alone_have_folders_that_do_not(batch_file):
    held = {site: ["2026-03"] for site in ("Lisbon", "lisbon", "LISBON", "manila")}
    folders = [run.folder for run in plan(batch_file, "", held)[:4]]
    assert len({folder.lower() for folder in folders}) == 4
    assert folders[3] == "manila/2026-03"
