"""Do auditors apply one standard: strict ones found, drift found, and nobody named where nobody differs."""

import duckdb
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from rca_lib.findings import DataError
from rca_lib.questions.auditors import compare_auditors
from rca_lib.reporting.display import show_figure
from rca_lib.reporting.plots.auditors import plot_auditors

RATES = np.array([0.04, 0.08, 0.12, 0.2])  # by policy


def simulate(seed, *, auditors=8, each=750, factors=1.0, late=1.0):
    """Audits on 28 days of 40 raters who differ; an auditor finds `factors` times the errors, `late` from day 14 on."""
    rng = np.random.default_rng(seed)
    size = auditors * each
    who, rater, policy, day = (rng.integers(0, many, size) for many in (auditors, 40, 4, 28))
    rate = RATES[policy] * rng.gamma(1 / 0.09, 0.09, 40)[rater] * np.broadcast_to(factors, auditors)[who]
    rate = rate * np.where(day >= 14, np.broadcast_to(late, auditors)[who], 1.0)
    names = {"auditor": [f"u{one:02}" for one in who], "rater": [f"r{one}" for one in rater]}
    days = pd.Timestamp("2026-03-01") + pd.to_timedelta(day, unit="D")
    truth = np.where(rng.random(size) < rate, "bad", "ok")
    return pd.DataFrame({**names, "policy": [f"p{one}" for one in policy], "day": days, "label": "ok", "truth": truth})


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


@pytest.mark.parametrize(("factor", "how"), [(2.0, "stricter"), (0.4, "milder")])
@pytest.mark.parametrize("seed", range(4))
def test_an_auditor_with_another_standard_is_named(seed, factor, how):
    found = compare_auditors(simulate(seed, factors=one_of(8, 3, factor)))
    odd = found.auditors[3]
    assert odd.differs
    assert (odd.ratio.value > 1) == (factor > 1)
    assert any(f"u03 is {how}" in finding.sentence for finding in found.findings())


@pytest.mark.parametrize("seed", range(4))
def test_an_auditor_who_became_stricter_is_named(seed):
    found = compare_auditors(simulate(seed, late=one_of(8, 3, 3.0)))
    odd = found.auditors[3]
    assert odd.drifts and odd.drift.low > 1
    assert "u03 changed by" in found.summary()


def test_drift_is_against_the_other_auditors():
    drift = [compare_auditors(simulate(seed, late=one_of(8, 3, 3.0))).auditors[3].drift.value for seed in range(15)]
    assert np.median(drift) == pytest.approx(3, rel=0.12)  # three standard errors of a median of 15, sd .16 of the log


def test_nobody_is_named_where_all_apply_one_standard():
    differ = drift = 0
    for seed in range(100, 140):
        found = compare_auditors(simulate(seed, each=500))
        differ += any(one.differs for one in found.auditors)
        drift += any(one.drifts for one in found.auditors)
    # .05 of 40 is 2 each; more than 6 has a probability of .003
    assert differ <= 6
    assert drift <= 6


def test_of_those_named_one_in_twenty_is_wrong_and_the_intervals_hold():
    wrong = many = held = told = 0
    for seed in range(15):
        factors = np.random.default_rng(seed).gamma(1 / 0.09, 0.09, 12)
        found = compare_auditors(simulate(200 + seed, auditors=12, factors=factors))
        ratios = factors / np.median(factors)
        for one, ratio in zip(found.auditors, ratios, strict=True):
            held, told = held + (one.ratio.low <= ratio <= one.ratio.high), told + 1
            many, wrong = many + one.differs, wrong + (one.differs and (one.ratio.value > 1) != (ratio > 1))
    assert many > 30
    assert wrong <= stats.binom.ppf(0.998, many, 0.05)
    assert held >= 160  # of 180, 171 expected; fewer than 160 has a probability of .0003 if independent


def test_of_those_named_one_in_twenty_is_wrong_where_one_differs_among_many_alike():
    wrong = many = 0
    for seed in range(300, 320):
        found = compare_auditors(simulate(seed, factors=one_of(8, 0, 1.8)))
        differ = [one.auditor for one in found.auditors if one.differs]
        wrong, many = wrong + sum(name != "u00" for name in differ), many + len(differ)
    assert wrong <= stats.binom.ppf(0.998, many, 0.05)  # nearly half when it was written


def test_harder_work_is_not_strictness():
    audits = simulate(5)
    hard = audits["policy"] == "p3"  # five times the errors of p0
    audits["auditor"] = np.where(hard & (audits.index % 4 > 0), "hard", audits["auditor"])
    found = compare_auditors(audits)
    last = next(one for one in found.auditors if one.auditor == "hard")
    assert not last.differs
    assert last.errors / last.items > 0.15 and last.expected == pytest.approx(last.errors, rel=0.2)


