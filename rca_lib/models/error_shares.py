# Tested in tests/questions/test_error_tagging.py.
"""Shares of the errors by code: by error type, by cause, or by owner.

With w_i the design weight of error i, the share of a code is a ratio of weighted counts,

    share = Σ w_i [error i has the code] / Σ w_i,

with an interval that treats the errors of one rater as a cluster. The severity-weighted share replaces w_i by
w_i · s_i, with s_i the severity weight of the error (`schema.SEVERITY_WEIGHTS`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from rca_lib.audits.schema import SEVERITY_WEIGHTS
from rca_lib.audits.taxonomy import Cause
from rca_lib.findings import Rate
from rca_lib.stats.proportions import estimate_clustered_rate
from rca_lib.stats.text.embedding import extract_texts

NO_NAMES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ErrorShare:
    """The share of the errors with one code: an error type, a cause, or an owner.

    Attributes
    ----------
    code, name
        Code and display name; of an owner both are the name.
    errors
        Number of errors, unweighted.
    share
        Weighted share of all errors.
    severity_weighted_share
        Share weighted by severity as well; None without severities.
    top_category, owner, controllable_by, measurement
        Of a cause: its level-1 category, the function that owns it, who controls it ("site", "client" or "shared"),
        and whether it is a measurement cause. Empty for error types and owners.
    """

    code: str
    name: str
    errors: int
    share: Rate
    severity_weighted_share: float | None
    top_category: str = ""
    owner: str = ""
    controllable_by: str = ""
    measurement: bool = False


def compute_error_shares(
    rows: pd.DataFrame, codes: Sequence[str], names: Mapping[str, str | Cause] = NO_NAMES, last: str = ""
) -> tuple[ErrorShare, ...]:
    """Compute the share of each code.

    Parameters
    ----------
    rows
        One row per error, with `weight`; `severity` and `rater` where they exist.
    codes
        Code of each row; "" means not determined.
    names
        Display name of each code, or its cause in the taxonomy. A code without a name is its own name.
    last
        Code to sort to the end. Default: the code "".

    Returns
    -------
    tuple of ErrorShare
        The largest share first, the code `last` last.
    """
    code_of_row = np.array(codes, object)
    severity = extract_texts(rows, "severity").map(SEVERITY_WEIGHTS).astype(float)
    severity_weights = (severity * rows["weight"]).fillna(0.0).to_numpy()
    shares = []
    for code in sorted(set(codes)):
        mask = code_of_row == code
        shares.append(
            ErrorShare(
                code=code,
                errors=int(mask.sum()),
                share=estimate_error_share(rows, mask),
                severity_weighted_share=_divide(severity_weights[mask].sum(), severity_weights.sum()),
                **_describe_code(names.get(code, code or "not determined")),
            )
        )
    return tuple(sorted(shares, key=lambda share: (share.code == last, -share.share.value)))


def _divide(part: float, whole: float) -> float | None:
    """Return a share; None if the whole is 0."""
    return float(part / whole) if whole > 0 else None


def _describe_code(name: str | Cause) -> dict[str, Any]:
    """Return the fields of `ErrorShare` that follow from a display name or a cause."""
    if isinstance(name, str):
        return {"name": name}
    return {key: getattr(name, key) for key in ("name", "top_category", "owner", "controllable_by", "measurement")}


def estimate_error_share(rows: pd.DataFrame, mask: np.ndarray) -> Rate:
    """Estimate the weighted share of the errors in a mask, with raters as clusters.

    Parameters
    ----------
    rows
        One row per error, with `weight`; `rater` where it exists.
    mask
        Whether each row belongs to the share.

    Returns
    -------
    Rate
        The share, with the plain counts of rows.
    """
    weight = rows["weight"].to_numpy(float)
    raters = pd.factorize(rows["rater"], use_na_sentinel=False)[0] if "rater" in rows else None
    return estimate_clustered_rate(mask, np.ones(len(rows)), weight, weight**2, raters).rate
