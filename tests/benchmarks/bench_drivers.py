"""How well `rank_drivers` names planted causes: python tests/benchmarks/bench_drivers.py [--cases N] [--seed S].

Each case is one site's audits in a baseline and a current period: seven correlated properties of the work and 150
raters who differ and drift, 20 to 60 thousand audits. A cause is raised until its expected z is 5 (that of its best
face, where it lies in three dimensions; its odds ratio 12 at most), a weak one is left as it was drawn. A slice counts
as found when it holds exactly the audits of a planted one (or of a face of one in three dimensions), in the right
direction. Beside it, what is usual: a z-test of every slice of one and two dimensions, before against after, with
Benjamini and Hochberg's threshold.

In the kinds of low baselines a period has 300 to 3,000 audits with 0 to 1 % of errors, and one value or one of eight
raters then errs in 30 to 100 % of its audits; a new class errs three to six times as often as the others; items judged
20 times differ, so that a quarter of the variance lies between them. There the z-tests are joined by a rule that needs
no statistics: the value of one dimension with the largest rise of errors, if there is a rise.

In the two kinds of counts, 50 thousand to 10 million decisions lie in a few thousand cells that each move on their own.

Prints one table for the kinds, one for stated against realised false alarms over the quiet kinds but the one in which
all values wander (--plot draws it), and the time of ten million audits against the engine's own group-by (--many).
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field
from itertools import combinations

import duckdb
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import expit, logit

from rca_lib.models.changed_slices import Slice
from rca_lib.questions.drivers import rank_drivers

VALUES = {"policy": 10, "language": 5, "queue": 7, "tenure": 4, "shift": 3, "content": 5, "team": 8}
RATERS = 150
# What is planted, by kind: over how many dimensions (or in which), direction, lowest and highest odds ratio.
PLANS = {
    "null": (),
    "null, drift .3": (),
    "mix": (),
    "sampling": (),
    "streams": (),
    "all wander": (),
    "single": (((1,), 1, 1.5, 2.4),),
    "pair": (((2,), 1, 1.9, 3.5),),
    "two": (((1,), 1, 1.5, 2.2), ((1, 2), 1, 1.7, 3.0)),
    "one rater": ((("rater",), 1, 3.5, 7.0),),
    "masked": (((1,), -1, 1.7, 2.4), ((1, 2), 1, 1.6, 2.6)),
    "everywhere": (((0,), 1, 1.2, 1.5),),
    "weighted, single": (((1,), 1, 1.5, 2.4),),
    "300 values": ((("market",), 1, 3.0, 6.0),),
    "three dimensions": (((3,), 1, 2.5, 5.0),),
    "truth change": ((("auditor",), 1, 2.0, 4.0),),
    "weak": (((1, 2), 1, 1.3, 2.2),),
    "counts scatter": (),
    "counts, incident": (((1, 2), 1, 1.5, 6.0),),
    "low baseline, null": (),
    "low baseline, value": (),
    "low baseline, rater": (),
    "new class": (),
    "items judged 20 times, null": (),
    "items judged 20 times": (),
}
KINDS = tuple(PLANS)
QUIET = ("null", "null, drift .3", "mix", "sampling", "streams", "all wander", "counts scatter")
SMALL = KINDS[KINDS.index("low baseline, null") :]  # drawn apart: 300 to 3,000 audits and 0 to 1 % of errors, or items
LEVELS = (0.01, 0.05, 0.1, 0.2)
WEIGHTED = ("sampling", "weighted, single")


@dataclass
class Cause:
    """What was planted: the log `odds` it adds, `contribution` at the average mix, expected z.

    `excess` counts the errors of the current audits that would not be there (negative: that it spared).
    """

    where: dict[str, int]
    sign: int
    odds: float
    excess: float
    contribution: float
    z: float


@dataclass
class Case:
    """Two tables, the dimensions to search, and the causes in them."""

    tables: list[pd.DataFrame]
    dimensions: list[str]
    causes: list[Cause] = field(default_factory=list)


def draw_case(kind: str, seed: int) -> Case:
    """Draw a case of a kind; the same seed gives the same case."""
    draw = np.random.default_rng([KINDS.index(kind), seed, 77])
    if kind.startswith("counts") or kind in SMALL:
        return _draw_small(draw, kind) if kind in SMALL else _draw_counts(draw, PLANS[kind])
    site = _draw_site(draw, markets=300 if kind == "300 values" else 1)
    number, share = int(draw.integers(20000, 60001)) * (8 if kind == "all wander" else 1), draw.uniform(0.5, 0.75)
    even = {"rater": np.ones(RATERS), "queue": np.ones(7), "policy": np.ones(10)}
    tilt = {name: np.exp(draw.normal(0, 0.1, len(one))) for name, one in even.items()}
    if kind == "mix":
        name = draw.choice(["queue", "policy", "rater"])
        tilt[name] = tilt[name] * np.exp(draw.uniform(2, 4) * site[name])
    sizes = int(number * share), number - int(number * share)
    tables = [_draw_work(draw, site, size, one) for size, one in zip(sizes, (even, tilt), strict=True)]
    if kind in WEIGHTED:  # in the current period hard items are kept three times as often as the others
        keep = tables[1]["hard"] | (draw.random(len(tables[1])) < 1 / 3)
        tables[1] = tables[1][keep].reset_index(drop=True)
        tables[1]["weight"] = np.where(tables[1]["hard"], 1.0, 3.0)
    raw = [_log_odds(site, table) + table["hard"] * (kind in (*WEIGHTED, "streams")) for table in tables]
    if kind == "all wander":
        for name, size in VALUES.items():
            raw[1] = raw[1] + draw.normal(0, 0.1, size)[tables[1][name]]
    level = logit(draw.uniform(0.05, 0.09)) - np.log(np.exp(raw[0]).mean())
    drift = draw.normal(0, 0.3 if kind.endswith(".3") else 0.1, RATERS)
    before, after = expit(raw[0] + level), expit(raw[1] + level + drift[tables[1]["rater"]])
    case = Case(tables, [*VALUES, "rater"] + (["market"] if kind == "300 values" else []))
    changed = [before, after]
    for parts, sign, low, high in PLANS[kind]:
        changed = _plant(case, draw, parts, sign, (low, high), changed, least=0 if kind == "weak" else 5)
    _draw_errors(case, draw, (before, changed[1]))
    for table in tables:
        table[case.dimensions] = table[case.dimensions].astype(str)
        if kind not in WEIGHTED:
            del table["weight"]
    if kind == "streams":
        _target(draw, tables)
    return case


def _draw_small(draw: np.random.Generator, kind: str) -> Case:
    """Draw few audits, next to none of them wrong before; or items that many people judged."""
    judged, fresh = kind.startswith("items"), kind == "new class"
    number = 2000 if judged else int(draw.choice([300, 1000, 3000])) * (2 if fresh else 1)
    rate = 0.08 if judged else 0.05 if fresh else draw.choice([0.0, 0.003, 0.01])
    skill, tables, chances = draw.normal(0, 0.3, 40), [], []
    for period in (0, 1):
        item = np.repeat(np.arange(number // 20), 20) if judged else np.arange(number)
        made = pd.DataFrame({"policy": draw.integers(0, 4, number), "queue": draw.integers(0, 3, number)}).iloc[item]
        rater = draw.integers(0, 32 if fresh else 8, number)
        rater = np.where(fresh & (period == 1) & (draw.random(number) < 0.15), draw.integers(32, 40, number), rater)
        table = made.assign(rater=rater, hiring_class=rater // 8, item_id=item + period * number)
        odds = logit(np.clip(rate, 1e-9, 1)) + skill[rater] + judged * draw.normal(0, 1.3, number)[item]
        tables.append(table.reset_index(drop=True).assign(weight=1.0))
        chances.append(expit(odds))
    case = Case(tables, ["policy", "queue", "rater", "hiring_class"] if fresh else ["policy", "queue", "rater"])
    if not kind.endswith("null"):
        name = "hiring_class" if fresh else "rater" if kind.endswith("rater") else "policy"
        where = {name: 4 if fresh else int(draw.integers(4))}
        inside, to = _members(tables[1], where), draw.uniform(0.3, 1) if not (fresh or judged) else 0.0
        lifted = expit(logit(chances[1]) + np.log(draw.uniform(3, 6)) * (1 if fresh else 2))
        moved = np.where(inside, lifted if fresh or judged else to, chances[1])
        luck = draw.random(number)
        tables[1]["error"] = (luck < moved).astype(int)
        excess = float(((luck < moved).astype(int) - (luck < chances[1]))[inside].sum())
        case.causes.append(Cause(where, 1, np.nan, excess, np.nan, np.inf))
    else:
        tables[1]["error"] = (draw.random(number) < chances[1]).astype(int)
    tables[0]["error"] = (draw.random(number) < chances[0]).astype(int)
    for table in tables:
        table[case.dimensions] = table[case.dimensions].astype(str)
        del table["weight"]
    return case


def _largest_rise(case: Case) -> list[tuple[dict[str, str], int]]:
    """Name the value of one dimension whose errors rose most: no statistics at all."""
    rises = {}
    for name in case.dimensions:
        sums = [table.groupby(name)["error"].sum() for table in case.tables]
        rises |= {(name, value): rise for value, rise in sums[1].sub(sums[0], fill_value=0).items()}
    best = max(rises, key=rises.get)
    return [({best[0]: best[1]}, 1)] if rises[best] > 0 else []


def _draw_errors(case: Case, draw: np.random.Generator, chances: tuple[np.ndarray, np.ndarray]) -> None:
    """Draw errors, and count those that would not be there without each cause."""
    for table, chance in zip(case.tables, chances, strict=True):
        luck = draw.random(len(table))
        table["error"] = (luck < chance).astype(int)
    for cause in case.causes:
        without = expit(logit(chances[1]) - cause.odds)
        inside = _members(case.tables[1], cause.where)
        cause.excess = float(((luck < chances[1]).astype(int) - (luck < without))[inside].sum())


def _target(draw: np.random.Generator, tables: list[pd.DataFrame]) -> None:
    """Beside the random sample, target hard items, in the current period more of them."""
    for place, share in enumerate((0.1, 0.8)):
        hard = tables[place]["hard"] & (draw.random(len(tables[place])) < share)
        targeted = [tables[place].assign(stream="random"), tables[place][hard].assign(stream="targeted")]
        tables[place] = pd.concat(targeted, ignore_index=True)


def _draw_counts(draw: np.random.Generator, plans: tuple) -> Case:
    """Draw 50 thousand to 10 million decisions in a few thousand cells, each of which also moves on its own.

    An incident raises one to three values (or pairs) of the same dimensions by the same odds ratio.
    """
    sizes = draw.choice([3, 6, 10, 15, 25, 35], int(draw.integers(3, 6)), replace=False)
    codes = np.unique([draw.integers(0, size, 5000) for size in sizes], axis=1)
    number, scatter = codes.shape[1], draw.uniform(0, 0.3)
    weight, base = (
        sum(draw.normal(0, spread, size)[code] for size, code in zip(sizes, codes, strict=True)) for spread in (1, 0.3)
    )
    weight = np.exp(weight + draw.normal(0, 0.7, number))
    base = (
        base
        + draw.normal(0, 0.2, number)
        + logit(draw.uniform(0.02, 0.15))
        - np.log(np.average(np.exp(base), weights=weight))
    )
    items = draw.poisson(weight / weight.sum() * 10 ** draw.uniform(4.4, 6.7), (2, number))
    moved = base + draw.normal(0, scatter, number) - scatter**2 / 2 * (1 - 2 * expit(base))
    names, causes = [f"attribute {place}" for place in range(len(sizes))], []
    chances, changed = (expit(base), expit(moved)), expit(moved)
    for parts, _, low, high in plans:
        odds = np.log(draw.uniform(low, high))
        for where in _choose_places(draw, codes, int(draw.choice(parts)), items[1]):
            inside = np.logical_and.reduce([codes[one] == value for one, value in where.items()])
            changed = np.where(inside, expit(moved + odds), changed)
            excess = float((items[1] * (changed - chances[1]))[inside].sum())  # in the mean, settled below
            spread = np.sqrt((items[1] * chances[1] * (1 - chances[1]))[inside].sum() * 2)
            causes.append(
                Cause({names[one]: value for one, value in where.items()}, 1, odds, excess, np.nan, excess / spread)
            )
    tables = [
        pd.DataFrame(dict(zip(names, codes.astype(str), strict=True))).assign(
            items=count, errors=draw.binomial(count, chance)
        )
        for count, chance in zip(items, (chances[0], changed), strict=True)
    ]
    for cause in causes:  # each error is the cause's with the chance that it would not be there
        share = 1 - expit(logit(changed) - cause.odds) / changed
        inside = _members(tables[1], cause.where)
        cause.excess = float(draw.binomial(tables[1]["errors"], share)[inside].sum())
    return Case([table[table["items"] > 0].reset_index(drop=True) for table in tables], names, causes)


def _choose_places(draw: np.random.Generator, codes: np.ndarray, order: int, items: np.ndarray) -> list[dict[int, int]]:
    """Draw one to three values (or pairs) of the same dimensions, each with 1 to 30 % of the items and four cells."""
    while True:
        chosen = draw.choice(len(codes), order, replace=False)
        values, place, cells = np.unique(codes[chosen], axis=1, return_inverse=True, return_counts=True)
        share = np.bincount(place, items) / items.sum()
        fit = draw.permutation(np.flatnonzero((share > 0.01) & (share < 0.3) & (cells >= 4)))[: draw.integers(1, 4)]
        if len(fit):
            return [{int(one): int(values[row, at]) for row, one in enumerate(chosen)} for at in fit]


def _draw_site(draw: np.random.Generator, markets: int) -> dict[str, np.ndarray]:
    """Draw raters with a team, a tenure, a shift and a language; queues by team, policies by queue; the log odds."""
    spreads = {"policy": 0.45, "language": 0.25, "queue": 0.2, "shift": 0.1, "content": 0.2, "team": 0.1}
    site = {name: draw.normal(0, spread, VALUES[name]) for name, spread in spreads.items()}
    site |= {"tenure": np.array([0.6, 0.3, 0.0, -0.1]), "rater": draw.normal(0, 0.35, RATERS)}
    site |= {"market": draw.normal(0, 0.2, markets), "policy by language": draw.normal(0, 0.15, (10, 5))}
    team = draw.integers(0, 8, RATERS)
    site |= {"team of": team, "language of": (team + (draw.random(RATERS) < 0.3)) % 5}
    site |= {"tenure of": draw.choice(4, RATERS, p=[0.15, 0.2, 0.35, 0.3])}
    site |= {"shift of": draw.choice(3, RATERS, p=[0.5, 0.3, 0.2]), "volume": draw.gamma(5, 0.2, RATERS)}
    site |= {
        "queues": draw.dirichlet(np.full(7, 0.7), 8) + 0.02,
        "policies": draw.dirichlet(np.full(10, 0.8), 7) + 0.01,
    }
    return site | {"contents": draw.dirichlet(np.full(5, 1.5), 10)}


def _draw_work(draw: np.random.Generator, site: dict, number: int, tilt: dict) -> pd.DataFrame:
    volume = site["volume"] * tilt["rater"]
    rater = draw.choice(RATERS, number, p=volume / volume.sum())
    table = {name: site[f"{name} of"][rater] for name in ("team", "tenure", "shift", "language")}
    for name, share in (("shift", 0.08), ("language", 0.06)):
        table[name] = np.where(draw.random(number) < share, draw.integers(0, VALUES[name], number), table[name])
    table["queue"] = _choose(draw, site["queues"] * tilt["queue"], table["team"])
    table["policy"] = _choose(draw, site["policies"] * tilt["policy"], table["queue"])
    table["content"] = _choose(draw, site["contents"], table["policy"])
    table |= {"rater": rater, "market": draw.integers(0, len(site["market"]), number)}
    table["auditor"] = draw.integers(0, 12, number)
    return pd.DataFrame(table).assign(hard=draw.random(number) < 0.25, weight=1.0)


def _choose(draw: np.random.Generator, weights: np.ndarray, given: np.ndarray) -> np.ndarray:
    ladder = np.cumsum(weights / weights.sum(1, keepdims=True), axis=1)
    return np.minimum((draw.random(len(given))[:, None] > ladder[given]).sum(1), weights.shape[1] - 1)


def _log_odds(site: dict, table: pd.DataFrame) -> np.ndarray:
    total = sum(site[name][table[name]] for name in (*VALUES, "rater", "market"))
    return total + site["policy by language"][table["policy"], table["language"]]


def _plant(
    case: Case, draw: np.random.Generator, parts: tuple, sign: int, odds: tuple, chances: list, *, least: float
) -> list:
    where = _choose_place(case, draw, parts)
    inside = [_members(table, where) for table in case.tables]
    weights = [table["weight"].to_numpy() for table in case.tables]
    ratio, seen = draw.uniform(*odds), inside
    if len(where) == 3:  # the search can only see a face: the smallest holds least beside the cause
        faces = ({name: where[name] for name in pair} for pair in combinations(where, 2))
        seen = min(([_members(table, face) for table in case.tables] for face in faces), key=lambda one: one[1].sum())
    while True:
        new = [np.where(one, expit(logit(p) + sign * np.log(ratio)), p) for one, p in zip(inside, chances, strict=True)]
        gained = [new[one] - chances[one] for one in (0, 1)]
        old, weight = chances[1][seen[1]], weights[1][seen[1]]
        sampling = (weight**2 * old * (1 - old)).sum() * (1 + seen[1].sum() / max(seen[0].sum(), 1))
        z = abs((gained[1] * weights[1]).sum()) / np.sqrt(sampling)
        if z >= least or ratio > 12:
            break
        ratio *= 1.1
    means = [(gained[one] * weights[one]).sum() / weights[one].sum() for one in (0, 1)]
    odds = sign * float(np.log(ratio))
    case.causes.append(Cause(where, sign, odds, np.nan, float(sum(means) / 2), float(z)))
    return new


def _choose_place(case: Case, draw: np.random.Generator, parts: tuple) -> dict[str, int]:
    """Draw a place of a size that matters and that is not nearly one of its parents."""
    part = parts[draw.integers(len(parts))]
    taken = {name for cause in case.causes for name in cause.where}
    names = [part] if isinstance(part, str) else sorted(set(VALUES) - taken)
    bounds = {0: (0, 1), 1: (0.05, 0.35), 2: (0.012, 0.09), 3: (0.008, 0.05)}
    low, high = bounds[part] if not isinstance(part, str) else (0.5 / case.tables[1][part].nunique(), 1)
    while True:
        chosen = names if isinstance(part, str) else list(draw.choice(names, part, replace=False))
        where = {name: int(draw.integers(case.tables[1][name].max() + 1)) for name in chosen}
        share, before = (_members(table, where).mean() for table in case.tables[::-1])
        parents = [_members(case.tables[1], {name: value}).mean() for name, value in where.items()]
        if low <= share <= high and before >= 0.7 * low and (len(where) < 2 or share <= 0.7 * min(parents)):
            return where


def _members(table: pd.DataFrame, where: dict) -> np.ndarray:
    return (
        np.logical_and.reduce([table[name].astype(str) == str(value) for name, value in where.items()] or [True])
        if where
        else np.ones(len(table), bool)
    )


def score_case(kind: str, seed: int) -> dict[str, float]:
    """Run one case and count what was found."""
    case = draw_case(kind, seed)
    begin = time.process_time()
    drivers = rank_drivers(*case.tables, case.dimensions)
    seconds = time.process_time() - begin
    named = drivers.named_slices
    rival, rise = _z_tests(case), _largest_rise(case) if kind in SMALL else []
    pairs = [(cause, _match(case, cause, named)) for cause in case.causes]
    hits = [(cause, one) for cause, one in pairs if one is not None]
    worse, better = ([cause for cause in case.causes if cause.sign == sign] for sign in (1, -1))
    exact = [pair for pair in hits if len(pair[0].where) < 3]
    return {
        "kind": kind,
        "seconds": seconds,
        "planted": len(worse),
        "named": sum(one.direction > 0 for one in named),
        "found": sum(cause.sign > 0 for cause, _ in hits),
        "strong": all(cause.z >= 6.5 for cause in case.causes) and bool(case.causes),
        "better": len(better),
        "better found": sum(cause.sign < 0 for cause, _ in hits),
        "alarm": bool(named) if not case.causes else len(named) > len(hits),
        "rival named": sum(sign > 0 for _, sign in rival),
        "rival found": sum(any(_same(case, cause, *one) for one in rival) for cause in worse),
        "rival alarm": bool(rival) if not case.causes else True,
        "rise named": len(rise),
        "rise found": sum(any(_same(case, cause, *one) for one in rise) for cause in worse),
        "excess": sum(abs(one.excess.value) for _, one in exact),
        "naive": sum(abs(one.unadjusted_excess) for _, one in exact),
        "true": sum(abs(cause.excess) for cause, _ in exact),
        "intervals": len(exact),
        "covered": sum(one.excess.low <= cause.excess <= one.excess.high for cause, one in exact),
        "shares": sum(np.isfinite(cause.contribution) for cause, _ in exact),
        "share covered": sum(
            one.contribution.low <= cause.contribution <= one.contribution.high for cause, one in exact
        ),
    }


def _match(case: Case, cause: Cause, named: list[Slice]) -> Slice | None:
    wanted = {name: str(value) for name, value in cause.where.items()}
    members = _members(case.tables[1], wanted)
    for one in named:
        face = len(wanted) == 3 and len(one.where) == 2 and set(one.where.items()) <= set(wanted.items())
        if one.direction == cause.sign and (face or (_members(case.tables[1], one.where) == members).all()):
            return one
    return None


def _z_tests(case: Case) -> list[tuple[dict[str, str], int]]:
    """Name every slice whose raw rate differs, at a false-discovery rate of .05."""
    found, p_values = [], []
    few = [name for name in case.dimensions if case.tables[1][name].nunique() < 40]
    for names in [*((one,) for one in case.dimensions), *combinations(few, 2)]:
        sums = [
            table.groupby(list(names))[["errors", "items"]].sum().set_axis(["sum", "count"], axis=1)
            if "items" in table
            else table.groupby(list(names))["error"].agg(["sum", "count"])
            for table in case.tables
        ]
        both = sums[0].join(sums[1], suffixes=("_old", "_new"), how="inner")
        pooled = (both["sum_old"] + both["sum_new"]) / (both["count_old"] + both["count_new"])
        error = np.sqrt(pooled * (1 - pooled) * (1 / both["count_old"] + 1 / both["count_new"]))
        z = ((both["sum_new"] / both["count_new"] - both["sum_old"] / both["count_old"]) / error).fillna(0)
        keys = [key if isinstance(key, tuple) else (key,) for key in both.index]
        found += [(dict(zip(names, key, strict=True)), int(np.sign(one))) for key, one in zip(keys, z, strict=True)]
        p_values += (2 * stats.norm.sf(np.abs(z))).tolist()
    called = stats.false_discovery_control(p_values) <= 0.05
    return [one for one, here in zip(found, called, strict=True) if here]


def _same(case: Case, cause: Cause, where: dict[str, str], sign: int) -> bool:
    members = (_members(case.tables[1], one) for one in (where, cause.where))
    return sign == cause.sign and bool((next(members) == next(members)).all())


def _line(name: str, rows: pd.DataFrame) -> str:
    def f1(part: pd.DataFrame) -> str:
        total = part["named"].sum() + part["planted"].sum()
        return f"{2 * part['found'].sum() / total:.2f}" if part["planted"].sum() else "–"

    def ratio(top: str, bottom: str, less: float = 0.0) -> str:
        return f"{rows[top].sum() / rows[bottom].sum() - less:+.2f}".removeprefix("+") if rows[bottom].sum() else "–"

    cells = [name, str(len(rows)), f1(rows), f1(rows[rows["strong"]]), ratio("better found", "better")]
    cells += [f"{rows['alarm'].mean():.3f}", ratio("covered", "intervals"), ratio("share covered", "shares")]
    cells += [ratio("excess", "true", 1.0), ratio("naive", "true", 1.0), f"{rows['seconds'].median():.2f}"]
    total = rows["rival named"].sum() + rows["planted"].sum()
    cells += [f"{2 * rows['rival found'].sum() / total:.2f}" if rows["planted"].sum() else "–"]
    cells += [f"{rows['rival alarm'].mean():.2f}"]
    total = rows["rise named"].sum() + rows["planted"].sum()
    cells += [f"{2 * rows['rise found'].sum() / total:.2f}" if rows["rise named"].sum() else "–"]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Run the cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=30, help="cases per kind")
    parser.add_argument("--seed", type=int, default=0, help="first seed")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=KINDS)
    parser.add_argument("--plot", default="", help="draw stated against realised false alarms into this file")
    parser.add_argument("--many", type=int, default=0, help="time so many audits too")
    options = parser.parse_args()
    seeds = range(options.seed, options.seed + options.cases)
    rows = pd.DataFrame([score_case(kind, seed) for kind in options.kinds for seed in seeds])
    heads = [
        "kind",
        "cases",
        "F1",
        "F1 where z ≥ 6.5",
        "improvements",
        "false alarm",
        "excess covered",
        "share covered",
    ]
    heads += ["bias of excess", "naive bias", "s", "F1 of z-tests", "false alarm of z-tests"]
    heads += ["F1 of the largest rise"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")  # noqa: T201
    for kind in options.kinds:
        print(_line(kind, rows[rows["kind"] == kind]))  # noqa: T201
    print(_line("all with causes", rows[rows["planted"] > 0]))  # noqa: T201
    if quiet := [kind for kind in options.kinds if kind in QUIET and kind != "all wander"]:
        _calibrate(quiet, seeds, options.plot)
    if options.many:
        _time_many(options.many)


def _calibrate(kinds: list[str], seeds: range, plot: str) -> None:
    """Print, and draw, how often anything is named at each stated level where nothing changed."""
    cases = [draw_case(kind, seed) for kind in kinds for seed in seeds]
    realised = [
        np.mean([bool(rank_drivers(*case.tables, case.dimensions, alpha=level).named_slices) for case in cases])
        for level in LEVELS
    ]
    print(f"\n| stated | {' | '.join(map(str, LEVELS))} |\n|{'---|' * (len(LEVELS) + 1)}")  # noqa: T201
    print(f"| realised, {len(cases)} cases | {' | '.join(f'{one:.3f}' for one in realised)} |")  # noqa: T201
    if plot:
        plt.rcParams["svg.hashsalt"] = "rca"
        ax = plt.subplots(figsize=(4, 4))[1]
        spread = 1.96 * np.sqrt(np.multiply(realised, np.subtract(1, realised)) / len(cases))
        ax.errorbar(LEVELS, realised, yerr=spread, fmt="o", capsize=3)
        ax.axline((0, 0), slope=1, linestyle=":")
        ax.set(xlabel="stated alpha", ylabel="cases with anything named", title="False alarms, stated and realised")
        ax.figure.savefig(plot, bbox_inches="tight", metadata={"Date": None} if plot.endswith(".svg") else None)


def _time_many(number: int) -> None:
    """Print the time of the question on many audits in the engine, over that of counting them there."""
    draw, engine = np.random.default_rng(0), duckdb.connect(config={"threads": 1})
    site = _draw_site(draw, markets=1)
    names = [*VALUES, "rater"]
    for place in (0, 1):
        even = {"rater": np.ones(RATERS), "queue": np.ones(7), "policy": np.ones(10)}
        table = _draw_work(draw, site, number // 2, even)
        table["error"] = (draw.random(len(table)) < 0.05 + 0.03 * place * (table["queue"] == 3)).astype(int)
        text = ", ".join(f"'{name} ' || {name} as {name}" for name in names)
        engine.execute(f"create table period{place} as select {text}, error from table")
    begin = time.process_time()
    for place in (0, 1):
        cube = f"select {', '.join(names)}, count(*) items, sum(error) errors from period{place} group by all"
        engine.execute(f"create or replace table cube as {cube}")
    middle = time.process_time()
    rank_drivers(engine.table("period0"), engine.table("period1"), names)
    end = time.process_time()
    print(f"\n{number:,} audits: {(end - middle) / (middle - begin):.1f} × the engine's group-by alone")  # noqa: T201


if __name__ == "__main__":
    main()
