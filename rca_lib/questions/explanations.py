"""Whose error is it: the rater's, the policy's or the truth's? Chances for every disputed item where it can be told."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
import pandas as pd

from rca_lib.audits.ratings import Ratings, read_truth
from rca_lib.findings import Estimate, Finding, count_noun, mark_units
from rca_lib.stats.doubts import estimate_shares
from rca_lib.stats.truths import Judgements, Truths, infer_truths

CAUSES = ("rater error", "ambiguous policy", "wrong truth")
WITHIN = 0.1  # an overlap sample is large enough when each cause's share is known so closely


@dataclass(frozen=True, slots=True)
class Explanation:
    """One disputed item and what it may be: the three chances add up to 1, `cause` is the likeliest of them.

    `suggested` is the likeliest true label ("" where the policy is the likeliest cause), `against` how many of the
    `ratings` beside auditors' differ from the truth.
    """

    item_id: str
    policy: str
    truth: str
    suggested: str
    ratings: int
    against: int
    rater_error: float
    ambiguous_policy: float
    wrong_truth: float
    cause: str


@dataclass(frozen=True, slots=True)
class Ambiguity:
    """Two labels between which everybody splits by chance on some of a policy's items: so many, so large a share."""

    policy: str
    one: str
    other: str
    items: float
    share: Estimate


@dataclass(frozen=True, slots=True)
class Explanations:
    """What the disputed items are, where it can be told.

    `disputed` items have a label that differs from the truth; `unrated` truths are of items without ratings. Of the
    disputed `untold` were judged by one person beside the auditors: nothing tells a slip from an unclear policy or a
    wrong truth. `needed` is how many of them, drawn at random and judged by two more, would tell each cause's share
    within 10 points. `shares` are of the items told.
    """

    disputed: int
    unrated: int
    untold: int
    needed: int
    shares: tuple[tuple[str, Estimate], ...]
    ambiguities: tuple[Ambiguity, ...]
    explanations: tuple[Explanation, ...]

    @property
    def excused(self) -> tuple[str, ...]:
        """The `item_id`s that are likelier an ambiguous policy or a wrong truth than a rater's error."""
        return tuple(dict.fromkeys(one.item_id for one in self.explanations if one.cause != CAUSES[0]))

    def agenda(self) -> pd.DataFrame:
        """Return the items to discuss, a row each with the question to ask: wrong truths first, the surest first."""
        rows = [
            (one.item_id, one.policy, one.truth, _ask(one), max(one.ambiguous_policy, one.wrong_truth))
            for one in sorted(self.explanations, key=_surest)
            if one.cause != CAUSES[0]
        ]
        frame = pd.DataFrame(rows, columns=["item_id", "policy", "truth", "question", "probability"])
        return mark_units(frame, probability="%")

    def ambiguity_frame(self) -> pd.DataFrame:
        """Return a row per policy and pair of labels that is a toss of a coin on some items, the most items first."""
        rows = [(one.policy, one.one, one.other, one.items, *astuple(one.share)[:3]) for one in self.ambiguities]
        frame = pd.DataFrame(rows, columns=["policy", "one", "other", "items", "share", "low", "high"])
        return mark_units(frame, share="%", low="%", high="%")

    def to_frame(self) -> pd.DataFrame:
        """Return a row per disputed item that is told of, the surest first within each cause."""
        frame = pd.DataFrame([*self.explanations], columns=[*Explanation.__dataclass_fields__])
        return mark_units(frame, **{name.replace(" ", "_"): "%" for name in CAUSES})

    def summary(self) -> str:
        """Say what the disputed items are, and of how many it cannot be told."""
        if not self.disputed:
            rest = f" Nobody rated the items of {count_noun(self.unrated, 'truth')}." if self.unrated else ""
            return f"No item is disputed.{rest}"
        told, disputed = (
            self.disputed - self.untold,
            count_noun(self.disputed, "disputed item was", "disputed items were"),
        )
        text = f"{told:,} of {disputed} judged by two people or more beside the auditor"
        text += "".join(f"; {cause} {share}" for cause, share in self.shares) + "." if told else "."
        if self.untold:
            text += f" Of the other {self.untold:,} it cannot be told: let two more people judge {self.needed:,} of"
            text += f" them, blind, to know each cause's share within {WITHIN * 100:.0f} points."
        return text

    def findings(self) -> tuple[Finding, ...]:
        """Return each cause's share, "likely" where its interval is above a tenth, and where the policy is unclear."""
        found = []
        for place, (cause, share) in enumerate(self.shares):
            grade = "likely" if float(share.low) > 0.1 else "possible"
            sentence = f"{cause.capitalize()}: {share} of the disputed items that several people judged."
            found.append(Finding("explanations", cause, sentence, grade, share, f"shares[{place}][1]"))
        for place, one in enumerate(self.ambiguities):
            sentence = (
                f"{one.policy or 'All work'}: {one.one} or {one.other} is a toss of a coin in {one.share} of items."
            )
            where = {"policy": one.policy} if one.policy else {}
            path = f"ambiguities[{place}].share"
            found.append(Finding("explanations", "ambiguity", sentence, "possible", one.share, path, where))
        return tuple(found)


