"""Auditor calibration: strict auditors and drift are detected, and no auditor is flagged where none differs."""

import duckdb
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from rca_lib.findings import DataError
from rca_lib.questions.auditor_calibration import compare_auditors
from rca_lib.reporting.display import show_figure
from rca_lib.reporting.plots.auditor_calibration import plot_auditor_calibration

RATES = np.array([0.04, 0.08, 0.12, 0.2])  # by policy


def simulate(seed, *, auditors=8, each=750, factors=1.0, late=1.0):
    """Audits on 28 days of 40 raters who differ; an auditor finds `factors` times the errors, `late` from day 14 on."""
    rng = np.random.default_rng(seed)
    size = auditors * each
    who, rater, policy, day = (rng.integers(0, many, size) for many in (auditors, 40, 4, 28))
    rate = RATES[policy] * rng.gamma(1 / 0.09, 0.09, 40)[rater] * np.broadcast_to(factors, auditors)[who]
    rate = rate * np.where(day >= 14, np.broadcast_to(late, auditors)[who], 1.0)
    names = {"auditor": [f"u{number:02}" for number in who], "rater": [f"r{number}" for number in rater]}
    days = pd.Timestamp("2026-03-01") + pd.to_timedelta(day, unit="D")
    truth = np.where(rng.random(size) < rate, "bad", "ok")
    policies = [f"p{number}" for number in policy]
    return pd.DataFrame({**names, "policy": policies, "day": days, "label": "ok", "truth": truth})


def plain(**errors):
    """Two hundred audits of each auditor with so many errors, spread evenly over 20 days."""
    rows = [(auditor, "ok", "bad" if n < many else "ok", f"2026-03-{1 + n % 20:02}")
            for auditor, many in errors.items() for n in range(200)]  # fmt: skip
    return pd.DataFrame(rows, columns=["auditor", "label", "truth", "day"])


FOUR = plain(a=10, b=11, c=45, d=9)


def one_of(auditors, number, factor):
    factors = np.ones(auditors)
    factors[number] = factor
    return factors


@pytest.mark.parametrize(("factor", "how"), [(2.0, "stricter"), (0.4, "more lenient")])
@pytest.mark.parametrize("seed", range(4))
def test_an_auditor_with_a_different_standard_is_flagged(seed, factor, how):
    calibration = compare_auditors(simulate(seed, factors=one_of(8, 3, factor)))
    deviating = calibration.auditors[3]
    assert deviating.differs
    assert (deviating.error_ratio.value > 1) == (factor > 1)
    assert any(f"u03 is {how}" in finding.sentence for finding in calibration.findings())


@pytest.mark.parametrize("seed", range(4))
def test_an_auditor_who_became_stricter_is_flagged(seed):
    calibration = compare_auditors(simulate(seed, late=one_of(8, 3, 3.0)))
    deviating = calibration.auditors[3]
    assert deviating.has_drifted and deviating.drift.low > 1
    assert "u03 changed by" in calibration.summary()


def test_drift_is_relative_to_the_other_auditors():
    drift = [compare_auditors(simulate(seed, late=one_of(8, 3, 3.0))).auditors[3].drift.value for seed in range(15)]
    assert np.median(drift) == pytest.approx(3, rel=0.12)  # three standard errors of a median of 15, sd .16 of the log


def test_no_auditor_is_flagged_where_all_apply_one_standard():
    differ = drift = 0
    for seed in range(100, 140):
        calibration = compare_auditors(simulate(seed, each=500))
        differ += any(auditor.differs for auditor in calibration.auditors)
        drift += any(auditor.has_drifted for auditor in calibration.auditors)
    # .05 of 40 is 2 each; more than 6 has a probability of .003
    assert differ <= 6
    assert drift <= 6


def test_one_in_twenty_flags_is_wrong_and_the_intervals_cover():
    wrong = flagged = covered = 0
    for seed in range(15):
        factors = np.random.default_rng(seed).gamma(1 / 0.09, 0.09, 12)
        calibration = compare_auditors(simulate(200 + seed, auditors=12, factors=factors))
        ratios = factors / np.median(factors)
        for auditor, ratio in zip(calibration.auditors, ratios, strict=True):
            covered += auditor.error_ratio.low <= ratio <= auditor.error_ratio.high
            flagged += auditor.differs
            wrong += auditor.differs and (auditor.error_ratio.value > 1) != (ratio > 1)
    assert flagged > 30
    assert wrong <= stats.binom.ppf(0.998, flagged, 0.05)
    assert covered >= 160  # of 180, 171 expected; fewer than 160 has a probability of .0003 if independent


def test_one_in_twenty_flags_is_wrong_where_one_auditor_differs():
    wrong = flagged = 0
    for seed in range(300, 320):
        calibration = compare_auditors(simulate(seed, factors=one_of(8, 0, 1.8)))
        names = [auditor.auditor for auditor in calibration.auditors if auditor.differs]
        wrong += sum(name != "u00" for name in names)
        flagged += len(names)
    assert wrong <= stats.binom.ppf(0.998, flagged, 0.05)  # nearly half when it was written


def test_harder_work_is_not_taken_for_strictness():
    audits = simulate(5)
    hard = audits["policy"] == "p3"  # five times the errors of p0
    audits["auditor"] = np.where(hard & (audits.index % 4 > 0), "hard", audits["auditor"])
    calibration = compare_auditors(audits)
    last = next(auditor for auditor in calibration.auditors if auditor.auditor == "hard")
    assert not last.differs
    assert last.errors / last.items > 0.15 and last.expected_errors == pytest.approx(last.errors, rel=0.2)


