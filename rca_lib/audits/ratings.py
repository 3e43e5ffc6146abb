"""From audits and overlap samples to ratings, and from ratings to codes: who said what of which item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype
from scipy import sparse

from rca_lib.audits.counting import collect, column_names, open_table
from rca_lib.audits.tables import PROPORTIONAL_STREAMS, RATINGS
from rca_lib.audits.values import check_names, code_names, read_wholes, refuse, refuse_other_kind
from rca_lib.findings import DataError
from rca_lib.stats.truths import Codes, Judgements

RATING = ("item_id", "rater", "label", "role", "trial")
ROLES = next(column.values for column in RATINGS if column.name == "role")


@dataclass(frozen=True, slots=True, eq=False)
class Ratings:
    """Ratings in codes: one each of `item`, `rater` and `label`, in the order of items and, within, of raters.

    `items` and `labels` are what the codes of these stand for, in order; `raters` and `roles` hold a person's name and
    role: who judges in two roles is two raters. `unlabelled` ratings had no label and are left out.
    """

    item: Codes
    rater: Codes
    label: Codes
    items: np.ndarray
    raters: np.ndarray
    roles: np.ndarray
    labels: np.ndarray
    unlabelled: int

    def judgements(self, kinds: Mapping[str, str] | None = None) -> Judgements:
        """Return what truths are inferred from; `kinds` gives an item's kind of work (its policy)."""
        sizes = len(self.items), len(self.raters), len(self.labels)
        kind = np.unique([kinds.get(item, "") for item in self.items], return_inverse=True)[1] if kinds else None
        kind = np.zeros(len(self.items), np.int64) if kind is None else kind
        role = np.unique(self.roles.astype(str), return_inverse=True)[1]
        return Judgements(self.item, self.rater, self.label, sizes, role, kind)


def ratings_from_audits(audits: Any, ratings: Any = None, *, about: Sequence[str] = ()) -> pd.DataFrame:
    """Read audits as ratings (`tables.RATINGS`): the rater's label, and the truth as the auditor's.

    Of the streams only those that stand for all decisions are used, where there are any; of the rounds all, so that
    auditors are compared too (without a column `auditor` they are "audit 1", "audit 2" …). `ratings`, of an overlap
    sample, are added. `trial` counts a person's judgements of an item. `about` names columns of the audits that say
    something of the item and are carried along.

    Examples
    --------
    >>> audits = pd.DataFrame({"item_id": ["a"], "rater": ["x"], "label": ["ok"], "truth": ["bad"]})
    >>> ratings_from_audits(audits)[["rater", "label", "role"]].values.tolist()
    [['x', 'ok', 'rater'], ['audit 1', 'bad', 'auditor']]
    """
    names, needed = column_names(audits), ["item_id", "rater", "label", "truth"]
    table = open_table(audits, needs=needed)
    if "stream" in names:
        proportional = table.filter(nw.col("stream").is_in(PROPORTIONAL_STREAMS))
        table = proportional if len(collect(proportional.select("stream").head(1))) else table
    wanted = [*(name for name in ("audit_round", "decided_at", "audited_at", "auditor") if name in names), *needed]
    frame = collect(table.select(*wanted)).sort_values(wanted, ignore_index=True)
    rounds = read_wholes(frame, "audit_round") if "audit_round" in names else pd.Series(1, frame.index)
    auditor = "audit " + rounds.astype(str)
    auditor = frame["auditor"].fillna(auditor) if "auditor" in names else auditor
    ours = frame[["item_id", "rater", "label"]].assign(role="rater")
    theirs = ours.assign(rater=auditor, label=frame["truth"], role="auditor")
    # An audit of the audit repeats the rater's decision, and an auditor of several raters' decisions the truth.
    found = pd.concat([ours, theirs]).drop_duplicates(ignore_index=True)
    if ratings is not None and len(ratings):
        more = fetch_columns(ratings, RATING[:3], RATING[3:])
        more = more.assign(trial=read_wholes(more, "trial")) if "trial" in more else more
        order = [name for name in ("item_id", "rater", "role", "trial", "label") if name in {*more, "role"}]
        more = more.assign(role=_fill(more, "role", "rater")).sort_values(order, ignore_index=True)
        found = pd.concat([found, more.reindex(columns=found.columns)], ignore_index=True)
    found = found.assign(trial=found.groupby(["item_id", "rater", "role"], dropna=False).cumcount() + 1)
    known = [name for name in about if name in names]
    return found.assign(**{name: found["item_id"].map(fetch_by_item(audits, name)) for name in known})


