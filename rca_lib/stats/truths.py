"""What is true of items that several people judged, and how each of them errs. Codes in, chances out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import betaln

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
CONCENTRATIONS = 2.0 ** np.arange(11)  # ratings' worth that what raters have in common may count as
TEMPERS = np.arange(2, 11) / 10  # what each further rating of an item may count as
ASKED = 30_000  # ratings that decide on the two
SHARED = 10.0, 2.0  # items' worth of what all items tell of a kind: how frequent labels, and splits, are
SURE = 0.99  # the chance from which a truth counts as known when an item is left out of what its raters tell
SLIP = 1.0, 200.0  # third labels among ratings of items split between two: what is taken as seen before any rating
SHOWN = 5.0  # how much larger the log likelihood must be with splits on a pair, where every other pair has them
NEVER = -1e3
MOST_ROUNDS, NEAR, NEARER, BLOCK = 50, 5e-4, 2e-4, 2**13  # nearer with splits, which are slow to settle


@dataclass(frozen=True, slots=True, eq=False)
class Judgements:
    """Ratings in codes, one each of `items`, `raters` and `labels`, in the order of items.

    `sizes` are how many items, raters and labels there are. `groups` holds each rater's role: those of one err alike;
    `kinds` each item's: those of one share how frequent labels are.
    """

    items: Codes
    raters: Codes
    labels: Codes
    sizes: tuple[int, int, int]
    groups: Codes
    kinds: Codes

    def keep(self, chosen: NDArray[np.bool_]) -> Judgements:
        """Return the ratings of the chosen items, which are numbered anew."""
        rows, place = chosen[self.items], np.cumsum(chosen) - 1
        ratings = place[self.items[rows]], self.raters[rows], self.labels[rows]
        return Judgements(*ratings, (int(chosen.sum()), *self.sizes[1:]), self.groups, self.kinds[chosen])


@dataclass(frozen=True, slots=True, eq=False)
class Truths:
    """What was inferred.

    `chances` (items × labels) that a label is true, `splits` (items × `pairs` of labels) that raters split between two
    by chance; together they add up to 1. `confusion` (raters × true × given) and `seen` (raters × true, how many such
    items each judged) describe the raters. `concentration` and `temper` are what the ratings chose: how many ratings
    what all raters have in common counts as, and what each rating of an item counts as, 1 where raters err
    independently of each other.
    """

    chances: Array
    splits: Array
    pairs: tuple[tuple[int, int], ...]
    confusion: Array
    seen: Array
    concentration: float
    temper: float
    rounds: int


def infer_truths(judgements: Judgements, *, split: bool = False) -> Truths:
    """Infer the truth of every item and the confusion matrix of every rater together.

    Parameters
    ----------
    judgements
        Every item and every rater has a rating.
    split
        Allow for items that have no one truth: two labels that all raters give by the toss of a coin. How frequent that
        is is learned for each pair of labels and each kind of item, how often raters then give a third label for all.

    Notes
    -----
    The model of Dawid and Skene (1979) by expectation and maximisation, with three things added. A rater's matrix is
    shrunk: to the group's pooled one, its odds of an error those of the rater (whose rate of error has the likeliest
    beta prior), so that twenty ratings tell of a rater what they can. A rating is read by what the rater's *other*
    ratings tell, and an item by the others of its kind; without that few ratings confirm themselves and chances come
    out too sure. And log odds are tempered at the end: `concentration` and `temper` are those that predict the raters'
    labels best, each from the others of its item. Blind where all err alike, and where nobody judged two items in
    common with others: with one rating an item says next to nothing of its truth.

    Examples
    --------
    >>> items, raters = np.repeat(np.arange(40), 3), np.tile(np.arange(3), 40)
    >>> labels = np.where(raters == 2, 1 - items % 2, items % 2)  # the third always says the contrary
    >>> all_alike = Judgements(items, raters, labels, (40, 3, 2), np.zeros(3, int), np.zeros(40, int))
    >>> found = infer_truths(all_alike)
    >>> found.chances.argmax(1)[:4].tolist(), bool(found.confusion[2, 0, 1] > 0.8)
    ([0, 1, 0, 1], True)
    """
    table = _Table(judgements, split)
    state = _State(_start(table), np.ones((table.of_kind.shape[0], len(table.pairs)), bool), 16.0)
    pruned = not table.pairs
    for rounds in range(1, MOST_ROUNDS + 1):
        learned = _learn(table, state)
        if rounds > 1:
            state, temper = _tune(table, state, learned)
        scores = np.hstack([learned.told(table, state.concentration), table.votes @ learned.toss])
        former, chances = state.chances, _normalise(learned.common + scores)
        state = replace(state, chances=chances)
        near = NEARER if split and pruned else NEAR
        settled = rounds > 3 and np.abs(chances - former).sum() < 2 * near * len(chances)
        if not pruned and (settled or rounds == MOST_ROUNDS // 2):
            pruned = True
            state = replace(state, open=_keep_pairs(table, chances[:, judgements.sizes[2] :]))
        elif settled:
            break
    # Learned as if raters erred independently, told as they do: tempered while learning, rare labels would vanish.
    whole, parts = np.split(_normalise(learned.common + temper * scores), [judgements.sizes[2]], axis=1)
    confusion = _confuse(learned, judgements.sizes[1:], state.concentration)
    return Truths(whole, parts, table.pairs, confusion, learned.seen, state.concentration, temper, rounds)


class _Table:
    """The ratings with what is asked of them again and again."""

    def __init__(self, judgements: Judgements, split: bool) -> None:
        items, raters, labels = judgements.sizes
        self.judgements = judgements
        self.code = judgements.raters * labels + judgements.labels
        ends = np.append(0, np.bincount(judgements.items, minlength=items).cumsum())
        self.given = sparse.csr_array((np.ones(len(self.code)), self.code, ends), shape=(items, raters * labels))
        kinds = judgements.kinds.max() + 1
        self.of_kind = sparse.csr_array((np.ones(items), (judgements.kinds, np.arange(items))), shape=(kinds, items))
        self.asked = slice(None, None, max(1, len(self.code) // ASKED))
        self.votes = self.given @ np.tile(np.eye(labels), (raters, 1))
        self.pairs = _find_pairs(self.votes) if split else ()


@dataclass(frozen=True, slots=True, eq=False)
class _State:
    """The chances of each item's labels and pairs, on which pairs items of a kind may be split, and what is tuned."""

    chances: Array
    open: NDArray[np.bool_]
    concentration: float