def explain_disagreements(ratings: Any, truth: Any) -> Explanations:
    """Tell of every disputed item how likely it is a rater's error, an ambiguous policy or a wrong truth.

    Parameters
    ----------
    ratings
        One row per rater × item: `item_id`, `rater`, `label`, optionally `role`.
    truth
        One row per item or audit: `item_id`, `truth`, optionally `auditor` and `policy`. Where the ratings hold no
        auditor's rating of an item, its truth is taken as one.

    Raises
    ------
    DataError
        A column is missing, or the ratings are refused (`read_ratings`).

    Notes
    -----
    An item has one true label, which raters and auditors miss as often as each of them does (Dawid and Skene 1979, with
    shrinkage: `stats.truths`), or it is split: two labels that everybody gives by the toss of a coin. How often items
    are split is learned for each policy and pair of labels. With one rating beside the auditor's the three cannot be
    told apart by any method, and no verdict is given. It cannot see an error that all make alike (that looks right), a
    policy that is clear to each rater in a different way (that looks like their errors), or that an item is split
    unevenly, nine to one. Where no policy is unclear, one simulation in eight tells of one that is.
    Intervals of the shares allow for the model being learned (`stats.doubts`) and speak of all such items, not only of
    those at hand. Of those, at a stated .95, they hold .98 to 1.00 with three raters an item and .93 to .98 with two,
    with whom wrong truths come out too few by half a point; those of ambiguities hold .98 to 1.00.

    Examples
    --------
    >>> rows = [(f"i{item}", rater, "bad" if rater == "c" and item % 8 == 0 else "ok") for item in range(80)
    ...     for rater in "abc"]
    >>> ratings = pd.DataFrame(rows, columns=["item_id", "rater", "label"])
    >>> truth = pd.DataFrame({"item_id": [f"i{item}" for item in range(80)], "truth": "ok"})
    >>> explain_disagreements(ratings, truth).explanations[0].cause
    'rater error'
    """
    rows, table, unrated = read_truth(truth, ratings)
    disputed = rows[rows["against"] > 0]
    told = disputed[disputed["others"] >= 2]
    untold = len(disputed) - len(told)
    if told.empty:
        return Explanations(len(disputed), unrated, untold, _needed(untold), (), (), ())
    shared, judgements, found = _infer(table, rows)
    place = shared[told["item"]]
    chances, split = found.chances[place], found.splits[place].sum(1)
    right = chances[np.arange(len(told)), told["given"]]
    three = np.column_stack([right, split, chances.sum(1) - right]).clip(0, 1)
    shares = estimate_shares(judgements, found, [(place, one) for one in _states(told["given"], found)])
    return Explanations(
        disputed=len(disputed),
        unrated=unrated,
        untold=untold,
        needed=_needed(untold),
        shares=tuple(zip(CAUSES, shares, strict=True)),
        ambiguities=_ambiguities(table, rows, shared, judgements, found),
        explanations=_explain(told, table.labels[chances.argmax(1)], three),
    )


