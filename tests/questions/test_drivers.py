"""Drivers: slices and mix effects are found, chance is not, and the parts add up to the change."""

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


def _draw_audits(seed, *, number=6000, shift=None, mix=None, raters=40):
    """Draw audits of four queues and three languages; `shift` adds to the error rate of each row."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "queue": rng.choice(QUEUES, number, p=mix),
            "language": rng.choice(LANGUAGES, number),
            "rater": [f"r{rater:02d}" for rater in rng.integers(0, raters, number)],
        }
    )
    rate = table["queue"].map({"ads": 0.05, "chat": 0.06, "feed": 0.08, "live": 0.14}).to_numpy()
    table["error"] = (rng.random(number) < rate + (shift(table) if shift else 0)).astype(int)
    return table


def _draw_pair(shift, seed=1, **options):
    return _draw_audits(seed), _draw_audits(seed + 1000, shift=shift, **options)


def test_a_queue_that_got_worse_is_named_with_its_excess():
    drivers = rank_drivers(*_draw_pair(lambda t: 0.12 * (t["queue"] == "feed")), ["queue", "language"])
    (slice_,) = drivers.slices
    assert slice_.where == {"queue": "feed"} and slice_.direction == 1 and not slice_.is_new
    assert slice_.excess.low < 0.12 * slice_.items < slice_.excess.high
    assert not slice_.single_rater and drivers.overall is None
    assert drivers.summary().startswith("The error rate rose by")


def test_mix_effect_and_rate_effect_add_up_to_the_change_exactly():
    drivers = rank_drivers(
        *_draw_pair(lambda t: 0.1 * (t["queue"] == "ads"), mix=[0.1, 0.2, 0.2, 0.5]), ["queue", "language"]
    )
    assert drivers.mix_effect.value + drivers.rate_effect.value == pytest.approx(drivers.change.value, abs=1e-15)
    contributions = sum(slice_.contribution.value for slice_ in drivers.slices) + drivers.unexplained.value
    assert contributions == pytest.approx(drivers.rate_effect.value, abs=1e-15)
    assert drivers.change.value == pytest.approx(drivers.after.value - drivers.before.value, abs=1e-15)


def test_a_changed_mix_is_a_mix_effect_and_no_slice():
    drivers = rank_drivers(*_draw_pair(None, mix=[0.1, 0.1, 0.2, 0.6]), ["queue", "language"])
    # Shares of the queues move from a quarter each: .05, .06, .08, .14 give 0.0825 before and 0.111 after.
    assert drivers.mix_effect.low < 0.0285 < drivers.mix_effect.high
    assert not drivers.slices and drivers.overall is None
    assert {finding.kind: finding.grade for finding in drivers.findings()}["mix"] == "shown"


def test_a_rise_of_all_work_is_one_finding():
    drivers = rank_drivers(*_draw_pair(lambda t: 0.05), ["queue", "language"])
    assert not drivers.slices and drivers.overall.where == {}
    assert [finding.kind for finding in drivers.findings()] == ["change", "mix", "rate", "everywhere"]


def test_raters_are_searched_although_they_are_not_a_named_dimension():
    drivers = rank_drivers(*_draw_pair(lambda t: 0.4 * (t["rater"] == "r07")), ["queue", "language"])
    assert [slice_.where for slice_ in drivers.slices] == [{"rater": "r07"}] and drivers.slices[0].single_rater


def test_a_slice_that_depends_on_one_rater_is_marked():
    shift = lambda t: 0.5 * ((t["rater"] == "r07") & (t["queue"] == "chat"))  # noqa: E731
    baseline, current = _draw_pair(shift)
    slices = rank_drivers(baseline, current, ["queue"]).slices
    assert all("rater" in slice_.where or slice_.single_rater for slice_ in slices)


@pytest.mark.parametrize("seed", range(3))
def test_a_change_in_a_dimension_with_300_values_is_found(seed):
    def draw_markets(period, rise):
        rng = np.random.default_rng([seed, period])
        market = rng.integers(0, 300, 30000)
        error = (rng.random(30000) < 0.06 + rise * (market == 17)).astype(int)
        return pd.DataFrame({"market": [f"m{number}" for number in market], "half": market % 2, "error": error})

    drivers = rank_drivers(draw_markets(0, 0.0), draw_markets(1, 0.3), ["market", "half"])
    assert [slice_.where for slice_ in drivers.slices] == [{"market": "m17"}]


def test_false_alarms_stay_at_alpha_when_nothing_changed():
    alarms = 0
    for seed in range(60):
        drivers = rank_drivers(
            _draw_audits(seed, number=2500), _draw_audits(seed + 500, number=2000), ["queue", "language"]
        )
        alarms += bool(drivers.slices) or drivers.overall is not None
    assert alarms <= 9  # .05 of 60; more than 9 has a probability below .1 %


def test_every_finding_leads_to_its_estimate():
    shift = lambda t: 0.12 * (t["queue"] == "feed") - 0.05 * (t["queue"] == "chat")  # noqa: E731
    for drivers in (rank_drivers(*_draw_pair(shift), ["queue"]), rank_drivers(*_draw_pair(None), ["queue"])):
        for finding in drivers.findings():
            value = eval(f"drivers.{finding.path}", {"drivers": drivers})
            assert value == finding.estimate and finding.question == "drivers" and finding.sentence.endswith(".")


def test_row_order_and_engine_do_not_matter():
    baseline, current = _draw_pair(lambda t: 0.08 * (t["queue"] == "feed"))
    with duckdb.connect() as connection:
        shuffled = connection.from_df(baseline.sample(frac=1, random_state=3))
        relation = connection.from_df(current.sample(frac=1, random_state=4))
        assert rank_drivers(shuffled, relation, ["queue", "language"]) == rank_drivers(
            baseline, current, ["queue", "language"]
        )


def test_equal_weights_change_nothing_and_label_and_truth_replace_error():
    baseline, current = _draw_pair(lambda t: 0.08 * (t["queue"] == "feed"))
    plain = rank_drivers(baseline, current, ["queue"])
    weighted = rank_drivers(baseline.assign(weight=7.0), current.assign(weight=3.0), ["queue"])
    assert weighted.slices[0].excess.value == pytest.approx(plain.slices[0].excess.value)
    labelled = [
        table.drop(columns="error").assign(label=table["error"].map({0: "x", 1: "y"}), truth="x")
        for table in (baseline, current)
    ]
    assert rank_drivers(*labelled, ["queue"]) == plain


def test_weights_remove_the_oversampling_of_a_hard_stratum():
    rng, alarms, covered = np.random.default_rng(8), 0, 0
    for _ in range(25):
        tables = []
        for odds in (1.0, 3.0):  # hard items are drawn three times as often in the second period
            is_hard = rng.random(9000) < 0.2
            is_sampled = rng.random(9000) < np.where(is_hard, odds, 1.0) / 3
            error = rng.random(9000) < np.where(is_hard, 0.2, 0.04)
            table = pd.DataFrame({"queue": rng.choice(QUEUES, 9000), "error": error.astype(int)})
            tables.append(table.assign(weight=np.where(is_hard, 3 / odds, 3.0))[is_sampled])
        drivers = rank_drivers(*tables, ["queue"])
        alarms += bool(drivers.slices) or drivers.overall is not None
        covered += drivers.change.low <= 0 <= drivers.change.high
    assert alarms <= 5 and covered >= 20


def test_missing_values_are_a_value_of_their_own():
    baseline, current = _draw_pair(lambda t: 0.1 * (t["queue"] == "feed"))
    for table in (baseline, current):
        table.loc[table["queue"] == "feed", "queue"] = None
    assert [slice_.where for slice_ in rank_drivers(baseline, current, ["queue"]).slices] == [{"queue": "(missing)"}]
    empty = [table.assign(queue=None) for table in (baseline, current)]
    assert rank_drivers(*empty, ["queue"]).slices == ()


def test_a_slice_without_baseline_is_marked_new():
    baseline, current = _draw_pair(lambda t: 0.4 * (t["queue"] == "live"))
    baseline = baseline[baseline["queue"] != "live"]
    slices = rank_drivers(baseline, current, ["queue"]).slices
    assert [(slice_.where, slice_.is_new, slice_.before) for slice_ in slices] == [({"queue": "live"}, True, None)]
    assert rank_drivers(current, baseline, ["queue"]).change.value < 0


def test_tables_of_one_row_and_tables_without_errors_give_a_result():
    baseline, current = _draw_pair(None)
    without_errors = [table.assign(error=0) for table in (baseline, current)]
    for before, after in ((baseline.head(1), current), (baseline, current.head(1)), without_errors):
        drivers = rank_drivers(before, after, ["queue", "language"])
        assert drivers.change.low <= drivers.change.value <= drivers.change.high and drivers.summary()
        assert drivers.change.high > drivers.change.low
    constant = [table.assign(site="only one").drop(columns="rater") for table in (baseline, current)]
    assert rank_drivers(*constant, ["site"]).slices == ()


def test_a_strict_auditor_is_named_as_measurement_and_no_slice_of_the_work_is_named():
    def add_auditors(table, seed, strictness):
        rng = np.random.default_rng(seed)
        auditor = rng.integers(0, 8, len(table))
        error = table["error"] | ((auditor == 3) & (rng.random(len(table)) < strictness))
        return table.assign(auditor=[f"q{number}" for number in auditor], error=error.astype(int))

    baseline, current = _draw_pair(None)
    drivers = rank_drivers(add_auditors(baseline, 1, 0.0), add_auditors(current, 2, 0.2), ["queue", "language"])
    assert [(slice_.where, slice_.is_measurement) for slice_ in drivers.named_slices] == [({"auditor": "q3"}, True)]
    assert "measurement" in [finding.kind for finding in drivers.findings()] and "not the work" in drivers.summary()


def test_more_outdated_truths_are_no_mix_effect_and_no_slice():
    def add_versions(table, seed, share):
        rng = np.random.default_rng(seed)
        is_outdated = rng.random(len(table)) < share
        error = table["error"] | (is_outdated & (rng.random(len(table)) < 0.5))
        versions = {"policy_version_decided": "v1", "policy_version_audited": np.where(is_outdated, "v2", "v1")}
        return table.assign(error=error.astype(int), **versions)

    baseline, current = _draw_pair(None)
    drivers = rank_drivers(add_versions(baseline, 1, 0.02), add_versions(current, 2, 0.12), ["queue", "language"])
    # The share of such audits grew, their error rate did not: the measurement changed, which `assess_alternatives`
    # measures.
    assert not drivers.named_slices and not drivers.mix_effect.excludes_zero and drivers.unexplained.low > 0


def test_targeted_audits_are_not_pooled_with_random_ones():
    baseline, current = _draw_pair(None)
    targeted = current.assign(error=1, stream="targeted")
    tables = [table.assign(stream="random") for table in (baseline, current)]
    plain = rank_drivers(baseline, current, ["queue"])
    assert rank_drivers(tables[0], pd.concat([tables[1], targeted]), ["queue"]) == plain


def test_counted_cells_give_the_same_result_as_their_audits():
    baseline, current = _draw_pair(lambda t: 0.08 * (t["queue"] == "feed"))
    names = ["queue", "language", "rater"]
    cubes = [
        table.groupby(names, as_index=False).agg(items=("error", "size"), errors=("error", "sum"))
        for table in (baseline, current)
    ]
    assert rank_drivers(*cubes, names[:2]) == rank_drivers(baseline, current, names[:2])


def test_empty_cells_change_nothing():
    counts = [
        count_errors(table, ["queue", "language"]) for table in _draw_pair(lambda t: 0.12 * (t["queue"] == "feed"))
    ]
    counts = [table[["queue", "language", "items", "errors"]] for table in counts]
    empty = pd.DataFrame({"queue": ["feed", "new"], "language": ["xx", "xx"], "items": 0, "errors": 0})
    with_empty = [pd.concat([table, empty]) for table in counts]
    assert rank_drivers(*with_empty, ["queue", "language"]) == rank_drivers(*counts, ["queue", "language"])


def test_the_mix_effects_of_the_dimensions_add_up_to_the_mix_effect():
    drivers = rank_drivers(*_draw_pair(None, mix=[0.1, 0.1, 0.2, 0.6]), ["queue", "language"])
    assert drivers.mix_effects[0].dimension == "queue" and drivers.mix_effects[-1].dimension == "(jointly)"
    assert sum(entry.effect.value for entry in drivers.mix_effects) == pytest.approx(
        drivers.mix_effect.value, abs=1e-15
    )
    assert drivers.mix_effects[0].effect.low < 0.0285 < drivers.mix_effects[0].effect.high


def test_a_named_slice_has_no_detectable_excess():
    power = rank_drivers(*_draw_pair(lambda t: 0.12 * (t["queue"] == "feed")), ["queue", "language"]).power_frame()
    assert "queue = ads" in set(power["where"]) and "queue = feed" not in set(power["where"])


def test_every_slice_of_one_dimension_has_a_detectable_excess():
    power = rank_drivers(*_draw_pair(None), ["queue", "language"]).power_frame()
    assert {"queue = ads", "language = de", "rater = r07"} <= set(power["where"])
    assert (power["detectable_excess"] > 0).all() and (power["rate_ratio"] > 1).all()


@pytest.mark.parametrize("seed", range(3))
def test_work_that_moves_to_weak_raters_is_a_mix_effect(seed):
    rng = np.random.default_rng(seed)
    weak = rng.normal(0, 0.6, 60)
    tables = []
    for steepness in (0.0, 1.5):
        share = np.exp(steepness * weak)
        rater = rng.choice(60, 12000, p=share / share.sum())
        error = rng.random(12000) < 0.05 * np.exp(weak[rater])
        tables.append(pd.DataFrame({"queue": rng.choice(QUEUES, 12000), "rater": rater, "error": error.astype(int)}))
    drivers = rank_drivers(*tables, ["queue"])
    assert not drivers.named_slices and drivers.mix_effect.low > 0 and drivers.mix_effects[0].dimension == "rater"


def test_small_random_changes_of_all_values_name_few_slices_in_very_many_audits():
    rng = np.random.default_rng(3)
    deviations = [rng.normal(0, 0.1, size) for size in (12, 8, 6, 5)]
    cubes = []
    for period in (0, 1):
        codes = np.array(np.unravel_index(np.arange(12 * 8 * 6 * 5), (12, 8, 6, 5)))
        logits = -2.5 + period * sum(deviation[code] for deviation, code in zip(deviations, codes, strict=True))
        errors = rng.binomial(100, 1 / (1 + np.exp(-logits)))
        names = ("policy", "queue", "market", "shift")
        cubes.append(pd.DataFrame(dict(zip(names, codes, strict=True))).assign(items=100, errors=errors))
    assert len(rank_drivers(*cubes, names).named_slices) <= 3  # of 365 slices, all of which moved


def test_a_dimension_with_5000_values_names_no_slice_by_chance():
    rng = np.random.default_rng(4)
    tables = [
        pd.DataFrame({"item": rng.integers(0, 5000, 20000), "error": rng.integers(0, 20, 20000) == 0}).astype(int)
        for _ in range(2)
    ]
    assert rank_drivers(*tables, ["item"]).slices == ()


def test_invalid_input_is_refused_with_its_column():
    baseline, current = _draw_pair(None)
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


def test_the_waterfall_has_a_bar_per_effect_and_the_summary_as_title():
    drivers = rank_drivers(*_draw_pair(lambda t: 0.08 * (t["queue"] == "feed")), ["queue", "language"])
    ax = plot_drivers(drivers)
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == ["baseline", "work mix", "queue = feed", "unexplained", "current"]
    ends = [bar.get_x() + bar.get_width() for bar in ax.patches]
    assert ends[-1] == pytest.approx(drivers.after.value)
    assert " ".join(ax.get_title(loc="left").split()) == drivers.summary()


@pytest.mark.parametrize("seed", [29, 45, 69, 187, 222, 232, 325, 887])
def test_sparse_and_extreme_tables_have_excess_within_its_interval(seed):
    rng = np.random.default_rng(seed)
    sizes = rng.choice([1, 2, 3, 39, 60, 400], 3)

    def draw_period(factor):
        number = int(rng.choice([2, 30, 500, 5000]))
        table = pd.DataFrame({f"d{index}": rng.integers(0, size, number) for index, size in enumerate(sizes)})
        probability = rng.choice([0.0, 0.05, 0.5, 1.0])
        table["error"] = (rng.random(number) < probability).astype(int)
        if seed % 2:
            return table.assign(weight=rng.uniform(0.1, 9, number))
        counts = count_errors(table, list(table)[:3])
        return counts[list(table)[:3]].assign(items=counts["items"] * factor, errors=counts["errors"] * factor)

    drivers = rank_drivers(draw_period(10**5), draw_period(10**5), ["d0", "d1", "d2"])
    assert drivers.mix_effect.value + drivers.rate_effect.value == pytest.approx(drivers.change.value, abs=1e-12)
    assert all(entry.excess.low <= entry.excess.value <= entry.excess.high for entry in drivers.named_slices)
    assert drivers.summary() and len(drivers.to_frame()) == len(drivers.named_slices)


def _add_weights(table, seed, unit=1.0):
    return table.assign(weight=np.random.default_rng(seed).lognormal(0, 1, len(table)) * unit)


def test_the_unit_of_the_weights_does_not_matter():
    pair = _draw_pair(lambda t: 0.12 * (t["queue"] == "feed"))
    plain = rank_drivers(*(_add_weights(table, 1) for table in pair), ["queue", "language"])
    for units in ((1e-6, 1e-6), (1e12, 1e12), (1e-30, 1e3), (3.7, 0.1)):
        result = rank_drivers(
            *(_add_weights(table, 1, unit) for table, unit in zip(pair, units, strict=True)), ["queue", "language"]
        )
        assert [slice_.where for slice_ in result.named_slices] == [slice_.where for slice_ in plain.named_slices]
        assert result.named_slices[0].excess.value == pytest.approx(plain.named_slices[0].excess.value)
        assert (result.change.low, result.p_value) == pytest.approx((plain.change.low, plain.p_value))


def test_row_order_does_not_matter_with_weights():
    pair = [_add_weights(table, 2) for table in _draw_pair(lambda t: 0.12 * (t["queue"] == "feed"))]
    shuffled = [table.sample(frac=1, random_state=3) for table in pair]
    assert rank_drivers(*shuffled, ["queue", "language"]) == rank_drivers(*pair, ["queue", "language"])


def test_twenty_thousand_policies_are_searched_in_seconds():
    rng = np.random.default_rng(6)
    tables = []
    for period in (0, 1):
        policy = np.where(rng.random(40000) < 0.02, 7, rng.integers(0, 20000, 40000))
        error = rng.random(40000) < np.where((policy == 7) & (period == 1), 0.5, 0.05)
        table = {"policy": policy, "queue": rng.choice(QUEUES, 40000), "rater": rng.integers(0, 60, 40000)}
        tables.append(pd.DataFrame(table | {"error": error.astype(int)}))
    start = time.process_time()
    assert [slice_.where for slice_ in rank_drivers(*tables, ["policy", "queue"]).slices] == [{"policy": "7"}]
    assert time.process_time() - start < 20
