"""How often is a headline false, and how often does it name what happened? `python tests/benchmarks/bench_headlines.py`

    python tests/benchmarks/bench_headlines.py [--reports N] [--power N] [--first SEED] [--sizes 30 100] [--full]

Each report is of one site and period, with some periods before it. In quiet reports nothing was planted, and a headline
"worse", "better", "mix" or "artefact" that is marked *shown* is false. Two generators draw the audits:

- `package`: `simulate_audits`, of which as many audits as wanted are kept, with its own weights; its raters are put
  together to so many as wanted.
- `independent`: written here. Raters' error rates are beta distributed (intraclass correlation .02 to .05) and wander
  from period to period, an item has a difficulty that all its judgments share, days differ, three queues have
  different rates, weights are log-normal.

Sizes, raters, kind of period, weights and judgments an item are drawn anew for each report; the table shows every
margin with Wilson's interval. Beside it stands what is usual, a z-test of the two error rates at .05. Power is the
share of reports with a *shown* headline "worse" where the error rate doubled everywhere, rose by 8 points everywhere,
or by 8 points in one queue.

Measured on 1,500 quiet reports (seeds from 90000): 22 false, .015 (.010 to .022); at 30, 50, 100, 200 and 500 audits
.000, .010, .017, .030, .017; no margin above .032 with an upper bound above .055; the z-test .093, and .189 with 20
judgments an item. Power at 100, 200, 500 audits: doubled .07, .42, .62; +8 pp .08, .24, .75; in one queue .00, .04, .14
(110 to 150 reports each). Below 100 audits hardly anything is shown.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from itertools import product

import numpy as np
import pandas as pd

from rca_lib.audits.counting import keep_proportional
from rca_lib.audits.periods import get_period
from rca_lib.audits.sampling import describe_sampling
from rca_lib.audits.schema import DIMENSIONS, EVENTS, list_columns
from rca_lib.audits.taxonomy import read_taxonomy
from rca_lib.audits.time_series import count_over_time
from rca_lib.intake.ledger import Ledger
from rca_lib.questions.alternative_explanations import assess_alternatives
from rca_lib.questions.drivers import rank_drivers
from rca_lib.questions.quality import measure_quality
from rca_lib.questions.trend import date_slices, find_changes
from rca_lib.reporting.deep_dive import DeepDive, rank_deep_dive_causes, run_deep_dive
from rca_lib.reporting.headline import Headline, build_headline
from rca_lib.reporting.verdict_inputs import compute_verdict_inputs
from rca_lib.simulation.synthetic_audits import simulate_audits
from rca_lib.stats.proportions import wilson_interval
from rca_lib.store.cases import Case

SIZES, RATERS, JUDGMENTS = (30, 50, 100, 200, 500), (4, 6, 12, 25, 60), (1, 5, 20)
FALSE = ("worse", "better", "mix", "artefact")
PLANTED = {"nothing": (1.0, 0.0, False), "doubled": (2.0, 0.0, False), "+8 pp": (1.0, 0.08, False),
           "+8 pp in a queue": (1.0, 0.08, True)}  # fmt: skip
LAST_DAY = date(2026, 3, 29)  # a Sunday; for months the periods end on the last day of March


@dataclass(frozen=True)
class Cell:
    """What a report is like; `judgments` is how many raters judge an item."""

    generator: str
    kind: str
    size: int
    raters: int
    weighted: bool
    judgments: int


CELLS = [
    Cell(*cell)
    for cell in product(("package", "independent"), ("week", "month"), SIZES, RATERS, (False, True), JUDGMENTS)
    if cell[0] == "independent" or cell[5] == 1  # the package's generator judges an item once
]


def draw_case(cell: Cell, seed: int, planted: str = "nothing") -> Case:
    """Draw the audits of a site and all periods up to the one that the report is of; the same seed draws the same."""
    rng = np.random.default_rng([CELLS.index(cell), seed])
    count = 6 if cell.kind == "week" else 3
    last = get_period(LAST_DAY, cell.kind)
    periods = [last]
    while len(periods) < count:
        periods.insert(0, get_period(periods[0].start - timedelta(days=1), cell.kind))
    draw = _draw_package if cell.generator == "package" else _draw_independent
    tables = draw(rng, cell, periods, PLANTED[planted])
    return make_case(tables, periods)


def make_case(tables: list[pd.DataFrame], periods: list) -> Case:
    """Make the case that `open_case` would of these audits, one table per period."""
    history, current = pd.concat(tables, ignore_index=True), tables[-1]
    baseline = tables[-2] if len(tables) > 1 else None
    rows = len(history)
    ledger = Ledger("memory", "", rows, rows, 0, 0, 0, columns=tuple(history), sites=("here",))
    return Case(
        site="here", period=periods[-1], baseline_periods=tuple(part.name for part in periods[-2:-1]),
        current=keep_proportional(current),
        baseline=None if baseline is None else keep_proportional(baseline),
        history=keep_proportional(history), all_audits=current, baseline_all_audits=baseline,
        ratings=pd.DataFrame(columns=["item_id", "rater", "label"]),
        events=pd.DataFrame(columns=list_columns(EVENTS)).astype({"start": "datetime64[ns]"}),
        targets=pd.DataFrame(columns=["metric", "scope", "contract"]), taxonomy=read_taxonomy(None),
        dimensions=tuple(name for name in DIMENSIONS if name in history), ledger=ledger, fingerprint="0" * 64,
    )  # fmt: skip


@cache
def _simulated(seed: int) -> pd.DataFrame:
    audits = simulate_audits(sites=("here",), start=date(2026, 1, 1), months=3, audits_per_month=5000, seed=seed).audits
    return audits[audits["stream"].isin(["random", "stratified"]) & (audits["audit_round"] == 1)]


def _draw_package(rng: np.random.Generator, cell: Cell, periods: list, planted: tuple) -> list[pd.DataFrame]:
    audits = _simulated(int(rng.integers(40)))
    people = {name: f"r{rng.integers(cell.raters)}" for name in audits["rater"].unique()}
    audits = audits.assign(rater=audits["rater"].map(people))
    if not cell.weighted:
        audits = audits.drop(columns="weight")
    days, tables = pd.to_datetime(audits["day"]).dt.date, []
    for period in periods:
        held = audits[(days >= period.start) & (days < period.end)]
        chosen = rng.choice(len(held), cell.size, replace=False)
        table = held.iloc[np.sort(chosen)].copy()
        table["audit_id"] = [f"{period.name}-{number}" for number in range(len(table))]
        tables.append(table)
    factor, rise, one_queue = planted
    rate = float((audits["label"] != audits["truth"]).mean())
    now = tables[-1]
    inside = (now["queue"] == now["queue"].mode()[0]) | (not one_queue)
    add = ((factor - 1) * rate + rise) / (1 - rate)
    struck = inside & (now["label"] == now["truth"]) & (rng.random(len(now)) < add)
    now["label"] = now["label"].where(~struck, np.where(now["truth"] == "benign", "spam", "benign"))
    if "error" in now:
        now["error"] = (now["label"] != now["truth"]).astype(now["error"].dtype)
    return tables


def _draw_independent(rng: np.random.Generator, cell: Cell, periods: list, planted: tuple) -> list[pd.DataFrame]:
    rate, icc = rng.uniform(0.03, 0.15), rng.uniform(0.02, 0.05)
    skill = rng.beta(rate * (1 / icc - 1), (1 - rate) * (1 / icc - 1), cell.raters)
    load, hard = rng.lognormal(0, 0.5, cell.raters), np.array([0.6, 1.0, 1.6])
    work = np.array([0.5, 0.3, 0.2])
    hard, sure = hard / (hard @ work), rng.uniform(0.5, 4)  # the larger, the less items differ in difficulty
    factor, rise, one_queue = planted
    tables = []
    for period in periods:
        items = -(-cell.size // cell.judgments)
        day = rng.integers(0, period.days, items)
        effects = np.exp(rng.normal(0, 0.2, period.days))
        queue = rng.choice(3, items, p=work)
        difficulty = rng.gamma(sure, 1 / sure, items)
        weight = rng.lognormal(0, 0.8, items)
        item = np.repeat(np.arange(items), cell.judgments)[: cell.size]
        rater = rng.choice(cell.raters, cell.size, p=load / load.sum())
        wander = np.exp(rng.normal(0, 0.15, cell.raters))
        chance = (skill * wander)[rater] * (hard[queue] * difficulty * effects[day])[item]
        if period is periods[-1]:
            chance = chance * factor + rise * ((queue[item] == 0) | (not one_queue))
        wrong = rng.random(cell.size) < np.clip(chance, 0, 0.95)
        truth = rng.choice(["benign", "spam", "hate"], items, p=[0.6, 0.2, 0.2])[item]
        table = pd.DataFrame({
            "audit_id": [f"{period.name}-{number}" for number in range(cell.size)],
            "item_id": [f"{period.name}-{number}" for number in item],
            "rater": [f"r{number}" for number in rater], "queue": np.array(["video", "image", "text"])[queue[item]],
            "label": np.where(wrong, np.where(truth == "benign", "spam", "benign"), truth), "truth": truth,
            "policy": truth, "day": [period.start + timedelta(days=int(one)) for one in day[item]],
        })  # fmt: skip
        tables.append(table.assign(weight=weight[item]) if cell.weighted else table)
    return tables


def ask(case: Case, *, full: bool = False) -> Headline:
    """Write the headline from the answers that it reads; `full` asks every question, as a report does."""
    if full:
        return build_headline(run_deep_dive(case))
    sampling = describe_sampling(case.all_audits, case.baseline_all_audits)
    quality = measure_quality(case.current, case.targets, benign=case.benign)
    trend = find_changes(count_over_time(case.history), events=case.events)
    drivers = rank_drivers(case.baseline, case.current, case.dimensions)
    dates = date_slices(case.history, drivers.slices)
    alternatives = assess_alternatives(case.baseline_all_audits, case.all_audits, slices=drivers.slices)
    causes = rank_deep_dive_causes(case, sampling, quality, trend, drivers, dates, alternatives)
    given = {
        "case": case, "sampling": sampling, "quality": quality, "trend": trend, "drivers": drivers,
        "slice_trends": dates, "alternatives": alternatives, "verdict_inputs": compute_verdict_inputs(case, drivers),
        "causes": causes,
    }  # fmt: skip
    return build_headline(DeepDive(**dict.fromkeys(DeepDive.__slots__) | given))


def z_test(case: Case) -> bool:
    """Return whether the usual test of two error rates calls the change significant at .05."""
    tables = case.baseline, case.current
    errors = [int((table["label"] != table["truth"]).sum()) for table in tables]
    sizes = [len(table) for table in tables]
    pooled = sum(errors) / sum(sizes)
    spread = np.sqrt(pooled * (1 - pooled) * sum(1 / size for size in sizes))
    return bool(spread > 0 and abs(errors[1] / sizes[1] - errors[0] / sizes[0]) > 1.96 * spread)


def run(reports: int, first: int, planted: str, sizes: list[int], *, full: bool) -> pd.DataFrame:
    """Write reports of cells drawn at random; a row each with its verdict, its grade and the z-test's word."""
    cells, rows = [cell for cell in CELLS if cell.size in sizes], []
    rng = np.random.default_rng(first)
    order = np.concatenate([rng.permutation(len(cells)) for _ in range(-(-reports // len(cells)))])[:reports]
    for number, place in enumerate(order):
        case = draw_case(cells[place], first + number, planted)
        found = ask(case, full=full)
        shown = found.grade == "shown" and found.verdict in FALSE
        row = {"seed": first + number, "verdict": found.verdict, "shown": shown, "z": z_test(case)}
        rows.append({**vars(cells[place]), **row})
    return pd.DataFrame(rows)


def show_margins(found: pd.DataFrame, columns_: tuple[str, ...]) -> Iterator[str]:
    """Write a line per value of each property: the share of shown headlines with its interval, and the z-test's."""
    groups = [("all", "", found)]
    groups += [(name, value, part) for name in columns_ for value, part in found.groupby(name)]
    for name, value, part in groups:
        low, high = wilson_interval(part["shown"].sum(), len(part))
        yield (
            f"| {name} {value} | {len(part)} | {part['shown'].sum()} | {part['shown'].mean():.3f} |"
            f" {low:.3f} to {high:.3f} | {part['z'].mean():.3f} |"
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reports", type=int, default=len(CELLS))
    parser.add_argument("--power", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--sizes", type=int, nargs="*", default=list(SIZES))
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--save", default="")
    given = parser.parse_args()
    found = run(given.reports, given.first, "nothing", given.sizes, full=given.full)
    if given.save:
        found.to_csv(given.save, index=False)
    print("| false headlines | reports | shown | rate | 95 % | z-test |\n|---|---|---|---|---|---|")  # noqa: T201
    print("\n".join(show_margins(found, tuple(vars(CELLS[0])))))  # noqa: T201
    print("\n", found["verdict"].value_counts().to_string())  # noqa: T201
    for planted in [name for name in PLANTED if name != "nothing"] if given.power else []:
        found = run(given.power, given.first, planted, given.sizes, full=given.full)
        found["shown"] &= found["verdict"] == "worse"
        print(f"\n| {planted} | reports | worse | power | 95 % | z-test |\n|---|---|---|---|---|---|")  # noqa: T201
        print("\n".join(show_margins(found, ("size", "raters", "judgments"))))  # noqa: T201


if __name__ == "__main__":
    main()