def _surest(one: Explanation) -> tuple[bool, float]:
    return one.cause != CAUSES[2], -max(one.ambiguous_policy, one.wrong_truth)


def _ask(one: Explanation) -> str:
    if one.cause == CAUSES[2]:
        return f"Is it {one.truth}, or {one.suggested}? {one.against} of {one.ratings} say otherwise than the truth."
    return f"Which label does the policy ask for? {one.against} of {one.ratings} say otherwise than {one.truth}."


def _infer(table: Ratings, rows: pd.DataFrame) -> tuple[np.ndarray, Judgements, Truths]:
    """Infer the truth of the items that two judged beside auditors; also return their places in it (-1: not there)."""
    people = np.bincount(table.item, table.roles[table.rater] != "auditor", len(table.items))
    several = people >= 2
    judgements = table.judgements(dict(zip(rows["item_id"], rows["policy"], strict=True)))
    judgements = judgements.keep(several)
    return np.where(several, np.cumsum(several) - 1, -1), judgements, infer_truths(judgements, split=True)


def _states(given: pd.Series, found: Truths) -> tuple[np.ndarray, ...]:
    """Return for each cause which labels and pairs of labels it is, by truth given."""
    labels, pairs = found.chances.shape[1], found.splits.shape[1]
    right = np.arange(labels + pairs) == given.to_numpy()[:, None]
    split = np.broadcast_to(np.arange(labels + pairs) >= labels, right.shape)
    return right, split, ~right & ~split


def _explain(told: pd.DataFrame, suggested: np.ndarray, three: np.ndarray) -> tuple[Explanation, ...]:
    cause = three.argmax(1)
    frame = told[["item_id", "policy", "truth"]].assign(
        suggested=np.where(cause == 1, "", np.where(cause == 0, told["truth"], suggested)),
        ratings=told["others"],
        against=told["against"],
        **{name.replace(" ", "_"): chances.round(12) for name, chances in zip(CAUSES, three.T, strict=True)},
        cause=np.array(CAUSES, object)[cause],
        place=cause,
        sure=-three.max(1).round(12),
    )
    frame = frame.sort_values(["place", "sure", "item_id", "truth"])[[*Explanation.__dataclass_fields__]]
    return tuple(Explanation(*row) for row in frame.itertuples(index=False, name=None))


def _needed(untold: int) -> int:
    """Return how many of the untold tell a share within 10 points at 95 %, as a sample without replacement."""
    many = 0.25 * (1.96 / WITHIN) ** 2
    return int(np.ceil(many / (1 + (many - 1) / untold))) if untold else 0


def _ambiguities(
    table: Ratings, rows: pd.DataFrame, shared: np.ndarray, judgements: Judgements, found: Truths
) -> tuple[Ambiguity, ...]:
    """Return the policies and pairs on which items are split, those with most such items first."""
    items = rows.drop_duplicates("item")
    items = items[shared[items["item"]] >= 0]
    names, claims, states = [], [], np.eye(found.chances.shape[1] + len(found.pairs), dtype=bool)
    for policy, part in items.groupby("policy", sort=True):
        place = shared[part["item"]]
        for column in np.flatnonzero(found.splits[place].sum(0) >= 1):
            pair = (str(table.labels[label]) for label in found.pairs[column])
            names.append((str(policy), *pair, round(float(found.splits[place, column].sum()), 9)))
            claims.append((place, states[[found.chances.shape[1] + column]]))
    told = [
        Ambiguity(*one, share) for one, share in zip(names, estimate_shares(judgements, found, claims), strict=True)
    ]
    return tuple(sorted(told, key=lambda one: (-one.items, one.policy, one.one, one.other)))
