"""Measure `screen_series`: false discoveries, power, what a silent series could have shown, and time.

    make bench
    python tests/benchmarks/bench_screening.py [--seeds N] [--first SEED]

Each screening has 500 series of 120 days, of which some have one step by a factor of 1.5 to 2.5 either way. A false
discovery is a series without change that is called changed. The time is of one process; ruptures' PELT, where it is
installed, works on the same series in the same run.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pandas as pd
from bench_trend import RHOS, World, draw_world, factor_of, finish, nothing, pelt, ruptures, table

from rca_lib.questions.screening import screen_series
from rca_lib.questions.trend import find_changes

SERIES = 500


def draw_screening(seed: int, changed: int) -> pd.DataFrame:
    """Draw the series of one screening; the first `changed` of them have a step."""
    generator = np.random.default_rng([seed, changed])
    parts = []
    for number in range(SERIES):
        world = draw_world(generator, low=120, high=120, rare=False, rho=RHOS[number % 3])
        rates = np.full(world.steps, world.rate)
        if number < changed:
            rates[int(generator.integers(24, 96)) :] *= factor_of(generator, generator.uniform(1.5, 2.5))
        parts.append(finish(generator, world, rates).counts.assign(name=number))
    return pd.concat(parts, ignore_index=True)


def discoveries(seed: int, changed: int, fdr: float) -> tuple[float, float]:
    """Return the share of false discoveries in one screening, and the number of true ones."""
    screen = screen_series(draw_screening(seed, changed), ["name"], fdr=fdr, n_jobs=1)
    named = [int(one.where["name"]) < changed for one in screen.changed]
    return (len(named) - sum(named)) / max(len(named), 1), sum(named)


def false_discoveries(seeds: range) -> str:
    """Write a row per number of changed series and level: the mean share of false discoveries, and the power."""
    lines = [("changed of 500", "level", "realised rate", "power")]
    with ProcessPoolExecutor() as workers:
        for changed, fdr in ((0, 0.1), (10, 0.1), (50, 0.05), (50, 0.1), (50, 0.2), (150, 0.1)):
            found = list(workers.map(discoveries, seeds, [changed] * len(seeds), [fdr] * len(seeds)))
            rate, true = np.mean(found, axis=0)
            lines.append((str(changed), f"{fdr:.2f}", f"{rate:.3f}", f"{true / changed:.3f}" if changed else "–"))
    return table(lines)


def detectable(worlds: int) -> str:
    """Write how often a step half way, as large as a silent series says it would mostly show, is named."""
    lines = [("steps", "stated", "named")]
    for steps in (40, 120, 365):
        named = []
        for number in range(worlds):
            generator = np.random.default_rng([7, steps, number])
            world = draw_world(generator, low=steps, high=steps, rare=False, rho=RHOS[number % 3])
            quiet = find_changes(nothing(generator, world).counts)
            size = quiet.minimum_detectable.value
            if not quiet.changes and world.rate > size / 2:
                named.append(bool(find_changes(_stepped(generator, world, size)).changes))
        lines.append((str(steps), "0.80", f"{np.mean(named):.3f}"))
    return table(lines)


def _stepped(generator: np.random.Generator, world: World, size: float) -> pd.DataFrame:
    half = np.arange(world.steps) >= world.steps // 2
    return finish(generator, world, world.rate + size * (half - 0.5)).counts


def timing(rounds: int = 5) -> str:
    """Write the time per series, the fastest of some rounds each."""
    series = draw_screening(99, 50)
    parts = [(part["errors"] / part["items"]).to_numpy() for _, part in series.groupby("name")]
    works = {"screen_series, one process": lambda: screen_series(series, ["name"], n_jobs=1),
             "screen_series, all cores": lambda: screen_series(series, ["name"], n_jobs=-1)}  # fmt: skip
    if ruptures:
        works["PELT, l2, BIC, jump 5 (its default)"] = lambda: [pelt(part) for part in parts]
    best = dict.fromkeys(works, np.inf)
    for _ in range(rounds):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            best[name] = min(best[name], time.perf_counter() - start)
    first = best["screen_series, one process"]
    rows = [(name, f"{1000 * took / SERIES:.2f}", f"{took / first:.2f}") for name, took in best.items()]
    return table([("500 series of 120 steps", "ms a series", "ratio"), *rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--first", type=int, default=1)
    options = parser.parse_args()
    print(f"{timing()}\n\n{detectable(300)}\n")  # noqa: T201
    seeds = range(options.first, options.first + options.seeds)
    print(f"{options.seeds} screenings each, from seed {options.first}\n\n{false_discoveries(seeds)}")  # noqa: T201


if __name__ == "__main__":
    main()
