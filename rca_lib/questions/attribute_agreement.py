"""Attribute agreement analysis: does each rater agree with themselves, with the others, and with the standard?

Each share is matched / items, with the conventions of quality engineering tools:

- *within rater*: items on which all trials of the rater agree; needs at least two trials,
- *versus standard*: items on which all trials agree with the standard (Minitab), or trials that do (JMP),
- *between raters*: items on which all trials of all raters agree.

Minitab uses exact (Clopper–Pearson) intervals that are one-sided at 0% and 100%. JMP uses Wilson score intervals.

References
----------
AIAG (2010). Measurement Systems Analysis, 4th ed., chapter III.C. Attribute agreement analysis.
Minitab, Attribute Agreement Analysis, Methods and formulas. The convention "minitab".
JMP, Attribute Gauge Charts, Statistical details. The convention "jmp".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import pandas as pd

from rca_lib.audits.column_checks import parse_positive_integers, reject_rows, require_same_type, validate_names
from rca_lib.audits.ratings import fetch_columns
from rca_lib.findings import DataError, Finding, Rate, format_count, set_units
from rca_lib.result import Result
from rca_lib.stats.proportions import clopper_pearson_interval, wilson_rate

AttributeAgreementKind = Literal["standard"]

Convention = Literal["minitab", "jmp"]


@dataclass(frozen=True, slots=True)
class RaterAttributeAgreement:
    """One rater: agreement between own trials (None with one trial), and with the standard (None without one)."""

    rater: str
    within_rater: Rate | None
    versus_standard: Rate | None


@dataclass(frozen=True, slots=True)
class AttributeAgreement(Result):
    """The attribute agreement of all raters.

    Attributes
    ----------
    convention
        "minitab" or "jmp".
    items, trials
        Number of items, and of ratings of them.
    raters
        Agreement of each rater, by name.
    within_raters
        Pairs of a rater and an item whose trials all agree; None where no rater judged an item twice.
    between_raters
        Items on which all trials of all raters agree; None with one rater, or where no item was judged by all raters.
    versus_standard
        Agreement of all raters with the standard; None in the same cases, or without a standard.
    """

    convention: Convention
    items: int
    trials: int
    raters: tuple[RaterAttributeAgreement, ...]
    within_raters: Rate | None
    between_raters: Rate | None
    versus_standard: Rate | None

    def to_frame(self) -> pd.DataFrame:
        """Return one row per share, of one rater or of "all".

        Columns: `rater`, `comparison`, `matched`, `items`, `value`, `low`, `high`.
        """
        shares = [
            (rater.rater, comparison, getattr(rater, comparison))
            for rater in self.raters
            for comparison in ("within_rater", "versus_standard")
        ]
        shares += [
            ("all", "within_rater", self.within_raters),
            ("all", "between_raters", self.between_raters),
            ("all", "versus_standard", self.versus_standard),
        ]
        rows = [
            (rater, comparison, share.errors, share.items, share.value, share.low, share.high)
            for rater, comparison, share in shares
            if share is not None
        ]
        frame = pd.DataFrame(rows, columns=["rater", "comparison", "matched", "items", "value", "low", "high"])
        return set_units(frame, value="%", low="%", high="%")

    def display_frame(self) -> pd.DataFrame:
        """Return the table that a notebook displays: all raters first, then the rater with the lowest upper limit."""
        frame = self.to_frame()
        is_overall = frame["rater"] == "all"
        raters = frame[~is_overall].sort_values(["high", "rater", "comparison"])
        return pd.concat([frame[is_overall], raters])

    def summary(self) -> str:
        """Return how far all raters agree with themselves, with each other, and with the standard."""
        sentences = []
        if self.within_raters:
            sentences.append(f"Raters repeat their own label on {self.within_raters}.")
        parts = []
        if self.between_raters:
            parts.append(f"with each other on {self.between_raters}")
        if self.versus_standard:
            parts.append(f"with the standard on {self.versus_standard}")
        if parts:
            sentences.append(f"{format_count(len(self.raters), 'rater')} agree {' and '.join(parts)}.")
        if sentences:
            return " ".join(sentences)
        reason = "no item was judged by all raters" if len(self.raters) > 1 else "there is one rater only"
        return f"Agreement between raters is not available: {reason}."

    def findings(self) -> tuple[Finding[AttributeAgreementKind], ...]:
        """Return the agreement of all raters with the standard; empty without one."""
        if self.versus_standard is None:
            return ()
        estimate = self.versus_standard
        return (Finding("attribute_agreement", "standard", self.summary(), "shown", estimate, "versus_standard"),)


def measure_attribute_agreement(
    ratings: Any, truth: Any = None, *, convention: Convention = "minitab"
) -> AttributeAgreement:
    """Measure attribute agreement with the conventions of quality engineering tools.

    Parameters
    ----------
    ratings
        One row per rater × item × trial: `item_id`, `rater`, `label`, optionally `trial`. Every rater should judge
        every item equally often; an item counts for those who judged it. A missing label is no rating.
    truth
        The standard: `item_id`, `truth`. Default: no standard.
    convention
        "minitab" (default): an item matches if all its trials do; exact intervals, one-sided at 0% and 100%.
        "jmp": each trial is compared with the standard (effectiveness); Wilson score intervals.

    Returns
    -------
    AttributeAgreement
        The shares of each rater, and of all raters together.

    Raises
    ------
    DataError
        If a column or a name is missing, or there is no rating.
        If a name or label has white space at its ends, or is text in one place and a number in another.
        If an item has two standards, or no item that was rated has a standard.
        If a rater judged an item twice without trials.
    ValueError
        If the convention is neither "minitab" nor "jmp".

    Notes
    -----
    Percent agreement does not allow for chance; `measure_agreement` does. A wrong standard counts against all raters;
    `review_truth` ranks suspect standards. The interval of `within_raters` takes a rater's items as independent; it is
    too narrow where few raters judged many items.

    References
    ----------
    AIAG (2010); Minitab; JMP. The docstring of the module has all.

    Examples
    --------
    >>> rows = [(f"i{item}", rater, trial, "go") for item in range(15) for rater in "ab" for trial in (1, 2)]
    >>> ratings = pd.DataFrame(rows, columns=["item_id", "rater", "trial", "label"])
    >>> between = measure_attribute_agreement(ratings).between_raters
    >>> between.value, round(between.low, 3)
    (1.0, 0.819)
    """
    if convention not in get_args(Convention):
        raise ValueError(f"convention is 'minitab' or 'jmp', not {convention!r}")
    trials = _read_trials(ratings)
    if truth is not None:
        trials = _compare_with_standard(trials, truth)
    raters = []
    for name, rows in trials.groupby("rater", sort=True):
        own_agreement = _agreement_within(rows, convention)
        raters.append(RaterAttributeAgreement(str(name), own_agreement, _agreement_with_standard(rows, convention)))
    between, versus_standard = None, None
    if len(raters) > 1:
        shared = trials.groupby("item_id").filter(lambda item: item["rater"].nunique() == len(raters))
        between = _compute_share(shared.groupby("item_id")["label"].nunique() == 1, convention)
        versus_standard = _agreement_with_standard(shared, convention)
    items = trials["item_id"].nunique()
    within = _agreement_within(trials, convention)
    return AttributeAgreement(convention, items, len(trials), tuple(raters), within, between, versus_standard)


def _read_trials(ratings: Any) -> pd.DataFrame:
    """Return the labelled ratings with their trial, after validation."""
    trials = fetch_columns(ratings, ("item_id", "rater", "label"), ("trial",)).dropna(subset=["label"])
    validate_names(trials, "item_id", "rater", "label")
    trials = trials.assign(trial=parse_positive_integers(trials, "trial") if "trial" in trials else 1)
    duplicates = trials[trials.duplicated(["item_id", "rater", "trial"])]
    reject_rows(duplicates, "a rater judged an item twice", "rater", "number the trials in `trial`")
    if trials.empty:
        raise DataError("there are no ratings", column="label", rows=0, hint="give items that people judged")
    return trials


def _compare_with_standard(trials: pd.DataFrame, truth: Any) -> pd.DataFrame:
    """Add `right`, whether a rating agrees with the standard of its item; None where the item has no standard."""
    standard = fetch_columns(truth, ("item_id", "truth")).dropna(subset=["truth"]).drop_duplicates()
    validate_names(standard, "item_id", "truth")
    require_same_type(standard, "item_id", trials["item_id"])
    require_same_type(standard, "truth", trials["label"])
    reject_rows(standard[standard["item_id"].duplicated()], "an item has two standards", "truth", "keep one")
    truth_by_item = standard.set_index("item_id")["truth"].astype(object)
    truths = trials["item_id"].astype(object).map(truth_by_item)
    if len(standard) and not truths.notna().any():
        hint = "name the items alike in both tables"
        reject_rows(standard, "no item that was rated has a standard", "item_id", hint)
    is_right = trials["label"].astype(object) == truths
    return trials.assign(right=is_right.where(truths.notna()))


def _agreement_within(rows: pd.DataFrame, convention: Convention) -> Rate | None:
    """Return the share of pairs of rater and item with equal labels, of the pairs with two trials or more."""
    labels = rows.groupby(["rater", "item_id"])["label"]
    is_repeated = labels.size() > 1
    return _compute_share((labels.nunique() == 1)[is_repeated], convention)


def _agreement_with_standard(rows: pd.DataFrame, convention: Convention) -> Rate | None:
    """Return the share that agrees with the standard: of items, or of trials by the convention "jmp"."""
    if "right" not in rows:
        return None
    rows = rows.dropna(subset=["right"])
    is_right = rows["right"].astype(bool)
    return _compute_share(is_right if convention == "jmp" else is_right.groupby(rows["item_id"]).all(), convention)


def _compute_share(matches: pd.Series, convention: Convention) -> Rate | None:
    """Return the share of matches with the interval of the convention; None without items."""
    matched, items = int(matches.sum()), len(matches)
    if not items:
        return None
    if convention == "jmp":
        return wilson_rate(matched, items)
    limits = clopper_pearson_interval(matched, items, one_sided_ends=True)
    return Rate(matched, items, matched / items, *limits, method="Clopper-Pearson, one-sided at the ends")
