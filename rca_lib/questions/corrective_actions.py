"""What should be done? One corrective action per cause: owner, due date, expected effect, and date of the check.

The taxonomy gives the action of a cause. A cause without an action gets a general one, which differs for measurement
causes. The dates follow from the end of the period:

- due date: the last of the days that the action may take (`due_days`, 14 by default),
- check date: the last day of the first whole period that begins after the due date.

The expected reduction is the excess of errors of the cause, as if the cause disappeared completely. It is an upper
bound, not a forecast. Errors also fall after an extreme period by regression to the mean. The check must therefore
compare with work that was not affected.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import pandas as pd

from rca_lib.audits.periods import Period, get_period
from rca_lib.audits.taxonomy import Action, Cause, Taxonomy
from rca_lib.findings import Day, Estimate, Finding, format_slice, format_value, set_units
from rca_lib.models.cause_context import RankedCause
from rca_lib.result import Result

# Actions for causes to which the taxonomy gives none.
GENERAL_ACTION = Action("calibrate_qa", "Review the largest disagreements with the site and code their causes")
GENERAL_MEASUREMENT_ACTION = Action(
    "calibrate_qa", "Audit a blind sample of the affected truths again before coaching anyone"
)


@dataclass(frozen=True, slots=True)
class CorrectiveAction:
    """One corrective action.

    Attributes
    ----------
    kind
        Kind of the action in the taxonomy, such as "retrain_group".
    sentence
        What to do, and where.
    owner
        Function that owns the cause, from the taxonomy.
    cause, where
        Cause code and slice.
    due_date, check_date
        ISO dates: when the action is due, and when its effect is checked.
    expected_reduction
        Upper bound of the reduction of errors per period in the audited sample; None for measurement causes.
    """

    kind: str
    sentence: str
    owner: str
    cause: str
    where: Mapping[str, str]
    due_date: Day
    check_date: Day
    expected_reduction: Estimate | None


@dataclass(frozen=True, slots=True)
class CorrectiveActions(Result):
    """The corrective actions, in the order of their causes."""

    actions: tuple[CorrectiveAction, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return one row per action: `action`, `owner`, `due_date`, `check_date`, `expected_reduction` (errors)."""
        rows = [
            {
                "action": action.sentence,
                "owner": action.owner,
                "due_date": action.due_date.value,
                "check_date": action.check_date.value,
                "expected_reduction": action.expected_reduction.value if action.expected_reduction else None,
            }
            for action in self.actions
        ]
        frame = pd.DataFrame(rows, columns=["action", "owner", "due_date", "check_date", "expected_reduction"])
        return set_units(frame, due_date="date", check_date="date", expected_reduction="errors")

    def summary(self) -> str:
        """Return the sentences of all actions."""
        return " ".join(action.sentence for action in self.actions) or "No action needed: continue monitoring."

    def findings(self) -> tuple[Finding[str], ...]:
        """Return one finding per action."""
        return tuple(
            Finding(
                question="actions",
                kind=action.kind,
                sentence=action.sentence,
                grade="possible",
                estimate=action.expected_reduction,
                path=f"actions[{index}].expected_reduction",
            )
            for index, action in enumerate(self.actions)
        )


def propose_actions(causes: Sequence[RankedCause], *, period: Period, taxonomy: Taxonomy) -> CorrectiveActions:
    """Propose one corrective action per cause.

    Parameters
    ----------
    causes
        The causes of `rank_causes`.
    period
        The period of the report. The days until an action is due count from its end. The effect is checked when the
        first whole period after the due date has ended.
    taxonomy
        The taxonomy in use: owner and action of each cause.

    Returns
    -------
    CorrectiveActions
        One action per cause, in the order of `causes`. The expected reduction is the excess of the cause, and None for
        measurement causes.

    Raises
    ------
    KeyError
        If the code of a cause is not in the taxonomy.

    Notes
    -----
    The expected reduction is an upper bound: it assumes that the cause disappears completely. Part of a fall after an
    extreme period is regression to the mean. Compare with unaffected work when the effect is checked.

    Examples
    --------
    >>> from rca_lib.audits.periods import parse_period
    >>> from rca_lib.audits.taxonomy import read_taxonomy
    >>> from rca_lib.models.cause_context import CauseContext
    >>> taxonomy = read_taxonomy()
    >>> context = CauseContext(findings=(), events=(), recent_from="", taxonomy=taxonomy, n_audits=500)
    >>> finding = Finding("drivers", "slice", "policy = hate: 20 errors more.", "shown")
    >>> cause = context.build_cause("slice", "policy_update", "Likely cause: policy update.", "likely", finding)
    >>> actions = propose_actions([cause], period=parse_period("2026-03"), taxonomy=taxonomy)
    >>> actions.actions[0].owner, actions.actions[0].due_date.value, actions.actions[0].check_date.value
    ('training', '2026-04-14', '2026-05-31')
    """
    return CorrectiveActions(
        tuple(_build_action(ranked_cause, taxonomy.causes[ranked_cause.code], period) for ranked_cause in causes)
    )


def format_action_dates(action: CorrectiveAction) -> str:
    """Return the owner, the due date and the date of the check in words."""
    due_date = format_value(action.due_date.value, "date")
    check_date = format_value(action.check_date.value, "date")
    return f"Owner: {action.owner.replace('_', ' ')}. Due: {due_date}. Effect check: {check_date}"


def _schedule(period: Period, due_days: int) -> tuple[date, date]:
    """Return the due date and the check date of an action after a period."""
    due_date = period.end + timedelta(days=due_days - 1)
    check_period = get_period(period.end, period.kind)
    while check_period.start <= due_date:
        check_period = get_period(check_period.end, period.kind)
    return due_date, check_period.end - timedelta(days=1)


def _build_action(ranked_cause: RankedCause, cause: Cause, period: Period) -> CorrectiveAction:
    """Return the action for a cause of `rank_causes` and its entry in the taxonomy."""
    action = cause.action or (GENERAL_MEASUREMENT_ACTION if cause.measurement else GENERAL_ACTION)
    due_date, check_date = _schedule(period, action.due_days)
    scope = f" ({format_slice(ranked_cause.where)})" if ranked_cause.where else ""
    excess = ranked_cause.excess if isinstance(ranked_cause.excess, Estimate) and not cause.measurement else None
    return CorrectiveAction(
        kind=action.kind,
        sentence=f"{action.text.removesuffix('.')}{scope}.",
        owner=cause.owner,
        cause=cause.code,
        where=ranked_cause.where,
        due_date=Day(due_date.isoformat()),
        check_date=Day(check_date.isoformat()),
        expected_reduction=excess if excess is not None and excess.unit == "errors" else None,
    )
