"""How far every slice is from what is expected of it, in standard deviations, whatever else moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit, xlogy
from scipy.stats import norm

from rca_lib.stats.cells import Array, Cells, Codes, Table, moments
from rca_lib.stats.drift import find_drift, find_wandering, thin_cells
from rca_lib.stats.expected import fit_together
from rca_lib.stats.field import Field
from rca_lib.stats.precision import Precision, sum_effects, sum_rows

LOOSE = 1e-4  # the precision of a pick's shift before the current audits are seen
TILTED = 200.0  # that of how much worse those are, per log of it, whose share of the work grew
MOST_DOUBT = 10.0  # variance of a slice's log odds that model and picks may leave; beyond it nothing can be told
LEAST_VALUES = 20  # of one dimension each, before these are judged among themselves
FAR = 1000.0  # a shift of the log odds beyond any that occurs
PART = 0.3  # of an error, that none is taken for; less the more there are
MOST_DRIFT = 1.0  # variance of the log odds: people whose odds change by more than a factor of e are no drift
MARGIN = 0.6  # standard errors that the estimate of drift is taken high: too little is a false alarm


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """One value per tested slice, given the picks.

    `gap` errors beyond the `expected` among the `items`, `noise` the variance of errors, `variance` that of `gap`
    (infinite where the picks leave nothing to tell), `info` what a slice tells of its log odds. `wandering` is by how
    much (variance of the log odds) values, and pairs of them, move beyond chance. `shifts` are the picks' log odds,
    `tilted` those of the last dimension's values whose share of the work grew, `left` and `scatter` each cell's gap and
    noise.
    """

    gap: Array
    noise: Array
    variance: Array
    info: Array
    items: Array
    expected: Array
    wandering: tuple[float, float]
    shifts: Array
    tilted: Array
    left: Array
    scatter: Array

    def heights(self) -> Array:
        """Return the gaps in standard deviations."""
        return signed_root(self.items, self.expected, self.info, self.gap, self.noise, self.variance)

    def log_p(self, field: Field) -> Array:
        """Return the log of the chance that any slice is as high when none changed."""
        height = self.heights()
        return norm.logsf(np.abs(height)) + np.where(height > 0, field.penalties[1], field.penalties[0])


def score_slices(field: Field, members: Array, wandering: tuple[float, float] = (0.0, 0.0)) -> Scores:
    """Score every slice of a field given the picks (rows of 0 and 1 over the cells) and how far values, pairs wander.

    Notes
    -----
    The picks' shifts are fitted; what the current audits tell of the model's effects, of raters who drift and of the
    picks then sharpens each slice's gap (the efficient score of a logistic model with random effects). Cells that
    scatter beyond chance tell less, and so do items that were judged more than once. The score is the signed root of
    the deviance in which the slice's log odds may have moved as far as all that uncertainty lets them, with the
    correction for skewness of Pierce and Schafer (1986).
    """
    members, firm = add_tilt(field, members)
    thin, logits, shifts, drift = fit_picks(field, members, firm)
    chance = expit(logits + shifts @ members)
    info, noise, gap = moments(thin.after, chance)
    sums, sizes = field.layout.sum_tables, field.layout.sizes
    over, gap_over, picked = sums(info), sums(gap), [sums(info * one) for one in members]
    plain = [over, gap_over] if thin is field else [sums(one) for one in moments(field.after, chance)[::2]]
    tables = (over, over if noise is info else sums(noise), gap_over, *plain)
    (infos, noises, gaps, plain_infos, plain_gaps), effects = _sum_slices(field, tables, picked)
    drift |= {one: wandering[0] for one in field.work if wandering[0]}
    known, columns = know_effects(field, over, picked, (members * info) @ members.T + np.diag(firm), drift)
    pull = np.concatenate([sum_effects(gap_over, sizes, ())[0], members @ gap])
    (pull, *_), half = np.split(known.halve(np.vstack([pull, effects])[:, columns]), [1])
    infos, noises = np.maximum(infos, 1e-9), noises * field.clumps  # no information where all is an error, or nothing
    precision = infos - np.square(half).sum(1)
    clear = (precision > 10 * LOOSE) & (1 / np.maximum(precision, 1e-12) - 1 / infos < MOST_DOUBT)
    precision = np.where(clear, precision, 1.0)
    shift = (gaps - half @ pull) / precision
    doubts = [field.baseline.doubt(family.dimensions, family.tested) for family in field.families]
    model = (1 / precision - 1 / infos) * field.clumps
    error = noises / np.square(infos) + model + np.hstack([np.zeros(0), *doubts])
    error = np.where(clear, error + wandering[1] * (field.kinds == 3), np.inf)
    items, errors = np.hstack([np.zeros((2, 0)), *(np.array([one.items, one.errors]) for one in field.families)])
    expected, usual = np.maximum(errors - plain_gaps, 1e-9), ~field.rare
    grown = max(1.0, float(errors[usual].sum() / max(expected[usual].sum(), 1.0)))
    wandering = _wander(field, shift, np.sqrt(grown * error))
    return Scores(
        shift * plain_infos, noises * plain_infos / infos, error * np.square(np.maximum(plain_infos, 1e-9)),
        plain_infos, items, expected, wandering, shifts[1:], shifts[0] * field.tilt, gap, noise,
    )  # fmt: skip


def add_tilt(field: Field, members: Array) -> tuple[Array, Array]:
    """Return the picks' rows behind that of values whose share of the work grew, and each one's prior precision."""
    members = np.vstack([field.tilt[field.after.codes[-1]], members])
    return members, np.array([TILTED, *([LOOSE] * (len(members) - 1))])


def _sum_slices(field: Field, tables: Sequence[Table], picked: Sequence[Table]) -> tuple[Array, Array]:
    """Sum by tested slice: the tables, and by effect and pick the first of them."""
    effects, sums = [np.zeros((0, 1 + sum(field.layout.sizes) + len(picked)))], [np.zeros((len(tables), 0))]
    for family in field.families[::-1]:  # the largest tables first
        whole = sum_effects(tables[0], field.layout.sizes, family.dimensions)[family.tested]
        each = np.array([one(family.dimensions).ravel()[family.tested] for one in (*tables, *picked)])
        sums.append(each[: len(tables)])
        effects.append(np.hstack([whole, each[len(tables) :].T]))
    return np.hstack(sums[::-1]), np.vstack(effects[::-1])


def _wander(field: Field, shift: Array, error: Array) -> tuple[float, float]:
    """Return how far values wander, and pairs beyond that; values are judged by themselves, as few move many pairs.

    What is picked (its error is infinite) moved as far as any. Rare slices tell nothing: those tested stand out.
    """
    raised = [np.sign(family.errors - family.expected) for family in field.families]
    members = [np.full(len(one.tested), one.kind == 1 and one.dimensions[0] in field.work) for one in field.families]
    values = np.hstack([np.zeros(0, bool), *members])
    clear = np.isfinite(error)
    shift, error = np.where(clear, shift, FAR * np.hstack([np.zeros(0), *raised])), np.where(clear, error, 1.0)
    usual = ~field.rare
    every, values = find_wandering(shift[usual], error[usual]), values & usual
    own = find_wandering(shift[values], error[values]) if values.sum() >= LEAST_VALUES else every
    return own, max(every - 2 * own, 0.0)


def fit_picks(field: Field, members: Array, firm: Array) -> tuple[Field, Array, Array, dict[int, float]]:
    """Fit the picks' shifts jointly, how much cells scatter and raters drift; drift raises the expected rates a bit."""
    shifts = _shift(field.after, field.logits, members, firm, np.zeros(len(members)))
    at = field.logits + shifts @ members
    moved, lost = _moved(field, at)
    if (thin := thin_cells(field.after, expit(at + moved), field.clumps_of_cells)) is not field.after:
        field = replace(field, after=thin)
    drift = sum(_drift(field, at + moved, lost, margin=0.0).values()) / 2 * (1 - 2 * expit(at))
    shifts = _shift(field.after, field.logits + drift, members, firm, shifts)
    return field, field.logits + drift, shifts, _drift(field, at + moved + drift, lost, margin=MARGIN)


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
    shaken = replace(field.after, squares=field.after.squares * field.ratio * field.clump)
    moved = fit_together(shaken, field.layout, logits, few)
    shifts = (shift[field.after.codes[one]] for (one,), (shift, _) in moved.items())
    return sum(shifts, np.zeros(len(logits))), sum(field.layout.sizes[one] - 1 for (one,) in moved)


