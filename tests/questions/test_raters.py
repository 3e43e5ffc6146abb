"""Raters: errors against expected errors on the same work, shrunken ratios, and few false flags."""

import duckdb
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from rca_lib.findings import DataError
from rca_lib.models.expected_errors import compute_expected_errors, exclude_audits
from rca_lib.questions.raters import rank_raters
from rca_lib.reporting.display import show_figure
from rca_lib.reporting.plots.raters import plot_raters
from rca_lib.stats.gamma_poisson import select_by_fdr, shrink_ratios

RATES = np.array([0.04, 0.08, 0.12, 0.2])  # by policy


def simulate(seed, *, raters=40, each=150, ratios=1.0, steady=0.0):
    """Audits of raters with `ratios` times the errors expected; a share `steady` of the work is in their own policy."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(raters), each)
    policy = np.where(rng.random(len(who)) < steady, who % 4, rng.integers(0, 4, len(who)))
    error = rng.random(len(who)) < RATES[policy] * np.broadcast_to(ratios, raters)[who]
    label = rng.choice(["ad", "hate", "spam"], len(who))
    truth = np.where(error, np.where(label == "ad", "hate", "ad"), label)
    names = {"audit_id": [f"a{number:05}" for number in range(len(who))], "rater": [f"r{number:02}" for number in who]}
    return pd.DataFrame({**names, "policy": [f"p{number}" for number in policy], "label": label, "truth": truth})


def plain(**errors):
    """A hundred audits of each rater, with the given numbers of errors."""
    rows = [(f"{rater}{n:03}", rater, "ok", "bad" if n < count else "ok") for rater, count in errors.items()
            for n in range(100)]  # fmt: skip
    return pd.DataFrame(rows, columns=["audit_id", "rater", "label", "truth"])


FOUR = plain(a=5, b=6, c=40, d=5)


def flagged_names(raters):
    return {rater.rater for rater in raters.raters if rater.flagged}


def draw_ratios(rng, sd, size):
    """Return ratios from a gamma distribution with mean 1 and this standard deviation."""
    return rng.gamma(sd**-2, sd**2, size)


@pytest.mark.parametrize("seed", range(5))
def test_a_rater_with_three_times_the_errors_is_flagged_and_gets_a_card(seed):
    ratios = np.ones(40)
    ratios[7] = 3.0
    raters = rank_raters(simulate(seed, ratios=ratios, steady=0.6))
    assert "r07" in flagged_names(raters)
    card = next(card for card in raters.cards if card.rater == "r07")
    rater = next(rater for rater in raters.raters if rater.rater == "r07")
    # The excess is what the ratio leaves beyond the expected errors.
    assert card.excess.value == pytest.approx((rater.error_ratio.value - 1) * rater.expected_errors)
    assert card.excess.low > 0 and str(card).startswith("r07: ")


def test_no_rater_is_flagged_where_only_the_work_differs():
    # Any flag is false here: .05 of 40 is 2, more than 6 has a probability of .003. The work alone gives some `steady`
    # raters three times the errors of others.
    alarms = sum(bool(flagged_names(rank_raters(simulate(seed, steady=0.6)))) for seed in range(100, 140))
    assert alarms <= 6


@pytest.mark.parametrize("sd", [0.4, 0.6])
def test_one_in_twenty_flags_is_wrong(sd):
    wrong = flagged = covered = 0
    for seed in range(10):
        ratios = draw_ratios(np.random.default_rng(seed), sd, 40)
        raters = rank_raters(simulate(seed, ratios=ratios))
        flags = np.array([rater.flagged for rater in raters.raters])
        ratios /= ratios.mean()  # expected errors are those of all raters together
        wrong += (flags & (ratios <= 1)).sum()
        flagged += flags.sum()
        for rater, ratio in zip(raters.raters, ratios, strict=True):
            covered += rater.error_ratio.low <= ratio <= rater.error_ratio.high
    assert flagged > 20
    assert wrong <= stats.binom.ppf(0.998, flagged, 0.05)
    assert covered >= 368  # 380 of 400 expected; fewer than 368 has a probability of .004 if independent


def test_one_in_twenty_flags_is_wrong_where_two_raters_differ():
    wrong = flagged = 0
    for seed in range(30):
        ratios = np.ones(40)
        ratios[:2] = 2.5
        names = flagged_names(rank_raters(simulate(960 + seed, ratios=ratios)))
        wrong += len(names - {"r00", "r01"})
        flagged += len(names)
    assert wrong <= stats.binom.ppf(0.998, flagged, 0.05)  # 60 of 296 in 120 runs when it was written


def test_the_interval_covers_the_standard_deviation_between_raters():
    covered = 0
    for seed in range(20):
        ratios = draw_ratios(np.random.default_rng(50 + seed), 0.4, 40)
        sd = rank_raters(simulate(50 + seed, ratios=ratios)).between_rater_sd
        covered += sd.low <= 0.4 <= sd.high
    assert covered >= 16  # 19 expected; fewer than 16 has a probability of .003


def test_expected_errors_follow_the_work_and_add_up():
    audits = simulate(1, raters=20, each=1000, steady=0.8)
    counts = compute_expected_errors(audits, "rater")
    assert counts["expected"].sum() == pytest.approx(counts["errors"].sum(), rel=1e-3)
    # 80 % of a rater's audits are in policy number % 4, the rest in all alike
    expected = 1000 * (0.8 * RATES[np.arange(20) % 4] + 0.2 * RATES.mean())
    assert counts["expected"].to_numpy() == pytest.approx(expected, rel=0.1)
    assert compute_expected_errors(audits.drop(columns="policy"), "rater")["expected"].nunique() == 1


def test_counts_use_further_columns_and_only_proportional_streams():
    audits = pd.concat([FOUR.assign(stream="random", half=0), FOUR.assign(stream="targeted", half=1)])
    assert compute_expected_errors(audits, "rater")["items"].tolist() == [100] * 4
    both = compute_expected_errors(audits.assign(stream="random"), "rater", by=["half", "nowhere"])
    assert both[["rater", "half"]].to_numpy().tolist() == [[name, half] for name in "abcd" for half in (0, 1)]


def test_the_coaching_card_lists_the_pairs_with_the_largest_excess():
    audits = plain(a=5, b=6, c=40, d=5)
    # c's first 40 errors: 30 are "ok for bad", 10 "ok for worse"; the others have 16 "ok for bad" together.
    audits.loc[(audits["rater"] == "c") & audits["audit_id"].between("c030", "c039"), "truth"] = "worse"
    (card,) = rank_raters(audits).cards
    first, second = card.confusions
    assert (card.rater, first.label, first.truth, first.errors) == ("c", "ok", "bad", 30)
    assert (second.truth, second.errors, second.expected_errors) == ("worse", 10, 0)
    # 56 errors in 400 audits: 14 to expect of each; all of the others' are "ok for bad"
    assert first.expected_errors == pytest.approx(14)
    assert first.examples == ("c000", "c001", "c002")
    frame = rank_raters(audits).card_frame()
    assert frame["errors"].tolist() == [30, 10] and frame["audits"].iloc[0] == "c000, c001, c002"


def test_excluded_audits_count_against_no_rater():
    bad = FOUR["audit_id"][(FOUR["rater"] == "c") & (FOUR["truth"] == "bad")].tolist()
    raters = rank_raters(FOUR, excluded={"audit_id": bad[5:]})
    assert (flagged_names(raters), raters.excluded) == (set(), 35)
    assert next(rater for rater in raters.raters if rater.rater == "c").errors == 5
    assert "35 audits and items are excluded" in raters.summary()
    assert exclude_audits(FOUR, {"audit_id": []}).equals(FOUR)
    assert len(exclude_audits(duckdb.from_df(FOUR), {"audit_id": bad, "rater": ["a"]})) == 400 - 40 - 100


def test_a_missing_value_is_not_excluded_on_any_engine():
    audits = pd.DataFrame({"item_id": ["1", "2", None]})
    rows = [len(exclude_audits(table, {"item_id": ["1"]})) for table in (audits, duckdb.from_df(audits))]
    assert rows == [2, 2]


def test_raters_with_few_audits_get_no_rate():
    raters = rank_raters(pd.concat([FOUR, plain(e=49).head(49)]))
    last = raters.raters[-1]
    assert (last.rater, last.items, last.errors) == ("e", 49, 49)
    assert (last.error_ratio, last.adjusted_rate, last.flagged) == (None, None, False)
    assert (raters.below_minimum, "4 of 5 raters have 50 audits or more" in raters.summary()) == (1, True)
    none = rank_raters(FOUR, min_audits=101)
    assert (none.below_minimum, none.between_rater_sd, none.cards) == (4, None, ())
    assert none.summary() == "0 of 4 raters have 101 audits or more."


def test_raters_are_listed_by_name_not_by_rate():
    assert [rater.rater for rater in rank_raters(FOUR).raters] == ["a", "b", "c", "d"]
    assert rank_raters(FOUR).to_frame()["rater"].tolist() == ["a", "b", "c", "d"]


def test_the_adjusted_rate_is_the_ratio_times_the_site_rate():
    raters = rank_raters(FOUR)
    for rater in raters.raters:
        assert rater.adjusted_rate.value == pytest.approx(rater.error_ratio.value * 56 / 400)
        assert rater.items == 100
        raw_ratio = rater.errors / rater.expected_errors
        assert min(1, raw_ratio) <= rater.error_ratio.value <= max(1, raw_ratio)


def test_row_order_and_engine_do_not_change_the_result():
    ratios = np.ones(40)
    ratios[7] = 3.0
    audits = simulate(3, ratios=ratios)
    expected = rank_raters(audits)
    assert rank_raters(audits.sample(frac=1, random_state=1)) == expected
    assert rank_raters(duckdb.from_df(audits.sample(frac=1, random_state=2))) == expected


@pytest.mark.parametrize("truth", ["ok", "bad"])
def test_no_errors_and_only_errors_give_a_result(truth):
    raters = rank_raters(FOUR.assign(truth=truth, policy=FOUR.index % 3))
    assert flagged_names(raters) == set()
    assert np.isfinite(raters.to_frame()[["error_ratio", "ratio_low", "ratio_high"]].to_numpy()).all()
    assert rank_raters(FOUR[FOUR["rater"] == "a"]).cards == ()


@pytest.mark.parametrize(
    ("audits", "problem"),
    [
        (FOUR.drop(columns="rater"), "no column 'rater'"),
        (FOUR.drop(columns="truth"), "no column 'truth'"),
        (FOUR.assign(rater=None), "rater is empty"),
        (FOUR.head(0), "no audits"),
        (FOUR.assign(truth=FOUR["truth"].where(FOUR.index > 2)), "label or truth is missing .*3 rows"),
    ],
)
def test_invalid_audits_are_reported(audits, problem):
    with pytest.raises(DataError, match=problem) as caught:
        rank_raters(audits)
    assert "Hint:" in str(caught.value)


@pytest.mark.parametrize(
    ("columns", "problem", "column", "rows"),
    [
        ({"rater": FOUR["rater"].replace("b", "a ")}, "rater is blank or has white space", "rater", 1),
        ({"rater": FOUR["rater"].replace("b", "")}, "rater is blank or has white space", "rater", 1),
        ({"truth": FOUR["truth"] + " "}, "truth is blank or has white space", "truth", 2),
        ({"label": 1}, "label is text and truth is a number, or the other way round", "truth", len(FOUR)),
        ({"weight": "heavy"}, "weight is not a number", "weight", len(FOUR)),
        ({"audit_round": "first"}, "audit_round is not a number", "audit_round", len(FOUR)),
    ],
)
def test_ambiguous_audits_are_reported(columns, problem, column, rows):
    with pytest.raises(DataError, match=problem) as caught:
        rank_raters(FOUR.assign(**columns))
    assert (caught.value.column, caught.value.rows, bool(caught.value.first)) == (column, rows, True)
    assert "Hint:" in str(caught.value)


def test_excluded_values_must_be_a_collection():
    with pytest.raises(TypeError, match="audit_id: give a list of values, not the text 'a001'"):
        rank_raters(FOUR, excluded={"audit_id": "a001"})


def test_duplicate_column_names_are_reported():
    with pytest.raises(DataError, match=r"2 columns are named 'label' \(column label\)\. Hint: rename"):
        rank_raters(pd.concat([FOUR, FOUR[["label"]]], axis=1))


def test_categories_and_numbers_as_text_are_read():
    expected = rank_raters(FOUR.assign(weight=2.0, audit_round=1))
    assert rank_raters(FOUR.astype({"label": "category", "truth": "category"}).assign(weight=2.0)) == expected
    assert rank_raters(FOUR.assign(weight="2.0", audit_round="1")) == expected
    assert rank_raters(FOUR.set_axis([0] * len(FOUR)).assign(comment="x" * 10**6)) == expected


@pytest.mark.parametrize(("audits", "excluded"), [(FOUR.drop(columns="audit_id"), {}), (FOUR, {"item_id": ["i1"]})])
def test_missing_columns_for_cards_and_exclusions_are_reported(audits, excluded):
    with pytest.raises(DataError, match="no column"):
        rank_raters(audits, excluded=excluded)


def test_every_path_leads_to_its_estimate_and_the_chart_names_only_flagged_raters():
    raters = rank_raters(FOUR)
    (finding,) = raters.findings()
    assert (finding.grade, finding.where) == ("shown", {"rater": "c"})
    assert eval(f"raters.{finding.path}", {"raters": raters}) == finding.estimate
    ax = plot_raters(raters)
    assert ax.get_title(loc="left").replace("\n", " ") == raters.summary()
    assert [text.get_text() for text in ax.texts] == ["c"]
    marks = [(line.get_xdata()[0], line.get_ydata()[0]) for line in ax.lines if line.get_marker() in ("o", "D")]
    assert marks == [(rater.expected_errors, rater.errors) for rater in raters.raters]
    plt.close(ax.figure)
    assert "0 of 4" in show_figure(plot_raters, rank_raters(FOUR, min_audits=500)).data["text/plain"]


def test_a_name_with_dollar_signs_is_drawn_literally():
    hostile = FOUR.assign(rater=FOUR["rater"].replace("c", "c$\\frac$"))
    assert show_figure(plot_raters, rank_raters(hostile)).data["text/plain"]


def test_ratios_are_shrunk_to_one_where_raters_hardly_differ():
    alike = shrink_ratios(np.array([9.0, 10, 11, 10, 9, 11]), np.full(6, 10.0))
    apart = shrink_ratios(np.array([1.0, 30, 2, 25, 4, 20]), np.full(6, 10.0))
    assert np.abs(alike.value - 1).max() < 0.05
    assert alike.standard_deviation.value < 0.3 < apart.standard_deviation.value
    assert (
        apart.value[1] == pytest.approx(3, abs=0.3)
        and apart.probability_above[1] > 0.999 > 0.001 > apart.probability_above[0]
    )
    order = np.array([3, 1, 5, 0, 2, 4])
    turned = shrink_ratios(np.array([1.0, 30, 2, 25, 4, 20])[order], np.full(6, 10.0))
    assert turned.value == pytest.approx(apart.value[order], rel=1e-12)


def test_a_ratio_of_very_many_errors_is_hardly_shrunk():
    # With 10,000 expected errors the prior counts as at most 1 / .02² = 2,500 of them; where ratios differ widely as 2.
    ratios = shrink_ratios(np.array([5000.0, 10000, 20000]), np.full(3, 10000.0))
    assert ratios.value == pytest.approx([0.5, 1, 2], rel=2e-3)
    half = 1.96 * np.sqrt(20000) / 10000
    assert (ratios.low[2], ratios.high[2]) == pytest.approx((2 - half, 2 + half), abs=0.003)


@pytest.mark.parametrize("sd", [0.2, 0.5])
def test_intervals_cover_the_true_ratios_and_flags_are_right(sd):
    covered = wrong = flagged = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        true, expected = draw_ratios(rng, sd, 60), rng.gamma(4, 2, 60)
        ratios = shrink_ratios(rng.poisson(true * expected).astype(float), expected)
        flags = select_by_fdr(ratios.probability_above)
        covered += ((ratios.low <= true) & (true <= ratios.high)).sum()
        wrong += (flags & (true <= 1)).sum()
        flagged += flags.sum()
    assert covered >= 1620  # of 1,800; 1,690 in long runs; the 60 of a run share an sd, sd of the count 23
    assert wrong <= stats.binom.ppf(0.998, flagged, 0.05)


def test_the_false_discovery_rate_limits_the_flags():
    # Mean chances of being wrong: .01; .03; .0533: two at .05, all four at .2
    chance = np.array([0.95, 0.99, 0.4, 0.9])
    assert select_by_fdr(chance).tolist() == [True, True, False, False]
    assert select_by_fdr(chance, rate=0.2).tolist() == [True, True, True, True]
    assert not select_by_fdr(np.array([0.5, 0.9])).any()
    assert select_by_fdr(np.array([])).tolist() == []


def test_audits_without_a_rater_are_counted():
    audits = simulate(3)
    raters = rank_raters(audits.assign(rater=audits["rater"].where(audits.index % 10 > 0)))
    assert raters.audits_without_rater == len(audits[audits.index % 10 == 0])
    assert f"{raters.audits_without_rater:,} audits name no rater" in raters.summary()