def test_errors_are_compared_with_those_of_the_median_auditor():
    # No column tells decisions apart: 75 errors in 800 audits make 18.75 expected errors each. The ratios are .533,
    # .587, 2.4 and .48. Their median of .56 makes 10.5 expected errors.
    calibration = compare_auditors(FOUR)
    assert [auditor.expected_errors for auditor in calibration.auditors] == pytest.approx([10.5] * 4)
    assert [auditor.auditor for auditor in calibration.auditors if auditor.differs] == ["c"]
    assert calibration.summary().count("times the errors of the median auditor") == 1


def test_drift_needs_five_errors_in_both_halves():
    assert [auditor.drift is None for auditor in compare_auditors(FOUR.drop(columns="day")).auditors] == [True] * 4
    # of a's errors ten are on days 1 to 10; of c's 45 20 and 10 are, and 10 and 5 on days 11 to 20
    drift = {auditor.auditor: auditor.drift for auditor in compare_auditors(FOUR).auditors}
    assert drift["a"] is None and drift["c"] is not None
    assert [auditor.drift is None for auditor in compare_auditors(FOUR.assign(day=None)).auditors] == [True] * 4


@pytest.mark.parametrize("kind", ["timestamp", "date", "text"])
def test_row_order_engine_and_type_of_days_do_not_change_the_result(kind):
    audits = simulate(7, each=300, factors=one_of(8, 2, 2.0), late=one_of(8, 5, 2.0))
    expected = compare_auditors(audits)
    days = {"timestamp": audits["day"], "date": audits["day"].dt.date, "text": audits["day"].dt.strftime("%Y-%m-%d")}
    other = audits.assign(day=days[kind]).sample(frac=1, random_state=1)
    assert compare_auditors(other) == expected
    assert compare_auditors(duckdb.from_df(other)) == expected


def test_audits_without_a_day_count_on_every_engine():
    audits = FOUR.assign(day=FOUR["day"].where(FOUR.index % 9 > 0))
    assert [auditor.items for auditor in compare_auditors(duckdb.from_df(audits)).auditors] == [200] * 4


@pytest.mark.parametrize(
    "audits",
    [
        FOUR.assign(truth="ok"),
        FOUR.assign(truth="bad"),
        FOUR[FOUR["auditor"] == "a"],
        FOUR[FOUR["truth"] == FOUR["label"]].head(1),
        FOUR[FOUR["truth"] != FOUR["label"]].head(1),
        FOUR.assign(day="2026-03-01"),
        FOUR.assign(truth=FOUR["truth"].where(FOUR["auditor"] == "c", "ok")),  # the median finds nothing
    ],
)
def test_tables_with_little_variation_give_a_result(audits):
    calibration = compare_auditors(audits)
    numbers = calibration.to_frame()[["expected_errors", "error_ratio", "ratio_low", "ratio_high"]]
    assert np.isfinite(numbers.to_numpy()).all()
    assert not any(auditor.has_drifted for auditor in calibration.auditors)
    assert calibration.summary()


@pytest.mark.parametrize(
    ("audits", "problem"),
    [
        (FOUR.drop(columns="auditor"), "no column 'auditor'"),
        (FOUR.drop(columns="label"), "no column 'label'"),
        (FOUR.assign(auditor=None), "auditor is empty"),
        (FOUR.head(0), "no audits"),
        (FOUR.assign(day="yesterday"), "day is not a date .*first: day=yesterday"),
        (
            FOUR.assign(day=pd.to_datetime(FOUR["day"]).dt.date.where(FOUR.index > 2, "2026-03-01")),
            "day is not a date .*3 rows",
        ),
        (FOUR.assign(auditor=FOUR["auditor"].replace("b", "a ")), "auditor is blank or has white space"),
        (FOUR.assign(truth=FOUR["truth"].where(FOUR.index > 2)), "label or truth is missing .*3 rows"),
    ],
)
def test_invalid_audits_are_reported(audits, problem):
    with pytest.raises(DataError, match=problem) as caught:
        compare_auditors(audits)
    assert "Hint:" in str(caught.value)


@pytest.mark.parametrize("alpha", [0, 1, np.nan])
def test_an_alpha_outside_zero_and_one_is_rejected(alpha):
    with pytest.raises(ValueError, match="alpha is between 0 and 1"):
        compare_auditors(FOUR, alpha=alpha)


def test_drift_flags_are_plain_booleans():
    assert [type(auditor.has_drifted) for auditor in compare_auditors(FOUR).auditors] == [bool] * 4


def test_every_path_leads_to_its_estimate_and_the_chart_draws_every_auditor():
    calibration = compare_auditors(simulate(1, factors=one_of(8, 3, 2.0), late=one_of(8, 6, 3.0)))
    assert {finding.kind for finding in calibration.findings()} == {"strictness", "drift"}
    for finding in calibration.findings():
        assert eval(f"calibration.{finding.path}", {"calibration": calibration}) == finding.estimate
    ax = plot_auditor_calibration(calibration)
    assert ax.get_title(loc="left").replace("\n", " ") == calibration.summary()
    assert [text.get_text() for text in ax.get_yticklabels()] == [auditor.auditor for auditor in calibration.auditors]
    markers = [line for line in ax.lines if line.get_marker() in ("o", "D")]
    ratios = [auditor.error_ratio.value for auditor in calibration.auditors]
    assert [float(line.get_xdata()[0]) for line in markers] == ratios
    assert [line.get_marker() == "D" for line in markers] == [auditor.differs for auditor in calibration.auditors]
    plt.close(ax.figure)


def test_a_name_with_dollar_signs_is_drawn_literally():
    hostile = FOUR.assign(auditor=FOUR["auditor"].replace("c", "c$\\frac$"))
    assert show_figure(plot_auditor_calibration, compare_auditors(hostile)).data["text/plain"]
