"""Is a disputed item the rater's error, an ambiguous policy, or a wrong truth?

An item is disputed if a rating differs from its truth. The truth counts as one more rating. Each item is in one of
these states:

- it has one true label k, which raters and auditors miss at their own error rates (Dawid and Skene, with shrinkage:
  `stats.truth_inference.dawid_skene`), or
- it is ambiguous: everybody tosses a coin between two labels. The frequency is learned by policy and pair of labels.

With g the label that was given as the truth, the probability of each state given all ratings of the item yields

    P(rater error) = P(true label is g),
    P(ambiguous policy) = Σ over pairs P(ambiguous between the pair),
    P(wrong truth) = 1 − both.

With only one rating beside the auditor no method can tell the three apart, and no cause is given. The number of items
that a further sample needs for a margin of error m in each share is n = n₀ / (1 + (n₀ − 1) / N) of N items, with
n₀ = 0.25 (1.96 / m)².

References
----------
Dawid, A. P. and Skene, A. M. (1979). Applied Statistics 28, 20–28. The model without ambiguous items.
Cochran, W. G. (1977). Sampling Techniques, 3rd ed., section 4.4. The sample size with finite population correction.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from rca_lib.audits.ratings import Ratings, add_truth_ratings
from rca_lib.findings import Estimate, Finding, Grade, format_count, set_units
from rca_lib.result import Result
from rca_lib.stats.truth_inference.coded_ratings import CodedRatings
from rca_lib.stats.truth_inference.dawid_skene import DawidSkeneFit, fit_dawid_skene
from rca_lib.stats.truth_inference.uncertainty import estimate_shares

ErrorSource = Literal["rater error", "ambiguous policy", "wrong truth"]
AttributionKind = ErrorSource | Literal["ambiguity"]
ERROR_SOURCES: tuple[ErrorSource, ...] = get_args(ErrorSource)
RATER_ERROR, AMBIGUOUS_POLICY, WRONG_TRUTH = ERROR_SOURCES
MIN_RATINGS = 2  # ratings beside the auditor; with fewer the sources cannot be told apart
MARGIN_OF_ERROR = 0.1  # margin of error of each share that a further sample should reach
MATERIAL_SHARE = 0.1  # lower limit of a share from which its finding is likely
MIN_AMBIGUOUS_ITEMS = 1  # expected ambiguous items from which a pair of labels is reported
Z_95 = 1.96  # standard normal quantile of a two-sided 95% interval


@dataclass(frozen=True, slots=True)
class ItemAttribution:
    """A disputed item with the probability of each source of the error.

    Attributes
    ----------
    item_id, policy, truth
        The item, its policy ("" without one), and the truth given for it.
    suggested_label
        The most probable true label; "" if the policy is the most probable source.
    ratings, dissenting
        Number of ratings beside those of auditors, and of those that differ from the truth.
    rater_error, ambiguous_policy, wrong_truth
        Probabilities of the three sources; their sum is 1.
    cause
        The most probable source.
    """

    item_id: str
    policy: str
    truth: str
    suggested_label: str
    ratings: int
    dissenting: int
    rater_error: float
    ambiguous_policy: float
    wrong_truth: float
    cause: ErrorSource

    @property
    def question(self) -> str:
        """The question to discuss about the item."""
        dissent = f"{self.dissenting} of {self.ratings} ratings differ from"
        if self.cause == WRONG_TRUTH:
            return f"Is it {self.truth} or {self.suggested_label}? {dissent} the truth."
        return f"Which label does the policy require? {dissent} {self.truth}."


@dataclass(frozen=True, slots=True)
class AmbiguousLabels:
    """Two labels between which everybody chooses at random on some items of a policy; how many, and what share."""

    policy: str
    first_label: str
    second_label: str
    items: float
    share: Estimate


@dataclass(frozen=True, slots=True)
class ErrorAttribution(Result):
    """The sources of the disputed items.

    Attributes
    ----------
    disputed
        Number of items with a rating that differs from the truth.
    truths_without_ratings
        Number of truths of items without ratings.
    undetermined
        Number of disputed items with only one rating beside the auditors; they cannot be attributed.
    required_sample_size
        How many of the undetermined items, drawn at random and judged by two more people, show the share of each source
        within 10 points.
    shares
        Share of each source among the attributed items.
    ambiguities
        Ambiguous pairs of labels, those with most items first.
    attributions
        The attributed items, by source, the most certain first.
    """

    disputed: int
    truths_without_ratings: int
    undetermined: int
    required_sample_size: int
    shares: tuple[tuple[ErrorSource, Estimate], ...]
    ambiguities: tuple[AmbiguousLabels, ...]
    attributions: tuple[ItemAttribution, ...]

    @property
    def excluded(self) -> tuple[str, ...]:
        """The `item_id`s that are more likely an ambiguous policy or a wrong truth than a rater's error."""
        return tuple(dict.fromkeys(item.item_id for item in self.attributions if item.cause != RATER_ERROR))

    def agenda_frame(self) -> pd.DataFrame:
        """Return the items to discuss: wrong truths first, within each source the most certain first.

        Columns: `item_id`, `policy`, `truth`, `question`, `probability` (of the more likely of the two sources).
        """
        items = [item for item in self.attributions if item.cause != RATER_ERROR]
        rows = [
            (item.item_id, item.policy, item.truth, item.question, max(item.ambiguous_policy, item.wrong_truth))
            for item in sorted(items, key=_agenda_order)
        ]
        frame = pd.DataFrame(rows, columns=["item_id", "policy", "truth", "question", "probability"])
        return set_units(frame, probability="%")

    def ambiguity_frame(self) -> pd.DataFrame:
        """Return one row per ambiguous pair of labels, those with most items first.

        Columns: `policy`, `first_label`, `second_label`, `items`, `share` with `low` and `high`.
        """
        rows = [
            (pair.policy, pair.first_label, pair.second_label, pair.items,
             pair.share.value, pair.share.low, pair.share.high)
            for pair in self.ambiguities
        ]  # fmt: skip
        names = ["policy", "first_label", "second_label", "items", "share", "low", "high"]
        return set_units(pd.DataFrame(rows, columns=names), share="%", low="%", high="%")

    def to_frame(self) -> pd.DataFrame:
        """Return one row per attributed item, by source, with the fields of `ItemAttribution`."""
        names = [column.name for column in fields(ItemAttribution)]
        frame = pd.DataFrame([*self.attributions], columns=names)
        return set_units(frame, rater_error="%", ambiguous_policy="%", wrong_truth="%")

    def display_frame(self) -> pd.DataFrame:
        """Return the items to discuss."""
        return self.agenda_frame()

    def summary(self) -> str:
        """Return the shares of the sources, and how many items cannot be attributed."""
        if not self.disputed:
            unrated = format_count(self.truths_without_ratings, "truth has", "truths have")
            return "No item is disputed." + (f" {unrated} no ratings." if self.truths_without_ratings else "")
        attributed = self.disputed - self.undetermined
        disputed = format_count(self.disputed, "disputed item was", "disputed items were")
        summary = f"{attributed:,} of {disputed} judged by at least two people besides the auditor"
        summary += ": " + "; ".join(f"{source} {share}" for source, share in self.shares) if self.shares else ""
        if not self.undetermined:
            return f"{summary}."
        return (
            f"{summary}. The other {self.undetermined:,} cannot be attributed. Let two more people judge"
            f" {self.required_sample_size:,} of them blind: each share is then known to within"
            f" {MARGIN_OF_ERROR * 100:.0f} percentage points."
        )

    def findings(self) -> tuple[Finding[AttributionKind], ...]:
        """Return the share of each source, and the ambiguous pairs of labels.

        A share is graded "likely" if the lower limit of its interval is above 10%; all else is "possible".
        """
        findings: list[Finding[AttributionKind]] = []
        for index, (source, share) in enumerate(self.shares):
            grade: Grade = "likely" if float(share.low) > MATERIAL_SHARE else "possible"
            sentence = f"{source.capitalize()}: {share} of the disputed items that several people judged."
            findings.append(Finding("explanations", source, sentence, grade, share, f"shares[{index}][1]"))
        for index, pair in enumerate(self.ambiguities):
            labels = f"the labels {pair.first_label} and {pair.second_label}"
            sentence = f"{pair.policy or 'All work'}: {labels} are ambiguous in {pair.share} of the items."
            where = {"policy": pair.policy} if pair.policy else {}
            path = f"ambiguities[{index}].share"
            findings.append(Finding("explanations", "ambiguity", sentence, "possible", pair.share, path, where))
        return tuple(findings)