@dataclass(frozen=True, slots=True, eq=False)
class _Learned:
    """What the chances tell: by rater and label given (`counts`) and rater (`seen`), how many items of each truth.

    Of each rater also the `errors` among the `judged`, the `usual` rate of error on the same items and how `firm` that
    is, in items; of the group the odds of an error by truth and the `share` of each label in errors. `common` are the
    log chances before any rating of the item, `toss` those of each label where an item is split between a pair.
    """

    chances: Array
    counts: Array
    seen: Array
    errors: Array
    judged: Array
    usual: Array
    firm: Array
    odds: Array
    share: Array
    common: Array
    toss: Array

    def told(self, table: _Table, concentration: float) -> Array:
        """Return by item and truth the log of how likely its ratings are, each as its rater's other ratings tell.

        Where an item's truth is sure, that depends on this, the rater and the label: few cases, worked out once each.
        """
        (codes, labels), items = self.counts.shape, table.judgements.items
        told, unsure = np.empty_like(self.chances), np.ones(len(self.chances), bool)
        if codes * labels < len(items):
            unsure = np.maximum.reduce([*self.chances.T]) < SURE
            code, truth = np.divmod(np.arange(codes * labels), labels)
            cases = self._likely(code, np.minimum(np.eye(labels)[truth], self.counts[code]), concentration)
            case = table.code * labels + self.chances.argmax(1)[items]
            told = sparse.csr_array((table.given.data, case, table.given.indptr), (len(told), len(cases))) @ cases
        rows = np.flatnonzero(unsure[items])
        likely = self._likely(table.code[rows], self.chances[items[rows]], concentration)
        told[unsure] = np.add.reduceat(likely, np.flatnonzero(np.diff(items[rows], prepend=-1)))
        return told

    def _likely(self, code: Codes, own: Array, concentration: float) -> Array:
        logs = np.empty(own.shape)
        for at in range(0, len(logs), BLOCK):  # blocks that the processor's cache holds: three times as fast
            given, expected, seen = self.others(code[at : at + BLOCK], own[at : at + BLOCK])
            logs[at : at + BLOCK] = np.log((given + concentration * expected) / (seen + concentration))
        return logs

    def others(self, code: Codes, own: Array) -> tuple[Array, Array, Array]:
        """Return by truth, an item of these chances left out: how often the code was given, to be expected, of what."""
        (raters, labels), row = np.divmod(code, self.seen.shape[1]), np.arange(len(code))
        errors, judged = self.errors[raters] - 1 + own[row, labels], self.judged[raters] - 1
        expected = self.expect(raters, np.maximum(errors, 0.0), judged)
        right = 1 - expected[row, labels]
        expected *= self.share[code]
        expected[row, labels] = right
        return self.counts[code] - own, expected, self.seen[raters] - own

    def expect(self, raters: Codes | slice, errors: Array, judged: Array) -> Array:
        """Return the chance of an error by truth of raters with so many errors among the items judged."""
        usual, firm = self.usual[raters], self.firm[raters]
        rate = (errors + firm * usual) / (judged + firm)
        odds = (rate / (1 - rate) * (1 - usual) / usual)[:, None] * self.odds[raters]
        return odds / (1 + odds)


