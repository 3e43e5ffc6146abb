"""The runs of a batch: sites, periods and parameters; every fault is an error before anything starts."""

from datetime import date

import pytest

from rca_lib.audits.periods import Coverage
from rca_lib.batch.batch_file import read_batch
from rca_lib.batch.run_grid import list_unaudited_periods, plan_runs

BATCH = "batch: demo\nnotebooks: {deep_dive: deep.ipynb, portfolio: wide.ipynb, intake: null}\n"
AUDITED = {"lisbon": ["2026-01", "2026-02", "2026-03"], "NO": ["2026-03"]}
AUDITED_WEEKS = {"lisbon": ["2026-01", "2026-W02", "2026-W04"], "manila": ["2026-01", "2026-W04", "2026-03"]}


def plan(file, text, audited=AUDITED, **options):
    file.write_text(BATCH + text)
    return plan_runs(read_batch(file), audited, audited, **options)


def test_every_site_and_month_with_audits_is_a_run_and_the_portfolio_comes_last(batch_file):
    runs = plan(batch_file, "", extra_values={"store": "audits"})
    assert [run.folder for run in runs] == [
        "lisbon/2026-01", "lisbon/2026-02", "lisbon/2026-03", "NO/2026-03", "_ground_truth", "_portfolio"
    ]  # fmt: skip
    assert [run.stage for run in runs] == [0, 0, 0, 0, 0, 1]
    assert runs[3].parameters == {"site": "NO", "period": "2026-03"}
    assert runs[5].parameters == {
        "sites": ["lisbon", "NO"], "periods": ["2026-01", "2026-02", "2026-03"], "store": "audits"
    }  # fmt: skip


def test_parameters_are_converted_to_the_types_that_the_notebook_declares(batch_file):
    text = 'parameters: {alpha: 1e-2, masked: no, order: 3, dimensions: [policy, "12"], limit: null}\n'
    assert plan(batch_file, text)[0].parameters == {
        "site": "lisbon", "period": "2026-01", "alpha": 0.01, "masked": False, "order": 3,
        "dimensions": ["policy", "12"], "limit": None,
    }  # fmt: skip


def test_site_names_keep_their_spelling(batch_file):
    # YAML 1.1 reads NO as false, 007 as the number 7 and 2026-03-01 as a date.
    audited = {"NO": ["2026-03"], "007": ["2026-03"], "2026-03-01": ["2026-03"]}
    runs = plan(batch_file, "sites: [NO, 007, 2026-03-01]\n", audited)
    assert [run.site for run in runs[:3]] == ["NO", "007", "2026-03-01"]


def test_the_folder_of_a_site_stays_in_the_batch_and_is_never_hidden(batch_file):
    audited = {site: ["2026-03"] for site in ("../x", "_portfolio", ".git", "são paulo")}
    folders = [run.folder for run in plan(batch_file, "", audited)[:4]]
    assert folders == ["%2E.%2Fx/2026-03", "%5Fportfolio/2026-03", "%2Egit/2026-03", "s%C3%A3o%20paulo/2026-03"]


def test_site_names_that_differ_only_in_case_have_folders_that_differ_otherwise(batch_file):
    audited = {site: ["2026-03"] for site in ("Lisbon", "lisbon", "LISBON", "manila")}
    folders = [run.folder for run in plan(batch_file, "", audited)[:4]]
    assert len({folder.lower() for folder in folders}) == 4
    assert folders[3] == "manila/2026-03"


def test_weeks_and_quarters_are_runs_if_the_site_has_audits_in_them(batch_file):
    runs = plan(batch_file, "periods: [2026-Q1, 2026-W07, 2026-W07]\n")
    # Week 7 is 9 to 15 February, when only lisbon has audits.
    assert [run.folder for run in runs[:-2]] == ["lisbon/2026-Q1", "lisbon/2026-W07", "NO/2026-Q1"]


def test_a_run_names_the_folder_of_the_previous_period(batch_file):
    assert plan(batch_file, "")[1].before == "lisbon/2026-01"


def test_a_selected_site_and_period_leave_out_the_notebooks_over_all_sites(batch_file):
    assert [run.folder for run in plan(batch_file, "", site="lisbon", period="2026-02")] == ["lisbon/2026-02"]


def test_a_report_about_one_site_does_not_receive_the_names_of_the_others(
    batch_file, write_parameter_notebook, deep_dive_parameters
):
    write_parameter_notebook("deep.ipynb", deep_dive_parameters + "sites: list[str] = []\n")
    runs = plan(batch_file, "")
    assert [run.parameters["sites"] for run in runs[:4]] == [["lisbon"]] * 3 + [["NO"]]
    assert runs[-1].parameters["sites"] == ["lisbon", "NO"]


