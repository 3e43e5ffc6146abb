"""Where? The question, from tables to sentences."""

import time

import duckdb
import numpy as np
import pandas as pd
import pytest

from rca_lib.audits.counting import count_errors
from rca_lib.findings import DataError
from rca_lib.questions.drivers import rank_drivers
from rca_lib.reporting.plots.drivers import plot_drivers

QUEUES, LANGUAGES = ["ads", "chat", "feed", "live"], ["de", "en", "fr"]


def _audits(seed, *, number=6000, shift=None, mix=None, raters=40):
    draw = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "queue": draw.choice(QUEUES, number, p=mix),
            "language": draw.choice(LANGUAGES, number),
            "rater": [f"r{one:02d}" for one in draw.integers(0, raters, number)],
        }
    )
    base = table["queue"].map({"ads": 0.05, "chat": 0.06, "feed": 0.08, "live": 0.14}).to_numpy()
    table["error"] = (draw.random(number) < base + (shift(table) if shift else 0)).astype(int)
    return table


def _pair(shift, seed=1, **options):
    return _audits(seed), _audits(seed + 1000, shift=shift, **options)


def test_a_planted_queue_is_named_with_its_excess():
    drivers = rank_drivers(*_pair(lambda t: 0.12 * (t["queue"] == "feed")), ["queue", "language"])
    (found,) = drivers.slices
    assert found.where == {"queue": "feed"} and found.direction == 1 and not found.new and drivers.overall is None
    assert found.excess.low < 0.12 * found.items < found.excess.high
    assert found.raters == 40 and not found.single_rater
    assert drivers.summary().startswith("The error rate rose by")


def test_parts_add_up_to_the_change_exactly():
    drivers = rank_drivers(
        *_pair(lambda t: 0.1 * (t["queue"] == "ads"), mix=[0.1, 0.2, 0.2, 0.5]), ["queue", "language"]
    )
    assert drivers.mix.value + drivers.rate.value == pytest.approx(drivers.change.value, abs=1e-15)
    parts = sum(one.contribution.value for one in drivers.slices) + drivers.unexplained.value
    assert parts == pytest.approx(drivers.rate.value, abs=1e-15)
    assert drivers.change.value == pytest.approx(drivers.after.value - drivers.before.value, abs=1e-15)


def test_a_change_of_mix_is_named_mix_and_no_slice():
    drivers = rank_drivers(*_pair(None, mix=[0.1, 0.1, 0.2, 0.6]), ["queue", "language"])
    # Shares of the queues move from a quarter each: .05, .06, .08, .14 give 0.0825 before and 0.111 after.
    assert drivers.mix.low < 0.0285 < drivers.mix.high
    assert not drivers.slices and drivers.overall is None
    assert {finding.kind: finding.grade for finding in drivers.findings()}["mix"] == "shown"


def test_a_rise_everywhere_is_one_finding():
    drivers = rank_drivers(*_pair(lambda t: 0.05), ["queue", "language"])
    assert not drivers.slices and drivers.overall.where == {}
    assert [finding.kind for finding in drivers.findings()] == ["change", "mix", "rate", "everywhere"]


def test_one_rater_is_searched_although_not_named():
    drivers = rank_drivers(*_pair(lambda t: 0.4 * (t["rater"] == "r07")), ["queue", "language"])
    assert [one.where for one in drivers.slices] == [{"rater": "r07"}] and drivers.slices[0].single_rater


def test_a_slice_that_one_rater_carries_is_said_to_be_so():
    shift = lambda t: 0.5 * ((t["rater"] == "r07") & (t["queue"] == "chat"))  # noqa: E731
    baseline, current = _pair(shift)
    assert all("rater" in one.where or one.single_rater for one in rank_drivers(baseline, current, ["queue"]).slices)


