"""Slices whose error rate changed beyond what the rest of the change explains, at a stated chance of a false alarm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, xlogy
from scipy.stats import chi2, norm

from rca_lib.stats.expected import Array, Baseline, Cells, Codes, cross, fit_baseline

MANY_VALUES = 40  # from here on a dimension is one of raters or the like: not searched in pairs, its values may drift
SHARES = np.array([0.1, 0.4, 0.2, 0.3])  # of alpha: everywhere, one dimension, one with many values, two dimensions
LEAST_EXPECTED = np.array([3.0, 3.0, 2.0, 3.0])  # errors, by the same kinds; slices with fewer are not tested
TWIN = 0.95  # a slice that holds so much of its parent is its parent
MOST_PICKS = 10
CAP, MARGIN = 6.25, 1.0


@dataclass(frozen=True, slots=True)
class Pick:
    """A slice that changed: the `values` of its `dimensions` (none: everywhere).

    `score` is its deviation in standard deviations, `p_value` the chance that any slice deviates so much when none
    changed. `excess`, with a 95 % interval, counts the errors beyond those expected, given the other picks and that the
    search named it (`naive`: without that). `carried`: without one value of the clustering dimension it is no news.
    """

    dimensions: tuple[int, ...]
    values: tuple[int, ...]
    score: float
    p_value: float
    naive: float = 0.0
    excess: float = 0.0
    low: float = 0.0
    high: float = 0.0
    carried: bool = False

    def members(self, codes: Codes) -> NDArray[np.bool_]:
        """Return which cells belong to it."""
        parts = [codes[dimension] == value for dimension, value in zip(self.dimensions, self.values, strict=True)]
        return np.all(parts or [np.ones(codes.shape[1], bool)], axis=0)


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """The picks, strongest first; the log odds each adds to the baseline's model.

    `detectable`: dimension, value, items, expected errors of each dimension's largest slice, and the excess that would
    have been named there in four of five cases.
    """

    picks: tuple[Pick, ...]
    shifts: Array
    baseline: Baseline
    detectable: tuple[tuple[int, int, float, float, float], ...]
    tested: int


@dataclass(frozen=True, slots=True, eq=False)
class _Family:
    """All slices of these dimensions that are tested; `rows` leads from a slice's code to its row, or past the last."""

    dimensions: tuple[int, ...]
    kind: int
    tested: Codes
    rows: Codes


@dataclass(frozen=True, slots=True, eq=False)
class _Field:
    after: Cells
    sizes: tuple[int, ...]
    baseline: Baseline
    logits: Array
    families: tuple[_Family, ...]
    penalties: Array

    def place(self, family: _Family) -> Codes:
        """Return the row of each cell in a family's table."""
        return family.rows[_code(self.after.codes, self.sizes, family.dimensions)]

    def threshold(self, dimensions: tuple[int, ...], alpha: float) -> float:
        """Return the score from which a slice of these dimensions is named."""
        kind = next(family.kind for family in self.families if family.dimensions == dimensions)
        return float(norm.isf(alpha / 2 / np.exp(self.penalties[kind])))


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    members: Array
    shifts: Array
    chance: Array
    info: Array
    noise: Array
    gap: Array
    drift: dict[int, float]
    roots: Array


def search_slices(
    before: Cells, after: Cells, sizes: Sequence[int], *, cluster: int | None = None, pairs: bool = True, alpha: float
) -> Search:
    """Find the slices of `after` whose error rate is not what `before` leads one to expect.

    Parameters
    ----------
    before, after, sizes
        The two periods in the same codes, as `fit_baseline` takes them.
    cluster
        The dimension of the people: searched alone whatever its size, and asked who carries a slice.
    pairs
        Search pairs of values of two dimensions too.
    alpha
        The chance of naming any slice when none changed.

    Notes
    -----
    Each audit's expected error comes from a shrunk logistic model of the baseline. A slice's score is the signed root
    of its binomial deviance, scaled to the variance that sampling, the model's uncertainty and the drift of raters give
    it. The best slice is picked, the rest is scored again given the picks (Bonferroni at each step), and every pick is
    replaced or dropped when the others explain it. Blind to a change that only shows in three dimensions together.
    """
    field = _open_field(before, after, tuple(sizes), cluster, pairs)
    picks: list[Pick] = []
    for _ in range(MOST_PICKS):
        best = _best(field, picks)
        if best is None or best.p_value > alpha:
            break
        picks = _settle(field, [*picks, best], alpha)
    picks.sort(key=lambda pick: -abs(pick.score))
    fit = _fit(field, picks)
    measured = tuple(_measure(field, fit, picks, cluster, alpha))
    number = sum(len(family.tested) for family in field.families)
    return Search(measured, fit.shifts, field.baseline, tuple(_detectable(field, alpha)), number)