def attribute_errors(ratings: Any, truth: Any) -> ErrorAttribution:
    """Attribute each disputed item to a rater's error, an ambiguous policy, or a wrong truth.

    Parameters
    ----------
    ratings
        One row per rater × item: `item_id`, `rater`, `label`, optionally `role`.
    truth
        One row per item or audit: `item_id`, `truth`, optionally `auditor` and `policy`. If the ratings hold no
        auditor's rating of an item, its truth is taken as one.

    Returns
    -------
    ErrorAttribution
        Probabilities for each disputed item with at least two ratings beside the auditor's.

    Raises
    ------
    DataError
        If a column is missing, or the ratings are invalid (`encode_ratings`).

    Notes
    -----
    The model cannot see an error that all make alike, which looks right. A policy that is clear to each rater in a
    different way looks like their errors. An item that splits raters unevenly, nine to one, is not recognised as
    ambiguous. Where no policy is ambiguous, one simulation in eight reports one.

    Intervals of the shares allow for the model being learned (`stats.truth_inference.uncertainty`), and speak of all
    such items, not only of those at hand. For the items at hand, 95% intervals cover .98 to 1.00 with three raters an
    item and .93 to .98 with two; with two, wrong truths are underestimated by half a point. Intervals of ambiguities
    cover .98 to 1.00.

    References
    ----------
    Dawid and Skene (1979); Cochran (1977). The docstring of the module has both.

    Examples
    --------
    >>> rows = [(f"i{item}", rater, "bad" if rater == "c" and item % 8 == 0 else "ok") for item in range(80)
    ...     for rater in "abc"]
    >>> ratings = pd.DataFrame(rows, columns=["item_id", "rater", "label"])
    >>> truth = pd.DataFrame({"item_id": [f"i{item}" for item in range(80)], "truth": "ok"})
    >>> attribute_errors(ratings, truth).attributions[0].cause
    'rater error'
    """
    truths, encoded, without_ratings = add_truth_ratings(truth, ratings)
    disputed = truths[truths["against"] > 0]
    attributable = disputed[disputed["others"] >= MIN_RATINGS]
    undetermined = len(disputed) - len(attributable)
    sample_size = _compute_sample_size(undetermined)
    if attributable.empty:
        return ErrorAttribution(len(disputed), without_ratings, undetermined, sample_size, (), (), ())
    positions, shared_ratings, fit = _fit_shared_items(encoded, truths)
    items = positions[attributable["item"]]
    label_probabilities = fit.label_probabilities[items]
    probabilities = _compute_source_probabilities(
        label_probabilities, fit.split_probabilities[items], attributable["given"]
    )
    claims = [(items, states) for states in _select_states(attributable["given"], fit)]
    shares = estimate_shares(shared_ratings, fit, claims)
    suggested = encoded.labels[label_probabilities.argmax(1)]
    return ErrorAttribution(
        disputed=len(disputed),
        truths_without_ratings=without_ratings,
        undetermined=undetermined,
        required_sample_size=sample_size,
        shares=tuple(zip(ERROR_SOURCES, shares, strict=True)),
        ambiguities=_find_ambiguous_labels(encoded, truths, positions, shared_ratings, fit),
        attributions=_attribute_items(attributable, suggested, probabilities),
    )