@pytest.mark.parametrize("seed", range(3))
def test_a_cause_in_a_dimension_with_300_values_is_found(seed):
    def draw(salt, rise):
        generator = np.random.default_rng([seed, salt])
        market = generator.integers(0, 300, 30000)
        odds = 0.06 + rise * (market == 17)
        names = [f"m{one}" for one in market]
        return pd.DataFrame(
            {"market": names, "half": market % 2, "error": (generator.random(30000) < odds).astype(int)}
        )

    drivers = rank_drivers(draw(0, 0.0), draw(1, 0.3), ["market", "half"])
    assert [one.where for one in drivers.slices] == [{"market": "m17"}]


def test_alarms_stay_at_alpha_when_nothing_changed():
    alarms = 0
    for seed in range(60):
        drivers = rank_drivers(_audits(seed, number=2500), _audits(seed + 500, number=2000), ["queue", "language"])
        alarms += bool(drivers.slices) or drivers.overall is not None
    assert alarms <= 9  # .05 of 60; more than 9 has a probability below .1 %


def test_paths_lead_to_the_estimates():
    shift = lambda t: 0.12 * (t["queue"] == "feed") - 0.05 * (t["queue"] == "chat")  # noqa: E731
    for drivers in (rank_drivers(*_pair(shift), ["queue"]), rank_drivers(*_pair(None), ["queue"])):
        for finding in drivers.findings():
            value = eval(f"drivers.{finding.path}", {"drivers": drivers})
            assert value == finding.estimate and finding.question == "drivers" and finding.sentence.endswith(".")


def test_row_order_and_engine_do_not_matter():
    baseline, current = _pair(lambda t: 0.08 * (t["queue"] == "feed"))
    with duckdb.connect() as connection:
        shuffled = connection.from_df(baseline.sample(frac=1, random_state=3))
        relation = connection.from_df(current.sample(frac=1, random_state=4))
        assert rank_drivers(shuffled, relation, ["queue", "language"]) == rank_drivers(
            baseline, current, ["queue", "language"]
        )


def test_equal_weights_change_nothing_and_label_and_truth_will_do():
    baseline, current = _pair(lambda t: 0.08 * (t["queue"] == "feed"))
    plain = rank_drivers(baseline, current, ["queue"])
    weighted = rank_drivers(baseline.assign(weight=7.0), current.assign(weight=3.0), ["queue"])
    assert weighted.slices[0].excess.value == pytest.approx(plain.slices[0].excess.value)
    labelled = [
        table.drop(columns="error").assign(label=table["error"].map({0: "x", 1: "y"}), truth="x")
        for table in (baseline, current)
    ]
    assert rank_drivers(*labelled, ["queue"]) == plain


def test_oversampling_of_a_hard_stratum_is_no_change_when_weights_undo_it():
    draw, alarms, inside = np.random.default_rng(8), 0, 0
    for _ in range(25):
        tables = []
        for odds in (1.0, 3.0):  # hard items are drawn three times as often in the second period
            hard = draw.random(9000) < 0.2
            keep = draw.random(9000) < np.where(hard, odds, 1.0) / 3
            error = draw.random(9000) < np.where(hard, 0.2, 0.04)
            table = pd.DataFrame({"queue": draw.choice(QUEUES, 9000), "error": error.astype(int)})
            tables.append(table.assign(weight=np.where(hard, 3 / odds, 3.0))[keep])
        drivers = rank_drivers(*tables, ["queue"])
        alarms += bool(drivers.slices) or drivers.overall is not None
        inside += drivers.change.low <= 0 <= drivers.change.high
    assert alarms <= 5 and inside >= 20


def test_missing_values_are_a_value_of_their_own():
    baseline, current = _pair(lambda t: 0.1 * (t["queue"] == "feed"))
    for table in (baseline, current):
        table.loc[table["queue"] == "feed", "queue"] = None
    assert [one.where for one in rank_drivers(baseline, current, ["queue"]).slices] == [{"queue": "(missing)"}]
    empty = [table.assign(queue=None) for table in (baseline, current)]
    assert rank_drivers(*empty, ["queue"]).slices == ()