def _open_field(before: Cells, after: Cells, sizes: tuple[int, ...], cluster: int | None, pairs: bool) -> _Field:
    """Fit the baseline and settle what is tested: slices with enough expected errors that differ from their parents."""
    kinds = list(_kinds(sizes, cluster, pairs))
    baseline = fit_baseline(before, sizes, pairs=[dimensions for dimensions, kind in kinds if kind == 3])
    logits = baseline.logits(after.codes)
    expected, counts, families = after.items * expit(logits), {}, []
    for dimensions, kind in kinds:
        code, size = _code(after.codes, sizes, dimensions), int(np.prod([sizes[d] for d in dimensions]))
        count = counts[dimensions] = np.bincount(code, after.items, size)
        parent = np.minimum.outer(*(counts[(one,)] for one in dimensions)).ravel() if kind == 3 else count.sum()
        differs = (count < TWIN * parent) | (kind == 0)
        tested = np.flatnonzero(differs & (np.bincount(code, expected, size) >= LEAST_EXPECTED[kind]))
        rows = np.full(size, len(tested))
        rows[tested] = np.arange(len(tested))
        if len(tested):
            families.append(_Family(dimensions, kind, tested, rows))
    numbers = np.bincount([one.kind for one in families], [len(one.tested) for one in families], 4)
    shares = np.where(numbers > 0, SHARES, 0) / max(SHARES[numbers > 0].sum(), SHARES.min())
    penalties = np.log(np.maximum(numbers, 1) / np.where(numbers > 0, shares, 1))
    return _Field(after, sizes, baseline, logits, tuple(families), penalties)


def _kinds(sizes: tuple[int, ...], cluster: int | None, pairs: bool) -> Iterator[tuple[tuple[int, ...], int]]:
    few = [dimension for dimension, size in enumerate(sizes) if size < MANY_VALUES and dimension != cluster]
    yield (), 0
    yield from (((dimension,), 1 if dimension in few else 2) for dimension in range(len(sizes)))
    yield from ((pair, 3) for pair in combinations(few, 2) if pairs)


def _code(codes: Codes, sizes: tuple[int, ...], dimensions: tuple[int, ...]) -> Codes:
    code = np.zeros(codes.shape[1], np.int64)
    for dimension in dimensions:
        code = code * sizes[dimension] + codes[dimension]
    return code


def _best(field: _Field, picks: Sequence[Pick]) -> Pick | None:
    best, least = None, np.inf
    for family, score, *_ in _scores(field, _fit(field, picks), field.families):
        row = int(np.argmax(np.abs(score)))
        chance = np.log(2) + norm.logsf(abs(score[row])) + field.penalties[family.kind]
        if chance < least:
            least, sizes = chance, [field.sizes[dimension] for dimension in family.dimensions]
            values = np.unravel_index(family.tested[row], sizes) if sizes else ()
            p_value = float(np.exp(min(chance, 0)))
            best = Pick(family.dimensions, tuple(int(value) for value in values), float(score[row]), p_value)
    return best


def _settle(field: _Field, picks: list[Pick], alpha: float) -> list[Pick]:
    """Replace each pick by the best slice given the others, or drop it when they explain it, until nothing moves."""
    for _ in range(3):
        moved = False
        for place in range(len(picks)):
            others = picks[:place] + picks[place + 1 :]
            if not others:
                return picks
            best = _best(field, others)
            if best is None or best.p_value > alpha:
                return _settle(field, others, alpha)
            moved |= (best.dimensions, best.values) != (picks[place].dimensions, picks[place].values)
            picks = [*picks[:place], best, *picks[place + 1 :]]
        if not moved:
            break
    return picks


