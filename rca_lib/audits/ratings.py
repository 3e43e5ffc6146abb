"""Ratings: who gave which label to which item, from audits and overlap samples, and the same in integer codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype
from scipy import sparse

from rca_lib.audits.column_checks import (
    factorize_names,
    parse_positive_integers,
    reject_rows,
    require_same_type,
    validate_names,
)
from rca_lib.audits.counting import collect, column_names, prepare_audits
from rca_lib.audits.schema import PROPORTIONAL_STREAMS, RATINGS
from rca_lib.findings import DataError
from rca_lib.stats.truth_inference.coded_ratings import CodedRatings, Codes

RATING_COLUMNS = ("item_id", "rater", "label", "role", "trial")
REQUIRED_COLUMNS, OPTIONAL_COLUMNS = RATING_COLUMNS[:3], RATING_COLUMNS[3:]
ROLES = next(column.values for column in RATINGS if column.name == "role")


@dataclass(frozen=True, slots=True, eq=False)
class Ratings:
    """Ratings in codes, sorted by item and then by rater.

    Attributes
    ----------
    item, rater, label
        One code per rating.
    items
        What the item codes stand for.
    raters, roles
        Name and role for each rater code. A person who judges in two roles is two raters.
    labels
        What the label codes stand for.
    unlabelled
        Number of ratings without a label, which are left out.
    """

    item: Codes
    rater: Codes
    label: Codes
    items: np.ndarray
    raters: np.ndarray
    roles: np.ndarray
    labels: np.ndarray
    unlabelled: int

    def to_coded_ratings(self, policy_by_item: Mapping[str, str] | None = None) -> CodedRatings:
        """Return the input of the truth inference.

        Parameters
        ----------
        policy_by_item
            The kind of work of each item, with difficulties of its own. None: all items are of one kind.
        """
        sizes = len(self.items), len(self.raters), len(self.labels)
        kind = np.zeros(len(self.items), np.int64)
        if policy_by_item:
            policies = [policy_by_item.get(item, "") for item in self.items]
            kind = np.unique(policies, return_inverse=True)[1]
        role = np.unique(self.roles.astype(str), return_inverse=True)[1]
        return CodedRatings(self.item, self.rater, self.label, sizes, role, kind)


def convert_to_ratings(audits: Any, ratings: Any = None, *, item_columns: Sequence[str] = ()) -> pd.DataFrame:
    """Read audits as ratings: the rater's label, and the truth as the auditor's label.

    Parameters
    ----------
    audits
        One row per audit: `item_id`, `rater`, `label` and `truth`; `stream`, `audit_round`, `auditor`, `decided_at` and
        `audited_at` where they exist.
    ratings
        Further ratings, from an overlap sample (columns as in `schema.RATINGS`). None: there are none.
    item_columns
        Columns of the audits that describe the item and are kept, where they exist.

    Returns
    -------
    DataFrame
        One row per rating: `item_id`, `rater`, `label`, `role`, `trial` (counts a person's judgements of an item), and
        the item columns.

    Notes
    -----
    Only streams that represent all decisions are used, where there are any. All audit rounds are used, so that auditors
    can be compared. Without a column `auditor` they are called "audit 1", "audit 2" and so on.

    Examples
    --------
    >>> audits = pd.DataFrame({"item_id": ["a"], "rater": ["x"], "label": ["ok"], "truth": ["bad"]})
    >>> convert_to_ratings(audits)[["rater", "label", "role"]].values.tolist()
    [['x', 'ok', 'rater'], ['audit 1', 'bad', 'auditor']]
    """
    names = column_names(audits)
    required = ["item_id", "rater", "label", "truth"]
    table = prepare_audits(audits, required=required)
    if "stream" in names:
        proportional = table.filter(nw.col("stream").is_in(PROPORTIONAL_STREAMS))
        table = proportional if len(collect(proportional.select("stream").head(1))) else table
    optional = [name for name in ("audit_round", "decided_at", "audited_at", "auditor") if name in names]
    order = [*optional, *required]
    frame = collect(table.select(*order)).sort_values(order, ignore_index=True)
    rounds = parse_positive_integers(frame, "audit_round") if "audit_round" in names else pd.Series(1, frame.index)
    auditor = "audit " + rounds.astype(str)
    auditor = frame["auditor"].fillna(auditor) if "auditor" in names else auditor
    by_raters = frame[["item_id", "rater", "label"]].assign(role="rater")
    by_auditors = by_raters.assign(rater=auditor, label=frame["truth"], role="auditor")
    # An audit of the audit repeats the rater's decision. An auditor of several raters' decisions repeats the truth.
    combined = pd.concat([by_raters, by_auditors]).drop_duplicates(ignore_index=True)
    if ratings is not None and len(ratings):
        overlap = _sort_overlap_ratings(ratings)
        combined = pd.concat([combined, overlap.reindex(columns=combined.columns)], ignore_index=True)
    trial = combined.groupby(["item_id", "rater", "role"], dropna=False).cumcount() + 1
    combined = combined.assign(trial=trial)
    kept = [name for name in item_columns if name in names]
    return combined.assign(**{name: combined["item_id"].map(get_item_values(audits, name)) for name in kept})


def _sort_overlap_ratings(ratings: Any) -> pd.DataFrame:
    """Fetch the ratings of an overlap sample, sorted so that trials count in order."""
    overlap = fetch_columns(ratings, REQUIRED_COLUMNS, OPTIONAL_COLUMNS)
    if "trial" in overlap:
        overlap = overlap.assign(trial=parse_positive_integers(overlap, "trial"))
    order = [name for name in ("item_id", "rater", "role", "trial", "label") if name in {*overlap, "role"}]
    return overlap.assign(role=_fill_missing(overlap, "role", "rater")).sort_values(order, ignore_index=True)


def get_item_values(table: Any, name: str) -> pd.Series:
    """Return each item's value of a column, by item; the first of several. Empty where the column is missing."""
    if name not in column_names(table):
        return pd.Series(dtype=object)
    names = list(dict.fromkeys(("item_id", name)))
    rows = collect(nw.from_native(table).lazy().select(*names)).dropna().sort_values(names)
    return rows.drop_duplicates("item_id").set_index("item_id", drop=False)[name]


def encode_ratings(ratings: Any) -> Ratings:
    """Encode ratings as integers; of repeated trials only the first counts.

    Parameters
    ----------
    ratings
        One row per rater and item (columns as in `schema.RATINGS`). Without `role` all are raters. A rating without a
        label is left out.

    Returns
    -------
    Ratings
        The ratings in codes.

    Raises
    ------
    DataError
        If a column, an item or a rater is missing; a name or label is invalid (`column_checks.factorize_names`); a role
        is unknown; a trial is not a whole number from 1 on; a rater judged an item twice without trials; or there is no
        rating.
    """
    table = fetch_columns(ratings, REQUIRED_COLUMNS, OPTIONAL_COLUMNS)
    for name in ("item_id", "rater"):
        reject_rows(table[table[name].isna()], f"{name} is missing", name, "fill it in")
    table = _keep_first_trials(table) if "trial" in table else table
    labelled = table[table["label"].notna()]
    if labelled.empty:
        hint = "give items that people judged"
        raise DataError("there are no ratings", column="label", rows=len(table), hint=hint)
    item, items = factorize_names(labelled, "item_id")
    label, labels = factorize_names(labelled, "label")
    rater_name, names = factorize_names(labelled, "rater")
    role, roles = np.zeros(len(labelled), np.int64), np.array(["rater"], object)
    if "role" in labelled:
        role, roles = _encode_roles(labelled)
    rater, person_codes = pd.factorize(rater_name * len(roles) + role, sort=True)
    # A sparse matrix of items by raters sorts the ratings in linear time. It merges two ratings of one cell.
    matrix = sparse.coo_array((label, (item, rater)), shape=(len(items), len(person_codes))).tocsr()
    if matrix.nnz < len(item):
        order = np.argsort(label, kind="stable")
        is_repeated = pd.Series(item[order] * len(person_codes) + rater[order]).duplicated().to_numpy()
        hint = "number the trials in `trial`, or keep one"
        reject_rows(labelled.iloc[order[is_repeated]], "a rater judged an item twice", "rater", hint)
    item = np.repeat(np.arange(len(items)), np.diff(matrix.indptr))
    rater = matrix.indices.astype(np.int64)
    name_of_rater, role_of_rater = np.divmod(person_codes, len(roles))
    unlabelled = len(table) - len(labelled)
    return Ratings(item, rater, matrix.data, items, names[name_of_rater], roles[role_of_rater], labels, unlabelled)


def _encode_roles(table: pd.DataFrame) -> tuple[Codes, np.ndarray]:
    """Return the code of each row's role, and the roles."""
    role, roles = factorize_names(table.assign(role=_fill_missing(table, "role", "rater")), "role")
    is_unknown = ~np.isin(roles.astype(str), ROLES)
    if is_unknown.any():
        reject_rows(table[is_unknown[role]], "role is unknown", "role", f"choose among {', '.join(ROLES)}")
    return role, roles


def _keep_first_trials(table: pd.DataFrame) -> pd.DataFrame:
    """Keep each person's first trial of an item."""
    trial = parse_positive_integers(table, "trial")
    first_trial = np.ones(len(table), np.int64)
    is_repeated = table["item_id"].isin(table.loc[trial > 1, "item_id"]).to_numpy()
    repeated = table[is_repeated]
    repeated = repeated.assign(role=_fill_missing(repeated, "role", "rater"), trial=trial[is_repeated])
    by_person = repeated.groupby(["item_id", "rater", "role"], observed=True)
    first_trial[is_repeated] = by_person["trial"].transform("min")
    return table[trial == first_trial]


def require_columns(table: Any, needed: Sequence[str]) -> None:
    """Raise a DataError where a table lacks a column."""
    names = column_names(table)
    for name in needed:
        if name not in names:
            hint = f"map it, or choose among {', '.join(map(str, names))}"
            raise DataError(f"no column {name!r}", column=name, hint=hint)


def fetch_columns(table: Any, required: Sequence[str], optional: Sequence[str] = ()) -> pd.DataFrame:
    """Fetch the required columns, and the optional ones that exist.

    Raises
    ------
    DataError
        If a required column is missing.
    """
    require_columns(table, required)
    names = column_names(table)
    return collect(nw.from_native(table).lazy().select(*required, *(name for name in optional if name in names)))


def _fill_missing(table: pd.DataFrame, name: str, default: str | int) -> pd.Series:
    """Return a column with a default where it, or a value of it, is missing."""
    values = table[name].astype(object) if name in table else pd.Series(default, table.index, object)
    return values.where(values.notna(), default)


def add_truth_ratings(truth: Any, ratings: Any) -> tuple[pd.DataFrame, Ratings, int]:
    """Add given truths to the ratings, as the ratings of one more auditor.

    Parameters
    ----------
    truth
        One row per item, or per audit: `item_id` and `truth`, optionally `auditor` and `policy`. Rows without a truth
        are left out.
    ratings
        As for `encode_ratings`. A truth that equals an auditor's rating of the item is among them already; any other is
        added.

    Returns
    -------
    DataFrame
        One row per item and truth given for it: `item` and `given` (codes of the ratings), `policy`, `others` (raters
        other than auditors who judged the item) and `against` (how many of them disagree).
    Ratings
        The ratings with the truths.
    int
        How many truths belong to items that nobody rated.
    """
    key = ["item_id", "truth"]
    given = fetch_columns(truth, key, ("auditor", "policy")).dropna(subset=["truth"])
    validate_names(given, *key)
    given = given.assign(
        auditor=_fill_missing(given, "auditor", "the truth"), policy=_fill_missing(given, "policy", "")
    )
    given = given.sort_values([*key, "auditor", "policy"])
    table = fetch_columns(ratings, REQUIRED_COLUMNS, OPTIONAL_COLUMNS)
    trial = parse_positive_integers(table, "trial") if "trial" in table else 1
    table = table.assign(role=_fill_missing(table, "role", "rater"), trial=trial)
    require_same_type(given, "item_id", table["item_id"])
    if is_numeric_dtype(table["rater"]):  # the names of auditors, which are added to them, are text
        table = table.assign(rater=table["rater"].astype(str))
    is_rated = given["item_id"].isin(table["item_id"])
    coded = encode_ratings(_append_truths(table, given[is_rated]))
    rows = given[is_rated].drop_duplicates(key, ignore_index=True)
    item = pd.Index(coded.items).get_indexer(rows["item_id"])
    label = pd.Index(coded.labels).get_indexer(rows["truth"])
    votes = np.zeros((len(coded.items), len(coded.labels)), int)
    np.add.at(votes, (coded.item, coded.label), coded.roles[coded.rater] != "auditor")
    raters = votes.sum(1)[item]
    rows = rows.assign(item=item, given=label, others=raters, against=raters - votes[item, label])
    return rows[label >= 0].reset_index(drop=True), coded, int((~is_rated).sum())


def _append_truths(table: pd.DataFrame, given: pd.DataFrame) -> pd.DataFrame:
    """Append the truths that no auditor's rating states yet."""
    key = ["item_id", "truth"]
    is_auditor = table["role"] == "auditor"
    stated = set(table.loc[is_auditor, ["item_id", "label"]].itertuples(index=False, name=None))
    is_stated = [pair in stated for pair in given[key].itertuples(index=False, name=None)]
    added = given[~np.array(is_stated, bool)].drop_duplicates(key)
    # Two truths of one item come from two auditors, whatever their names.
    repetition = added.groupby(["item_id", "auditor"]).cumcount()
    auditor = added["auditor"].astype(str)
    rater = auditor.where(repetition == 0, auditor + " again " + repetition.astype(str))
    added = added.assign(rater=rater, label=added["truth"], role="auditor", trial=1)
    return pd.concat([table, added[[*RATING_COLUMNS]]], ignore_index=True)
