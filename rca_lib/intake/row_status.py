# Tested in tests/intake/test_ingest.py.
"""What became of the rows of each site in an intake."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

RowStatusCount = tuple[str, str, str, int, int, str]  # site, status, reason, rows, first row, suggestion
ROW_STATUS_SQL = """
select coalesce(site, ''), row_status, coalesce(reasons[1], ''), count(*), min(row),
    coalesce(arg_min(suggestion, row), '')
from weighted_rows where row_status in ('kept', 'quarantined', 'exact duplicate') group by 1, 2, 3
union all
select site, 'repaired', what, count(*), 0, ''
from (select coalesce(site, '') as site, unnest(repairs) as what from weighted_rows where row_status = 'kept')
group by 1, 3
order by all
"""


def count_row_statuses(run_query: Callable[[str], list[tuple[Any, ...]]]) -> tuple[RowStatusCount, ...]:
    """Count the rows of each site by what became of them, from the view `weighted_rows` of an intake.

    Parameters
    ----------
    run_query
        Runs a query and returns its rows.

    Returns
    -------
    tuple
        One entry per site, status and reason or repair.
    """
    return tuple(run_query(ROW_STATUS_SQL))