def test_a_slice_in_one_period_only_is_judged_with_doubt_and_marked_new():
    baseline, current = _pair(lambda t: 0.4 * (t["queue"] == "live"))
    baseline = baseline[baseline["queue"] != "live"]
    found = rank_drivers(baseline, current, ["queue"]).slices
    assert [(one.where, one.new, one.before) for one in found] == [({"queue": "live"}, True, None)]
    assert rank_drivers(current, baseline, ["queue"]).change.value < 0


def test_extreme_tables_are_answered():
    baseline, current = _pair(None)
    silent = [table.assign(error=0) for table in (baseline, current)]
    for before, after in ((baseline.head(1), current), (baseline, current.head(1)), silent):
        drivers = rank_drivers(before, after, ["queue", "language"])
        assert drivers.change.low <= drivers.change.value <= drivers.change.high and drivers.summary()
        assert drivers.change.high > drivers.change.low
    constant = [table.assign(site="only one").drop(columns="rater") for table in (baseline, current)]
    assert rank_drivers(*constant, ["site"]).slices == ()


def test_an_auditor_who_turned_strict_is_named_as_measurement_and_no_slice_of_the_work_is():
    def add(table, salt, strict):
        draw = np.random.default_rng(salt)
        auditor = draw.integers(0, 8, len(table))
        error = table["error"] | ((auditor == 3) & (draw.random(len(table)) < strict))
        return table.assign(auditor=[f"q{one}" for one in auditor], error=error.astype(int))

    baseline, current = _pair(None)
    drivers = rank_drivers(add(baseline, 1, 0.0), add(current, 2, 0.2), ["queue", "language"])
    assert [(one.where, one.measurement) for one in drivers.named] == [({"auditor": "q3"}, True)]
    assert "measurement" in [finding.kind for finding in drivers.findings()] and "not the work" in drivers.summary()


def test_more_audits_under_another_truth_version_are_no_mix_of_the_work_and_no_slice():
    def add(table, salt, share):
        draw = np.random.default_rng(salt)
        stale = draw.random(len(table)) < share
        error = table["error"] | (stale & (draw.random(len(table)) < 0.5))
        versions = {"policy_version_decided": "v1", "policy_version_audited": np.where(stale, "v2", "v1")}
        return table.assign(error=error.astype(int), **versions)

    baseline, current = _pair(None)
    drivers = rank_drivers(add(baseline, 1, 0.02), add(current, 2, 0.12), ["queue", "language"])
    # The share of such audits grew, their error rate did not: the measurement changed, which `weigh_rivals` measures.
    assert not drivers.named and not drivers.mix.excludes_zero and drivers.unexplained.low > 0


def test_streams_other_than_the_random_one_are_not_pooled():
    baseline, current = _pair(None)
    hard = current.assign(error=1, stream="targeted")
    tables = [table.assign(stream="random") for table in (baseline, current)]
    plain = rank_drivers(baseline, current, ["queue"])
    assert rank_drivers(tables[0], pd.concat([tables[1], hard]), ["queue"]) == plain


def test_counts_give_what_their_audits_give():
    baseline, current = _pair(lambda t: 0.08 * (t["queue"] == "feed"))
    names = ["queue", "language", "rater"]
    cubes = [
        table.groupby(names, as_index=False).agg(items=("error", "size"), errors=("error", "sum"))
        for table in (baseline, current)
    ]
    assert rank_drivers(*cubes, names[:2]) == rank_drivers(baseline, current, names[:2])


def test_cells_that_were_counted_and_are_empty_change_nothing():
    counts = [count_errors(table, ["queue", "language"]) for table in _pair(lambda t: 0.12 * (t["queue"] == "feed"))]
    counts = [table[["queue", "language", "items", "errors"]] for table in counts]
    empty = pd.DataFrame({"queue": ["feed", "new"], "language": ["xx", "xx"], "items": 0, "errors": 0})
    with_empty = [pd.concat([table, empty]) for table in counts]
    assert rank_drivers(*with_empty, ["queue", "language"]) == rank_drivers(*counts, ["queue", "language"])


