"""People's errors against what anybody would make on the same work."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from scipy.special import expit

from rca_lib.audits.counting import MISSING, collect, column_names, keep_proportional
from rca_lib.audits.encoding import count_cells
from rca_lib.audits.ratings import require_columns
from rca_lib.audits.values import check_names
from rca_lib.findings import DataError
from rca_lib.stats.cells import Cells
from rca_lib.stats.expected import fit_baseline

WORK = ("policy", "queue", "workflow", "market", "language", "content_type", "stratum")  # what a person does not choose


def leave_out(audits: Any, excused: Mapping[str, Collection[str]]) -> Any:
    """Leave out the audits with these values in these columns, on the engine.

    Raises
    ------
    DataError
        If one of the columns is missing.
    TypeError
        If the values are one text, not a collection of them.

    Examples
    --------
    >>> leave_out(pd.DataFrame({"audit_id": ["1", "2"]}), {"audit_id": ["1"]})["audit_id"].tolist()
    ['2']
    """
    table = nw.from_native(audits)
    for name, values in excused.items():
        if isinstance(values, str):
            raise TypeError(f"{name}: give a list of values, not the text {values!r}")
        if values:
            require_columns(table.to_native(), [name])
            table = table.filter(~nw.col(name).is_in(list(values)).fill_null(False))
    return table.to_native()


def count_people(audits: Any, person: str, *, along: Sequence[str] = ()) -> pd.DataFrame:
    """Count each person's items and errors, and the errors to expect of anybody on the same work.

    Parameters
    ----------
    audits
        One row per audited decision; only the proportional streams are counted, each audit once, without weights.
    person
        The column of the people, "rater" or "auditor".
    along
        Further columns by which errors may differ, where they are there; the counts are by these too.

    Returns
    -------
    DataFrame
        A row per person (and value of `along`): `items`, `errors`, `expected`.

    Raises
    ------
    DataError
        If the column of the people is missing or holds nobody, there are no audits, or a name or label is blank, has
        white space at its ends, or is text here and a number there (`rows` are then spellings, or cells of work).

    Notes
    -----
    Expected errors come from a logistic model with an effect for each value of each column (`stats.expected`), fitted
    to all people together: it cannot see work that is harder in a way that no column tells.
    """
    known = column_names(audits)
    if person not in known:
        raise DataError(f"no column {person!r}", column=person, mend=f"map it, or choose among {', '.join(known)}")
    for name in ("label", "truth"):
        if name in known and "error" not in known:
            check_names(collect(nw.from_native(audits).lazy().select(name).unique()).dropna(), name)
    along = [name for name in along if name in known]
    work = [name for name in (*WORK, *along) if name in known and name != person]
    counts = count_cells(keep_proportional(audits), tuple(dict.fromkeys([*work, person])), "period")
    counts = counts[counts[person].notna()]
    if counts.empty:
        raise DataError(f"{person} is empty", column=person, mend=f"map it, or ask without {person}")
    check_names(counts[[person]], person)
    texts = {name: counts[name].astype(object).where(counts[name].notna(), MISSING).astype(str) for name in work}
    codes = [np.unique(texts[name], return_inverse=True)[1] for name in work]
    codes = sorted((code for code in codes if code.max() > 0), key=np.max)
    items, errors = counts["items"].to_numpy(float), counts["errors"].to_numpy(float)
    chance = np.full(len(counts), errors.sum() / items.sum())
    if codes:
        cells = Cells(np.array(codes), items, errors, items)
        chance = expit(fit_baseline(cells, tuple(int(code.max()) + 1 for code in codes)).logits(cells.codes))
    table = counts[[*along, person, "items", "errors"]].assign(expected=items * chance)
    groups = table.groupby([person, *along], sort=True, as_index=False, dropna=False)
    return groups[["items", "errors", "expected"]].sum()
