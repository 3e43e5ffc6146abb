"""Measure `find_changes` on simulated series with known truth, side by side with others: Markdown tables.

    make bench
    python tests/benchmarks/bench_trend.py [--per-kind N] [--seed S] [--tcpd FOLDER]

A false alarm is any change on a series without change; a hit names every true change within 5 % of the length; F1
counts changes so matched; coverage is the share of matched changes whose interval holds the truth. The others are
ruptures' PELT with the l2 cost (Killick and others 2012) and its usual penalty (BIC), on standardised rates, where it
is installed, and the charts of this package. The folder holds the Turing Change Point Dataset (van den Burg and
Williams 2020): a JSON file per series, and `annotations.json`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from rca_lib.questions.trend import find_changes
from rca_lib.stats.control_charts import compute_p_chart

try:
    import ruptures
except ImportError:
    ruptures = None

WEEK = np.array([1.0, 1.05, 1.05, 1.0, 0.95, 0.6, 0.5])  # volume by day of the week
RHOS = (0.0, 0.005, 0.02)


@dataclass(frozen=True)
class Series:
    """A simulated series: its counts, and the positions of its true changes and spikes among the days that are there.

    `levels` are the true rates from each change to the next.
    """

    counts: pd.DataFrame
    changes: tuple[int, ...]
    spikes: tuple[int, ...] = ()
    levels: tuple[float, ...] = ()


@dataclass(frozen=True)
class World:
    """What is drawn before any change: the days that are there, their audits, the rate, its overdispersion."""

    days: np.ndarray
    items: np.ndarray
    rate: float
    rho: float

    @property
    def steps(self) -> int:
        return len(self.days)


def draw_world(generator: np.random.Generator, *, low: int, high: int, rare: bool, rho: float) -> World:
    """Draw 20 to 400 audits a day at 2 to 15 % errors (`rare`: about one error a week), up to 6 % of days missing."""
    length = int(generator.integers(low, high + 1))
    there = generator.random(length) >= generator.uniform(0, 0.06)
    there[[0, -1]] = True
    days = np.flatnonzero(there)
    typical = np.exp(generator.uniform(np.log(35), np.log(260)))
    items = typical * WEEK[days % 7] * generator.lognormal(0, 0.2, len(days))
    items = np.clip(np.rint(items), 20, 400).astype(int)
    rate = 1 / (7 * items.mean()) if rare else np.exp(generator.uniform(np.log(0.02), np.log(0.15)))
    return World(days, items, float(rate), rho)


def finish(
    generator: np.random.Generator,
    world: World,
    rates: np.ndarray,
    changes: tuple[int, ...] = (),
    spikes: tuple[int, ...] = (),
) -> Series:
    """Draw beta-binomial errors around the rates and date them from a Monday on."""
    rates = np.clip(rates, 1e-4, 0.6)
    levels = tuple(float(rates[place]) for place in (0, *changes))
    if world.rho:
        size = (1 - world.rho) / world.rho
        rates = generator.beta(rates * size, (1 - rates) * size)
    errors = generator.binomial(world.items, rates)
    dates = pd.Timestamp("2026-01-05") + pd.to_timedelta(world.days, unit="D")
    return Series(pd.DataFrame({"time": dates, "errors": errors, "items": world.items}), changes, spikes, levels)


def nothing(generator: np.random.Generator, world: World) -> Series:
    return finish(generator, world, np.full(world.steps, world.rate))


def seasonal(generator: np.random.Generator, world: World) -> Series:
    factors = generator.lognormal(0, 0.3, 7)
    return finish(generator, world, world.rate * (factors / factors.mean())[world.days % 7])


def spike(generator: np.random.Generator, world: World) -> Series:
    length = int(generator.integers(1, 4))
    start = int(generator.integers(3, world.steps - length - 3))
    rates = np.full(world.steps, world.rate)
    rates[start : start + length] *= 3
    return finish(generator, world, rates, spikes=tuple(range(start, start + length)))


def memory(decay: float) -> Callable[[np.random.Generator, World], Series]:
    """Return the drawing of rates whose log odds follow an AR(1) with standard deviation 0.35."""

    def draw(generator: np.random.Generator, world: World) -> Series:
        shocks = generator.normal(0, 0.35, world.days[-1] + 1)
        wander = shocks.copy()
        for day in range(1, len(shocks)):
            wander[day] = decay * wander[day - 1] + np.sqrt(1 - decay**2) * shocks[day]
        odds = world.rate / (1 - world.rate) * np.exp(wander[world.days])
        return finish(generator, world, odds / (1 + odds))

    return draw


def factor_of(generator: np.random.Generator, size: float) -> float:
    return size if generator.random() < 0.6 else 1 / size


def step(size: float) -> Callable[[np.random.Generator, World], Series]:
    """Return the drawing of one step up or down by this factor in the middle three fifths."""

    def draw(generator: np.random.Generator, world: World) -> Series:
        at = int(generator.integers(int(0.2 * world.steps), int(0.8 * world.steps)))
        rates = np.full(world.steps, world.rate)
        rates[at:] *= factor_of(generator, size)
        return finish(generator, world, rates, (at,))

    return draw


def young(back: int) -> Callable[[np.random.Generator, World], Series]:
    """Return the drawing of a rate that doubled so many steps before the end."""

    def draw(generator: np.random.Generator, world: World) -> Series:
        at = world.steps - back
        return finish(generator, world, world.rate * np.where(np.arange(world.steps) < at, 1, 2), (at,))

    return draw


def two_steps(generator: np.random.Generator, world: World) -> Series:
    """Draw two steps: half of them back to the first level, half onward in the same direction."""
    least = int(0.2 * world.steps)
    first = int(generator.integers(least, world.steps - 2 * least))
    second = int(generator.integers(first + least, world.steps - least + 1))
    up = generator.random() < 0.6
    one, other = (generator.uniform(1.6, 2.2) ** (1 if up else -1) for _ in range(2))
    back = generator.random() < 0.5
    rates = np.full(world.steps, world.rate)
    rates[first:] *= one
    rates[second:] *= 1 / one if back else other
    return finish(generator, world, rates, (first, second))


def drift(generator: np.random.Generator, world: World) -> Series:
    onset = int(generator.integers(int(0.2 * world.steps), int(0.6 * world.steps)))
    part = np.clip((np.arange(world.steps) - onset) / (world.steps - 1 - onset), 0, 1)
    rates = world.rate * factor_of(generator, generator.uniform(2, 3)) ** part
    return finish(generator, world, rates, (onset,))


USUAL = {"low": 52, "high": 180, "rare": False}
KINDS: dict[str, tuple[Callable[[np.random.Generator, World], Series], dict[str, object]]] = {
    "nothing": (nothing, USUAL),
    "season": (seasonal, USUAL),
    "spike": (spike, USUAL),
    "memory 0.5": (memory(0.5), USUAL),
    "memory 0.7": (memory(0.7), USUAL),
    "nothing, 20 steps": (nothing, USUAL | {"low": 20, "high": 20}),
    "nothing, 730 steps": (nothing, USUAL | {"low": 730, "high": 730}),
    "nothing, an error a week": (nothing, USUAL | {"rare": True}),
    "step × 1.5": (step(1.5), USUAL),
    "step × 2": (step(2.0), USUAL),
    "two steps": (two_steps, USUAL),
    "drift": (drift, USUAL),
    "step × 2, 20 steps": (step(2.0), USUAL | {"low": 20, "high": 20}),
    "step × 4, an error a week": (step(4.0), USUAL | {"rare": True}),
    "doubled for 5 steps": (young(5), USUAL),
    "doubled for 7 steps": (young(7), USUAL),
    "doubled for 14 steps": (young(14), USUAL),
}
STEPPED = ("step × 1.5", "step × 2", "two steps")


@dataclass(frozen=True)
class Answer:
    """What a method says of a series; `levels` are (low, high) from each change to the next, where it gives any."""

    positions: tuple[int, ...]
    intervals: tuple[tuple[int, int], ...] = ()
    drifts: tuple[bool, ...] = ()
    spikes: tuple[int, ...] = ()
    levels: tuple[tuple[float, float], ...] = ()
    milliseconds: float = 0.0


def ask_this(counts: pd.DataFrame) -> Answer:
    found = find_changes(counts)
    changes = found.changes
    ends = [change.before for change in changes[:1]] + [change.after for change in changes]
    return Answer(
        tuple(change.position for change in changes),
        tuple(change.interval for change in changes),
        tuple(change.kind == "drift" for change in changes),
        tuple(place for spike in found.outliers for place in range(spike.position, spike.position + spike.length)),
        tuple((end.low, end.high) for end in ends),
    )


def ask_pelt(counts: pd.DataFrame) -> Answer:
    return Answer(tuple(pelt((counts["errors"] / counts["items"]).to_numpy())))


def pelt(values: np.ndarray) -> list[int]:
    """Cut by PELT with a penalty of 2 log(steps) on values divided by their robust spread from step to step."""
    spread = np.median(np.abs(np.diff(values))) / 0.954
    search = ruptures.Pelt(model="l2").fit(values / max(spread, 1e-12))
    return search.predict(pen=2 * np.log(len(values)))[:-1]


def ask_chart(counts: pd.DataFrame, method: str, *, rules: bool) -> Answer:
    """Call a change wherever a chart begins to signal."""
    chart = compute_p_chart(counts["errors"].to_numpy(float), counts["items"].to_numpy(float), method=method)
    signals = [signal.position for signal in chart.rule_signals] if rules else list(chart.signals)
    return Answer(tuple(place for place in signals if place - 1 not in signals))


METHODS: dict[str, Callable[[pd.DataFrame], Answer]] = {
    "this": ask_this,
    **({"PELT, l2, BIC": ask_pelt} if ruptures else {}),
    "p chart": partial(ask_chart, method="p", rules=False),
    "Laney p′ and its rules": partial(ask_chart, method="laney", rules=True),
}


def match(truth: tuple[int, ...], named: tuple[int, ...], within: float) -> list[tuple[int, int]]:
    """Pair each true change with at most one named change, the nearest pairs first: positions in both lists."""
    pairs = sorted((abs(one - two), i, j) for i, one in enumerate(truth) for j, two in enumerate(named))
    used: list[tuple[int, int]] = []
    for distance, i, j in pairs:
        if distance <= within and all(i != one and j != two for one, two in used):
            used.append((i, j))
    return used


def score(series: Series, answer: Answer) -> dict[str, float]:
    """Count what is right and wrong in the answer on one series."""
    steps, truth = len(series.counts), series.changes
    hits = match(truth, answer.positions, np.ceil(0.05 * steps))
    dated = match(truth, answer.positions, steps) if answer.intervals else []
    held = [answer.intervals[j][0] <= truth[i] <= answer.intervals[j][1] for i, j in dated]
    right = len(answer.positions) == len(truth) and len(hits) == len(truth) and answer.levels
    inside = (
        [low <= level <= high for level, (low, high) in zip(series.levels, answer.levels, strict=True)] if right else []
    )
    onsets = [held[place] for place, (_, j) in enumerate(dated) if answer.drifts[j]]
    return {
        "alarms": bool(answer.positions), "all_hit": bool(truth) and len(hits) == len(truth), "hits": len(hits),
        "named": len(answer.positions), "true": len(truth), "held": sum(held), "dated": len(held),
        "inside": sum(inside), "levels": len(inside), "drifts": any(answer.drifts), "onsets": sum(onsets),
        "onset_dated": len(onsets), "spikes": bool(set(series.spikes) & set(answer.spikes)),
        "milliseconds": answer.milliseconds,
    }  # fmt: skip


def run(kind: str, numbers: Iterable[int], seed: int) -> list[tuple[str, dict[str, float]]]:
    """Simulate series of one kind and score what each method finds in them."""
    draw, about = KINDS[kind]
    scores = []
    for number in numbers:
        generator = np.random.default_rng([seed, list(KINDS).index(kind), number])
        series = draw(generator, draw_world(generator, rho=RHOS[number % 3], **about))
        for name, ask in METHODS.items():
            start = time.perf_counter()
            answer = ask(series.counts)
            took = 1000 * (time.perf_counter() - start)
            scores.append((name, score(series, answer) | {"milliseconds": took}))
    return scores


def measure(per_kind: int, seed: int) -> pd.DataFrame:
    """Return the sums of the scores: a row per method and kind."""
    parts = [(kind, range(start, min(start + 50, per_kind))) for kind in KINDS for start in range(0, per_kind, 50)]
    with ProcessPoolExecutor() as workers:
        found = workers.map(run, *zip(*parts, strict=True), [seed] * len(parts))
        rows = [{"kind": kind, "method": name, "series": 1, **scored}
                for (kind, _), scores in zip(parts, found, strict=True) for name, scored in scores]  # fmt: skip
    table = pd.DataFrame(rows)
    sums = table.groupby(["method", "kind"], sort=False).sum()
    return sums.assign(milliseconds=table.groupby(["method", "kind"], sort=False)["milliseconds"].median())


def share(part: float, whole: float) -> str:
    return f"{part / whole:.3f}" if whole else "–"


def table(lines: Iterable[Iterable[str]]) -> str:
    """Write Markdown: the first line is the head."""
    rows = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([rows[0], "|" + "---|" * (rows[0].count("|") - 1), *rows[1:]])


def by_kind(sums: pd.DataFrame) -> str:
    """Write a row per kind: without change the alarms are false; with change they are power."""
    lines = [(
        "series", "any alarm", "all changes hit", "F1", "date covered", "levels covered", "named drift",
        "onset covered", "spike named", "ms",
    )]  # fmt: skip
    for kind, one in sums.loc["this"].iterrows():
        lines.append((
            kind, share(one.alarms, one.series), share(one.all_hit, one.series if one.true else 0),
            share(2 * one.hits, (one.named + one.true) if one.true else 0), share(one.held, one.dated),
            share(one.inside, one.levels), share(one.drifts, one.series), share(one.onsets, one.onset_dated),
            share(one.spikes, one.series if kind == "spike" else 0), f"{one.milliseconds:.1f}",
        ))  # fmt: skip
    return table(lines)


def by_method(sums: pd.DataFrame) -> str:
    """Write a row per method: what it costs in false alarms, and what it finds."""
    lines = [("method", "false alarm, nothing", "season", "spike", "φ 0.5", "φ 0.7", "power × 1.5", "× 2", "F1, steps")]
    for name in METHODS:
        one = sums.loc[name]
        quiet = [share(one.alarms[kind], one.series[kind])
                 for kind in ("nothing", "season", "spike", "memory 0.5", "memory 0.7")]  # fmt: skip
        power = [share(one.all_hit[kind], one.series[kind]) for kind in STEPPED[:2]]
        stepped = one.loc[list(STEPPED)].sum()
        lines.append((name, *quiet, *power, share(2 * stepped.hits, stepped.named + stepped.true)))
    return table(lines)


def cut_covering(annotations: list[list[int]], positions: list[int], steps: int) -> float:
    """Return how far the segments cover those of the annotators, on average (van den Burg and Williams 2020)."""
    pieces = list(pairwise([0, *sorted(set(positions) - {0}), steps]))

    def cover(one: tuple[int, int]) -> float:
        overlaps = [(max(min(one[1], two[1]) - max(one[0], two[0]), 0), two) for two in pieces]
        return max(both / (max(one[1], two[1]) - min(one[0], two[0])) for both, two in overlaps)

    sums = [
        sum((one[1] - one[0]) * cover(one) for one in pairwise([0, *sorted(set(marks) - {0}), steps]))
        for marks in annotations
    ]
    return float(np.mean(sums) / steps)


def margin_f1(annotations: list[list[int]], positions: list[int], margin: int = 5) -> float:
    """Return F1 with a margin: precision against all annotators together, recall against each, on average."""
    named, marks = tuple(sorted({0, *positions})), [tuple(sorted({0, *one})) for one in annotations]
    precision = len(match(tuple(sorted(set().union(*marks))), named, margin)) / len(named)
    recall = np.mean([len(match(one, named, margin)) / len(one) for one in marks])
    return float(2 * precision * recall / (precision + recall))


def turing(folder: Path) -> str:
    """Score the univariate series of the Turing Change Point Dataset with default settings."""
    annotations = json.loads((folder / "annotations.json").read_text())
    lines, methods = (
        [("series", "steps", "cover", "F1", "PELT cover", "PELT F1")],
        ("this", *(["PELT"] if ruptures else [])),
    )
    scores: dict[str, list[tuple[float, float]]] = {name: [] for name in methods}
    for file in sorted(folder.glob("*.json")):
        if file.stem not in annotations:
            continue
        data = json.loads(file.read_text())
        if data.get("n_dim", 1) > 1:
            continue
        values = np.array([np.nan if one is None else one for one in data["series"][0]["raw"]], float)
        there = np.flatnonzero(np.isfinite(values))
        marks = list(annotations[file.stem].values())
        found = find_changes(pd.DataFrame({"time": there, "value": values[there]}), season=None)
        named = {"this": [int(there[change.position]) for change in found.changes]}
        if ruptures:
            named["PELT"] = [int(there[place]) for place in pelt(values[there])]
        for name in methods:
            scores[name].append((cut_covering(marks, named[name], len(values)), margin_f1(marks, named[name])))
        cells = [f"{part:.3f}" for name in methods for part in scores[name][-1]]
        lines.append((file.stem, str(len(values)), *cells, *["–"] * (4 - len(cells))))
    means = [f"{part:.3f}" for name in methods for part in np.mean(scores[name], axis=0)]
    lines.append(("mean", "", *means, *["–"] * (4 - len(means))))
    return table(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--per-kind", type=int, default=400)
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--tcpd", type=Path)
    options = parser.parse_args()
    sums = measure(options.per_kind, options.seed)
    print(f"{options.per_kind} series a kind, seed {options.seed}, alpha 0.05\n\n{by_method(sums)}\n\n{by_kind(sums)}")  # noqa: T201
    if options.tcpd:
        print(f"\nTuring Change Point Dataset\n\n{turing(options.tcpd)}")  # noqa: T201


if __name__ == "__main__":
    main()
