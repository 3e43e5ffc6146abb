from datetime import date

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from rca_lib.findings import DataError
from rca_lib.questions.portfolio import compare_sites
from rca_lib.reporting.last_periods import compare_last_periods


def audits(rates, *, raters=40, each=60, spread=0.0, seed=0, harder=()):
    """One month of audits per site; sites in `harder` have more of a queue in which twice as many errors are made."""
    rng = np.random.default_rng(seed)
    frames = []
    for site, rate in rates.items():
        skill = np.exp(rng.normal(0, spread, raters))
        rater = np.repeat(np.arange(raters), each)
        hard = rng.random(len(rater)) < (0.7 if site in harder else 0.2)
        error = rng.random(len(rater)) < rate * skill[rater] * np.where(hard, 2.0, 1.0)
        frames.append(
            pd.DataFrame(
                {
                    "site": site,
                    "rater": [f"{site}-{one}" for one in rater],
                    "error": error.astype(int),
                    "queue": np.where(hard, "hard", "easy"),
                    "day": pd.Timestamp("2026-03-10").date(),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


SAME = {f"site-{number}": 0.06 for number in range(10)}


def test_a_site_that_is_worse_is_named():
    for seed in range(5):
        found = compare_sites(audits({**SAME, "far": 0.13}, seed=seed))
        assert [(point.site, point.verdict) for point in found.points if point.verdict != "no different"] == [
            ("far", "worse")
        ]


def test_sites_that_are_alike_are_called_different_no_more_often_than_alpha():
    # 60 simulations at .05: 3 expected, more than 8 would happen with a probability below .01.
    alarms = sum("None differs" not in compare_sites(audits(SAME, each=20, seed=seed)).summary() for seed in range(60))
    assert alarms <= 8


def test_a_harder_mix_is_not_worse_work():
    table = audits(SAME, harder=("site-3",), seed=1)
    assert "None differs" in compare_sites(table).summary()
    raw = compare_sites(table.drop(columns="queue"))
    assert [point.site for point in raw.points if point.verdict == "worse"] == ["site-3"]


def test_points_come_by_name_and_row_order_does_not_matter():
    table = audits(SAME)
    first = compare_sites(table)
    assert [point.site for point in first.points] == sorted(SAME)
    again = compare_sites(table.sample(frac=1, random_state=2))
    pd.testing.assert_frame_equal(first.to_frame(), again.to_frame())


def test_a_target_is_met_or_missed_only_where_the_interval_lies_on_one_side():
    table = audits({"good": 0.01, "bad": 0.2, "near": 0.05}, each=25)
    targets = pd.DataFrame({"metric": ["accuracy"], "scope": [None], "contract": [0.94]})
    found = {point.site: point.target for point in compare_sites(table, targets).points}
    assert found == {"good": "met", "bad": "missed", "near": "not proven"}


def test_sites_that_are_not_there_are_one_clear_error():
    with pytest.raises(DataError, match="no audits of these sites"):
        compare_sites(audits(SAME), sites=["elsewhere"])


def test_the_false_discovery_rate_is_controlled_as_benjamini_and_hochberg_did_it():
    # Benjamini and Hochberg 1995: four of fifteen are rejected at .05 (Bonferroni: three); the fourth becomes .035625.
    listed = "1 4 19 95 201 278 298 344 459 3240 4262 5719 6528 7590 10000"  # p-values in ten thousandths
    adjusted = stats.false_discovery_control([int(one) / 10_000 for one in listed.split()])
    assert (adjusted <= 0.05).sum() == 4
    assert adjusted[3] == pytest.approx(0.035625)


def test_what_moved_at_all_sites_together_is_one_question():
    draw = np.random.default_rng(5)
    tables = []
    for month in (1, 2, 3):
        table = pd.DataFrame({"site": draw.choice(["a", "b", "c"], 6000), "queue": draw.choice(["x", "y", "z"], 6000)})
        table["day"] = [date(2026, month, 1 + one) for one in draw.integers(0, 28, 6000)]
        table["rater"] = [f"r{one}" for one in draw.integers(0, 20, 6000)]
        worse = 0.1 * ((table["site"] == "b") & (month == 3))
        tables.append(table.assign(error=(draw.random(6000) < 0.06 + worse).astype(int)))
    audits = pd.concat(tables)
    assert [one.where for one in compare_last_periods(audits).named] == [{"site": "b"}]
    assert compare_last_periods(audits, periods=["2026-01", "2026-02"]).named == ()
    assert compare_last_periods(tables[0]) is None


def test_a_missed_target_beside_a_quiet_comparison_is_explained():
    table = audits({f"site-{number}": 0.1 for number in range(4)}, each=25)
    targets = pd.DataFrame({"metric": ["accuracy"], "scope": [None], "contract": [0.97]})
    told = compare_sites(table, targets).summary()
    assert "None differs" in told and "two questions" in told and "site-0 in 2026-03" in told
    met = compare_sites(table, targets.assign(contract=0.5)).summary()
    assert "two questions" not in met


def test_sites_with_few_audits_are_shown_and_not_judged():
    found = compare_sites(
        audits({**SAME, "tiny": 1.0}, raters=40, each=10).query("site != 'tiny' or rater < 'tiny-15'")
    )
    tiny = found.points[-1]
    assert (tiny.site, tiny.verdict, tiny.rate.items < 100) == ("tiny", "worse", True)
    found = compare_sites(audits({**SAME, "tiny": 1.0}, each=1).query("site != 'tiny' or rater < 'tiny-2'"))
    tiny = found.points[-1]
    assert (tiny.site, tiny.verdict, tiny.rate.items) == ("tiny", "too few audits", 12)
    assert "fewer than 30 audits" in found.summary() and found.findings() == ()


def test_a_period_that_is_not_over_is_marked_and_its_differences_are_not_shown():
    whole = [audits({**SAME, "far": 0.13}, seed=1).assign(day=date(2026, 2, day)) for day in range(1, 29)]
    part = [audits({**SAME, "far": 0.13}, seed=1).assign(day=date(2026, 3, day)) for day in range(1, 9)]
    table = pd.concat([one.sample(300, random_state=7) for one in (*whole, *part)])
    found = compare_sites(table)
    assert {point.period: point.complete for point in found.points} == {"2026-02": True, "2026-03": False}
    assert "Incomplete: 2026-03. The audits reach from 1 Feb 2026 to 8 Mar 2026." in found.summary()
    assert {finding.grade for finding in found.findings() if "2026-03" in finding.sentence} <= {"likely"}
    assert set(found.to_frame()["coverage"]) == {"", "incomplete period"}


def test_a_heavy_audit_makes_a_point_no_more_certain():
    table = audits(SAME, each=20, seed=3).assign(weight=1.0)
    table.loc[table.index[0], ["weight", "error"]] = [1e6, 1]
    found = compare_sites(table)
    assert found.points[0].items < 2 and found.points[0].rate.high - found.points[0].rate.low > 0.5


def months(ends, sites=("a", "b"), seed=9):
    """Audits of January to March, of some sites, up to a day of March."""
    draw = np.random.default_rng(seed)
    days = [day for day in pd.date_range("2026-01-01", ends) for _ in range(12)]
    return pd.DataFrame({
        "site": draw.choice(sites, len(days)), "rater": draw.choice([f"r{one}" for one in range(9)], len(days)),
        "queue": draw.choice(["x", "y"], len(days)), "error": (draw.random(len(days)) < 0.1).astype(int),
        "day": [day.date() for day in days],
    })  # fmt: skip


def test_the_last_two_complete_periods_are_compared_and_the_rest_is_named():
    whole = compare_last_periods(months("2026-03-31"))
    assert (whole.periods, whole.sites, whole.left_out) == (("2026-02", "2026-03"), ("a", "b"), ())
    part = compare_last_periods(months("2026-03-20"))
    assert part.periods == ("2026-01", "2026-02")
    assert "2026-03 is left out: the audits reach from 1 Jan 2026 to 20 Mar 2026." in part.summary()
    alone = compare_last_periods(months("2026-02-10"))
    assert alone.drivers is None and alone.named == () and alone.to_frame().empty
    assert alone.summary().startswith("Not available: there are no two complete periods")


def test_a_site_that_opens_or_closes_is_left_out_of_both_periods():
    table = months("2026-03-31", sites=("a", "b", "c"))
    opened = table[~((table["site"] == "c") & (pd.to_datetime(table["day"]) < "2026-03-01"))]
    found = compare_last_periods(opened)
    assert found.sites == ("a", "b")
    assert "c is left out: it has no audits in 2026-02." in found.summary()
    assert found.drivers.after.items == (opened["site"].ne("c") & (pd.to_datetime(opened["day"]) >= "2026-03-01")).sum()