def _agenda_order(item: ItemAttribution) -> tuple[bool, float]:
    """Sort key of the agenda: wrong truths first, then the most certain."""
    return item.cause != WRONG_TRUTH, -max(item.ambiguous_policy, item.wrong_truth)


def _fit_shared_items(ratings: Ratings, truths: pd.DataFrame) -> tuple[np.ndarray, CodedRatings, DawidSkeneFit]:
    """Fit the model to the items with two ratings beside auditors; return also their positions in it (-1: not in)."""
    is_rater = ratings.roles[ratings.rater] != "auditor"
    is_shared = np.bincount(ratings.item, is_rater, len(ratings.items)) >= MIN_RATINGS
    policy_by_item = dict(zip(truths["item_id"], truths["policy"], strict=True))
    shared_ratings = ratings.to_coded_ratings(policy_by_item).subset(is_shared)
    positions = np.where(is_shared, np.cumsum(is_shared) - 1, -1)
    return positions, shared_ratings, fit_dawid_skene(shared_ratings, allow_splits=True)


def _compute_source_probabilities(labels: np.ndarray, splits: np.ndarray, given: pd.Series) -> np.ndarray:
    """Return items × sources, from the probabilities of the labels and of the ambiguous pairs."""
    rater_error = labels[np.arange(len(given)), given]
    return np.column_stack([rater_error, splits.sum(1), labels.sum(1) - rater_error]).clip(0, 1)


