"""How far every slice is from what is expected of it, in standard deviations, whatever else moved."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, xlogy
from scipy.stats import norm

from rca_lib.stats.drift import find_drift, find_wandering
from rca_lib.stats.expected import (
    MANY_VALUES,
    Array,
    Baseline,
    Cells,
    Codes,
    Precision,
    code_of,
    fit_baseline,
    fit_together,
    moments,
    sum_tables,
)

SHARES = np.array([0.05, 0.3, 0.25, 0.4])  # of alpha: everywhere, one dimension, one with many values, two dimensions
WORSE = 3.0  # a test for worse gets so many times the alpha of a test for better
LEAST_EXPECTED = np.array([3.0, 3.0, 2.0, 3.0])  # errors, by the same kinds; slices with fewer are not tested
TWIN = 0.95  # a slice that holds so much of its parent is its parent
LOOSE = 0.01  # the precision of a pick's shift before the current audits are seen
TILTED = 200.0  # that of how much worse those are, per log of it, whose share of the work grew
MARGIN = 0.6  # standard errors that the estimate of drift is taken high: too little is a false alarm


Table = Callable[[tuple[int, ...]], Array]


@dataclass(frozen=True, slots=True, eq=False)
class Family:
    """All slices of these dimensions that are tested; `rows` leads from a slice's code to its place among them."""

    dimensions: tuple[int, ...]
    kind: int
    tested: Codes
    rows: Codes
    items: Array
    errors: Array


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """What is searched: the current audits, the baseline's model, and families of slices.

    `penalties` holds, for each tested slice, the log of the number of tests that share its part of alpha: for better,
    for worse. `ratio` is how much the baseline's own noise adds to that of the current audits. `tilt` holds, for each
    value of the last dimension where it is one of raters, the log of how its share of the work grew.
    """

    after: Cells
    sizes: tuple[int, ...]
    baseline: Baseline
    logits: Array
    families: tuple[Family, ...]
    penalties: Array
    ratio: float
    tilt: Array

    def find(self, dimensions: tuple[int, ...], values: Sequence[int]) -> int:
        """Return a slice's place among all that are tested."""
        start = 0
        for family in self.families:
            if family.dimensions == dimensions:
                return start + int(family.rows[code_of(np.array([values]).T, [self.sizes[d] for d in dimensions])[0]])
            start += len(family.tested)
        raise KeyError(dimensions)

    def name(self, place: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the dimensions and the values of the slice at a place."""
        for family in self.families:
            if place < len(family.tested):
                sizes = [self.sizes[dimension] for dimension in family.dimensions]
                values = np.unravel_index(family.tested[place], sizes) if sizes else ()
                return family.dimensions, tuple(int(value) for value in values)
            place -= len(family.tested)
        raise IndexError(place)


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """One value per tested slice, given the picks.

    `gap` errors beyond the `expected` among the `items`, `noise` the variance of errors, `variance` that of `gap`
    (infinite where the picks leave nothing to tell), `info` what a slice tells of its log odds. `wandering` is by how
    much (variance of the log odds) most slices move beyond chance. `shifts`
    are the picks' log odds, `tilted` those of the last dimension's values whose share of the work grew, `left` and
    `scatter` each cell's gap and noise.
    """

    gap: Array
    noise: Array
    variance: Array
    info: Array
    items: Array
    expected: Array
    wandering: float
    shifts: Array
    tilted: Array
    left: Array
    scatter: Array

    def wander(self, wandering: float) -> Scores:
        """Allow for slices that wander."""
        return replace(self, variance=self.variance + wandering * np.square(self.info))

    def heights(self) -> Array:
        """Return the gaps in standard deviations."""
        return signed_root(self.items, self.expected, self.gap, self.noise, self.variance)

    def log_p(self, field: Field) -> Array:
        """Return the log of the chance that any slice is as high when none changed."""
        height = self.heights()
        return norm.logsf(np.abs(height)) + np.where(height > 0, field.penalties[1], field.penalties[0])


def open_field(
    before: Cells, after: Cells, sizes: tuple[int, ...], *, alone: frozenset[int], pairs: bool, alpha: float
) -> Field:
    """Fit the baseline and settle what is tested: slices with enough expected errors that differ from their parents."""
    kinds = list(_kinds(sizes, alone, pairs))
    baseline = fit_baseline(before, sizes, pairs=[dimensions for dimensions, kind in kinds if kind == 3])
    logits = baseline.logits(after.codes)
    sums = (after.items, after.errors, after.items * expit(logits))
    items_over, errors_over, expected_over = (sum_tables(after.codes, sizes, one) for one in sums)
    counts, families, numbers = {}, [], []
    for dimensions, kind in kinds:
        count = counts[dimensions] = items_over(dimensions).ravel()
        parent = np.minimum.outer(*(counts[(one,)] for one in dimensions)).ravel() if kind == 3 else count.sum()
        differs = (count < TWIN * parent) | (kind == 0)
        errors = expected_over(dimensions).ravel()
        tested = np.flatnonzero(differs & (errors >= LEAST_EXPECTED[kind]))
        rows = np.full(len(count), len(tested))
        rows[tested] = np.arange(len(tested))
        if len(tested):
            seen = errors_over(dimensions).ravel()[tested]
            families.append(Family(dimensions, kind, tested, rows, count[tested], seen))
            numbers.append((np.full(len(tested), kind), count[tested], errors[tested]))
    penalties = _penalties(*np.hstack(numbers), alpha) if numbers else np.zeros((2, 0))
    ratio = 1 + float(after.items.sum() / before.items.sum())
    tilt = _tilt(before, after, sizes[-1]) if sizes[-1] >= MANY_VALUES else np.zeros(sizes[-1])
    return Field(after, sizes, baseline, logits, tuple(families), penalties, ratio, tilt)


def _tilt(before: Cells, after: Cells, size: int) -> Array:
    """Return how the last dimension's shares grew: raters are shrunk, and work that moves to some tells about them."""
    counts = [np.bincount(cells.codes[-1], cells.items, size) for cells in (before, after)]
    grown = np.clip(np.log((counts[1] + 1) / counts[1].sum()) - np.log((counts[0] + 1) / counts[0].sum()), -2, 2)
    return np.where(counts[0] > 0, grown - (grown @ counts[0]) / counts[0].sum(), 0.0)


def _kinds(sizes: tuple[int, ...], alone: frozenset[int], pairs: bool) -> Iterator[tuple[tuple[int, ...], int]]:
    few = [dimension for dimension, size in enumerate(sizes) if size < MANY_VALUES and dimension not in alone]
    yield (), 0
    yield from (((dimension,), 1 if size < MANY_VALUES else 2) for dimension, size in enumerate(sizes))
    yield from ((pair, 3) for pair in combinations(few, 2) if pairs)


def _penalties(kinds: Array, items: Array, expected: Array, alpha: float) -> Array:
    """Share alpha out: each kind its part, within it evenly among the tests that can come out at all.

    Tests for worse weigh more than tests for better. A slice that expects few errors cannot have so few that it is
    shown to be better; such a test takes no part of alpha (Tarone 1990). Rows: for better, for worse.
    """
    kinds = kinds.astype(int)
    shares = SHARES / SHARES[np.unique(kinds)].sum()
    lowest = np.sqrt(-2 * items * np.log1p(-np.minimum(expected / items, 1 - 1e-9)))
    weight = (1 + WORSE) * np.bincount(kinds, minlength=4)
    for _ in range(5):
        can = lowest >= norm.isf(alpha * shares / np.maximum(weight, 1))[kinds]
        weight = np.bincount(kinds, WORSE + can, 4)
    better = np.log(np.maximum(weight, 1) / shares)[kinds]
    return np.array([better, better - np.log(WORSE)])


def score_slices(field: Field, members: Array) -> Scores:
    """Score every slice of a field given the picks (rows of 0 and 1 over the cells).

    Notes
    -----
    The picks' shifts are fitted; what the current audits tell of the model's effects, of raters who drift and of the
    picks then sharpens each slice's gap (the efficient score of a logistic model with random effects). The score is
    the signed root of the deviance in which the slice's log odds may have moved as far as that uncertainty lets them,
    with the correction for skewness of Pierce and Schafer (1986).
    """
    members = np.vstack([field.tilt[field.after.codes[-1]], members])
    firm = np.array([TILTED, *([LOOSE] * (len(members) - 1))])
    logits, shifts, drift = _fit(field, members, firm)
    chance = expit(logits + shifts @ members)
    cell_info, noise, left = moments(field.after, chance)
    parts = (left, noise, *(left * one for one in members)), (cell_info, *(cell_info * one for one in members))
    (left_over, noise_over, *left_picked), (over, *picked) = (
        [sum_tables(field.after.codes, field.sizes, one) for one in part] for part in parts
    )
    noise_over = over if np.array_equal(field.after.items, field.after.squares) else noise_over
    sums, effects = [], []
    for family in field.families[::-1]:  # the largest tables first
        effects.append(_effects(field.sizes, family.dimensions, over, picked)[family.tested])
        each = [one(family.dimensions).ravel()[family.tested] for one in (over, noise_over, left_over)]
        sums.append(np.array([family.items, family.errors, *each]))
    items, errors, info, noise_of, gap = np.hstack([np.zeros((5, 0)), *sums[::-1]])
    overlaps = (members * cell_info) @ members.T + np.diag(firm)
    known, columns = _update(field, over, picked, overlaps, drift)
    effects.append(_effects(field.sizes, (), left_over, left_picked))
    pull, *half = known.halve(np.vstack(effects[::-1])[:, columns])
    half, expected = np.array(half).reshape(len(items), len(pull)), np.maximum(errors - gap, 1e-9)
    doubts = [field.baseline.doubt(family.dimensions, family.tested) for family in field.families]
    gap, precision, doubt = gap - half @ pull, info - np.square(half).sum(1), np.hstack([np.zeros(0), *doubts])
    clear = precision > 10 * LOOSE
    precision = np.where(clear, precision, 1.0)
    gap, variance = gap * info / precision, noise_of + np.square(info) * (1 / precision - 1 / info + doubt)
    grown = max(1.0, float(errors.sum() / max(expected.sum(), 1.0)))
    wandering = find_wandering((gap / info)[clear], (np.sqrt(grown * variance) / info)[clear])
    variance = np.where(clear, variance, np.inf)
    return Scores(
        gap, noise_of, variance, info, items, expected, wandering, shifts[1:], shifts[0] * field.tilt, left, noise
    )


def _fit(field: Field, members: Array, firm: Array) -> tuple[Array, Array, dict[int, float]]:
    """Fit the picks' shifts jointly, and how much raters drift; drift also raises the expected rates a little."""
    shifts = _shift(field.after, field.logits, members, firm, np.zeros(len(members)))
    at = field.logits + shifts @ members
    moved, lost = _moved(field, at)
    drift = sum(_drift(field, at + moved, lost, margin=0.0).values()) / 2 * (1 - 2 * expit(at))
    shifts = _shift(field.after, field.logits + drift, members, firm, shifts)
    return field.logits + drift, shifts, _drift(field, at + moved + drift, lost, margin=MARGIN)


def _shift(after: Cells, logits: Array, members: Array, firm: Array, shifts: Array) -> Array:
    for _ in range(20):
        info, _, gap = moments(after, expit(logits + shifts @ members))
        bend = (members * info) @ members.T + np.diag(firm)
        step = np.clip(np.linalg.solve(bend, members @ gap - firm * shifts), -2, 2)
        shifts = shifts + step
        if np.abs(step).max() < 1e-7:
            break
    return shifts


def _moved(field: Field, logits: Array) -> tuple[Array, int]:
    """Return the shifts of whole dimensions, which may not pass for drift of the raters in them, and their number."""
    few = [family.dimensions for family in field.families if family.kind == 1]
    shaken = replace(field.after, squares=field.after.squares * field.ratio)
    moved = fit_together(shaken, field.sizes, logits, few)
    shifts = (shift[field.after.codes[one]] for (one,), (shift, _) in moved.items())
    return sum(shifts, np.zeros(len(logits))), sum(field.sizes[one] - 1 for (one,) in moved)


def _drift(field: Field, logits: Array, lost: int, *, margin: float) -> dict[int, float]:
    """Estimate how much the values of dimensions with many values moved at random (variance of the log odds).

    The `lost` shifts that were taken out before took their part of the drift with them.
    """
    drift = {}
    info, noise, gap = moments(field.after, expit(logits))
    for family in field.families:
        number = len(family.tested)
        if family.kind == 2 and number >= 10:
            over = sum_tables(field.after.codes, field.sizes, info)
            half = field.baseline.known.halve(_effects(field.sizes, family.dimensions, over, ()))[family.tested]
            place = field.after.codes[family.dimensions[0]]
            gaps, slopes, spread = (np.bincount(place, one)[family.tested] for one in (gap, info, noise))
            spread = np.maximum(spread + np.square(half).sum(1), 1e-9)
            variance = find_drift(np.square(gaps), spread, np.square(slopes), margin)
            if variance > 0:
                drift[family.dimensions[0]] = variance * number / max(number - lost, number / 2)
    return drift


def _effects(sizes: Sequence[int], dimensions: tuple[int, ...], over: Table, picked: Sequence[Table]) -> Array:
    """Return sums by slice of these dimensions (rows) and effect (columns): all, each dimension's values, each pick."""
    extra = [np.empty((0, 0))] * len(sizes)
    for other in range(len(sizes)):
        if other not in dimensions:
            extra[other] = over((*dimensions, other)).reshape(-1, sizes[other])
    total = over(dimensions).ravel()
    own = np.unravel_index(np.arange(len(total)), [sizes[one] for one in dimensions]) if dimensions else ()
    for dimension, values in zip(dimensions, own, strict=True):
        extra[dimension] = np.zeros((len(total), sizes[dimension]))
        extra[dimension][np.arange(len(total)), values] = total
    return np.hstack([total[:, None], *extra, *(one(dimensions).reshape(-1, 1) for one in picked)])


def _update(
    field: Field, over: Table, picked: Sequence[Table], overlaps: Array, drift: dict[int, float]
) -> tuple[Precision, NDArray[np.int64]]:
    """Add what the current audits tell of the effects, of the picks and of drift to what the baseline tells.

    Also return which columns of `_effects` belong to the effects.
    """
    sizes, last, ends = field.sizes, len(field.sizes) - 1, np.cumsum([1, *field.sizes])
    tables = [_effects(sizes, one, over, picked) for one in [(), *((one,) for one in range(last))]]
    for one, overlap in zip(picked, overlaps, strict=True):
        tables.append(np.hstack([one(()).ravel(), *(one((other,)) for other in range(len(sizes))), overlap])[None])
    tables = np.vstack(tables)
    loose = {one: variance for one, variance in drift.items() if one != last}
    rows = np.r_[0 : len(tables), *(np.arange(ends[one], ends[one + 1]) for one in loose)].astype(int)
    columns = np.where(rows < ends[last], rows, rows + sizes[-1])
    prior = field.baseline.known.loosen(drift.get(last, 0.0))
    extra = [np.zeros(len(picked)), *(np.full(sizes[one], 1 / variance) for one, variance in loose.items())]
    corner = np.diag(np.concatenate([np.zeros(ends[last]), *extra]))
    corner[: ends[last], : ends[last]] = prior.corner
    edge = np.vstack([prior.edge, np.zeros((len(rows) - ends[last], sizes[-1]))])
    edge = edge + tables[rows, ends[last] : ends[last + 1]]
    known = Precision(corner + tables[np.ix_(rows, columns)], edge, prior.wide + over((last,)))
    return known, np.r_[columns, ends[last] : ends[last + 1]]


def signed_root(items: Array, expected: Array, gap: Array, noise: Array, variance: Array) -> Array:
    """Return gaps as scores: normal of variance 1 when nothing changed, also where few errors are expected.

    `noise` is the variance that drawing errors gives, `variance` the whole one; the difference is taken as doubt about
    the log odds. Where that is infinite the score is 0.
    """
    told, variance = np.isfinite(variance), np.where(np.isfinite(variance), variance, 1.0)
    chance = np.clip(expected / items, 1e-12, 1 - 1e-12)
    errors, curve = np.clip(expected + gap, 0, items), items * chance * (1 - chance)
    scale, doubt = np.minimum(noise, variance) / curve, np.maximum(variance - noise, 0) / np.square(curve)
    middle, shift = logit(chance) - doubt / 2 * (1 - 2 * chance), np.zeros_like(gap)
    mean = start = items * expit(middle)
    for _ in range(12 if np.any(doubt) else 0):
        step = (doubt * (errors - mean) - shift * scale) / (doubt * mean * (1 - mean / items) + scale)
        shift = shift + np.clip(step, -1, 1)
        mean = items * np.clip(expit(middle + shift), 1e-12, 1 - 1e-12)
    deviance = xlogy(errors, errors / mean) + xlogy(items - errors, (items - errors) / (items - mean))
    penalty = np.divide(np.square(shift), doubt, out=np.zeros_like(gap), where=doubt > 0)
    skew = (1 - 2 * chance) * curve * np.square(scale) / (6 * variance**1.5)
    return told * (np.sign(errors - start) * np.sqrt(np.maximum(2 * deviance / scale, 0) + penalty) + skew)
