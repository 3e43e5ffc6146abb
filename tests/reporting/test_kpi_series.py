"""KPIs by period, from the reports of a batch."""

import json

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from rca_lib.reporting.kpi_series import pivot_kpi_series, read_kpi_series
from rca_lib.reporting.plots.kpi_series import plot_kpi_series


@pytest.fixture
def batch(tmp_path):
    """Return the portfolio folder of a batch with four reports and an empty report folder."""
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


def test_the_series_contains_every_kpi_of_every_report(batch):
    series = read_kpi_series(batch)
    assert series[["kpi", "site", "period", "value"]].to_numpy().tolist() == [
        [kpi, site, period, value]
        for kpi, values in (("accuracy", (0.94, 0.91)), ("agreement (alpha)", (0.8, 0.8)))
        for site in ("<b>", "a")
        for period, value in zip(("2026-01", "2026-02"), values, strict=True)
    ]
    table = pivot_kpi_series(series)
    assert table.columns.tolist() == ["kpi", "site", "2026-01", "2026-02"]
    assert table.iloc[0].tolist() == ["accuracy", "<b>", "94.0 % (92.0 to 96.0)", "91.0 % (89.0 to 93.0)"]


def test_without_reports_there_is_no_series(tmp_path):
    assert read_kpi_series("") is None and read_kpi_series(tmp_path / "_portfolio") is None
    assert pivot_kpi_series(None) is None


@pytest.mark.parametrize("sites", [1, 12])
def test_each_kpi_gets_a_panel(batch, sites):
    series = read_kpi_series(batch)
    many_sites = pd.concat([series.assign(site=f"site {number:02}") for number in range(sites)]).drop_duplicates(
        ["kpi", "site", "period"]
    )
    ax = plot_kpi_series(many_sites)
    assert len(ax.figure.axes) == 2
    assert f"2 KPIs of {sites} site" in ax.get_title(loc="left")
    assert len(ax.containers) == sites
    plt.close(ax.figure)
    own_axes = plt.figure().subplots()
    assert plot_kpi_series(many_sites, own_axes) is own_axes
    plt.close(own_axes.figure)
