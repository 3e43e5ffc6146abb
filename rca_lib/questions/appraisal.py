"""Attribute agreement analysis: does each rater agree with themselves, with the others, and with the standard?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import pandas as pd

from rca_lib.audits.ratings import fetch_columns
from rca_lib.audits.values import check_names, read_wholes, refuse, refuse_other_kind
from rca_lib.findings import DataError, Finding, Rate, count_noun, mark_units
from rca_lib.stats.rates import clopper_pearson, wilson_rate

Convention = Literal["minitab", "jmp"]


@dataclass(frozen=True, slots=True)
class RaterAppraisal:
    """One rater: the share of items on which all own trials agree (`within`), and that agrees with the standard.

    None where there is one trial only, or no standard.
    """

    rater: str
    within: Rate | None
    standard: Rate | None


@dataclass(frozen=True, slots=True)
class Appraisal:
    """The analysis; `between` is the share of items on which all trials of all raters agree, `standard` with it too."""

    convention: Convention
    items: int
    trials: int
    raters: tuple[RaterAppraisal, ...]
    between: Rate | None
    standard: Rate | None

    def to_frame(self) -> pd.DataFrame:
        """Return a row per share, of one rater or of "all": how many items `matched`, and the interval."""
        rows = [(one.rater, kind, getattr(one, kind)) for one in self.raters for kind in ("within", "standard")]
        rows += [("all", kind, getattr(self, kind)) for kind in ("between", "standard")]
        table = [(who, kind, one.errors, one.items, one.value, one.low, one.high) for who, kind, one in rows if one]
        frame = pd.DataFrame(table, columns=["rater", "against", "matched", "items", "value", "low", "high"])
        return mark_units(frame, value="%", low="%", high="%")

    def summary(self) -> str:
        """Say how far all agree, with each other and with the standard."""
        parts = [f"with each other on {self.between}"] if self.between else []
        parts += [f"with the standard on {self.standard}"] if self.standard else []
        return f"{count_noun(len(self.raters), 'rater')} agree {' and '.join(parts) or 'as far as one rater can'}."

    def findings(self) -> tuple[Finding, ...]:
        """Return the agreement of all with the standard."""
        if self.standard is None:
            return ()
        return (Finding("appraisal", "standard", self.summary(), "shown", self.standard, "standard"),)


def appraise_raters(ratings: Any, truth: Any = None, *, convention: Convention = "minitab") -> Appraisal:
    """Count attribute agreement as the tools of quality engineers do.

    Parameters
    ----------
    ratings
        One row per rater × item × trial: `item_id`, `rater`, `label`, optionally `trial`. Every rater should have
        judged every item equally often: an item counts for those who judged it. A missing label is no rating.
    truth
        The standard: `item_id`, `truth`.
    convention
        "minitab": an item matches when all trials do, exact intervals that are one-sided at 0 and 100 %.
        "jmp": trials are counted one by one against the standard (effectiveness), Wilson score intervals.

    Raises
    ------
    DataError
        If a column or a name is missing, a name or label has white space at its ends or is text here and a number
        there, an item has two standards or none that was rated has one, a rater judged one twice without trials, or
        there is no rating.
    ValueError
        If the convention is neither.

    Notes
    -----
    Percent agreement does not allow for chance (`measure_agreement` does), and a standard that is wrong counts against
    all (`review_truth` asks).

    Examples
    --------
    >>> rows = [(f"i{item}", rater, trial, "go") for item in range(15) for rater in "ab" for trial in (1, 2)]
    >>> ratings = pd.DataFrame(rows, columns=["item_id", "rater", "trial", "label"])
    >>> print(appraise_raters(ratings).between)
    100.0 % (81.9 to 100.0; 15 of 15)
    """
    if convention not in get_args(Convention):
        raise ValueError(f"convention is 'minitab' or 'jmp', not {convention!r}")
    table = fetch_columns(ratings, ("item_id", "rater", "label"), ("trial",)).dropna(subset=["label"])
    check_names(table, "item_id", "rater", "label")
    table = table.assign(trial=read_wholes(table, "trial") if "trial" in table else 1)
    keys = ["item_id", "rater", "trial"]
    refuse(table[table.duplicated(keys)], "a rater judged an item twice", "rater", "number the trials in `trial`")
    if table.empty:
        raise DataError("there are no ratings", column="label", rows=0, mend="give items that people judged")
    table = table if truth is None else _hold_against(table, truth)
    raters = []
    for name, rows in table.groupby("rater", sort=True):
        several = rows.groupby("item_id").filter(lambda trials: len(trials) > 1)
        within = _share(several.groupby("item_id")["label"].nunique() == 1, convention)
        raters.append(RaterAppraisal(str(name), within, _against_standard(rows, convention)))
    shared = table.groupby("item_id").filter(lambda trials: trials["rater"].nunique() == table["rater"].nunique())
    between = _share(shared.groupby("item_id")["label"].nunique() == 1, convention) if len(raters) > 1 else None
    every = _against_standard(shared, convention) if len(raters) > 1 else None
    return Appraisal(convention, table["item_id"].nunique(), len(table), tuple(raters), between, every)


def _hold_against(table: pd.DataFrame, truth: Any) -> pd.DataFrame:
    """Add each item's standard, and whether the rating is `right`; None where the item has none."""
    standard = fetch_columns(truth, ("item_id", "truth")).dropna(subset=["truth"]).drop_duplicates()
    check_names(standard, "item_id", "truth")
    for column, name in (("item_id", "item_id"), ("truth", "label")):
        refuse_other_kind(standard, column, table[name])
    refuse(standard[standard["item_id"].duplicated()], "an item has two standards", "truth", "keep one")
    right = standard.set_index("item_id")["truth"].astype(object)
    truths = table["item_id"].astype(object).map(right)
    if len(standard) and not truths.notna().any():
        refuse(standard, "no item that was rated has a standard", "item_id", "name the items alike in both tables")
    return table.assign(right=(table["label"].astype(object) == truths).where(truths.notna()))


def _against_standard(rows: pd.DataFrame, convention: Convention) -> Rate | None:
    if "right" not in rows:
        return None
    rows = rows.dropna(subset=["right"])
    right = rows["right"].astype(bool)
    return _share(right if convention == "jmp" else right.groupby(rows["item_id"]).all(), convention)


def _share(matched: pd.Series, convention: Convention) -> Rate | None:
    many, items = int(matched.sum()), len(matched)
    if not items:
        return None
    if convention == "jmp":
        return wilson_rate(many, items)
    ends = clopper_pearson(many, items, one_sided_ends=True)
    return Rate(many, items, many / items, *ends, method="Clopper-Pearson, one-sided at the ends")
