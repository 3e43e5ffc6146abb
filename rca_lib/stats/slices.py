"""Slices whose error rate changed beyond what the rest of the change explains, at a stated chance of a false alarm."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from rca_lib.stats.cells import Array, Cells, Codes, Judged
from rca_lib.stats.excess import count_new, count_spared, expect_without
from rca_lib.stats.expected import Baseline
from rca_lib.stats.field import Field, open_field
from rca_lib.stats.scores import Scores, score_slices, signed_root

MOST_PICKS = 10
BELIEF = 0.25  # how much the chance of being named weighs for a mean beforehand, see _given_named


@dataclass(frozen=True, slots=True)
class Pick:
    """A slice that changed: the `values` of its `dimensions` (none: everywhere).

    `score` is its deviation in standard deviations, `p_value` the chance that any slice deviates so much when none
    changed. `excess`, with a 95 % interval, counts the errors that would not be there (negative: those that were
    spared), given the other picks and that the search named it (`naive`: errors less the `usual` ones, those expected,
    without that). `carried`: without one value of the clustering dimension it is no news.
    """

    dimensions: tuple[int, ...]
    values: tuple[int, ...]
    score: float
    p_value: float
    usual: float
    naive: float
    excess: float
    low: float
    high: float
    carried: bool

    def members(self, codes: Codes) -> NDArray[np.bool_]:
        """Return which cells belong to it."""
        return _members(codes, self.dimensions, self.values)


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


def search_slices(
    before: Cells,
    after: Cells,
    sizes: Sequence[int],
    *,
    cluster: int | None = None,
    alone: Collection[int] = (),
    pairs: bool = True,
    alpha: float,
    judged: tuple[Judged, Judged] | None = None,
) -> Search:
    """Find the slices of `after` whose error rate is not what `before` leads one to expect.

    Parameters
    ----------
    before, after, sizes
        The two periods in the same codes, as `fit_baseline` takes them.
    cluster
        The dimension of the people: asked who carries a slice.
    alone
        Dimensions that are not searched in pairs, beside those with many values.
    pairs
        Search pairs of values of two dimensions too.
    alpha
        The chance of naming any slice when none changed.
    judged
        The same audits by cell and item, where items were judged more than once.

    Notes
    -----
    Each audit's expected error comes from a shrunk logistic model of the baseline; a slice's score (`score_slices`) is
    how far its errors are from that, given the picks. A first, bold round of picks leaves what tells how far slices
    wander. Then the best slice is picked, the rest is scored again (Bonferroni at each step), and every pick is
    replaced or dropped when the others explain it; everywhere is named only where no shorter list says the same. Blind
    to a change that only shows in three dimensions together, and to one that is no larger than what cells scatter or
    most slices wander by.
    """
    apart = frozenset(alone) | (frozenset() if cluster is None else {cluster})
    field = open_field(before, after, tuple(sizes), alone=apart, pairs=pairs, alpha=alpha, judged=judged)
    bold = cache(partial(_score, field))
    wandering = bold(_pick(field, bold, alpha, settle=False)).wandering
    score = cache(partial(_score, field, wandering=wandering)) if any(wandering) else bold
    picks = _pick(field, score, alpha)
    if whole := [place for place in picks if not field.name(place)[0]]:
        penalties = field.penalties.copy()
        penalties[:, whole] = np.inf
        other = _pick(replace(field, penalties=penalties), score, alpha)
        picks = min(picks, other or picks, key=lambda one: (len(one), (score(one).shifts < 0).sum()))
    while picks and max(log_p := [_log_p(field, score, place, picks) for place in picks]) > np.log(alpha):
        weakest = int(np.argmax(log_p))
        picks = picks[:weakest] + picks[weakest + 1 :]
    usual = expect_without(field, _rows(field, picks), wandering)
    named = [
        _measure(field, score, place, picks, cluster, alpha, float(one))
        for place, one in zip(picks, usual, strict=True)
    ]
    order = sorted(range(len(picks)), key=lambda one: -abs(named[one].score))
    final = score(picks)
    *effects, last = field.baseline.effects
    baseline = replace(field.baseline, effects=(*effects, last + final.tilted))
    detectable = tuple(_detectable(field, final, alpha))
    return Search(
        tuple(named[one] for one in order), final.shifts[order], baseline, detectable, field.penalties.shape[1]
    )


Scorer = Callable[[tuple[int, ...]], Scores]


def _score(field: Field, places: tuple[int, ...], *, wandering: tuple[float, float] = (0.0, 0.0)) -> Scores:
    return score_slices(field, _rows(field, places), wandering)


def _rows(field: Field, places: tuple[int, ...]) -> Array:
    members = [_members(field.after.codes, *field.name(place)) for place in places]
    return np.array(members, float).reshape(len(places), len(field.logits))


def _members(codes: Codes, dimensions: Sequence[int], values: Sequence[int]) -> NDArray[np.bool_]:
    parts = [codes[dimension] == value for dimension, value in zip(dimensions, values, strict=True)]
    return np.all(parts or [np.ones(codes.shape[1], bool)], axis=0)


def _pick(field: Field, score: Scorer, alpha: float, *, settle: bool = True) -> tuple[int, ...]:
    """Pick the best slice given the others, in order of their places, until no further one stands out."""
    picks: tuple[int, ...] = ()
    for _ in range(MOST_PICKS):
        best, log_p = _best(field, score, picks)
        if log_p > np.log(alpha):
            break
        picks = tuple(sorted({*picks, best}))
        picks = _settle(field, score, picks, alpha) if settle else picks
    return picks


def _best(field: Field, score: Scorer, picks: tuple[int, ...]) -> tuple[int, float]:
    """Return the place of the slice that stands out most given the picks, and the log of its p-value."""
    log_p = np.append(score(picks).log_p(field), np.inf)  # there may be nothing to test
    return int(np.argmin(log_p)), float(log_p.min())


def _settle(field: Field, score: Scorer, picks: tuple[int, ...], alpha: float) -> tuple[int, ...]:
    """Replace each pick by the best slice given the others, or drop it when they explain it, until nothing moves."""
    for _ in range(3 if len(picks) > 1 else 0):
        former = picks
        for place in former:
            others = tuple(one for one in picks if one != place)
            best, log_p = _best(field, score, others)
            if log_p > np.log(alpha):
                return _settle(field, score, others, alpha)
            picks = tuple(sorted({*others, best}))
        if picks == former:
            break
    return picks


def _log_p(field: Field, score: Scorer, place: int, picks: tuple[int, ...]) -> float:
    return float(score(tuple(one for one in picks if one != place)).log_p(field)[place])


def _measure(
    field: Field,
    score: Scorer,
    place: int,
    picks: tuple[int, ...],
    cluster: int | None,
    alpha: float,
    usual: float,
) -> Pick:
    """Give a pick its excess over the usual errors: given the others, and given that the search named it."""
    scores = score(tuple(one for one in picks if one != place))
    height = float(scores.heights()[place])
    least = float(norm.isf(alpha / np.exp(field.penalties[int(height > 0), place])))
    member = _members(field.after.codes, *field.name(place))
    errors = float(field.after.errors @ member)
    means, weights = _given_named(abs(height), least)
    count = count_new if height > 0 else count_spared
    excess = count(scores, place, errors, usual, np.linspace(means[0], means[-1], 101), height)
    excess = np.interp(means, np.linspace(means[0], means[-1], 101), excess)
    ends = np.interp(np.interp((0.025, 0.975), np.cumsum(weights), means), means, excess)
    left, scatter = scores.left * member, scores.scatter * member
    carried = cluster is not None and _carried(left, scatter, field.after.codes[cluster])
    p_value = float(np.exp(min(scores.log_p(field)[place], 0)))
    low, high = sorted(map(float, ends))
    if height > 0:  # what there would be anyway is a whole number
        low, high = max(errors - float(np.ceil(errors - low)), 0.0), errors - float(np.floor(errors - high))
    value = float(np.clip(weights @ excess, low, high))
    return Pick(*field.name(place), height, p_value, usual, errors - usual, value, low, high, carried)


def _given_named(score: float, least: float) -> tuple[Array, Array]:
    """Return what the mean behind a score may be that was named because it is above `least`: means and their weights.

    The likelihood is that of a normal score cut off at `least` (Zhong and Prentice 2008). Before, a mean is taken to be
    the likelier the more often it would be named, to the power `BELIEF`: with 0 the estimate is too low where a slice
    is barely named, with 1 the search is not allowed for. At .25 the bias is within a twentieth for means of 4 and
    more, a tenth at 3.5, and 95 % intervals cover .94 to .98 (checked for means from 2 to 8 at a threshold of 4.2).
    """
    means = np.linspace(max(score - 8, 0), score + 6, 801)
    weights = norm.logpdf(score, means) - (1 - BELIEF) * norm.logsf(min(least, score), means)
    weights = np.exp(weights - weights.max())
    return means, weights / weights.sum()


def _carried(gap: Array, noise: Array, code: Codes) -> bool:
    """Tell whether the rest would stand out (|z| of 2) without the one value that holds most of the excess."""
    gaps, spread = np.bincount(code, gap) * np.sign(gap.sum()), np.bincount(code, noise)
    first = int(np.argmax(gaps))
    return bool(gaps.sum() - gaps[first] < 2 * np.sqrt(spread.sum() - spread[first]) + 1e-9)


def _detectable(field: Field, scores: Scores, alpha: float) -> Iterator[tuple[int, int, float, float, float]]:
    """Halve the interval of the excess that would be named in four of five cases until it is narrow."""
    told = np.isfinite(scores.variance)  # not so where a pick holds the slice
    rows = np.flatnonzero(told & ((field.kinds == 1) | (field.kinds == 2)))
    items, expected, info, noise, variance = (
        one[rows] for one in (scores.items, scores.expected, scores.info, scores.noise, scores.variance)
    )
    least, low, high = norm.isf(alpha / np.exp(field.penalties[1, rows])), np.zeros(len(rows)), items - expected
    for _ in range(40):
        excess = (low + high) / 2
        unlucky = excess - norm.isf(0.2) * np.sqrt(variance * (1 + excess / expected))
        named = signed_root(items, expected, info, unlucky, noise, variance) >= least
        low, high = np.where(named, low, excess), np.where(named, excess, high)
    for row, *there in zip(rows, items, expected, high, strict=True):
        (dimension,), (value,) = field.name(int(row))
        yield dimension, value, *map(float, there)
