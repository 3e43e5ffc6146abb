"""What is true, where several people judged the same items, and which of the truths given should be looked at again?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from rca_lib.audits.ratings import Ratings, read_ratings, read_truth
from rca_lib.findings import Estimate, Finding, count_noun, mark_units
from rca_lib.stats.rates import mean_chance
from rca_lib.stats.truths import Truths, infer_truths

SUSPECT = 0.5  # a truth more likely wrong than right


@dataclass(frozen=True, slots=True)
class RaterQuality:
    """How often a rater is right, over items as they come, and what is most often given for what where not."""

    rater: str
    role: str
    ratings: int
    accuracy: Estimate
    truth: str
    given: str


@dataclass(frozen=True, slots=True, eq=False)
class InferredTruth:
    """The truth of every item as its ratings tell it.

    `single` items were judged once. `expected_accuracy` is the mean chance of the labels inferred. `temper` is what a
    rating counts as beside others of its item: 1 where raters err independently. `table` and `found` hold the ratings
    and what was inferred, in codes.
    """

    items: int
    single: int
    expected_accuracy: float
    temper: float
    rater_quality: tuple[RaterQuality, ...]
    table: Ratings
    found: Truths

    def to_frame(self) -> pd.DataFrame:
        """Return a row per item: `item_id`, `label`, its `probability`, the `runner_up`, how many `ratings`."""
        chances, labels = self.found.chances, self.table.labels
        best = chances.argmax(1)
        place, others = (np.arange(len(best)), best), chances.copy()
        others[place] = -1
        second = labels[others.argmax(1)] if len(labels) > 1 else ""
        ratings = np.bincount(self.table.item, minlength=len(best))
        frame = pd.DataFrame(
            {"item_id": self.table.items, "label": labels[best], "probability": chances[place], "runner_up": second,
             "ratings": ratings}
        )  # fmt: skip
        return mark_units(frame, probability="%")

    def rater_frame(self) -> pd.DataFrame:
        """Return a row per rater, by name: `accuracy` with `low` and `high`, and the label most often given wrongly."""
        rows = [
            (one.rater, one.role, one.ratings, one.accuracy.value, one.accuracy.low, one.accuracy.high, one.truth,
             one.given)
            for one in self.rater_quality
        ]  # fmt: skip
        frame = pd.DataFrame(rows, columns=["rater", "role", "ratings", "accuracy", "low", "high", "truth", "given"])
        return mark_units(frame, accuracy="%", low="%", high="%")

    def summary(self) -> str:
        """Say how many items, and how sure their truth is."""
        items, raters = count_noun(self.items, "item"), count_noun(len(self.rater_quality), "rater")
        text = f"{items}, {raters}: the label inferred is right in"
        text += f" {self.expected_accuracy:.1%} of them by its own account."
        if self.single:
            once = count_noun(self.single, "item was", "items were")
            text += f" {once} judged once; of these it is that rater's usual accuracy."
        return text

    def findings(self) -> tuple[Finding, ...]:
        """Return how sure the truth is."""
        accuracy = Estimate(self.expected_accuracy, unit="%")
        return (Finding("truth", "inferred", self.summary(), "likely", accuracy, "expected_accuracy"),)


def infer_truth(ratings: Any) -> InferredTruth:
    """Infer the true label of every item and how each rater errs (a hierarchical model of Dawid and Skene).

    Parameters
    ----------
    ratings
        One row per rater × item: `item_id`, `rater`, `label`, optionally `role` and `trial`; raters of a role are
        taken to err alike until their own ratings say otherwise.

    Raises
    ------
    DataError
        As `read_ratings` does.

    Notes
    -----
    The method is that of `stats.truths`. Chances are calibrated where raters err independently or all alike on hard
    items (the temper allows for it); it cannot see what all raters get wrong, and of an item judged once it knows only
    its rater's usual accuracy. Intervals of accuracy are those of a beta distribution with the rater's own ratings;
    they leave out that the truth itself is inferred.

    Examples
    --------
    >>> rows = [(f"i{item}", rater, "ok" if (item + (rater == "c")) % 2 else "bad") for item in range(30)
    ...     for rater in "abc"]
    >>> found = infer_truth(pd.DataFrame(rows, columns=["item_id", "rater", "label"]))
    >>> found.to_frame().loc[:1, ["item_id", "label"]].values.tolist()
    [['i0', 'bad'], ['i1', 'ok']]
    """
    table = read_ratings(ratings)
    found = infer_truths(table.judgements())
    counts = np.bincount(table.item, minlength=len(table.items))
    sure = float(found.chances.max(1).mean())
    people = _describe_raters(table, found)
    return InferredTruth(len(counts), int((counts == 1).sum()), round(sure, 12), found.temper, people, table, found)


def _describe_raters(table: Ratings, found: Truths) -> tuple[RaterQuality, ...]:
    usual = found.chances.mean(0)
    right = np.einsum("k,rkk->r", usual, found.confusion)
    size = found.seen.sum(1)
    low, high = stats.beta.ppf([[0.025], [0.975]], right * size + 0.5, (1 - right) * size + 0.5)
    wrong = found.confusion * usual[:, None] * (1 - np.eye(len(usual)))
    worst = np.unravel_index(wrong.reshape(len(wrong), -1).argmax(1), wrong.shape[1:])
    truth, given = (table.labels[one] for one in worst)
    ratings = np.bincount(table.rater, minlength=len(right)).tolist()
    ends = (np.round(one, 12).tolist() for one in (right, low, high))
    accuracy = [Estimate(*numbers, "%") for numbers in zip(*ends, strict=True)]
    rows = zip(table.raters, table.roles, ratings, accuracy, truth, given, strict=True)
    return tuple(RaterQuality(*row) for row in rows)


@dataclass(frozen=True, slots=True)
class Suspect:
    """A truth and the `probability` that it is wrong; `suggested` is the likeliest label beside it.
    `ratings` people judged the item beside auditors, `against` of them otherwise than the truth.
    """

    item_id: str
    truth: str
    suggested: str
    probability: float
    ratings: int
    against: int
    policy: str


@dataclass(frozen=True, slots=True)
class TruthReview:
    """The truths by how likely they are wrong; `share` of all those reviewed is wrong.

    `alone` truths are of items that at most one person judged beside the auditors: there is next to nothing to hold
    them against, and they are not ranked. `unrated` are of items without ratings.
    """

    reviewed: int
    alone: int
    unrated: int
    share: Estimate
    suspects: tuple[Suspect, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return a row per truth, the likeliest to be wrong first."""
        return mark_units(pd.DataFrame([*self.suspects], columns=[*Suspect.__dataclass_fields__]), probability="%")

    def summary(self) -> str:
        """Say how many truths are in doubt, and how many were reviewed."""
        if not self.reviewed:
            alone = count_noun(self.alone, "item was", "items were")
            text = f"No truth could be reviewed: {alone} judged by one person at most beside the auditor"
            return text + f", and nobody rated the items of {self.unrated:,} more" * (self.unrated > 0) + "."
        doubtful = sum(one.probability > SUSPECT for one in self.suspects)
        text = f"{doubtful:,} of {self.reviewed:,} truths are more likely wrong than right, or their policy is unclear;"
        text += f" in all {self.share} are."
        return text + (f" {self.alone:,} more have nothing to be held against." if self.alone else "")

    def findings(self) -> tuple[Finding, ...]:
        """Return the share of wrong truths, "likely" where its interval is above zero by more than one in a hundred."""
        if not self.reviewed:
            return ()
        grade = "likely" if float(self.share.low) > 0.01 else "possible"
        return (Finding("truth", "suspects", self.summary(), grade, self.share, "share"),)