def _drift(field: Field, logits: Array, lost: int, *, margin: float) -> dict[int, float]:
    """Estimate how much the values of dimensions with many values moved at random (variance of the log odds).

    The `lost` shifts that were taken out before took their part of the drift with them. Who is new has not drifted.
    """
    drift = {}
    info, noise, gap = moments(field.after, expit(logits))
    for family in field.families:
        tested = family.tested[~family.rare & field.known_before(family)] if family.kind == 2 else family.tested[:0]
        number = len(tested)
        if number >= 10:
            rows = sum_effects(field.layout.sum_tables(info), field.layout.sizes, family.dimensions)
            half = field.baseline.known.halve(rows[tested])
            place = field.after.codes[family.dimensions[0]]
            gaps, slopes, spread = (np.bincount(place, one)[tested] for one in (gap, info, noise))
            spread = np.maximum(spread + np.square(half).sum(1), 1e-9)
            variance = find_drift(np.square(gaps), spread, np.square(slopes), margin=margin)
            if variance > 0:
                variance *= number / max(number - lost, number / 2)
                drift[family.dimensions[0]] = min(variance, MOST_DRIFT)
    return drift


def know_effects(
    field: Field, over: Table, picked: Sequence[Table], overlaps: Array, drift: dict[int, float]
) -> tuple[Precision, Codes]:
    """Add what the current audits tell of the effects, of the picks and of drift to what the baseline tells.

    Also return which columns of the effects with the picks behind them belong to it. A dimension whose values drift
    stands there twice: as the baseline knows its effects, and as these drifted (the last one is loosened instead).
    """
    sizes, last = field.layout.sizes, len(field.layout.sizes) - 1
    *ends, every = np.cumsum([1, *sizes])
    narrow, width = ends[last], len(picked)
    mine = np.vstack([sum_effects(one, sizes, ()) for one in picked])
    table = np.vstack([np.hstack([sum_rows(over, sizes), mine.T[:narrow]]), np.hstack([mine, overlaps])])
    loose = {one: variance for one, variance in drift.items() if one != last}
    drifted = [np.arange(ends[one], ends[one] + sizes[one]) for one in loose]
    columns = np.concatenate([np.arange(narrow), every + np.arange(width), *drifted])
    rows = np.where(columns < narrow, columns, columns - sizes[last])
    prior = field.baseline.known.loosen(drift.get(last, 0.0))
    firm = [np.zeros(narrow + width), *(np.full(sizes[one], 1 / variance) for one, variance in loose.items())]
    corner, edge = table[np.ix_(rows, columns)] + np.diag(np.concatenate(firm)), table[rows, narrow:every]
    corner[:narrow, :narrow] += prior.corner
    edge[:narrow] += prior.edge
    return Precision(corner, edge, prior.wide + over((last,))), np.r_[columns, narrow:every]