def fetch_by_item(table: Any, name: str) -> pd.Series:
    """Return each item's value of a column, the first of several; a column that is missing has none."""
    if name not in column_names(table):
        return pd.Series(dtype=object)
    names = list(dict.fromkeys(("item_id", name)))
    rows = collect(nw.from_native(table).lazy().select(*names)).dropna().sort_values(names)
    return rows.drop_duplicates("item_id").set_index("item_id", drop=False)[name]


def read_ratings(ratings: Any) -> Ratings:
    """Read ratings and put them in codes; of repeated trials the first that is there counts.

    Parameters
    ----------
    ratings
        One row per rater × item (`tables.RATINGS`); without `role` all are raters. A missing label is no rating.

    Raises
    ------
    DataError
        If a column or the name of an item or rater is missing, a name or label is refused (`values.code_names`), a role
        is unknown, a trial is no whole number from 1 on, a rater judged an item twice without trials, or there is no
        rating at all.
    """
    table = fetch_columns(ratings, RATING[:3], RATING[3:])
    for name in ("item_id", "rater"):
        refuse(table[table[name].isna()], f"{name} is missing", name, "fill it")
    table = _keep_first_trials(table) if "trial" in table else table
    labelled = table[table["label"].notna()]
    if labelled.empty:
        raise DataError("there are no ratings", column="label", rows=len(table), mend="give items that people judged")
    item, items = code_names(labelled, "item_id")
    label, labels = code_names(labelled, "label")
    name, names = code_names(labelled, "rater")
    part, parts = _read_roles(labelled) if "role" in labelled else (0, np.array(["rater"], object))
    rater, people = pd.factorize(name * len(parts) + part, sort=True)
    # Rows are put in order by counting, in a sheet of items by raters, in which several of one place become one.
    sheet = sparse.coo_array((label, (item, rater)), shape=(len(items), len(people))).tocsr()
    if sheet.nnz < len(item):
        order = np.argsort(label, kind="stable")
        twice = pd.Series(item[order] * len(people) + rater[order]).duplicated().to_numpy()
        mend = "number the trials in `trial`, or keep one"
        refuse(labelled.iloc[order[twice]], "a rater judged an item twice", "rater", mend)
    item, rater = np.repeat(np.arange(len(items)), np.diff(sheet.indptr)), sheet.indices.astype(np.int64)
    who, what = np.divmod(people, len(parts))
    return Ratings(item, rater, sheet.data, items, names[who], parts[what], labels, len(table) - len(labelled))


def _read_roles(table: pd.DataFrame) -> tuple[Codes, np.ndarray]:
    part, parts = code_names(table.assign(role=_fill(table, "role", "rater")), "role")
    strange = ~np.isin(parts.astype(str), ROLES)
    if strange.any():
        refuse(table[strange[part]], "role is unknown", "role", f"choose among {', '.join(ROLES)}")
    return part, parts


def _keep_first_trials(table: pd.DataFrame) -> pd.DataFrame:
    trial, first = read_wholes(table, "trial"), np.ones(len(table), np.int64)
    again = table["item_id"].isin(table.loc[trial > 1, "item_id"]).to_numpy()
    part = table[again].assign(role=_fill(table[again], "role", "rater"), trial=trial[again])
    first[again] = part.groupby(["item_id", "rater", "role"], observed=True)["trial"].transform("min")
    return table[trial == first]


