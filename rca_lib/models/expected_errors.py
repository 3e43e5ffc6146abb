# Tested in tests/questions/test_raters.py.
"""Each person's errors compared with the errors expected of anybody on the same work.

The error probability of an audit on work with attributes a_1 … a_k (policy, queue …) follows a logistic model with an
effect for each value of each attribute,

    logit p = b_0 + sum_j b_j(a_j),

fitted to all people together (`stats.slice_search.baseline_model`). A person with n_c audits on work c has the expected
number of errors sum_c n_c p_c. Observed minus expected errors is what the person does differently on the same work.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from scipy.special import expit

from rca_lib.audits.column_checks import validate_names
from rca_lib.audits.contingency_tables import count_by_dimensions
from rca_lib.audits.counting import MISSING_VALUE, collect, column_names, keep_proportional
from rca_lib.audits.ratings import require_columns
from rca_lib.findings import DataError
from rca_lib.stats.slice_search.baseline_model import fit_baseline_model
from rca_lib.stats.slice_search.contingency import ContingencyTable

# Attributes of the work that are assigned to a person.
WORK_COLUMNS = ("policy", "queue", "workflow", "market", "language", "content_type", "stratum")


def exclude_audits(audits: Any, excluded: Mapping[str, Collection[str]]) -> Any:
    """Drop the audits with given values, on the engine.

    Parameters
    ----------
    audits
        One row per audit.
    excluded
        Column to the values whose audits are dropped.

    Returns
    -------
    table of the same kind
        The other audits.

    Raises
    ------
    DataError
        If one of the columns is missing.
    TypeError
        If the values of a column are a single text, not a collection.

    Examples
    --------
    >>> exclude_audits(pd.DataFrame({"audit_id": ["1", "2"]}), {"audit_id": ["1"]})["audit_id"].tolist()
    ['2']
    """
    table = nw.from_native(audits)
    for name, values in excluded.items():
        if isinstance(values, str):
            raise TypeError(f"{name}: give a list of values, not the text {values!r}")
        if values:
            require_columns(table.to_native(), [name])
            table = table.filter(~nw.col(name).is_in(list(values)).fill_null(False))
    return table.to_native()


def compute_expected_errors(audits: Any, person_column: str, *, by: Sequence[str] = ()) -> pd.DataFrame:
    """Count each person's items and errors, and the errors expected of anybody on the same work.

    Parameters
    ----------
    audits
        One row per audited decision. Only the proportional streams count, each audit once, without weights.
    person_column
        The column of the people, "rater" or "auditor".
    by
        Further columns on which errors may depend, where they exist. The counts are by these too.

    Returns
    -------
    DataFrame
        One row per person and combination of `by`: `items`, `errors` and `expected` errors.

    Raises
    ------
    DataError
        If the column of the people is missing or empty, there are no audits, or a name or label is invalid
        (`column_checks.validate_names`; the number of rows then counts spellings or cells of work).

    Notes
    -----
    The model cannot see work that is harder in a way that no column records.
    """
    names = column_names(audits)
    if person_column not in names:
        hint = f"map it, or choose among {', '.join(names)}"
        raise DataError(f"no column {person_column!r}", column=person_column, hint=hint)
    for name in ("label", "truth"):
        if name in names and "error" not in names:
            validate_names(collect(nw.from_native(audits).lazy().select(name).unique()).dropna(), name)
    by = [name for name in by if name in names]
    work = [name for name in (*WORK_COLUMNS, *by) if name in names and name != person_column]
    counts = count_by_dimensions(keep_proportional(audits), tuple(dict.fromkeys([*work, person_column])), "period")
    counts = counts[counts[person_column].notna()]
    if counts.empty:
        hint = f"map it, or ask without {person_column}"
        raise DataError(f"{person_column} is empty", column=person_column, hint=hint)
    validate_names(counts[[person_column]], person_column)
    # The fit adds up the cells in their order, which must not depend on the order of the audits.
    counts = counts.sort_values([*work, person_column], key=lambda column: column.astype(str))
    probability = _fit_error_probability(counts, work)
    table = counts[[*by, person_column, "items", "errors"]].assign(
        expected=counts["items"].to_numpy(float) * probability
    )
    groups = table.groupby([person_column, *by], sort=True, as_index=False, dropna=False)
    return groups[["items", "errors", "expected"]].sum()


def _fit_error_probability(counts: pd.DataFrame, work: Sequence[str]) -> np.ndarray:
    """Return the error probability of each cell by the attributes of its work."""
    items, errors = counts["items"].to_numpy(float), counts["errors"].to_numpy(float)
    codes = []
    for name in work:
        texts = counts[name].astype(object).where(counts[name].notna(), MISSING_VALUE).astype(str)
        codes.append(np.unique(texts, return_inverse=True)[1])
    codes = sorted((code for code in codes if code.max() > 0), key=np.max)
    if not codes:
        return np.full(len(counts), errors.sum() / items.sum())
    cells = ContingencyTable(np.array(codes), items, errors, items)
    model = fit_baseline_model(cells, tuple(int(code.max()) + 1 for code in codes))
    return expit(model.logits(cells.codes))
