"""Where next to nothing was wrong before: the slice that made the errors is named, with numbers that can be."""

import numpy as np
import pandas as pd
import pytest

from rca_lib.questions.drivers import rank_drivers

POLICIES, RATERS = ["hate", "spam", "benign"], [f"r{number}" for number in range(6)]


def draw_period(seed, number, rate, *, lifted=None, to=1.0, **more):
    """Audits with one error rate; those of the slice `lifted` have the rate `to`."""
    draw = np.random.default_rng(seed)
    table = pd.DataFrame({"policy": draw.choice(POLICIES, number), "rater": draw.choice(RATERS, number)})
    table["queue"] = draw.choice(["q1", "q2"], number, p=[0.8, 0.2])
    table["language"] = draw.choice(["de", "en", "fr", "pt"], number)
    chance = np.full(number, rate)
    if lifted:
        chance[np.logical_and.reduce([table[name] == value for name, value in lifted.items()])] = to
    table["error"] = (draw.random(number) < chance).astype(int)
    return table.assign(**more)


def check_numbers(drivers, current):
    """Excess is within the errors there are, changes within 100 pp, shares within 100 %."""
    for part in (drivers.change, drivers.mix, drivers.rate, drivers.unexplained):
        assert -1 <= part.low <= part.value <= part.high <= 1
    for one in drivers.named:
        inside = np.logical_and.reduce([current[name] == value for name, value in one.where.items()] or [True])
        errors = int(current.loc[inside, "error"].sum()) if one.where else int(current["error"].sum())
        assert one.excess.low <= one.excess.value <= one.excess.high
        if one.direction > 0:
            assert one.excess.low >= 0 and one.excess.high <= errors
        else:
            assert -one.expected * one.items - 1e-6 <= one.excess.low and one.excess.high <= 0
        assert one.share is None or -1 <= one.share.low <= one.share.value <= one.share.high <= 1


SLICES = [{"policy": "hate"}, {"rater": "r3"}, {"queue": "q2"}, {"language": "en"}]


@pytest.mark.parametrize("lifted", SLICES, ids=lambda where: next(iter(where)))
@pytest.mark.parametrize(("number", "rate"), [(300, 0.0), (1000, 0.002), (1000, 0.01), (3000, 0.003), (2000, 0.02)])
@pytest.mark.parametrize("to", [0.3, 1.0])
def test_the_slice_that_made_the_errors_is_named_first(lifted, number, rate, to):
    baseline, current = draw_period(1, number, rate), draw_period(2, number, rate, lifted=lifted, to=to)
    drivers = rank_drivers(baseline, current, ["policy", "queue", "language"])
    assert drivers.named[0].where == lifted and drivers.named[0].direction == 1
    assert len(drivers.named) <= 2
    check_numbers(drivers, current)


@pytest.mark.parametrize("seed", range(3))
def test_a_pair_of_values_is_named_where_hardly_anything_was_wrong(seed):
    where = {"policy": "hate", "language": "en"}
    baseline, current = draw_period(seed, 2000, 0.004), draw_period(seed + 50, 2000, 0.004, lifted=where, to=0.8)
    drivers = rank_drivers(baseline, current, ["policy", "queue", "language"])
    assert [one.where for one in drivers.named] == [where]
    check_numbers(drivers, current)


def test_a_policy_without_errors_is_named_although_others_always_had_some():
    # Five per cent of errors elsewhere, none in 400 of 4,000 audits of one policy: then it fails altogether.
    def draw(seed, fails):
        table = draw_period(seed, 4000, 0.05)
        rare = np.arange(4000) < 400
        return table.assign(
            policy=table["policy"].where(~rare, "minors"), error=np.where(rare, int(fails), table["error"])
        )

    drivers = rank_drivers(draw(1, False), draw(2, True), ["policy", "queue", "language"])
    assert [one.where for one in drivers.named] == [{"policy": "minors"}]
    assert 395 <= drivers.named[0].excess.value <= 400