def review_truth(ratings: Any, truth: Any) -> TruthReview:
    """Rank the truths given by how likely they are wrong, for a second look.

    Parameters
    ----------
    ratings
        One row per rater × item, as `infer_truth` takes them.
    truth
        One row per item or audit: `item_id`, `truth`, optionally `auditor` and `policy`.

    Raises
    ------
    DataError
        A column is missing, or the ratings are refused (`read_ratings`).

    Notes
    -----
    The truth is one more rating, whose auditor errs like other auditors until there is evidence; the chance that it is
    wrong is what all ratings of the item, each by what its rater is worth, leave it. An item on which everybody splits
    because the policy is unclear is in doubt here too; `explain_disagreements` tells the two apart. Blind to what
    raters and auditor get wrong alike; the interval of the share allows for the items drawn and for what is unsure of
    each, not for the model.

    Examples
    --------
    >>> rows = [(f"i{item}", rater, "ok" if item % 2 else "bad") for item in range(40) for rater in "abc"]
    >>> ratings = pd.DataFrame(rows, columns=["item_id", "rater", "label"])
    >>> truth = ratings.drop_duplicates("item_id").rename(columns={"label": "truth"})
    >>> truth.loc[truth["item_id"] == "i7", "truth"] = "bad"
    >>> [(one.item_id, one.suggested) for one in review_truth(ratings, truth).suspects if one.probability > 0.5]
    [('i7', 'ok')]
    """
    rows, table, unrated = read_truth(truth, ratings)
    found = infer_truths(table.judgements(dict(zip(rows["item_id"], rows["policy"], strict=True))))
    several = rows["others"] >= 2
    rows, alone = rows[several], int((~several).sum())
    chances = found.chances[rows["item"]]
    place = np.arange(len(rows)), rows["given"].to_numpy()
    wrong = np.clip(1 - chances[place], 0, 1)
    chances[place] = -1
    suggested = table.labels[chances.argmax(1)] if len(rows) else []
    frame = rows.assign(suggested=suggested, wrong=wrong.round(12))
    frame = frame.sort_values(["wrong", "item_id", "truth"], ascending=[False, True, True])
    names = ["item_id", "truth", "suggested", "wrong", "others", "against", "policy"]
    suspects = tuple(Suspect(*row) for row in frame[names].itertuples(index=False, name=None))
    return TruthReview(len(rows), alone, unrated, mean_chance(wrong), suspects)
