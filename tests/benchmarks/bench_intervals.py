"""Coverage of the rate intervals by simulation: `python tests/benchmarks/bench_intervals.py [replications]`.

Raters' true rates are beta distributed around the overall rate (intraclass correlation ICC), their workloads lognormal.
Weighted samples take 40 % approved items (weight 20) and 60 % rejected ones (weight 2, three times the error rate).
Printed: the share of intervals, stated 95 %, that hold the overall rate, and the mean width of the clustered one.
"""

from __future__ import annotations

import sys

import numpy as np

from rca_lib.stats.proportions import estimate_clustered_rate, wilson_interval

WEIGHTS, SHARES, FACTOR = np.array([20.0, 2.0]), np.array([0.4, 0.6]), 3.0
CASES = [
    (raters, audits, rate, icc, weighted)
    for raters, audits in ((5, 60), (10, 40), (20, 40), (40, 30), (100, 20), (100, 100))
    for rate in (0.02, 0.06)
    for icc in (0.0, 0.02, 0.05)
    for weighted in (False, True)
]


def main(replications: int) -> None:
    """Print the table."""
    print("| raters | audits each | rate | ICC | weighted | clustered | not clustered | plain Wilson | width, pp |")  # noqa: T201
    print("|---|---|---|---|---|---|---|---|---|")  # noqa: T201
    everything = []
    for number, case in enumerate(CASES):
        hits, width = simulate(*case, replications=replications, seed=number)
        everything.append(hits)
        raters, audits, rate, icc, weighted = case
        words = f"{raters} | {audits} | {rate:.0%} | {icc} | {'yes' if weighted else 'no'}"
        print(f"| {words} | {' | '.join(f'{hit:.3f}' for hit in hits)} | {100 * width:.1f} |")  # noqa: T201
    lowest, mean = np.min(everything, axis=0), np.mean(everything, axis=0)
    for name, hits in (("lowest", lowest), ("mean", mean)):
        print(f"| {name} | | | | | {' | '.join(f'{hit:.3f}' for hit in hits)} | |")  # noqa: T201


def simulate(
    raters: int, audits: int, rate: float, icc: float, weighted: bool, *, replications: int, seed: int
) -> tuple[np.ndarray, float]:
    """Return the coverage of the clustered, the unclustered and the plain interval, and the mean width of the first."""
    rng, hits, width = np.random.default_rng(seed), np.zeros(3), 0.0
    for _ in range(replications):
        event, items, weight, squared, rater = draw(rng, raters, audits, rate, icc, weighted)
        clustered = estimate_clustered_rate(event, items, weight, squared, rater).rate
        alone = estimate_clustered_rate(event, items, weight, squared).rate
        ends = (
            (clustered.low, clustered.high),
            (alone.low, alone.high),
            wilson_interval(items[event].sum(), items.sum()),
        )
        hits += [low <= rate <= high for low, high in ends]
        width += clustered.high - clustered.low
    return hits / replications, width / replications


def draw(
    rng: np.random.Generator, raters: int, audits: int, rate: float, icc: float, weighted: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Draw one sample as cells of (rater, stratum, error): event, items, weight, squared weight, rater."""
    load = rng.lognormal(0, 0.7, raters)
    items = rng.multinomial(raters * audits, load / load.sum())
    rates = rng.beta(rate * (1 / icc - 1), (1 - rate) * (1 / icc - 1), raters) if icc else np.full(raters, rate)
    strata, weights, ratio = np.column_stack([items, 0 * items]), np.ones(2), np.ones(2)
    if weighted:
        approved = rng.binomial(items, SHARES[0])
        strata, weights = np.column_stack([approved, items - approved]), WEIGHTS
        decisions = WEIGHTS * SHARES
        ratio = np.array([1.0, FACTOR]) / (decisions @ [1.0, FACTOR] / decisions.sum())
    errors = rng.binomial(strata, np.clip(rates[:, None] * ratio, 0, 1))
    counts = np.stack([errors, strata - errors]).reshape(2, -1).ravel()
    weight = np.tile(weights, 2 * raters)
    event = np.repeat([True, False], 2 * raters)
    rater = np.tile(np.repeat(np.arange(raters), 2), 2)
    return event, counts.astype(float), counts * weight, counts * weight**2, rater


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