def _select_states(given: pd.Series, fit: DawidSkeneFit) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return for each source which states (labels, then pairs of labels) of each item belong to it."""
    labels, pairs = fit.label_probabilities.shape[1], fit.split_probabilities.shape[1]
    states = np.arange(labels + pairs)
    is_given = states == given.to_numpy()[:, None]
    is_pair = np.broadcast_to(states >= labels, is_given.shape)
    return is_given, is_pair, ~is_given & ~is_pair


def _attribute_items(items: pd.DataFrame, labels: np.ndarray, probabilities: np.ndarray) -> tuple[ItemAttribution, ...]:
    """Return the attributed items by source, the most certain first; `labels` are the most probable ones."""
    source = probabilities.argmax(1)
    frame = pd.DataFrame(
        {
            "item_id": items["item_id"],
            "policy": items["policy"],
            "truth": items["truth"],
            "suggested_label": np.select([source == 1, source == 0], ["", items["truth"]], labels),
            "ratings": items["others"],
            "dissenting": items["against"],
            "rater_error": probabilities[:, 0].round(12),
            "ambiguous_policy": probabilities[:, 1].round(12),
            "wrong_truth": probabilities[:, 2].round(12),
            "cause": np.array(ERROR_SOURCES, object)[source],
            "source": source,
            "uncertainty": -probabilities.max(1).round(12),
        }
    )
    frame = frame.sort_values(["source", "uncertainty", "item_id", "truth"])
    frame = frame[[column.name for column in fields(ItemAttribution)]]
    return tuple(ItemAttribution(*row) for row in frame.itertuples(index=False, name=None))


def _compute_sample_size(population: int) -> int:
    """Return the sample size for a share within the margin of error, without replacement from a population."""
    if not population:
        return 0
    infinite_size = 0.25 * (Z_95 / MARGIN_OF_ERROR) ** 2
    return int(np.ceil(infinite_size / (1 + (infinite_size - 1) / population)))


def _find_ambiguous_labels(
    ratings: Ratings, truths: pd.DataFrame, positions: np.ndarray, shared_ratings: CodedRatings, fit: DawidSkeneFit
) -> tuple[AmbiguousLabels, ...]:
    """Return the ambiguous pairs of labels of each policy, those with most items first."""
    items = truths.drop_duplicates("item")
    items = items[positions[items["item"]] >= 0]
    labels = fit.label_probabilities.shape[1]
    states = np.eye(labels + len(fit.pairs), dtype=bool)
    descriptions, claims = [], []
    for policy, rows in items.groupby("policy", sort=True):
        policy_items = positions[rows["item"]]
        for pair in np.flatnonzero(fit.split_probabilities[policy_items].sum(0) >= MIN_AMBIGUOUS_ITEMS):
            first_label, second_label = (str(ratings.labels[label]) for label in fit.pairs[pair])
            expected_items = round(float(fit.split_probabilities[policy_items, pair].sum()), 9)
            descriptions.append((str(policy), first_label, second_label, expected_items))
            claims.append((policy_items, states[[labels + pair]]))
    shares = estimate_shares(shared_ratings, fit, claims)
    pairs = [AmbiguousLabels(*description, share) for description, share in zip(descriptions, shares, strict=True)]
    return tuple(sorted(pairs, key=lambda pair: (-pair.items, pair.policy, pair.first_label, pair.second_label)))