def require_columns(table: Any, needed: Sequence[str]) -> None:
    """Raise a DataError where a table lacks a column."""
    names = column_names(table)
    for name in needed:
        if name not in names:
            raise DataError(
                f"no column {name!r}", column=name, mend=f"map it, or choose among {', '.join(map(str, names))}"
            )


def fetch_columns(table: Any, needed: Sequence[str], more: Sequence[str] = ()) -> pd.DataFrame:
    """Fetch the columns that are needed, and those of `more` that are there.

    Raises
    ------
    DataError
        If one that is needed is missing.
    """
    require_columns(table, needed)
    names = column_names(table)
    return collect(nw.from_native(table).lazy().select(*needed, *(name for name in more if name in names)))


def _fill(table: pd.DataFrame, name: str, word: str | int) -> pd.Series:
    """Return a column with a word where it, or a value of it, is missing."""
    values = table[name].astype(object) if name in table else pd.Series(word, table.index, object)
    return values.where(values.notna(), word)


def read_truth(truth: Any, ratings: Any) -> tuple[pd.DataFrame, Ratings, int]:
    """Read the truths that were given, and put them among the ratings, as one more rater's.

    Parameters
    ----------
    truth
        One row per item, or per audit: `item_id` and `truth`, optionally `auditor` and `policy`. A missing truth is
        none.
    ratings
        As `read_ratings` takes them. Where an auditor's rating is the truth it stands among them already; else it is
        added.

    Returns
    -------
    DataFrame, Ratings, int
        A row per item and truth given for it: `item` and `given` (codes of the ratings), `policy`, `others` (how many
        judged the item beside auditors), `against` (how many of these otherwise); the ratings; and how many truths are
        of items that nobody rated.
    """
    needed = ["item_id", "truth"]
    given = fetch_columns(truth, needed, ("auditor", "policy")).dropna(subset=["truth"])
    check_names(given, *needed)
    given = given.assign(auditor=_fill(given, "auditor", "the truth"), policy=_fill(given, "policy", ""))
    given = given.sort_values([*needed, "auditor", "policy"])
    table = fetch_columns(ratings, RATING[:3], RATING[3:])
    trial = read_wholes(table, "trial") if "trial" in table else 1
    table = table.assign(role=_fill(table, "role", "rater"), trial=trial)
    refuse_other_kind(given, "item_id", table["item_id"])
    if is_numeric_dtype(table["rater"]):  # beside them stand the names of auditors, which are text
        table = table.assign(rater=table["rater"].astype(str))
    known = given["item_id"].isin(table["item_id"])
    theirs = set(table.loc[table["role"] == "auditor", ["item_id", "label"]].itertuples(index=False, name=None))
    told = [one in theirs for one in given[needed].itertuples(index=False, name=None)]
    added = given[known & ~np.array(told, bool)].drop_duplicates(needed)
    # Two truths of one item are two auditors', whatever their names.
    again = added.groupby(["item_id", "auditor"]).cumcount()
    name = added["auditor"].astype(str).where(again == 0, added["auditor"].astype(str) + " again " + again.astype(str))
    added = added.assign(rater=name, label=added["truth"], role="auditor", trial=1)
    coded = read_ratings(pd.concat([table, added[[*RATING]]], ignore_index=True))
    rows = given[known].drop_duplicates(needed, ignore_index=True)
    place, label = pd.Index(coded.items).get_indexer(rows["item_id"]), pd.Index(coded.labels).get_indexer(rows["truth"])
    votes = np.zeros((len(coded.items), len(coded.labels)), int)
    np.add.at(votes, (coded.item, coded.label), coded.roles[coded.rater] != "auditor")
    others = votes.sum(1)[place]
    rows = rows.assign(item=place, given=label, others=others, against=others - votes[place, label])
    return rows[label >= 0].reset_index(drop=True), coded, int((~known).sum())
