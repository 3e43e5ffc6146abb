# Tested in tests/questions/test_causes.py.
"""How large a part of a change must be before a report names it, or says that it explains the change."""

from __future__ import annotations

from rca_lib.findings import Estimate, Number, Rate

EXPLAINS_SHARE = 0.5  # share of a change, or of the excess errors of a slice, from which a part explains it
NOTABLE_SHARE = 0.25  # share of a significant change from which a part is worth naming


def get_reference_size(change: Number | None) -> float:
    """Return the size that a part is compared with: the change, or half the width of its interval if that is larger.

    Half the width is about the largest change that sampling noise alone would produce.

    Examples
    --------
    >>> get_reference_size(Estimate(0.01, -0.02, 0.04, "pp")), get_reference_size(None)
    (0.03, 0.0)
    """
    if change is None:
        return 0.0
    if not isinstance(change, Estimate | Rate):
        return abs(change.value)
    return max(abs(change.value), (change.high - change.low) / 2)