def _fit(field: _Field, picks: Sequence[Pick]) -> _Fit:
    """Fit the picks' shifts of the log odds jointly; what is left is what the next slice has to explain."""
    after = field.after
    members = np.array([pick.members(after.codes) for pick in picks], float).reshape(len(picks), len(field.logits))
    shifts = np.zeros(len(picks))
    for _ in range(20 if picks else 0):
        chance = expit(field.logits + shifts @ members)
        slope = members @ (after.errors - after.items * chance) - 0.05 * shifts
        bend = (members * (after.items * chance * (1 - chance))) @ members.T + 0.05 * np.eye(len(picks))
        step = np.clip(np.linalg.solve(bend, slope), -2, 2)
        shifts = shifts + step
        if np.abs(step).max() < 1e-7:
            break
    chance = expit(field.logits + shifts @ members)
    curve = chance * (1 - chance)
    info, noise, gap = after.items * curve, after.squares * curve, after.errors - after.items * chance
    drift = _drift(field, info, noise, gap)
    whole = np.zeros(len(chance), np.int64)
    roots = [_root(field, whole, 1, info * member, drift)[0] for member in members]
    return _Fit(members, shifts, chance, info, noise, gap, drift, np.array(roots))


def _root(field: _Field, place: Codes, number: int, info: Array, drift: dict[int, float]) -> Array:
    """Return rows whose inner products are the covariances of slices' expected errors: model and drift."""
    each = zip(field.after.codes, field.sizes, strict=True)
    tables = [cross(place, code, (number + 1, size), info)[:number] for code, size in each]
    spread = field.baseline.spread(tables, np.bincount(place, info, number + 1)[:number])
    return np.hstack([spread, *(tables[dimension] * np.sqrt(variance) for dimension, variance in drift.items())])


def _drift(field: _Field, info: Array, noise: Array, gap: Array) -> dict[int, float]:
    """Estimate how much the values of dimensions with many values moved at random (variance of the log odds).

    Squared scores are capped, so that one rater who changed does not pass for the drift of all, and the estimate is
    taken one standard error high: too little drift is a false alarm, too much costs little power.
    """
    drift = {}
    for family in field.families:
        number = len(family.tested)
        if family.kind == 2 and number >= 10:
            place = field.place(family)
            gaps, slopes, spread = (np.bincount(place, one, number + 1)[:-1] for one in (gap, info, noise))
            spread = spread + np.square(_root(field, place, number, info, {})).sum(1)
            scatter = partial(_scatter, np.square(gaps), spread, np.square(slopes))
            if scatter(0.0) > 0:
                drift[family.dimensions[0]] = 9.0 if scatter(9.0) > 0 else brentq(scatter, 0.0, 9.0, xtol=1e-5)
    return drift


def _scatter(tops: Array, spread: Array, rises: Array, variance: float) -> float:
    """Return how far the squared scores, weighted by what they tell, pass what this much drift explains."""
    weights = rises / (spread + variance * rises)
    surplus = np.minimum(tops / (spread + variance * rises), CAP) - chi2.cdf(CAP, 3) - CAP * chi2.sf(CAP, 1)
    return float(weights @ surplus + MARGIN * np.sqrt(2 * np.square(weights).sum()))


def _scores(field: _Field, fit: _Fit, families: Sequence[_Family]) -> Iterator[tuple[_Family, *tuple[Array, ...]]]:
    """Yield, family by family, the tested slices' signed scores, variances, items and expected errors."""
    slopes, noises = fit.members * fit.info, fit.members * fit.noise
    if len(slopes):
        back, among = np.linalg.pinv(slopes @ fit.members.T), noises @ fit.members.T + fit.roots @ fit.roots.T
    for family in families:
        place, number = field.place(family), len(family.tested)
        sums = (field.after.items, fit.gap, field.after.items * fit.chance, fit.noise, fit.info)
        count, gap, expected, noise, info = (np.bincount(place, one, number + 1)[:-1] for one in sums)
        root = _root(field, place, number, fit.info, fit.drift)
        doubt = np.square(info) * field.baseline.doubt(family.dimensions, family.tested)
        variance = whole = noise + np.square(root).sum(1) + doubt
        if len(slopes):
            shared, both = (
                np.array([np.bincount(place, one, number + 1)[:-1] for one in them]).T for them in (slopes, noises)
            )
            pull = shared @ back
            variance = whole - 2 * (pull * (both + root @ fit.roots.T)).sum(1) + ((pull @ among) * pull).sum(1)
        score = _signed_root(count, expected, gap, np.maximum(variance, 0.05 * whole))
        yield family, np.where(variance > 0.05 * whole, score, 0.0), variance, count, expected