def test_weights_do_not_hide_the_slice():
    weight = np.random.default_rng(5).choice([1.0, 4.0], 1000)
    baseline = draw_period(1, 1000, 0.005, weight=weight)
    current = draw_period(2, 1000, 0.005, lifted={"policy": "hate"}, weight=weight)
    drivers = rank_drivers(baseline, current, ["policy", "queue"])
    assert drivers.named[0].where == {"policy": "hate"}
    check_numbers(drivers, current)


def test_a_tiny_baseline_does_not_hide_the_slice():
    baseline, current = draw_period(1, 40, 0.0), draw_period(2, 1000, 0.004, lifted={"policy": "hate"})
    drivers = rank_drivers(baseline, current, ["policy", "queue"])
    assert {"policy": "hate"} in [one.where for one in drivers.slices]
    check_numbers(drivers, current)


def test_an_improvement_to_zero_spares_no_more_errors_than_were_expected():
    baseline, current = draw_period(1, 2000, 0.005, lifted={"policy": "hate"}, to=0.3), draw_period(2, 2000, 0.005)
    drivers = rank_drivers(baseline, current, ["policy", "queue", "language"])
    assert [(one.where, one.direction) for one in drivers.named] == [({"policy": "hate"}, -1)]
    check_numbers(drivers, current)


def test_a_rise_of_everything_from_next_to_nothing_is_everywhere():
    baseline, current = draw_period(1, 1500, 0.004), draw_period(2, 1500, 0.15)
    drivers = rank_drivers(baseline, current, ["policy", "queue", "language"])
    assert [one.where for one in drivers.named] == [{}]
    check_numbers(drivers, current)


def test_an_auditor_who_finds_all_the_errors_is_named():
    auditors = np.random.default_rng(9).choice(["a1", "a2", "a3", "a4"], 1200)
    baseline, current = (draw_period(seed, 1200, 0.003, auditor=auditors) for seed in (1, 2))
    current.loc[current["auditor"] == "a2", "error"] = 1
    drivers = rank_drivers(baseline, current, ["policy", "queue"])
    assert drivers.named[0].where == {"auditor": "a2"} and drivers.named[0].measurement


@pytest.mark.parametrize("rate", [0.0, 0.002, 0.01])
def test_nothing_is_named_where_next_to_nothing_is_wrong_before_and_after(rate):
    alarms = 0
    for seed in range(40):
        pair = draw_period(seed, 600, rate), draw_period(seed + 1000, 600, rate)
        alarms += bool(rank_drivers(*pair, ["policy", "queue", "language"]).named)
    assert alarms <= 6  # .05 of 40 is 2; more than 6 has a probability below .4 %


def _classes(seed, *, new):
    """Audits of four hiring classes of eight raters each; in the current period a fifth errs five times as often."""
    draw, number = np.random.default_rng(seed), 6000
    hired = draw.integers(0, 4, number)
    hired = np.where(new & (draw.random(number) < 0.15), 4, hired)
    rater = hired * 8 + draw.integers(0, 8, number)
    odds = -3 + np.random.default_rng(seed // 10).normal(0, 0.25, 40)[rater] + np.log(5) * (hired == 4)
    table = pd.DataFrame({"hiring_class": hired, "rater": rater, "queue": draw.choice(["q1", "q2"], number)}).astype(
        str
    )
    return table.assign(error=(draw.random(number) < 1 / (1 + np.exp(-odds))).astype(int))


def test_a_new_hiring_class_is_named_and_does_not_pass_for_raters_who_drift():
    right = 0
    for seed in range(10, 90, 10):
        drivers = rank_drivers(_classes(seed, new=False), _classes(seed + 1, new=True), ["hiring_class", "queue"])
        named = [one.where for one in drivers.named]
        assert {} not in named and all(one.direction > 0 for one in drivers.named if one.where == {"hiring_class": "4"})
        right += bool(named) and named[0] == {"hiring_class": "4"} and drivers.named[0].new
    assert right >= 6