def _find_pairs(votes: Array) -> tuple[tuple[int, int], ...]:
    together = (votes > 0).astype(float).T @ (votes > 0)
    return tuple(pair for pair in combinations(range(votes.shape[1]), 2) if together[pair] > 0)


def _toss(table: _Table, splits: Array) -> Array:
    """Return the log chance of each label where an item is split between the two of a pair."""
    labels, ratings = table.votes.shape[1], table.votes.T @ splits
    inside = np.zeros(ratings.shape, bool)
    for column, pair in enumerate(table.pairs):
        inside[list(pair), column] = True
    slip = (SLIP[0] + ratings[~inside].sum()) / (SLIP[1] + ratings.sum())
    return np.log(np.where(inside, (1 - slip) / 2, slip / max(labels - 2, 1)))


def _keep_pairs(table: _Table, splits: Array) -> NDArray[np.bool_]:
    """Tell by kind and pair whether the ratings are likelier by far when items may be split on it than when not.

    An item that is split with a chance s is 1 / (1 − s) times likelier than if it could not be; allowing for splits
    costs all items of the kind the mean of s. The rarer such pairs turn out to be, the more each has to show.
    """
    gain = table.of_kind @ (-np.log1p(-np.minimum(splits, 1 - 1e-9)) - splits)
    asked = max(int((table.of_kind @ splits >= 1).sum()), 1)
    kept = gain >= SHOWN
    for _ in range(10):
        share = (min(int(kept.sum()), asked) + 0.5) / (asked + 1)
        kept = gain >= SHOWN + np.log((1 - share) / share)
    return kept


def _start(table: _Table) -> Array:
    votes, pairs = table.votes, table.pairs
    if not pairs:
        return _normalise(5 * votes)  # the majority: a round less than from shares, of which splits have need
    split = np.array([(votes[:, one] > 0) & (votes[:, other] > 0) for one, other in pairs])
    chances = votes + 0.1 * votes.mean(0)
    chances = np.hstack([chances / chances.sum(1, keepdims=True), split.reshape(len(pairs), len(votes)).T / 3])
    return chances / chances.sum(1, keepdims=True)


