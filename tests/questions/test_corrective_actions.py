"""Corrective actions: the taxonomy gives text, owner and due days; a cause without an action gets a general one."""

from dataclasses import replace

import pytest

from rca_lib.audits.periods import parse_period
from rca_lib.audits.taxonomy import read_taxonomy
from rca_lib.findings import Estimate, Finding
from rca_lib.models.cause_context import CauseContext
from rca_lib.questions.corrective_actions import propose_actions

MARCH = parse_period("2026-03")
TAXONOMY = read_taxonomy()
EXCESS = Estimate(60.0, 35.0, 85.0, "errors")
HATE = {"policy": "hate"}
OWN = """
causes:
  W: {name: Work, owner: site, controllable_by: site, action: {kind: coach, text: Coach the team.}}
  W.1: {name: Not trained, action: {kind: train, text: "Repeat the <b>training</b>", due_days: 40}}
  W.1.a: {name: Not trained at night}
  W.2: {name: Misread}
  M: {name: Audit, owner: qa, controllable_by: client, measurement: true}
  M.1: {name: Wrong truth}
  X: {name: Unknown, owner: qa, controllable_by: shared}
unknown: X
rules: {}
"""


def make_cause(code, where=None):
    finding = Finding("drivers", "slice", "…", "shown", EXCESS, where=where or {})
    context = CauseContext(findings=(), events=(), recent_from="", taxonomy=TAXONOMY, n_audits=500)
    return replace(context.build_cause("slice", "", "…", "likely", finding), code=code)


def propose(taxonomy, *codes, where=None):
    return propose_actions([make_cause(code, where) for code in codes], period=MARCH, taxonomy=taxonomy).actions


@pytest.fixture
def own_taxonomy(tmp_path):
    (tmp_path / "own.yml").write_text(OWN, encoding="utf-8")
    return read_taxonomy(tmp_path / "own.yml")


def test_an_action_has_owner_and_dates_and_promises_no_more_than_the_excess():
    (action,) = propose(TAXONOMY, "TRN.UPD", where=HATE)
    # Due two weeks after March ends. May is the first whole period after that; the check follows its end.
    assert (action.due_date.value, action.check_date.value) == ("2026-04-14", "2026-05-31")
    assert (action.kind, action.owner, action.expected_reduction) == ("retrain_group", "training", EXCESS)
    assert action.sentence == "Retrain on the update, with the disagreements below as examples (policy = hate)."


def test_a_measurement_cause_promises_no_effect():
    (action,) = propose(TAXONOMY, "MEA.GT_STALE")
    assert action.expected_reduction is None


def test_an_action_is_inherited_from_the_nearest_ancestor_that_has_one(own_taxonomy):
    actions = propose(own_taxonomy, "W", "W.1", "W.1.a", "W.2")
    assert [action.kind for action in actions] == ["coach", "train", "train", "coach"]
    assert [action.cause for action in actions] == ["W", "W.1", "W.1.a", "W.2"]
    assert actions[3].sentence == "Coach the team."  # one full stop, with the file's own as well


def test_due_days_of_the_taxonomy_move_the_due_date_and_the_check(own_taxonomy):
    (action,) = propose(own_taxonomy, "W.1")
    # 40 days after March end on 10 May. June is the first whole period after that.
    assert (action.due_date.value, action.check_date.value) == ("2026-05-10", "2026-06-30")


def test_a_cause_without_an_action_gets_a_general_one_of_its_own_owner(own_taxonomy):
    unknown, measurement = propose(own_taxonomy, "X", "M.1", where=HATE)
    expected = "Review the largest disagreements with the site and code their causes (policy = hate)."
    assert (unknown.sentence, unknown.owner, unknown.expected_reduction) == (expected, "qa", EXCESS)
    expected = "Audit a blind sample of the affected truths again before coaching anyone (policy = hate)."
    assert (measurement.sentence, measurement.expected_reduction) == (expected, None)