def _signed_root(items: Array, expected: Array, gap: Array, variance: Array) -> Array:
    errors = np.clip(expected + gap, 0, items)
    deviance = xlogy(errors, errors / expected) + xlogy(items - errors, (items - errors) / (items - expected))
    return np.sign(gap) * np.sqrt(np.maximum(2 * deviance, 0) * expected * (1 - expected / items) / variance)


def _measure(field: _Field, fit: _Fit, picks: Sequence[Pick], cluster: int | None, alpha: float) -> Iterator[Pick]:
    """Give each pick its excess: given the others, and given that the search named it."""
    info = (fit.members * fit.info) @ fit.members.T
    entangled = np.diag(np.linalg.pinv(info)) * np.diag(info)
    for place, (pick, member) in enumerate(zip(picks, fit.members, strict=True)):
        others = expit(field.logits + np.delete(fit.shifts, place) @ np.delete(fit.members, place, 0))
        naive = float((field.after.items * (fit.chance - others)).sum())
        slope = member * field.after.items * others * (1 - others)
        doubt = np.square(_root(field, np.zeros(len(member), np.int64), 1, slope, fit.drift)).sum()
        code = _code(field.after.codes[:, np.flatnonzero(member)[:1]], field.sizes, pick.dimensions)
        doubt += slope.sum() ** 2 * field.baseline.doubt(pick.dimensions, code)[0]
        error = np.sqrt(entangled[place] * ((fit.noise @ member) + doubt))
        scale = naive / abs(pick.score)
        least = field.threshold(pick.dimensions, alpha)
        middle, low, high = _given_named(abs(pick.score), float(error) / abs(scale), least)
        low, high = sorted((low * scale, high * scale))
        gap = member * (field.after.errors - field.after.items * others)
        carried = cluster is not None and _carried(gap, fit.noise * member, field.after.codes[cluster])
        yield replace(pick, naive=naive, excess=middle * scale, low=low, high=high, carried=carried)


def _given_named(score: float, width: float, least: float) -> tuple[float, float, float]:
    """Return the mean behind a score that was named because it is above `least`: estimate, low and high.

    The likelihood is that of a normal score of sd `width` cut off at `least` (Zhong and Prentice 2008); all means of
    the score's sign are taken as equally likely before.
    """
    means = np.linspace(0, score + 6 * width, 801)
    weights = norm.logpdf(score, means, width) - norm.logsf(min(least, score), means, width)
    weights = np.exp(weights - weights.max())
    low, high = np.interp((0.025, 0.975), np.cumsum(weights) / weights.sum(), means)
    return float((weights @ means) / weights.sum()), float(low), float(high)


def _carried(gap: Array, noise: Array, code: Codes) -> bool:
    """Tell whether the rest would stand out (|z| of 2) without the one value that holds most of the excess."""
    gaps, spread = np.bincount(code, gap) * np.sign(gap.sum()), np.bincount(code, noise)
    first = int(np.argmax(gaps))
    return bool(gaps.sum() - gaps[first] < 2 * np.sqrt(spread.sum() - spread[first]) + 1e-9)


def _detectable(field: _Field, alpha: float) -> Iterator[tuple[int, int, float, float, float]]:
    alone = [family for family in field.families if len(family.dimensions) == 1]
    for family, _, variance, items, expected in _scores(field, _fit(field, ()), alone):
        row = int(np.argmax(items))
        there = float(items[row]), float(expected[row])
        short = partial(_short, *there, float(variance[row]), field.threshold(family.dimensions, alpha))
        most = there[0] - there[1]
        yield family.dimensions[0], int(family.tested[row]), *there, most if short(most) < 0 else brentq(short, 0, most)


def _short(items: float, expected: float, variance: float, threshold: float, excess: float) -> float:
    """Return by how much the score passes the threshold when chance takes away what it does in one of five cases."""
    unlucky = excess - norm.isf(0.2) * np.sqrt(variance * (1 + excess / expected))
    return float(_signed_root(items, expected, unlucky, variance)) - threshold