def signed_root(items: Array, expected: Array, info: Array, gap: Array, noise: Array, variance: Array) -> Array:
    """Return gaps as scores: normal of variance 1 when nothing changed, also where few errors are expected.

    Parameters
    ----------
    items, expected, gap
        Audits, errors expected among them, and errors beyond these.
    info
        The variance of the errors of independent audits that weigh the same.
    noise
        The variance that drawing errors gives, clusters and weights included.
    variance
        The whole variance of the gap. What it has beyond `noise` is doubt about the expected rate.

    Notes
    -----
    Doubt about a rate counts as a baseline of as many audits as leave it, with the expected rate: the score is the
    signed root of the likelihood ratio of two binomial samples. A rate that was learned from next to no error is thus
    doubted as its beta distribution has it: it may well be lower, and is hardly a hundred times higher. The root has
    the correction for skewness of Pierce and Schafer (1986), less of it below one error. Where next to no errors are
    left the root is too large; a part of an error more mends that. Where audits differ in their chance, those that are
    an error anyway say nothing about more errors: the two samples have the variance of all and the room that is left.
    Within 0.1 of the mid-p value of more errors than a Poisson mean of 0.1 to 40. Where the variance is infinite the
    score is 0.
    """
    told, variance = np.isfinite(variance), np.where(np.isfinite(variance), variance, 1.0)
    info, up = np.maximum(info, 1e-12), gap >= 0
    room = np.maximum(np.where(up, items - expected, expected), info * (1 + 1e-9))
    low = np.clip(info / room, 1e-12, 1 - 1e-12)
    chance = np.where(up, low, 1 - low)
    items = room / (1 - low)
    errors = np.clip(items * chance + gap, 0, items)
    part = np.minimum(PART / (1 + np.where(gap < 0, errors, items - errors)), np.abs(gap))
    errors = np.where(gap < 0, errors + part, errors - part)
    scale = np.maximum(np.minimum(noise, variance) / info, 1e-9)
    doubt = np.maximum(variance - noise, 1e-6 * info) / np.square(info)
    other = scale / (doubt * chance * (1 - chance))  # audits of the baseline that leave as much doubt
    share, both = errors / items, (errors + other * chance) / (items + other)
    deviance = 2 * (items * _divergence(share, both) + other * _divergence(chance, both)) / scale
    skew = (1 - 2 * chance) * (info * np.square(scale) - info**3 * np.square(doubt)) / (6 * variance**1.5)
    skew = skew / (1 + 36 * np.square(skew))  # the series fails below one error, where the root is right by itself
    return told * (np.sign(errors - items * chance) * np.sqrt(np.maximum(deviance, 0)) + skew)


def _divergence(share: Array, chance: Array) -> Array:
    """Return Kullback and Leibler's divergence of one binomial trial from another."""
    return xlogy(share, share / chance) + xlogy(1 - share, (1 - share) / (1 - chance))
