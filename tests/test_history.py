"""History: what page one says, beside what it said before; and every KPI over all reports of a batch."""

import json

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from rca_lib.reporting.history import Change, compare_claims, lay_out_series, read_series, tell_changes
from rca_lib.reporting.plots.history import plot_series


def claims(**sections):
    """Claims of page one: a section by its id and its sentences."""
    return [
        {"id": f"{section.replace('_', '-')}-{place}", "sentence": sentence}
        for section, sentences in sections.items()
        for place, sentence in enumerate(sentences, 1)
    ]


def test_what_reads_the_same_is_no_change():
    page = claims(how_much=["Accuracy 93.0 %.", "Target met."], where=["queue = video: 40 errors."])
    assert compare_claims(page, page) == ()


def test_claims_are_paired_by_what_they_speak_of_not_by_their_place():
    now = claims(how_much=["Over-enforcement target: met at 5.7 %.", "Accuracy 93.0 % (91.9 to 94.0)."])
    then = claims(how_much=["Accuracy 94.3 % (93.0 to 95.3).", "Over-enforcement target: met at 4.8 %."])
    assert compare_claims(now, then) == (
        Change("How much", "Over-enforcement target: met at 5.7 %.", "Over-enforcement target: met at 4.8 %."),
        Change("How much", "Accuracy 93.0 % (91.9 to 94.0).", "Accuracy 94.3 % (93.0 to 95.3)."),
    )


def test_a_claim_that_is_new_or_gone_has_nothing_beside_it():
    now, then = claims(where=["queue = video: 40 errors."]), claims(why=["Hiring class of February fits."])
    assert compare_claims(now, then) == (
        Change("Where", "queue = video: 40 errors.", ""),
        Change("Why", "", "Hiring class of February fits."),
    )


def test_claims_that_speak_of_different_things_stand_side_by_side():
    now, then = claims(why=["queue = video: a tool release fits."]), claims(why=["No cause."])
    assert compare_claims(now, then) == (Change("Why", "queue = video: a tool release fits.", "No cause."),)


def test_the_section_escapes_what_claims_hold_and_leaves_out_the_data_of_another_period():
    now = claims(where=["queue = <script>: 40 errors."], data_used=["100 rows."])
    then = claims(where=["queue = <b>: 10 errors."], data_used=["90 rows."])
    run = {"started": "2026-11-20T10:00:00+00:00", "data": "f" * 64, "claims": then}
    told = tell_changes(now, "2026-02", then, run)
    assert "<script>" not in told and "queue = &lt;script&gt;" in told
    of_the_period, _, of_the_run = told.partition("Against the run before")
    assert "90 rows" not in of_the_period
    assert "90 rows" in of_the_run and "Run of 2026-11-20" in of_the_run


def test_it_is_said_when_there_is_nothing_to_compare_with():
    told = tell_changes(claims(where=["x"]), "2026-02", None, None)
    assert "There is no report of 2026-02" in told
    assert "not reported before" in told


@pytest.fixture
def batch(tmp_path):
    """A batch's folder with four reports and a failed one; returns the folder of its portfolio."""
    level = {"question": "quality", "kind": "level", "unit": "%"}
    alpha = {"question": "reliability", "kind": "agreement", "unit": ""}
    for site in ("a", "<b>"):
        for period, value in (("2026-01", 0.94), ("2026-02", 0.91)):
            folder = tmp_path / site.replace("<", "%3C").replace(">", "%3E") / period
            folder.mkdir(parents=True)
            findings = [alpha | {"value": 0.8, "low": 0.7, "high": 0.9}]
            findings += [
                level | {"value": value, "low": value - 0.02, "high": value + 0.02},
                {**level, "kind": "policy"},
            ]
            (folder / "findings.json").write_text(
                json.dumps({"site": site, "period": period, "findings": findings}), encoding="utf-8"
            )
    (tmp_path / "a" / "2026-03").mkdir()
    return tmp_path / "_portfolio"


def test_the_series_holds_every_kpi_of_every_report(batch):
    series = read_series(batch)
    assert series[["kpi", "site", "period", "value"]].to_numpy().tolist() == [
        [kpi, site, period, value]
        for kpi, values in (("accuracy", (0.94, 0.91)), ("agreement (alpha)", (0.8, 0.8)))
        for site in ("<b>", "a")
        for period, value in zip(("2026-01", "2026-02"), values, strict=True)
    ]
    table = lay_out_series(series)
    assert table.columns.tolist() == ["kpi", "site", "2026-01", "2026-02"]
    assert table.iloc[0].tolist() == ["accuracy", "<b>", "94.0 % (92.0 to 96.0)", "91.0 % (89.0 to 93.0)"]


def test_no_report_is_no_series(tmp_path):
    assert read_series("") is None and read_series(tmp_path / "_portfolio") is None
    assert lay_out_series(None) is None


@pytest.mark.parametrize("sites", [1, 12])
def test_a_panel_is_drawn_for_each_kpi(batch, sites):
    series = read_series(batch)
    many = pd.concat([series.assign(site=f"site {number:02}") for number in range(sites)]).drop_duplicates(
        ["kpi", "site", "period"]
    )
    ax = plot_series(many)
    assert len(ax.figure.axes) == 2
    assert f"2 KPIs of {sites} site" in ax.get_title(loc="left")
    assert len(ax.containers) == sites
    plt.close(ax.figure)
    own = plt.figure().subplots()
    assert plot_series(many, own) is own
    plt.close(own.figure)
