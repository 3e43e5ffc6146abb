"""What should be done? One action per cause: who, until when, what it should bring, and when to check that it did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import pandas as pd

from rca_lib.audits.cause_codes import usual_code
from rca_lib.audits.periods import Period, period_of
from rca_lib.audits.taxonomy_file import Taxonomy
from rca_lib.findings import Estimate, Finding, mark_units, name_slice, show

ACTIONS = {
    "TRN.UPD": ("retrain_group", "Retrain on the update, with the disagreements below as the examples"),
    "TRN.ONB": ("retrain_group", "Extend nesting for the new starters; audit them more until they reach the others"),
    "TRN.MATERIAL": ("retrain_group", "Correct the training material and repeat the training"),
    "TOL.BUG": ("fix_tool", "Reproduce the defect with the listed audits, fix it, and rework what was decided since"),
    "PRC.ROUTE": ("reroute", "Route the work back, or staff the queue for it"),
    "PRC.STAFF": ("staffing", "Restore the staffing mix"),
    "PRC.SPEED": ("change_target", "Take the pressure off handling time until quality is back"),
    "PPL.KNOW": ("coach_agent", "Look at the disagreements together with the rater; coach where the truth holds"),
    "ENV.MIX": ("monitor_only", "No coaching: plan for the harder mix, compare against mix-adjusted rates"),
    "ENV.OUTAGE": ("backlog_sweep_rework", "Rework what was decided during the outage"),
    "MEA.GT_STALE": ("correct_ground_truth", "Audit the affected decisions again under the version then in force"),
    "MEA.GT_WRONG": ("calibrate_qa", "Calibrate the auditor; audit a blind sample of the disputed truths again"),
    "MEA.SAMPLE": (
        "fix_sampling",
        "Audit a random or stratified sample in every period; report its weighted rates only",
    ),
    "UNK.UNK": ("calibrate_qa", "Read the largest disagreements with the site and code their causes"),
}
MEASUREMENT_ACTION = ("calibrate_qa", "Audit a blind sample of the affected truths again before anybody is coached")
DUE_DAYS = 14


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do: `expected` is how many errors a period fewer it should bring (errors in the audited sample)."""

    kind: str
    sentence: str
    owner: str
    cause: str
    due: Estimate
    check: Estimate
    expected: Estimate | None


@dataclass(frozen=True, slots=True)
class Actions:
    """What to do, in the order of the causes."""

    actions: tuple[Action, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return a row per action: `action`, `owner`, `due` and `check` (dates), `expected` errors fewer."""
        rows = [
            {
                "action": action.sentence,
                "owner": action.owner,
                "due": action.due.value,
                "check": action.check.value,
                "expected": action.expected.value if action.expected else None,
            }
            for action in self.actions
        ]
        frame = pd.DataFrame(rows, columns=["action", "owner", "due", "check", "expected"])
        return mark_units(frame, due="date", check="date", expected="errors")

    def summary(self) -> str:
        """Say what to do."""
        return " ".join(action.sentence for action in self.actions) or "Nothing to do: keep watching."

    def findings(self) -> tuple[Finding, ...]:
        """Return one finding per action."""
        return tuple(
            Finding("actions", action.kind, action.sentence, "possible", action.expected, f"actions[{place}].expected")
            for place, action in enumerate(self.actions)
        )


def propose_actions(causes: Sequence[Finding], *, period: Period, taxonomy: Taxonomy) -> Actions:
    """Propose an action for each cause.

    Parameters
    ----------
    causes
        The findings of `rank_causes`: their `kind` is the code of the cause.
    period
        What the report covers: actions are due two weeks after it ends; the effect is checked when the first whole
        period that begins after that has ended.
    taxonomy
        Names the owners.

    Returns
    -------
    Actions
        One per cause, each action and place once. The expected effect is the excess that the cause stands for, were it
        gone entirely: an upper bound, and no promise. That errors fall after an extreme period is in part regression
        to the mean, so the check compares with unaffected work.
    """
    due = period.end + timedelta(days=DUE_DAYS - 1)
    after = period_of(period.end, period.kind)
    while after.start <= due:
        after = period_of(after.end, period.kind)
    check = after.end - timedelta(days=1)
    actions = []
    for cause in causes:
        kind, what = _find_action(cause.kind, taxonomy)
        measurement = taxonomy.causes[cause.kind].measurement
        place = f" ({name_slice(cause.where)})" if cause.where else ""
        excess = isinstance(cause.estimate, Estimate) and cause.estimate.unit == "errors"
        actions.append(
            Action(
                kind=kind,
                sentence=f"{what}{place}.",
                owner=taxonomy.owner(cause.kind),
                cause=cause.kind,
                due=Estimate(due.isoformat(), unit="date"),
                check=Estimate(check.isoformat(), unit="date"),
                expected=cause.estimate if excess and not measurement else None,
            )
        )
    return Actions(tuple(actions))


def _find_action(code: str, taxonomy: Taxonomy) -> tuple[str, str]:
    """Return the action for a cause: by what its code stands for, else by whether it is the measurement's."""
    found = ACTIONS.get(usual_code(taxonomy, code))
    return found or (MEASUREMENT_ACTION if taxonomy.causes[code].measurement else ACTIONS["UNK.UNK"])


def tell_dates(action: Action) -> str:
    """Say who does it until when, and when its effect is checked."""
    due, check = show(action.due.value, "date"), show(action.check.value, "date")
    return f"Owner {action.owner.replace('_', ' ')}; due {due}; effect checked on {check}"
