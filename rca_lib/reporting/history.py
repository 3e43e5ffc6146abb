"""What changed since the last report: page one beside that of the period before, and beside that of the run before."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import pandas as pd

from rca_lib.findings import Estimate
from rca_lib.reporting.html import fill_template

ALIKE = 0.6  # of two sentences without their numbers, from where they speak of the same thing
NUMBERS = re.compile(r"[\d.,:−-]*\d")
KPIS = {
    ("quality", "level"): "accuracy",
    ("quality", "severity"): "accuracy weighted by severity",
    ("quality", "over"): "over-enforcement",
    ("quality", "under"): "under-enforcement",
    ("correction", "corrected"): "errors without the audit's own",
    ("reliability", "agreement"): "agreement (alpha)",
}
OF_THE_DATA = "Data used"  # differs between two periods by its nature
Claims = Sequence[Mapping[str, Any]]  # as claims.json holds them


@dataclass(frozen=True, slots=True)
class Change:
    """A claim now and then, as sentences; "" where there is no such claim. `section` is the row of page one."""

    section: str
    now: str
    then: str


def compare_claims(now: Claims, then: Claims) -> tuple[Change, ...]:
    """Pair the claims of two pages and return those that do not read the same, in the order of page one.

    Two claims of a section are a pair where their sentences without the numbers are alike, the most alike first; those
    that are left are paired in their order.

    Notes
    -----
    It compares what the pages say; whether a difference is more than chance, the page's own intervals say.

    Examples
    --------
    >>> claim = {"id": "how-much-1", "sentence": "Accuracy 93.0 %."}
    >>> compare_claims([claim], [claim | {"sentence": "Accuracy 94.1 %."}])
    (Change(section='How much', now='Accuracy 93.0 %.', then='Accuracy 94.1 %.'),)
    """
    return tuple(change for change in _pair(now, then) if change.now != change.then)


def tell_changes(claims: Claims, period: str, before: Claims | None, run: Mapping[str, Any] | None) -> str:
    """Return a section of HTML: against the page of the period before, called `period`, and that of the `run` before.

    A run is a mapping of when it `started`, of its `data` and its `claims`; None where there is none.
    """
    told = None if before is None else compare_claims(claims, before)
    against_period = told and [change for change in told if change.section != OF_THE_DATA]
    against_run = None if run is None else compare_claims(claims, run["claims"])
    return fill_template(
        "history.html.j2", period=period, against_period=against_period, run=run, against_run=against_run
    )


def read_series(output: Path | str) -> pd.DataFrame | None:
    """Return every KPI of all deep dives of a batch, as their findings tell, for a report in the folder `output` of it.

    Returns
    -------
    pandas.DataFrame
        A row per `kpi`, `site` and `period`: `value` with its interval `low` to `high` and its `unit`. Reports that
        failed are left out; None where there is no report.
    """
    rows = []
    for file in sorted(Path(output).parent.glob("[!._]*/[!.]*/findings.json")) if output else ():
        told, run = json.loads(file.read_text(encoding="utf-8")), file.with_name("run.json")
        if run.exists() and json.loads(run.read_text(encoding="utf-8")).get("failed"):
            continue  # it stands since a later run failed
        for finding in told["findings"]:
            kpi = KPIS.get((finding["question"], finding["kind"]))
            if kpi and "value" in finding:
                numbers = (finding[name] for name in ("value", "low", "high", "unit"))
                rows.append((kpi, told["site"], told["period"], *numbers))
    if not rows:
        return None
    series = pd.DataFrame(rows, columns=["kpi", "site", "period", "value", "low", "high", "unit"])
    places = {kpi: place for place, kpi in enumerate(KPIS.values())}
    return series.sort_values(["kpi", "site", "period"], key=lambda names: names.replace(places), ignore_index=True)


def lay_out_series(series: pd.DataFrame | None) -> pd.DataFrame | None:
    """Return a row per KPI and site and a column per period, each number with its interval as the reports write it."""
    if series is None:
        return None
    cells = [str(Estimate(row.value, row.low, row.high, unit=row.unit)) for row in series.itertuples()]
    table = series.assign(cell=cells).pivot(index=["kpi", "site"], columns="period", values="cell")
    return table.loc[series.set_index(["kpi", "site"]).index.unique()].fillna("–").reset_index()


def _pair(now: Claims, then: Claims) -> Iterator[Change]:
    sections = dict.fromkeys(_section(claim) for claim in (*now, *then))
    for section in sections:
        new, old = ([claim["sentence"] for claim in page if _section(claim) == section] for page in (now, then))
        pairs = _match(new, old)
        rest = iter([sentence for place, sentence in enumerate(old) if place not in pairs.values()])
        for place, sentence in enumerate(new):
            yield Change(section, sentence, old[pairs[place]] if place in pairs else next(rest, ""))
        for sentence in rest:
            yield Change(section, "", sentence)


def _match(new: list[str], old: list[str]) -> dict[int, int]:
    """Return for each new sentence the place of the old one that speaks of the same thing, where there is one."""
    likeness = [
        (SequenceMatcher(None, NUMBERS.sub("#", one), NUMBERS.sub("#", other), autojunk=False).ratio(), -place, -former)
        for place, one in enumerate(new)
        for former, other in enumerate(old)
    ]
    pairs: dict[int, int] = {}
    for alike, place, former in sorted(likeness, reverse=True):
        if alike >= ALIKE and -place not in pairs and -former not in pairs.values():
            pairs[-place] = -former
    return pairs


def _section(claim: Mapping[str, Any]) -> str:
    return claim["id"].rpartition("-")[0].replace("-", " ").capitalize()