@pytest.mark.parametrize(
    ("periods", "folders", "unaudited"),
    [
        ("[2026-W02]", ["lisbon/2026-W02"], [("manila", "2026-W02")]),
        ("[2026-W03]", [], [("lisbon", "2026-W03"), ("manila", "2026-W03")]),
        ("[2026-W04]", ["lisbon/2026-W04", "manila/2026-W04"], []),
        ("[2026-02]", [], [("lisbon", "2026-02"), ("manila", "2026-02")]),
        ("[2026-03]", ["manila/2026-03"], [("lisbon", "2026-03")]),
        ("months", ["lisbon/2026-01", "manila/2026-01", "manila/2026-03"], []),
        ("weeks", ["lisbon/2026-W02", "lisbon/2026-W04", "manila/2026-W04"], []),
        ("{last: 1}", ["manila/2026-03"], [("lisbon", "2026-03")]),
        (
            "{last: 9, frequency: week}",
            ["lisbon/2026-W02", "lisbon/2026-W04", "manila/2026-W04"],
            [("manila", "2026-W02")],
        ),
    ],
)
def test_a_site_without_audits_in_a_period_is_not_a_run_and_is_listed(batch_file, periods, folders, unaudited):
    runs = plan(batch_file, f"periods: {periods}\n", AUDITED_WEEKS)
    assert [run.folder for run in runs if run.site] == folders
    assert [*list_unaudited_periods(read_batch(batch_file), AUDITED_WEEKS)] == unaudited


@pytest.mark.parametrize(
    ("last_day", "expected"),
    [(date(2026, 3, 31), "2026-03"), (date(2026, 3, 28), "2026-03"), (date(2026, 3, 20), "2026-02")],
)
def test_the_latest_complete_month_is_one_that_the_audits_cover(batch_file, last_day, expected):
    coverage = Coverage(date(2026, 1, 1), last_day)
    runs = plan(batch_file, "periods: latest-complete\n", coverage=coverage, site="lisbon")
    assert [run.period for run in runs] == [expected]


def test_without_a_complete_period_the_latest_complete_one_is_an_error(batch_file):
    coverage = Coverage(date(2026, 1, 20), date(2026, 1, 25))
    with pytest.raises(ValueError, match="periods: the audits do not cover any month from start to end"):
        plan(batch_file, "periods: latest-complete\n", {"lisbon": ["2026-01"]}, coverage=coverage)


@pytest.mark.parametrize(
    ("baseline_periods", "expected"),
    [(0, ["2026-03"]), (1, ["2026-02", "2026-03"]), (5, ["2026-01", "2026-02", "2026-03"])],
)
def test_the_notebooks_over_all_sites_also_cover_the_baseline_of_the_latest_period(
    batch_file, baseline_periods, expected
):
    runs = plan(batch_file, f"periods: {{last: 1}}\nbaseline_periods: {baseline_periods}\n")
    assert [run.folder for run in runs] == ["lisbon/2026-03", "NO/2026-03", "_ground_truth", "_portfolio"]
    assert runs[-1].parameters["periods"] == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sites: [lisbo]\n", "sites: 'lisbo' is not in the data (nearest known: 'lisbon')"),
        ("periods: [2026-04]\n", "periods: 2026-04 is not in the data (nearest known: '2026-0"),
        ("periods: [2026-W15]\n", "periods: 2026-W15 is not in the data"),
        ("parameters: {alhpa: 0.1}\n", "parameters: no notebook has 'alhpa' (nearest known: 'alpha')"),
        ("parameters: {order: 2.5}\n", "parameters: order is '2.5', but deep.ipynb wants int"),
        ("parameters: {order: null}\n", "parameters: order is None, but deep.ipynb wants int"),
        ("parameters: {alpha: nan}\n", "parameters: alpha is 'nan', but deep.ipynb wants float"),
        ("parameters: {dimensions: policy}\n", "parameters: dimensions is 'policy', but deep.ipynb wants list[str]"),
        ("parameters: {site: x}\n", "parameters: 'site' is set by the batch itself"),
    ],
)
def test_an_unknown_name_or_a_wrong_type_gives_one_error_with_file_and_key(batch_file, text, message):
    with pytest.raises(ValueError) as caught:
        plan(batch_file, text)
    assert type(caught.value) is ValueError
    assert str(caught.value).startswith(f"{batch_file}: ")
    assert message in str(caught.value)


def test_a_parameter_without_a_default_has_to_be_given(batch_file, write_parameter_notebook, deep_dive_parameters):
    write_parameter_notebook("deep.ipynb", deep_dive_parameters + "name: str\nevents: str  # a table\n")
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


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("steps = 3\n", "`steps = 3` is not `name: type = value`"),
        ("start: date = None\n", "`start: date = None` is not `name: type = value`, type str, int, float, bool"),
        ("if\n", "cannot read the cell tagged parameters"),
    ],
)
def test_a_notebook_with_an_untyped_parameter_is_refused(
    batch_file, write_parameter_notebook, deep_dive_parameters, line, message
):
    write_parameter_notebook("deep.ipynb", deep_dive_parameters + line)
    with pytest.raises(ValueError, match=r"deep\.ipynb") as caught:
        plan(batch_file, "")
    assert message in str(caught.value)


def test_a_notebook_without_the_parameter_output_is_refused(batch_file, write_parameter_notebook, deep_dive_parameters):
    write_parameter_notebook("deep.ipynb", deep_dive_parameters.replace("output", "folder"))
    with pytest.raises(ValueError, match=r"deep\.ipynb: parameters: 'output' is not declared"):
        plan(batch_file, "")


def test_a_batch_without_audits_is_an_error(batch_file):
    with pytest.raises(ValueError, match="nothing to run"):
        plan(batch_file, "", {"lisbon": []}, site="lisbon")