def test_the_mix_is_split_by_dimension_and_its_parts_add_up():
    drivers = rank_drivers(*_pair(None, mix=[0.1, 0.1, 0.2, 0.6]), ["queue", "language"])
    assert drivers.mix_parts[0].dimension == "queue" and drivers.mix_parts[-1].dimension == "(jointly)"
    assert sum(one.part.value for one in drivers.mix_parts) == pytest.approx(drivers.mix.value, abs=1e-15)
    assert drivers.mix_parts[0].part.low < 0.0285 < drivers.mix_parts[0].part.high


def test_what_is_named_is_not_listed_among_what_could_have_been():
    power = rank_drivers(*_pair(lambda t: 0.12 * (t["queue"] == "feed")), ["queue", "language"]).power_frame()
    assert "queue = ads" in set(power["where"]) and "queue = feed" not in set(power["where"])


def test_every_slice_of_one_dimension_says_what_it_could_have_shown():
    power = rank_drivers(*_pair(None), ["queue", "language"]).power_frame()
    assert {"queue = ads", "language = de", "rater = r07"} <= set(power["where"])
    assert (power["detectable_excess"] > 0).all() and (power["times_the_rate"] > 1).all()


@pytest.mark.parametrize("seed", range(3))
def test_work_that_moves_to_weak_raters_is_mix(seed):
    draw = np.random.default_rng(seed)
    weak = draw.normal(0, 0.6, 60)
    tables = []
    for steepness in (0.0, 1.5):
        share = np.exp(steepness * weak)
        rater = draw.choice(60, 12000, p=share / share.sum())
        error = draw.random(12000) < 0.05 * np.exp(weak[rater])
        tables.append(pd.DataFrame({"queue": draw.choice(QUEUES, 12000), "rater": rater, "error": error.astype(int)}))
    drivers = rank_drivers(*tables, ["queue"])
    assert not drivers.named and drivers.mix.low > 0 and drivers.mix_parts[0].dimension == "rater"


def test_values_that_all_wander_a_little_are_no_news_among_very_many_audits():
    draw = np.random.default_rng(3)
    wander = [draw.normal(0, 0.1, size) for size in (12, 8, 6, 5)]
    cubes = []
    for period in (0, 1):
        codes = np.array(np.unravel_index(np.arange(12 * 8 * 6 * 5), (12, 8, 6, 5)))
        logits = -2.5 + period * sum(one[code] for one, code in zip(wander, codes, strict=True))
        errors = draw.binomial(100, 1 / (1 + np.exp(-logits)))
        names = ("policy", "queue", "market", "shift")
        cubes.append(pd.DataFrame(dict(zip(names, codes, strict=True))).assign(items=100, errors=errors))
    assert len(rank_drivers(*cubes, names).named) <= 3  # of 365 slices, all of which moved


def test_a_dimension_with_5000_values_is_answered():
    draw = np.random.default_rng(4)
    tables = [
        pd.DataFrame({"item": draw.integers(0, 5000, 20000), "error": draw.integers(0, 20, 20000) == 0}).astype(int)
        for _ in range(2)
    ]
    assert rank_drivers(*tables, ["item"]).slices == ()


def test_bad_input_is_named():
    baseline, current = _pair(None)
    with pytest.raises(DataError, match="baseline has no audits"):
        rank_drivers(baseline.head(0), current, ["queue"])
    with pytest.raises(DataError, match="no column 'market'"):
        rank_drivers(baseline, current, ["market"])
    with pytest.raises(DataError, match=r"bad weight in the current period .*column weight"):
        rank_drivers(baseline, current.assign(weight=-1.0), ["queue"])
    with pytest.raises(DataError, match="column error"):
        rank_drivers(baseline, current.assign(error=2), ["queue"])
    with pytest.raises(ValueError, match="at least one dimension"):
        rank_drivers(baseline.drop(columns="rater"), current, [])


