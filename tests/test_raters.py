"""Whom to coach: people against what anybody would make on the same work, ratios shrunk, names given sparingly."""

import duckdb
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from rca_lib.audits.people import count_people, leave_out
from rca_lib.findings import DataError
from rca_lib.questions.raters import rank_raters
from rca_lib.reporting.display import show_figure
from rca_lib.reporting.plots.raters import plot_raters
from rca_lib.stats.ratios import shrink_ratios, stand_out

RATES = np.array([0.04, 0.08, 0.12, 0.2])  # by policy


def simulate(seed, *, raters=40, each=150, ratios=1.0, steady=0.0):
    """Audits of raters whose errors are `ratios` times those usual for a policy; a share `steady` is in their own."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(raters), each)
    policy = np.where(rng.random(len(who)) < steady, who % 4, rng.integers(0, 4, len(who)))
    error = rng.random(len(who)) < RATES[policy] * np.broadcast_to(ratios, raters)[who]
    label = rng.choice(["ad", "hate", "spam"], len(who))
    truth = np.where(error, np.where(label == "ad", "hate", "ad"), label)
    names = {"audit_id": [f"a{number:05}" for number in range(len(who))], "rater": [f"r{one:02}" for one in who]}
    return pd.DataFrame({**names, "policy": [f"p{one}" for one in policy], "label": label, "truth": truth})


def plain(**errors):
    """A hundred audits of each rater with so many errors."""
    rows = [(f"{rater}{n:03}", rater, "ok", "bad" if n < many else "ok") for rater, many in errors.items()
            for n in range(100)]  # fmt: skip
    return pd.DataFrame(rows, columns=["audit_id", "rater", "label", "truth"])


FOUR = plain(a=5, b=6, c=40, d=5)


def named(found):
    return {one.rater for one in found.raters if one.stands_out}


def spread_of(rng, spread, size):
    """Ratios with mean 1 of a gamma distribution."""
    return rng.gamma(spread**-2, spread**2, size)


@pytest.mark.parametrize("seed", range(5))
def test_a_rater_who_errs_three_times_as_often_is_named_with_a_card(seed):
    ratios = np.ones(40)
    ratios[7] = 3.0
    found = rank_raters(simulate(seed, ratios=ratios, steady=0.6))
    assert "r07" in named(found)
    card = next(card for card in found.cards if card.rater == "r07")
    one = next(one for one in found.raters if one.rater == "r07")
    # The excess is what the ratio leaves beyond the expected errors.
    assert card.excess.value == pytest.approx((one.ratio.value - 1) * one.expected)
    assert card.excess.low > 0 and str(card).startswith("r07: ")


def test_nobody_is_named_where_all_err_alike_though_their_work_differs():
    # An alarm where nothing is there is a false discovery whole: .05 of 40 is 2, more than 6 has a probability of .003.
    # `steady` raters have 3 times as many errors in one policy as in another, by their work alone.
    alarms = sum(bool(named(rank_raters(simulate(seed, steady=0.6)))) for seed in range(100, 140))
    assert alarms <= 6


@pytest.mark.parametrize("spread", [0.4, 0.6])
def test_of_those_named_one_in_twenty_is_wrong(spread):
    wrong = many = held = raters = 0
    for seed in range(10):
        ratios = spread_of(np.random.default_rng(seed), spread, 40)
        found = rank_raters(simulate(seed, ratios=ratios))
        stands_out = np.array([one.stands_out for one in found.raters])
        ratios /= ratios.mean()  # the usual is what all make together
        wrong, many = wrong + (stands_out & (ratios <= 1)).sum(), many + stands_out.sum()
        for one, ratio in zip(found.raters, ratios, strict=True):
            held, raters = held + (one.ratio.low <= ratio <= one.ratio.high), raters + 1
    assert many > 20
    assert wrong <= stats.binom.ppf(0.998, many, 0.05)
    assert held >= 0.92 * raters  # 380 of 400 expected; fewer than 368 has a probability of .004 if independent


def test_of_those_named_one_in_twenty_is_wrong_where_two_differ_among_many_alike():
    wrong = many = 0
    for seed in range(30):
        ratios = np.ones(40)
        ratios[:2] = 2.5
        found = named(rank_raters(simulate(960 + seed, ratios=ratios)))
        wrong, many = wrong + len(found - {"r00", "r01"}), many + len(found)
    assert wrong <= stats.binom.ppf(0.998, many, 0.05)  # 60 of 296 in 120 runs when it was written


def test_the_spread_between_raters_is_held_by_its_interval():
    held = 0
    for seed in range(20):
        ratios = spread_of(np.random.default_rng(50 + seed), 0.4, 40)
        spread = rank_raters(simulate(50 + seed, ratios=ratios)).spread
        held += spread.low <= 0.4 <= spread.high
    assert held >= 16  # 19 expected; fewer than 16 has a probability of .003


def test_expected_errors_are_those_of_the_work_and_add_up():
    audits = simulate(1, raters=20, each=1000, steady=0.8)
    counts = count_people(audits, "rater")
    assert counts["expected"].sum() == pytest.approx(counts["errors"].sum(), rel=1e-3)
    # 80 % of a rater's audits are in policy number % 4, the rest in all alike
    usual = 1000 * (0.8 * RATES[np.arange(20) % 4] + 0.2 * RATES.mean())
    assert counts["expected"].to_numpy() == pytest.approx(usual, rel=0.1)
    assert count_people(audits.drop(columns="policy"), "rater")["expected"].nunique() == 1


def test_counts_are_by_further_columns_and_of_the_proportional_streams():
    audits = pd.concat([FOUR.assign(stream="random", half=0), FOUR.assign(stream="targeted", half=1)])
    assert count_people(audits, "rater")["items"].tolist() == [100] * 4
    both = count_people(audits.assign(stream="random"), "rater", along=["half", "nowhere"])
    assert both[["rater", "half"]].to_numpy().tolist() == [[name, half] for name in "abcd" for half in (0, 1)]


def test_the_coaching_card_names_the_pairs_most_beyond_what_is_usual():
    audits = plain(a=5, b=6, c=40, d=5)
    # c's first 40 errors: 30 are "ok for bad", 10 "ok for worse"; the others have 16 "ok for bad" together.
    audits.loc[(audits["rater"] == "c") & audits["audit_id"].between("c030", "c039"), "truth"] = "worse"
    (card,) = rank_raters(audits).cards
    first, second = card.confusions
    assert (card.rater, first.label, first.truth, first.errors) == ("c", "ok", "bad", 30)
    assert (second.truth, second.errors, second.expected) == ("worse", 10, 0)
    # 56 errors in 400 audits: 14 to expect of each; all of the others' are "ok for bad"
    assert first.expected == pytest.approx(14)
    assert first.examples == ("c000", "c001", "c002")
    frame = rank_raters(audits).card_frame()
    assert frame["errors"].tolist() == [30, 10] and frame["audits"].iloc[0] == "c000, c001, c002"


def test_excused_audits_count_against_nobody():
    bad = FOUR["audit_id"][(FOUR["rater"] == "c") & (FOUR["truth"] == "bad")].tolist()
    found = rank_raters(FOUR, excused={"audit_id": bad[5:]})
    assert (named(found), found.excused) == (set(), 35)
    assert next(one for one in found.raters if one.rater == "c").errors == 5
    assert "35 audits and items are left out" in found.summary()
    assert leave_out(FOUR, {"audit_id": []}).equals(FOUR)
    assert len(leave_out(duckdb.from_df(FOUR), {"audit_id": bad, "rater": ["a"]})) == 400 - 40 - 100


def test_a_missing_value_is_not_excused_on_any_engine():
    audits = pd.DataFrame({"item_id": ["1", "2", None]})
    left = [len(leave_out(table, {"item_id": ["1"]})) for table in (audits, duckdb.from_df(audits))]
    assert left == [2, 2]


def test_raters_with_few_audits_get_no_rate():
    found = rank_raters(pd.concat([FOUR, plain(e=49).head(49)]))
    last = found.raters[-1]
    assert (last.rater, last.items, last.errors) == ("e", 49, 49)
    assert (last.observed, last.ratio, last.rate, last.stands_out) == (None, None, None, False)
    assert (found.few, "4 of 5 raters have 50 audits or more" in found.summary()) == (1, True)
    none = rank_raters(FOUR, least=101)
    assert (none.few, none.spread, none.cards) == (4, None, ())
    assert none.summary() == "0 of 4 raters have 101 audits or more."


def test_raters_are_listed_by_name_never_by_rate():
    assert [one.rater for one in rank_raters(FOUR).raters] == ["a", "b", "c", "d"]
    assert rank_raters(FOUR).to_frame()["rater"].tolist() == ["a", "b", "c", "d"]


def test_the_rate_is_what_the_ratio_makes_of_the_sites():
    found = rank_raters(FOUR)
    for one in found.raters:
        assert one.rate.value == pytest.approx(one.ratio.value * 56 / 400)
        assert (one.observed.errors, one.observed.items) == (one.errors, 100)
        assert min(1, one.errors / one.expected) <= one.ratio.value <= max(1, one.errors / one.expected)


def test_neither_the_order_of_rows_nor_the_engine_changes_the_answer():
    ratios = np.ones(40)
    ratios[7] = 3.0
    audits = simulate(3, ratios=ratios)
    expected = rank_raters(audits)
    assert rank_raters(audits.sample(frac=1, random_state=1)) == expected
    assert rank_raters(duckdb.from_df(audits.sample(frac=1, random_state=2))) == expected


@pytest.mark.parametrize("truth", ["ok", "bad"])
def test_no_errors_or_nothing_but_errors_are_answered(truth):
    found = rank_raters(FOUR.assign(truth=truth, policy=FOUR.index % 3))
    assert named(found) == set()
    assert np.isfinite(found.to_frame()[["ratio", "ratio_low", "ratio_high"]].to_numpy()).all()
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
def test_bad_audits_are_named(audits, problem):
    with pytest.raises(DataError, match=problem) as caught:
        rank_raters(audits)
    assert "Mend:" in str(caught.value)


@pytest.mark.parametrize(
    ("columns", "problem", "column", "rows"),
    [
        ({"rater": FOUR["rater"].replace("b", "a ")}, "rater is blank or has white space", "rater", 1),
        ({"rater": FOUR["rater"].replace("b", "")}, "rater is blank or has white space", "rater", 1),
        ({"truth": FOUR["truth"] + " "}, "truth is blank or has white space", "truth", 2),
        ({"label": 1}, "label is text and truth a number, or the other way round", "truth", len(FOUR)),
        ({"weight": "heavy"}, "weight is no number", "weight", len(FOUR)),
        ({"audit_round": "first"}, "audit_round is no number", "audit_round", len(FOUR)),
    ],
)
def test_audits_that_would_be_read_wrongly_are_named(columns, problem, column, rows):
    with pytest.raises(DataError, match=problem) as caught:
        rank_raters(FOUR.assign(**columns))
    assert (caught.value.column, caught.value.rows, bool(caught.value.first)) == (column, rows, True)
    assert "Mend:" in str(caught.value)


def test_excused_are_a_collection():
    with pytest.raises(TypeError, match="audit_id: give a list of values, not the text 'a001'"):
        rank_raters(FOUR, excused={"audit_id": "a001"})


def test_two_columns_of_one_name_are_named():
    with pytest.raises(DataError, match=r"2 columns are named 'label' \(column label\)\. Mend: rename"):
        rank_raters(pd.concat([FOUR, FOUR[["label"]]], axis=1))


def test_categories_and_numbers_as_text_are_read():
    expected = rank_raters(FOUR.assign(weight=2.0, audit_round=1))
    assert rank_raters(FOUR.astype({"label": "category", "truth": "category"}).assign(weight=2.0)) == expected
    assert rank_raters(FOUR.assign(weight="2.0", audit_round="1")) == expected
    assert rank_raters(FOUR.set_axis([0] * len(FOUR)).assign(comment="x" * 10**6)) == expected


@pytest.mark.parametrize(("audits", "excused"), [(FOUR.drop(columns="audit_id"), {}), (FOUR, {"item_id": ["i1"]})])
def test_columns_that_the_cards_and_the_excused_need_are_named(audits, excused):
    with pytest.raises(DataError, match="no column"):
        rank_raters(audits, excused=excused)


def test_every_finding_leads_to_its_number_and_the_picture_names_only_who_stands_out():
    found = rank_raters(FOUR)
    (finding,) = found.findings()
    assert (finding.grade, finding.where) == ("shown", {"rater": "c"})
    assert eval(f"found.{finding.path}", {"found": found}) == finding.estimate
    ax = plot_raters(found)
    assert ax.get_title(loc="left").replace("\n", " ") == found.summary()
    assert [text.get_text() for text in ax.texts] == ["c"]
    marks = [(line.get_xdata()[0], line.get_ydata()[0]) for line in ax.lines if line.get_marker() in ("o", "D")]
    assert marks == [(one.expected, one.errors) for one in found.raters]
    plt.close(ax.figure)
    assert "0 of 4" in show_figure(plot_raters, rank_raters(FOUR, least=500)).data["text/plain"]


def test_a_name_with_dollars_is_drawn_as_it_is():
    hostile = FOUR.assign(rater=FOUR["rater"].replace("c", "c$\\frac$"))
    assert show_figure(plot_raters, rank_raters(hostile)).data["text/plain"]


def test_ratios_are_shrunk_to_one_by_as_much_as_they_do_not_differ():
    alike = shrink_ratios(np.array([9.0, 10, 11, 10, 9, 11]), np.full(6, 10.0))
    apart = shrink_ratios(np.array([1.0, 30, 2, 25, 4, 20]), np.full(6, 10.0))
    assert np.abs(alike.value - 1).max() < 0.05
    assert alike.spread.value < 0.3 < apart.spread.value
    assert apart.value[1] == pytest.approx(3, abs=0.3) and apart.above[1] > 0.999 > 0.001 > apart.above[0]
    order = np.array([3, 1, 5, 0, 2, 4])
    turned = shrink_ratios(np.array([1.0, 30, 2, 25, 4, 20])[order], np.full(6, 10.0))
    assert turned.value == pytest.approx(apart.value[order], rel=1e-12)


def test_a_ratio_of_very_many_errors_is_their_own():
    # With 10,000 expected errors the prior counts as at most 1 / .02² = 2,500 of them; where ratios differ widely as 2.
    found = shrink_ratios(np.array([5000.0, 10000, 20000]), np.full(3, 10000.0))
    assert found.value == pytest.approx([0.5, 1, 2], rel=2e-3)
    half = 1.96 * np.sqrt(20000) / 10000
    assert (found.low[2], found.high[2]) == pytest.approx((2 - half, 2 + half), abs=0.003)


@pytest.mark.parametrize("spread", [0.2, 0.5])
def test_intervals_of_ratios_hold_them_and_names_are_right(spread):
    held = wrong = many = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        true, expected = spread_of(rng, spread, 60), rng.gamma(4, 2, 60)
        found = shrink_ratios(rng.poisson(true * expected).astype(float), expected)
        out = stand_out(found.above)
        held += ((found.low <= true) & (true <= found.high)).sum()
        wrong, many = wrong + (out & (true <= 1)).sum(), many + out.sum()
    assert held >= 1620  # of 1,800 1,690 were held in long runs; the 60 of a run share a spread, sd 23: 3 of these
    assert wrong <= stats.binom.ppf(0.998, many, 0.05)


def test_who_is_named_is_wrong_in_so_large_a_share_at_most():
    # Mean chances of being wrong: .01; .03; .0533: two at .05, all four at .2
    chance = np.array([0.95, 0.99, 0.4, 0.9])
    assert stand_out(chance).tolist() == [True, True, False, False]
    assert stand_out(chance, rate=0.2).tolist() == [True, True, True, True]
    assert not stand_out(np.array([0.5, 0.9])).any()
    assert stand_out(np.array([])).tolist() == []


def test_audits_that_name_no_rater_are_counted():
    audits = simulate(3)
    found = rank_raters(audits.assign(rater=audits["rater"].where(audits.index % 10 > 0)))
    assert found.unnamed == len(audits[audits.index % 10 == 0])
    assert f"{found.unnamed:,} audits name no rater" in found.summary()
