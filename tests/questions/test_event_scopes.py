"""Event scopes: an effect is found, chance is not, at the stated rate, in any order of rows."""

import numpy as np
import pandas as pd
import pytest

from rca_lib.audits.periods import get_period
from rca_lib.audits.taxonomy import read_taxonomy
from rca_lib.findings import Estimate, Finding
from rca_lib.questions.causes import rank_causes
from rca_lib.questions.event_scopes import compare_event_scopes

TEAMS, QUEUES, EXPERIENCED = 4, 3, 48  # teams and queues of a site, raters who work in both periods


def draw_periods(seed, *, odds_ratio=1.0, newcomers=0, audits=2500):
    """Draw two periods: raters with beta rates in teams, queues of different difficulty; some raters may be new.

    `odds_ratio` is the effect on team t0 in the second period, or on the newcomers (team t4) if there are any.
    """
    rng = np.random.default_rng(seed)
    raters = EXPERIENCED + newcomers
    skill, load = rng.beta(2.4, 32, raters), rng.lognormal(0, 0.4, raters)
    team = np.where(np.arange(raters) < EXPERIENCED, np.arange(raters) % TEAMS, TEAMS)
    difficulty = np.array([0.6, 1.0, 1.8])
    tables = []
    for period in range(2):
        present = np.arange(EXPERIENCED if period == 0 else raters)
        rater = rng.choice(present, audits, p=load[present] / load[present].sum())
        queue = rng.choice(QUEUES, audits, p=[0.5, 0.3, 0.2])
        probability = np.clip(skill[rater] * difficulty[queue], 0, 0.9)
        if period == 1:
            is_affected = team[rater] == (TEAMS if newcomers else 0)
            raised = odds_ratio * probability / (1 - probability + odds_ratio * probability)
            probability = np.where(is_affected, raised, probability)
        tables.append(
            pd.DataFrame(
                {
                    "rater": [f"r{number}" for number in rater],
                    "team": [f"t{number}" for number in team[rater]],
                    "queue": [f"q{number}" for number in queue],
                    "error": (rng.random(audits) < probability).astype(int),
                }
            )
        )
    return tables


def compare_scopes(tables, *scopes):
    return compare_event_scopes(*tables, ["team", "queue"], pd.DataFrame({"scope": scopes})).scopes


def test_a_team_that_got_worse_is_confirmed_with_its_excess():
    scopes = [compare_scopes(draw_periods(seed, odds_ratio=3.0), "team=t0")[0] for seed in range(12)]
    assert sum(scope.p_value < 0.05 for scope in scopes) >= 11
    assert all(scope.excess.low <= scope.excess.value <= scope.excess.high for scope in scopes)
    assert 30 < np.mean([scope.excess.value for scope in scopes]) < 110


def test_a_new_class_with_more_errors_than_others_is_confirmed():
    periods = [draw_periods(seed, odds_ratio=3.5, newcomers=8) for seed in range(12)]
    scopes = [compare_scopes(tables, "team=t4")[0] for tables in periods]
    assert sum(scope.p_value < 0.05 for scope in scopes) >= 10
    assert all(scope.is_new for scope in scopes)


@pytest.mark.parametrize(("newcomers", "scope"), [(0, "team=t0"), (8, "team=t4")])
def test_false_alarms_of_an_event_without_effect_stay_at_the_stated_rate(newcomers, scope):
    periods = (draw_periods(seed, newcomers=newcomers, audits=1500) for seed in range(120))
    alarms = sum(compare_scopes(tables, scope)[0].p_value < 0.05 for tables in periods)
    assert alarms <= 12  # of 120: .05 gives 6, more than 12 have a probability of .006


def test_p_values_are_corrected_for_the_number_of_scopes():
    tables = draw_periods(3, odds_ratio=2.0)
    alone = compare_scopes(tables, "team=t0")[0]
    both = compare_scopes(tables, "team=t0", "queue=q1", None)
    assert both[0].p_value == pytest.approx(min(1, 2 * alone.p_value)) and len(both) == 2


def test_a_scope_of_all_work_no_work_or_an_unknown_column_is_skipped():
    tables = draw_periods(1)
    for scope in ("team=t*", "team=none", "market=FR"):
        assert compare_scopes(tables, scope) == ()


def test_row_order_does_not_matter():
    before, after = draw_periods(5, odds_ratio=2.0)
    shuffled = after.sample(frac=1, random_state=1)
    assert compare_scopes((before, after), "team=t0") == compare_scopes((before, shuffled), "team=t0")


@pytest.mark.parametrize(("errors", "teams"), [(60.0, ["t0"]), (20.0, [])])
def test_the_scope_of_an_event_is_a_cause_only_if_it_makes_half_of_the_change(errors, teams):
    event = {"type": "training_wave", "title": "Refresher", "scope": "team=t0", "start": pd.Timestamp("2026-03-05")}
    change = Finding("drivers", "change", "It rose.", "shown", Estimate(0.02, 0.01, 0.03, "pp"))
    excess = Estimate(errors, 5, 90, "errors")
    scope = Finding("event_scopes", "event scope", "More.", "shown", excess, "", {"team": "t0"})
    result = type("Result", (), {"findings": lambda self: (change, scope)})()
    march = get_period(pd.Timestamp("2026-03-31").date(), "month")
    causes = rank_causes([result], pd.DataFrame([event]), period=march, taxonomy=read_taxonomy(None), n_audits=4000)
    assert [cause.where.get("team") for cause in causes.causes] == teams