def test_the_waterfall_has_a_bar_per_part_and_the_answer_as_title():
    drivers = rank_drivers(*_pair(lambda t: 0.08 * (t["queue"] == "feed")), ["queue", "language"])
    ax = plot_drivers(drivers)
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == ["baseline", "mix of the work", "queue = feed", "unexplained", "current"]
    ends = [bar.get_x() + bar.get_width() for bar in ax.patches]
    assert ends[-1] == pytest.approx(drivers.after.value)
    assert " ".join(ax.get_title(loc="left").split()) == drivers.summary()


@pytest.mark.parametrize("seed", [29, 45, 69, 187, 222, 232, 325, 887])
def test_odd_tables_are_answered_and_excess_lies_in_its_interval(seed):
    draw = np.random.default_rng(seed)
    sizes = draw.choice([1, 2, 3, 39, 60, 400], 3)

    def period(times):
        number = int(draw.choice([2, 30, 500, 5000]))
        table = pd.DataFrame({f"d{place}": draw.integers(0, size, number) for place, size in enumerate(sizes)})
        chance = draw.choice([0.0, 0.05, 0.5, 1.0])
        table["error"] = (draw.random(number) < chance).astype(int)
        if seed % 2:
            return table.assign(weight=draw.uniform(0.1, 9, number))
        counts = count_errors(table, list(table)[:3])
        return counts[list(table)[:3]].assign(items=counts["items"] * times, errors=counts["errors"] * times)

    drivers = rank_drivers(period(10**5), period(10**5), ["d0", "d1", "d2"])
    assert drivers.mix.value + drivers.rate.value == pytest.approx(drivers.change.value, abs=1e-12)
    assert all(one.excess.low <= one.excess.value <= one.excess.high for one in drivers.named)
    assert drivers.summary() and len(drivers.to_frame()) == len(drivers.named)


def _weigh(table, seed, unit=1.0):
    return table.assign(weight=np.random.default_rng(seed).lognormal(0, 1, len(table)) * unit)


def test_weights_in_any_unit_give_the_same():
    pair = _pair(lambda t: 0.12 * (t["queue"] == "feed"))
    plain = rank_drivers(*(_weigh(table, 1) for table in pair), ["queue", "language"])
    for units in ((1e-6, 1e-6), (1e12, 1e12), (1e-30, 1e3), (3.7, 0.1)):
        other = rank_drivers(
            *(_weigh(table, 1, unit) for table, unit in zip(pair, units, strict=True)), ["queue", "language"]
        )
        assert [one.where for one in other.named] == [one.where for one in plain.named]
        assert other.named[0].excess.value == pytest.approx(plain.named[0].excess.value)
        assert (other.change.low, other.p_value) == pytest.approx((plain.change.low, plain.p_value))


def test_row_order_does_not_matter_with_weights():
    pair = [_weigh(table, 2) for table in _pair(lambda t: 0.12 * (t["queue"] == "feed"))]
    shuffled = [table.sample(frac=1, random_state=3) for table in pair]
    assert rank_drivers(*shuffled, ["queue", "language"]) == rank_drivers(*pair, ["queue", "language"])


def test_twenty_thousand_policies_are_searched_in_seconds():
    draw = np.random.default_rng(6)
    tables = []
    for period in (0, 1):
        policy = np.where(draw.random(40000) < 0.02, 7, draw.integers(0, 20000, 40000))
        error = draw.random(40000) < np.where((policy == 7) & (period == 1), 0.5, 0.05)
        table = {"policy": policy, "queue": draw.choice(QUEUES, 40000), "rater": draw.integers(0, 60, 40000)}
        tables.append(pd.DataFrame(table | {"error": error.astype(int)}))
    began = time.process_time()
    assert [one.where for one in rank_drivers(*tables, ["policy", "queue"]).slices] == [{"policy": "7"}]
    assert time.process_time() - began < 20
