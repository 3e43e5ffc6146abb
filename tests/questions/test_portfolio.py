"""Portfolio: sites that differ are found, a harder work mix is no worse work, and targets are judged by their rules."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from rca_lib.findings import DataError
from rca_lib.questions.portfolio import compare_sites
from rca_lib.reporting.period_comparison import compare_last_periods


def draw_sites(rates, *, raters=40, audits_per_rater=60, seed=0, harder=()):
    """Draw one month of audits per site; sites in `harder` have more of a queue with twice the error rate."""
    rng = np.random.default_rng(seed)
    frames = []
    for site, rate in rates.items():
        rater = np.repeat(np.arange(raters), audits_per_rater)
        is_hard = rng.random(len(rater)) < (0.7 if site in harder else 0.2)
        error = rng.random(len(rater)) < rate * np.where(is_hard, 2.0, 1.0)
        frames.append(
            pd.DataFrame(
                {
                    "site": site,
                    "rater": [f"{site}-{number}" for number in rater],
                    "error": error.astype(int),
                    "queue": np.where(is_hard, "hard", "easy"),
                    "day": pd.Timestamp("2026-03-10").date(),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


SAME = {f"site-{number}": 0.06 for number in range(10)}


def test_a_site_that_is_worse_is_named():
    for seed in range(5):
        points = compare_sites(draw_sites({**SAME, "far": 0.13}, seed=seed)).points
        assert [(point.site, point.verdict) for point in points if point.verdict != "no different"] == [
            ("far", "worse")
        ]


def test_false_alarms_among_equal_sites_stay_at_alpha():
    # 60 simulations at .05: 3 expected, more than 8 would happen with a probability below .01.
    alarms = sum(
        "None differs" not in compare_sites(draw_sites(SAME, audits_per_rater=20, seed=seed)).summary()
        for seed in range(60)
    )
    assert alarms <= 8


def test_a_harder_mix_is_not_worse_work():
    table = draw_sites(SAME, harder=("site-3",), seed=1)
    assert "None differs" in compare_sites(table).summary()
    raw = compare_sites(table.drop(columns="queue"))
    assert [point.site for point in raw.points if point.verdict == "worse"] == ["site-3"]


def test_points_are_sorted_by_name_and_row_order_does_not_matter():
    table = draw_sites(SAME)
    portfolio = compare_sites(table)
    assert [point.site for point in portfolio.points] == sorted(SAME)
    shuffled = compare_sites(table.sample(frac=1, random_state=2))
    pd.testing.assert_frame_equal(portfolio.to_frame(), shuffled.to_frame())


def test_a_target_is_met_or_missed_only_if_the_whole_interval_lies_on_one_side():
    table = draw_sites({"good": 0.01, "bad": 0.2, "near": 0.05}, audits_per_rater=25)
    targets = pd.DataFrame({"metric": ["accuracy"], "scope": [None], "contract": [0.94]})
    verdicts = {point.site: point.target for point in compare_sites(table, targets).points}
    assert verdicts == {"good": "met", "bad": "missed", "near": "not proven"}


def test_unknown_sites_are_refused():
    with pytest.raises(DataError, match="no audits of these sites"):
        compare_sites(draw_sites(SAME), sites=["elsewhere"])


def test_the_false_discovery_rate_agrees_with_the_example_of_benjamini_and_hochberg():
    # Benjamini and Hochberg 1995: four of fifteen are rejected at .05 (Bonferroni: three); the fourth becomes .035625.
    listed = "1 4 19 95 201 278 298 344 459 3240 4262 5719 6528 7590 10000"  # p-values in ten thousandths
    adjusted = stats.false_discovery_control([int(number) / 10_000 for number in listed.split()])
    assert (adjusted <= 0.05).sum() == 4
    assert adjusted[3] == pytest.approx(0.035625)


def test_the_last_periods_of_all_sites_together_name_the_site_that_got_worse():
    rng = np.random.default_rng(5)
    tables = []
    for month in (1, 2, 3):
        table = pd.DataFrame({"site": rng.choice(["a", "b", "c"], 6000), "queue": rng.choice(["x", "y", "z"], 6000)})
        table["day"] = [date(2026, month, 1 + day) for day in rng.integers(0, 28, 6000)]
        table["rater"] = [f"r{number}" for number in rng.integers(0, 20, 6000)]
        worse = 0.1 * ((table["site"] == "b") & (month == 3))
        tables.append(table.assign(error=(rng.random(6000) < 0.06 + worse).astype(int)))
    audits = pd.concat(tables)
    assert [slice_.where for slice_ in compare_last_periods(audits).drivers.named_slices] == [{"site": "b"}]
    assert compare_last_periods(audits, periods=["2026-01", "2026-02"]).drivers.named_slices == ()
    assert compare_last_periods(tables[0]) is None


@pytest.mark.parametrize(
    ("columns", "verdict"),
    [
        ({"valid_to": "2026-03-31"}, "missed"),
        ({"valid_to": "2026-02-28"}, ""),
        ({"valid_from": "2026-04-01"}, ""),
        ({"min_audits": 1e6}, "too few audits"),
        ({"direction": "at_most"}, "met"),
        ({"scope": "site=ba*"}, "missed"),
        ({"scope": "site=[x]*"}, ""),
        ({"scope": "site=bad;queue=easy"}, ""),
    ],
)
def test_a_target_is_judged_by_its_dates_minimum_of_audits_scope_and_direction(columns, verdict):
    targets = pd.DataFrame([{"metric": "accuracy", "scope": None, "contract": 0.94} | columns])
    portfolio = compare_sites(draw_sites({"bad": 0.2}, audits_per_rater=25), targets)
    assert [point.target for point in portfolio.points] == [verdict]


def test_a_missed_target_beside_a_quiet_comparison_is_explained():
    table = draw_sites({f"site-{number}": 0.1 for number in range(4)}, audits_per_rater=25)
    targets = pd.DataFrame({"metric": ["accuracy"], "scope": [None], "contract": [0.97]})
    summary = compare_sites(table, targets).summary()
    assert "None differs" in summary and "two questions" in summary and "site-0 in 2026-03" in summary
    summary_if_met = compare_sites(table, targets.assign(contract=0.5)).summary()
    assert "two questions" not in summary_if_met


def test_sites_with_few_audits_are_shown_and_not_judged():
    portfolio = compare_sites(
        draw_sites({**SAME, "tiny": 1.0}, raters=40, audits_per_rater=10).query("site != 'tiny' or rater < 'tiny-15'")
    )
    tiny = portfolio.points[-1]
    assert (tiny.site, tiny.verdict, tiny.rate.items < 100) == ("tiny", "worse", True)
    portfolio = compare_sites(
        draw_sites({**SAME, "tiny": 1.0}, audits_per_rater=1).query("site != 'tiny' or rater < 'tiny-2'")
    )
    tiny = portfolio.points[-1]
    assert (tiny.site, tiny.verdict, tiny.rate.items) == ("tiny", "too few audits", 12)
    assert "fewer than 30 audits" in portfolio.summary() and portfolio.findings() == ()


def test_an_incomplete_period_is_marked_and_its_differences_are_only_likely():
    february = [draw_sites({**SAME, "far": 0.13}, seed=1).assign(day=date(2026, 2, day)) for day in range(1, 29)]
    march = [draw_sites({**SAME, "far": 0.13}, seed=1).assign(day=date(2026, 3, day)) for day in range(1, 9)]
    table = pd.concat([day.sample(300, random_state=7) for day in (*february, *march)])
    portfolio = compare_sites(table)
    assert {point.period: point.complete for point in portfolio.points} == {"2026-02": True, "2026-03": False}
    assert "Incomplete: 2026-03. The audits cover 1 Feb 2026 to 8 Mar 2026." in portfolio.summary()
    assert {finding.grade for finding in portfolio.findings() if "2026-03" in finding.sentence} <= {"likely"}
    assert set(portfolio.to_frame()["coverage"]) == {"", "incomplete period"}


def test_one_audit_with_dominant_weight_makes_a_point_uncertain():
    table = draw_sites(SAME, audits_per_rater=20, seed=3).assign(weight=1.0)
    table.loc[table.index[0], ["weight", "error"]] = [1e6, 1]
    point = compare_sites(table).points[0]
    assert point.effective_audits < 2 and point.rate.high - point.rate.low > 0.5


def draw_months(last_day, sites=("a", "b"), seed=9):
    """Draw audits of some sites from January to a day of March."""
    rng = np.random.default_rng(seed)
    days = [day for day in pd.date_range("2026-01-01", last_day) for _ in range(12)]
    return pd.DataFrame({
        "site": rng.choice(sites, len(days)), "rater": rng.choice([f"r{number}" for number in range(9)], len(days)),
        "queue": rng.choice(["x", "y"], len(days)), "error": (rng.random(len(days)) < 0.1).astype(int),
        "day": [day.date() for day in days],
    })  # fmt: skip


def test_the_last_two_complete_periods_are_compared_and_incomplete_ones_are_named():
    complete = compare_last_periods(draw_months("2026-03-31"))
    assert (complete.periods, complete.sites, complete.exclusions) == (("2026-02", "2026-03"), ("a", "b"), ())
    incomplete = compare_last_periods(draw_months("2026-03-20"))
    assert incomplete.periods == ("2026-01", "2026-02")
    assert "2026-03 is left out as incomplete: the audits cover 1 Jan 2026 to 20 Mar 2026." in incomplete.summary()
    single = compare_last_periods(draw_months("2026-02-10"))
    assert single.drivers is None and single.to_frame().empty
    assert single.summary().startswith("Not available: there are no two complete periods")


def test_a_site_that_opens_or_closes_is_left_out_of_both_periods():
    table = draw_months("2026-03-31", sites=("a", "b", "c"))
    opened = table[~((table["site"] == "c") & (pd.to_datetime(table["day"]) < "2026-03-01"))]
    comparison = compare_last_periods(opened)
    assert comparison.sites == ("a", "b")
    assert "c is left out: it has no audits in 2026-02." in comparison.summary()
    assert (
        comparison.drivers.after.items
        == (opened["site"].ne("c") & (pd.to_datetime(opened["day"]) >= "2026-03-01")).sum()
    )
