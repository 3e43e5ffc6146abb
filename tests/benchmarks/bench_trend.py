"""Measure `find_changes` on simulated series with known truth: one Markdown table.

    python tests/benchmarks/bench_trend.py [--per-kind N] [--seed S]

A false alarm is any change on a series without change; a hit names every true change within 5 % of the length; F1
counts changes so matched; coverage is the share of matched changes whose interval holds the truth.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rca_lib.questions.trend import Trend, find_changes

WEEK = np.array([1.0, 1.05, 1.05, 1.0, 0.95, 0.6, 0.5])  # volume by day of the week
RHOS = (0.0, 0.005, 0.02)


@dataclass(frozen=True)
class Series:
    """A simulated series: its counts, and the positions of its true changes among the days that are there."""

    counts: pd.DataFrame
    changes: tuple[int, ...]


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


def finish(generator: np.random.Generator, world: World, rates: np.ndarray, changes: tuple[int, ...] = ()) -> Series:
    """Draw beta-binomial errors around the rates and date them from a Monday on."""
    rates = np.clip(rates, 1e-4, 0.6)
    if world.rho:
        size = (1 - world.rho) / world.rho
        rates = generator.beta(rates * size, (1 - rates) * size)
    errors = generator.binomial(world.items, rates)
    dates = pd.Timestamp("2026-01-05") + pd.to_timedelta(world.days, unit="D")
    return Series(pd.DataFrame({"time": dates, "errors": errors, "items": world.items}), changes)


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
    return finish(generator, world, rates)


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
}
STEPPED = ("step × 1.5", "step × 2", "two steps")


def match(truth: tuple[int, ...], named: list[int], within: float) -> list[tuple[int, int]]:
    """Pair each true change with at most one named change, the nearest pairs first: positions in both lists."""
    pairs = sorted((abs(one - two), i, j) for i, one in enumerate(truth) for j, two in enumerate(named))
    used: list[tuple[int, int]] = []
    for distance, i, j in pairs:
        if distance <= within and all(i != one and j != two for one, two in used):
            used.append((i, j))
    return used


@dataclass
class Score:
    """Sums over the series of one kind."""

    series: int = 0
    alarms: int = 0
    all_hit: int = 0
    hits: int = 0
    named: int = 0
    true: int = 0
    covered: int = 0
    paired: int = 0
    drifts: int = 0
    milliseconds: tuple[float, ...] = ()

    def add(self, series: Series, trend: Trend, seconds: float) -> None:
        steps, positions = len(series.counts), [change.position for change in trend.changes]
        hit = match(series.changes, positions, np.ceil(0.05 * steps))
        paired = match(series.changes, positions, steps)
        intervals = [(series.changes[i], trend.changes[j].interval) for i, j in paired]
        self.series += 1
        self.alarms += bool(positions)
        self.all_hit += bool(series.changes) and len(hit) == len(series.changes)
        self.hits, self.named, self.true = (
            self.hits + len(hit),
            self.named + len(positions),
            self.true + len(series.changes),
        )
        self.covered += sum(low <= truth <= high for truth, (low, high) in intervals)
        self.paired += len(paired)
        self.drifts += any(change.kind == "drift" for change in trend.changes)
        self.milliseconds = (*self.milliseconds, 1000 * seconds)


def run(kind: str, per_kind: int, seed: int) -> Score:
    """Simulate the series of one kind and score what is found in them."""
    draw, about = KINDS[kind]
    score = Score()
    for number in range(per_kind):
        generator = np.random.default_rng([seed, list(KINDS).index(kind), number])
        series = draw(generator, draw_world(generator, rho=RHOS[number % 3], **about))
        start = time.perf_counter()
        trend = find_changes(series.counts)
        score.add(series, trend, time.perf_counter() - start)
    return score


def line(kind: str, score: Score) -> str:
    """Write one row: without change the alarms are false; with change they are power."""
    changed = score.true > 0
    f1 = 2 * score.hits / max(score.named + score.true, 1)
    cells = [
        f"{score.alarms / score.series:.3f}",
        f"{score.all_hit / score.series:.3f}" if changed else "–",
        f"{f1:.3f}" if changed else "–",
        f"{score.covered / score.paired:.3f}" if score.paired else "–",
        f"{score.drifts / score.alarms:.3f}" if score.alarms else "–",
        f"{np.median(score.milliseconds):.1f}",
    ]
    return f"| {kind} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--per-kind", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(f"{options.per_kind} series a kind, seed {options.seed}, alpha 0.05\n")  # noqa: T201
    print("| series | any alarm | all changes hit | F1 | interval covers | named drift | ms |")  # noqa: T201
    print("|---|---|---|---|---|---|---|")  # noqa: T201
    scores = {kind: run(kind, options.per_kind, options.seed) for kind in KINDS}
    for kind, score in scores.items():
        print(line(kind, score))  # noqa: T201
    stepped = [scores[kind] for kind in STEPPED]
    hits, size = sum(score.hits for score in stepped), sum(score.named + score.true for score in stepped)
    print(f"\nF1 over the three kinds with steps: {2 * hits / size:.3f}")  # noqa: T201


if __name__ == "__main__":
    main()