def _learn(table: _Table, state: _State) -> _Learned:
    _, raters, labels = table.judgements.sizes
    whole = np.ascontiguousarray(state.chances[:, :labels])
    counts = table.given.T @ whole
    cube = counts.reshape(raters, labels, labels).transpose(0, 2, 1)
    seen, right = cube.sum(2), np.einsum("rkk->r", cube)
    judged = np.maximum(seen.sum(1), 1e-9)
    errors, usual, firm = np.clip(judged - right, 0, judged), np.empty(raters), np.empty(raters)
    odds, share = np.empty((raters, labels)), np.empty((raters, labels, labels))
    for group in np.unique(table.judgements.groups):
        inside = table.judgements.groups == group
        missed, share[inside] = _pool(cube[inside].sum(0))
        odds[inside] = missed / (1 - missed)
        usual[inside] = np.clip(seen[inside] @ missed / judged[inside], 1e-6, 1 - 1e-6)
        firm[inside] = _firmness(errors[inside], judged[inside], usual[inside])
    of_kind = table.of_kind @ state.chances
    spread = np.repeat(SHARED, (labels, state.chances.shape[1] - labels)) * of_kind.sum(0) / len(state.chances)
    alike = of_kind[table.judgements.kinds] - state.chances
    common = np.log(np.maximum(alike, 0) + spread + 1e-12)
    common[:, labels:] += np.where(state.open, 0.0, NEVER)[table.judgements.kinds]
    share, toss = share.reshape(counts.shape), _toss(table, state.chances[:, labels:])
    return _Learned(whole, counts, seen, errors, judged, usual, firm, odds, share, common, toss)


def _confuse(learned: _Learned, shape: tuple[int, int], concentration: float) -> Array:
    """Return each rater's confusion matrix, raters × true × given."""
    raters, labels = shape
    wrong = learned.expect(slice(None), learned.errors, learned.judged)
    expected = learned.share.reshape(raters, labels, labels) * wrong[:, None]
    expected[:, np.arange(labels), np.arange(labels)] = 1 - wrong
    counts = learned.counts.reshape(expected.shape) + concentration * expected
    return (counts / (learned.seen + concentration)[:, None]).transpose(0, 2, 1)


def _pool(counts: Array) -> tuple[Array, Array]:
    """Return a group's chance of an error by truth, and by label given and truth the share of each label in errors."""
    labels = len(counts)
    pooled = counts + 0.5 * np.eye(labels) + 0.1 / labels
    pooled /= pooled.sum(1, keepdims=True)
    elsewhere = pooled * (1 - np.eye(labels))
    return 1 - np.diag(pooled), (elsewhere / np.maximum(elsewhere.sum(1, keepdims=True), 1e-12)).T


def _firmness(errors: Array, judged: Array, usual: Array) -> float:
    """Return how many items the usual rate of error counts as: the likeliest, with rates of a beta distribution."""

    def likely(firm: float) -> float:
        wrong, right = firm * usual, firm * (1 - usual)
        return float((betaln(errors + wrong, judged - errors + right) - betaln(wrong, right)).sum())

    return float(max(CONCENTRATIONS, key=likely))


def _tune(table: _Table, state: _State, learned: _Learned) -> tuple[_State, float]:
    """Choose concentration and temper by how well they predict each rating from the others of its item."""
    items, toss = table.judgements.items[table.asked], learned.toss[table.judgements.labels[table.asked]]
    given, expected, seen = learned.others(table.code[table.asked], learned.chances[items])

    def likely(concentration: float) -> Array:
        return np.hstack([(given + concentration * expected) / (seen + concentration), np.exp(toss)])

    def predict(chances: Array, likely: Array) -> float:
        return float(np.log(np.einsum("ij,ij->i", chances, likely)).sum())

    common = learned.common[items]
    others = np.log(state.chances[items] + 1e-300) - common - np.log(likely(state.concentration))
    now = _normalise(common + others)
    concentration = float(max(CONCENTRATIONS, key=lambda one: predict(now, likely(one))))
    found = likely(concentration)
    temper = float(max(TEMPERS, key=lambda one: predict(_normalise(common + one * others), found)))
    return replace(state, concentration=concentration), temper


def _normalise(logs: Array) -> Array:
    # Few columns and many rows: column by column, for sums along short rows are slow.
    chances = np.exp(logs - np.maximum.reduce([*logs.T])[:, None])
    return chances / (chances @ np.ones(chances.shape[1]))[:, None]