def test_errors_are_held_against_those_of_the_median_auditor():
    # Without anything that tells decisions apart 75 errors in 800 audits make 18.75 each, of which the auditors found
    # .533, .587, 2.4 and .48: the median, .56, makes it 10.5.
    found = compare_auditors(FOUR)
    assert [one.expected for one in found.auditors] == pytest.approx([10.5] * 4)
    assert [one.auditor for one in found.auditors if one.differs] == ["c"]
    assert found.summary().count("times the errors of the others") == 1


def test_drift_is_told_only_where_both_halves_have_five_errors():
    assert [one.drift is None for one in compare_auditors(FOUR.drop(columns="day")).auditors] == [True] * 4
    # of a's errors ten are on days 1 to 10; of c's 45 20 and 10 are, and 10 and 5 on days 11 to 20
    drift = {one.auditor: one.drift for one in compare_auditors(FOUR).auditors}
    assert drift["a"] is None and drift["c"] is not None
    assert [one.drift is None for one in compare_auditors(FOUR.assign(day=None)).auditors] == [True] * 4


@pytest.mark.parametrize("kind", ["timestamp", "date", "text"])
def test_neither_order_nor_engine_nor_the_type_of_days_changes_the_answer(kind):
    audits = simulate(7, each=300, factors=one_of(8, 2, 2.0), late=one_of(8, 5, 2.0))
    expected = compare_auditors(audits)
    days = {"timestamp": audits["day"], "date": audits["day"].dt.date, "text": audits["day"].dt.strftime("%Y-%m-%d")}
    other = audits.assign(day=days[kind]).sample(frac=1, random_state=1)
    assert compare_auditors(other) == expected
    assert compare_auditors(duckdb.from_df(other)) == expected


def test_audits_without_a_day_count_on_every_engine():
    audits = FOUR.assign(day=FOUR["day"].where(FOUR.index % 9 > 0))
    assert [one.items for one in compare_auditors(duckdb.from_df(audits)).auditors] == [200] * 4


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
def test_tables_in_which_little_varies_are_answered(audits):
    found = compare_auditors(audits)
    assert np.isfinite(found.to_frame()[["expected_errors", "ratio", "ratio_low", "ratio_high"]].to_numpy()).all()
    assert not any(one.drifts for one in found.auditors)
    assert found.summary()


@pytest.mark.parametrize(
    ("audits", "problem"),
    [
        (FOUR.drop(columns="auditor"), "no column 'auditor'"),
        (FOUR.drop(columns="label"), "no column 'label'"),
        (FOUR.assign(auditor=None), "auditor is empty"),
        (FOUR.head(0), "no audits"),
        (FOUR.assign(day="yesterday"), "day is no date .*first: day=yesterday"),
        (
            FOUR.assign(day=pd.to_datetime(FOUR["day"]).dt.date.where(FOUR.index > 2, "2026-03-01")),
            "day is no date .*3 rows",
        ),
        (FOUR.assign(auditor=FOUR["auditor"].replace("b", "a ")), "auditor is blank or has white space"),
        (FOUR.assign(truth=FOUR["truth"].where(FOUR.index > 2)), "label or truth is missing .*3 rows"),
    ],
)
def test_bad_audits_are_named(audits, problem):
    with pytest.raises(DataError, match=problem) as caught:
        compare_auditors(audits)
    assert "Mend:" in str(caught.value)


@pytest.mark.parametrize("alpha", [0, 1, np.nan])
def test_an_alpha_that_is_none_is_refused(alpha):
    with pytest.raises(ValueError, match="alpha is between 0 and 1"):
        compare_auditors(FOUR, alpha=alpha)


def test_whether_somebody_drifts_is_plainly_yes_or_no():
    assert [type(one.drifts) for one in compare_auditors(FOUR).auditors] == [bool] * 4


def test_every_finding_leads_to_its_number_and_the_picture_draws_every_auditor():
    found = compare_auditors(simulate(1, factors=one_of(8, 3, 2.0), late=one_of(8, 6, 3.0)))
    assert {finding.kind for finding in found.findings()} == {"strictness", "drift"}
    for finding in found.findings():
        assert eval(f"found.{finding.path}", {"found": found}) == finding.estimate
    ax = plot_auditors(found)
    assert ax.get_title(loc="left").replace("\n", " ") == found.summary()
    assert [text.get_text() for text in ax.get_yticklabels()] == [one.auditor for one in found.auditors]
    marks = [line for line in ax.lines if line.get_marker() in ("o", "D")]
    assert [float(line.get_xdata()[0]) for line in marks] == [one.ratio.value for one in found.auditors]
    assert [line.get_marker() == "D" for line in marks] == [one.differs for one in found.auditors]
    plt.close(ax.figure)


def test_a_name_with_dollars_is_drawn_as_it_is():
    hostile = FOUR.assign(auditor=FOUR["auditor"].replace("c", "c$\\frac$"))
    assert show_figure(plot_auditors, compare_auditors(hostile)).data["text/plain"]
