"""Every KPI by period, read from the reports of a batch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from rca_lib.findings import Estimate, Quantity
from rca_lib.reporting.index import SITE_REPORT_GLOB

KPIS = {  # by question and kind of finding
    ("quality", "level"): "accuracy",
    ("quality", "severity"): "severity-weighted accuracy",
    ("quality", "over"): "over-enforcement",
    ("quality", "under"): "under-enforcement",
    ("correction", "corrected"): "error rate corrected for audit error",
    ("reliability", "agreement"): "agreement (alpha)",
}
COLUMNS = ["kpi", "site", "period", "value", "low", "high", "unit"]
KpiRow = tuple[str, str, str, float, float, float, str]


def read_kpi_series(output: Path | str) -> pd.DataFrame | None:
    """Read every KPI from all deep dives of a batch.

    Parameters
    ----------
    output
        The folder of a report in the batch; its parent holds the deep dives. "" outside a batch.

    Returns
    -------
    pandas.DataFrame or None
        A row per `kpi`, `site` and `period`: `value` with its interval `low` to `high`, and its `unit`. Reports whose
        last run failed are left out. None where there is no report.
    """
    files = sorted(Path(output).parent.glob(f"{SITE_REPORT_GLOB}/findings.json")) if output else []
    rows = [row for file in files if not _has_failed_later(file.with_name("run.json")) for row in _read_kpis(file)]
    if not rows:
        return None
    series = pd.DataFrame(rows, columns=COLUMNS)
    order = {kpi: index for index, kpi in enumerate(KPIS.values())}
    return series.sort_values(["kpi", "site", "period"], key=lambda names: names.replace(order), ignore_index=True)


def pivot_kpi_series(series: pd.DataFrame | None) -> pd.DataFrame | None:
    """Return a table with a row per KPI and site, and a column per period.

    Parameters
    ----------
    series
        From `read_kpi_series`.

    Returns
    -------
    pandas.DataFrame or None
        Each cell holds the number with its interval as text. None where `series` is None.
    """
    if series is None:
        return None
    numbers = series[["value", "low", "high", "unit"]].itertuples(index=False, name=None)
    cells = [_format_cell(*number) for number in numbers]
    table = series.assign(cell=cells).pivot(index=["kpi", "site"], columns="period", values="cell")
    kpis_and_sites = series.set_index(["kpi", "site"]).index.unique()
    return table.loc[kpis_and_sites].fillna("–").reset_index()


def _format_cell(value: float, low: float, high: float, unit: str) -> str:
    """Return a number with its interval, if it has one."""
    has_interval = pd.notna(low) and pd.notna(high)
    return str(Estimate(value, low, high, unit) if has_interval else Quantity(value, unit))


def _has_failed_later(record: Path) -> bool:
    """Whether a later run of a report failed, so that the earlier report still stands."""
    return record.exists() and bool(json.loads(record.read_text(encoding="utf-8")).get("failed"))


def _read_kpis(file: Path) -> Iterator[KpiRow]:
    report = json.loads(file.read_text(encoding="utf-8"))
    for finding in report["findings"]:
        kpi = KPIS.get((finding["question"], finding["kind"]))
        if kpi and "value" in finding:
            value, low, high, unit = (finding[name] for name in ("value", "low", "high", "unit"))
            yield kpi, report["site"], report["period"], value, low, high, unit
