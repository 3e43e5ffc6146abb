from datetime import date

import numpy as np
import pandas as pd
import pytest

from rca_lib.audits.schema import AUDIT_COLUMNS, EVENT_TYPES, POPULATION, RATINGS, TARGETS, list_columns
from rca_lib.simulation.scenario import (
    CAUSE_KINDS,
    LABELS,
    QUEUES,
    PlantedCause,
    create_site,
    draw_decisions,
    is_active,
)
from rca_lib.simulation.synthetic_audits import simulate_audits, simulate_demo, write_simulation

MARCH = date(2026, 3, 1)
DAYS = 90  # January to March 2026


@pytest.fixture(scope="module")
def million():
    return simulate_audits(audits_per_month=83_334, seed=3)


@pytest.fixture(scope="module")
def demo():
    return simulate_demo()


def decide(*causes, site="lisbon", decisions=200_000, seed=5):
    """Draw decisions on evenly spread days, so that tests see the planting without the sampling."""
    place = create_site(site, 0, causes, date(2026, 1, 1), DAYS, seed)
    day = np.arange(decisions) % DAYS
    return place, draw_decisions(place, day, error_rate=0.05, seed=seed)


def inside_of(place, rows):
    """Return which decisions the site's only cause is about, by the names of things."""
    inside = is_active(place.causes[0], place, rows["day"])
    named = {name: place.staff[name].to_numpy()[rows["rater"]] for name in ("rater", "hiring_class")}
    named |= {"policy": np.array(LABELS)[rows["policy"]], "queue": np.array(QUEUES)[rows["queue"]]}
    return np.logical_and.reduce([inside, *(named[name] == value for name, value in place.causes[0].where.items())])


def wrong(rows):
    return rows["label"] != rows["truth"]


def odds_ratio(with_cause, without):
    first, second = with_cause.mean(), without.mean()
    return first / (1 - first) / (second / (1 - second))


def proportional(audits):
    return audits[(audits["audit_round"] == 1) & audits["stream"].isin(["random", "stratified"])]


def weighted_rate(audits):
    return np.average(audits["error"], weights=audits["weight"])


def test_the_same_seed_writes_the_same_bytes_and_another_seed_does_not(tmp_path):
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        write_simulation(simulate_audits(audits_per_month=500, seed=seed), tmp_path / name)
    for table in ("audits", "events", "targets", "population", "ratings"):
        assert (tmp_path / "one" / f"{table}.csv").read_bytes() == (tmp_path / "again" / f"{table}.csv").read_bytes()
    assert (tmp_path / "one" / "audits.csv").read_bytes() != (tmp_path / "other" / "audits.csv").read_bytes()


def test_a_million_audits_keep_the_contract(million):
    audits = million.audits
    assert abs(len(audits) - 1_000_000) < 100
    asked = list_columns(AUDIT_COLUMNS, "required", "advised")
    assert set(asked) <= set(audits)
    assert audits[[name for name in asked if name != "stratum"]].notna().all(axis=None)
    for column in AUDIT_COLUMNS:
        if column.values and column.name in audits:
            assert set(audits[column.name].dropna()) <= set(column.values), column.name
    assert audits["audit_id"].is_unique
    assert (audits["audited_at"] > audits["decided_at"]).all()
    assert (audits["weight"] > 0).all()
    assert audits["error"].equals((audits["label"] != audits["truth"]).astype("int64"))
    assert audits.groupby("rater")["site"].nunique().max() == 1
    assert audits.groupby("item_id")["site"].nunique().max() == 1


def test_days_are_local_days_in_each_time_zone(million):
    zones = {"lisbon": "Europe/Lisbon", "manila": "Asia/Manila", "bogota": "America/Bogota", "krakow": "Europe/Warsaw"}
    for site, zone in zones.items():
        audits = million.audits[million.audits["site"] == site].iloc[::50]
        local = audits["decided_at"].dt.tz_localize("UTC").dt.tz_convert(zone)
        assert local.dt.tz_localize(None).dt.normalize().equals(audits["day"])
        assert local.dt.hour.between(8, 18).all()
    weekend = million.audits["day"].dt.day_of_week >= 5
    assert 0.14 < weekend.mean() < 0.22  # (0.6 + 0.5) / 6.15 = 0.18 of the traffic of a week


def test_unplanted_months_keep_the_rate_that_was_set(million):
    audits = proportional(million.audits)
    rates = [weighted_rate(part) for _, part in audits.groupby(["site", audits["day"].dt.month])]
    # 70,000 audits a cell, design effect about 1.2 for weights and as much for raters: standard error 0.0011.
    assert len(rates) == 12
    assert max(abs(rate - 0.06) for rate in rates) < 4 * 0.0011
    assert abs(np.mean(rates) - 0.06) < 0.001


def test_each_stream_alone_stands_for_all_decisions(million):
    audits = proportional(million.audits)
    random, stratified = (audits[audits["stream"] == name] for name in ("random", "stratified"))
    assert weighted_rate(random) == pytest.approx(weighted_rate(stratified), abs=4 * 0.0006)
    assert random["weight"].sum() == pytest.approx(stratified["weight"].sum())
    # The raw rate of the stratified stream is higher, for rejected decisions are over-sampled and harder.
    assert stratified["error"].mean() > weighted_rate(stratified) + 0.003
    raw = million.audits[million.audits["audit_round"] == 1].groupby("stream")["error"].mean()
    assert raw["targeted"] > raw["random"] + 0.01
    assert raw["seeded_gold"] > raw["random"]


def test_weights_add_up_to_the_population(demo):
    first = proportional(demo.audits)
    sums = first.groupby([first["day"].dt.strftime("%Y-%m"), "site", "stratum"])["weight"].sum()
    stated = demo.population.set_index(["period", "site", "stratum"])["decisions"]
    assert set(list_columns(POPULATION, "required")) <= set(demo.population)
    pd.testing.assert_series_equal(sums, stated.sort_index(), check_names=False, check_dtype=False, rtol=1e-9)
    assert (stated.groupby(["period", "site"]).sum() == 250_000).all()  # two streams for 25 x 5,000 decisions each


def test_second_audits_are_blind_and_by_another_auditor(demo):
    second = demo.audits[demo.audits["audit_round"] == 2]
    both = second.merge(demo.audits[demo.audits["audit_round"] == 1], on="item_id", suffixes=("", "_first"))
    assert len(both) == len(second) == pytest.approx(len(demo.audits) / 26, rel=0.01)
    assert (both["auditor"] != both["auditor_first"]).all()
    assert both["label"].equals(both["label_first"])
    assert second["blind"].all()
    assert not demo.audits.loc[demo.audits["audit_round"] == 1, "blind"].any()
    # Two auditors who each err in 2 % of the items differ in about 4 %: 2,308 pairs, standard error 0.4 points.
    assert (both["truth"] != both["truth_first"]).mean() == pytest.approx(0.04, abs=0.016)


def test_a_site_does_not_change_with_the_others_nor_with_their_causes():
    alone = simulate_audits(sites=["lisbon"], audits_per_month=800).audits
    cause = PlantedCause("policy_update", "manila", MARCH)
    among = simulate_audits(sites=["lisbon", "manila"], audits_per_month=800, causes=[cause]).audits
    pd.testing.assert_frame_equal(alone, among[among["site"] == "lisbon"].reset_index(drop=True))


@pytest.mark.parametrize("kind", ["policy_update", "hiring_class", "one_rater", "drift", "tool_release"])
def test_a_cause_alters_nothing_outside_its_place_and_time(kind):
    cause = PlantedCause(kind, "lisbon", date(2026, 2, 10), date(2026, 3, 15))
    place, rows = decide(cause)
    _, quiet = decide()
    inside = inside_of(place, rows)
    if kind == "hiring_class":  # the class stays when its errors have become those of other new starters
        inside |= (place.staff["hiring_class"] == "2026-02").to_numpy()[rows["rater"]]
    for name in ("queue", "policy", "truth", "rater", "label", "standard", "hardness"):
        np.testing.assert_array_equal(rows[name][~inside], quiet[name][~inside], err_msg=name)
    assert wrong(rows)[inside].mean() > 1.2 * wrong(quiet)[inside].mean()


# The factor on everybody's odds shows a little smaller in the pooled odds, for people and items differ in hardness:
# with a normal logit of spread 0.7 and a rate of 5 % a factor of 3 shows as 2.9, one of 6 as 5.5, 9 as 8.0.
@pytest.mark.parametrize(
    ("kind", "low", "high"), [("policy_update", 2.5, 3.1), ("hiring_class", 2.5, 3.1), ("one_rater", 4.6, 6.3)]
)
def test_the_odds_of_an_error_rise_by_the_factor_that_was_planted(kind, low, high):
    cause = PlantedCause(kind, "lisbon", date(2026, 2, 1))
    place, rows = decide(cause, decisions=400_000)
    _, same = decide(PlantedCause(kind, "lisbon", date(2026, 2, 1), size=1.0), decisions=400_000)
    hit = rows["why"] == 1 + CAUSE_KINDS.index(kind)
    inside = inside_of(place, rows)
    assert low < odds_ratio(wrong(rows)[inside], wrong(same)[inside]) < high
    np.testing.assert_array_equal(hit, wrong(rows) & ~wrong(same))


def test_a_drift_grows_steadily_and_reaches_its_size_after_thirty_days():
    _, rows = decide(PlantedCause("drift", "lisbon", date(2026, 1, 1), size=3.0), decisions=600_000)
    _, quiet = decide(decisions=600_000)
    ratios = [
        odds_ratio(wrong(rows)[window], wrong(quiet)[window])
        for window in (abs(rows["day"] - centre) <= 3 for centre in (3, 30, 60))
    ]
    # On day d the odds are 3 ** (d / 30) times as large, a little less when pooled (see above).
    assert ratios == pytest.approx([1.1, 2.9, 8.0], rel=0.1)


def test_a_hiring_class_takes_its_share_of_the_work_and_is_new():
    place, rows = decide(PlantedCause("hiring_class", "lisbon", date(2026, 2, 2)))
    joined = (place.staff["hiring_class"] == "2026-02").to_numpy()[rows["rater"]]
    assert joined[rows["day"] >= 32].mean() == pytest.approx(0.18, abs=0.005)
    assert rows["day"][joined].min() == 32
    np.testing.assert_array_equal(rows["tenure"][joined], rows["day"][joined] - 32)
    veteran = (rows["tenure"] <= 30) & ~joined
    assert wrong(rows)[joined].mean() > 1.8 * wrong(rows)[veteran].mean()


def test_a_tool_release_only_turns_labels_into_benign():
    _, rows = decide(PlantedCause("tool_release", "lisbon", MARCH, where={"queue": "ads"}))
    _, quiet = decide()
    changed = rows["label"] != quiet["label"]
    assert (rows["label"][changed] == 0).all()
    asked = (np.array(QUEUES)[rows["queue"]] == "ads") & (rows["day"] >= 59) & (quiet["label"] > 0)
    assert changed[asked].mean() == pytest.approx(0.45, abs=0.03)  # 3,000 labels: three standard errors


def test_a_mix_shift_changes_the_mix_and_no_rate_within_it():
    _, rows = decide(PlantedCause("mix_shift", "lisbon", MARCH), decisions=600_000)
    _, quiet = decide(decisions=600_000)
    late = rows["day"] >= 59
    np.testing.assert_array_equal(rows["queue"][~late], quiet["queue"][~late])
    hardest = QUEUES.index("live_video")
    assert (rows["queue"][late] == hardest).mean() == pytest.approx(0.4, abs=0.005)
    assert wrong(rows)[late].mean() > wrong(quiet)[late].mean() + 0.01
    for queue in range(len(QUEUES)):
        parts = [wrong(table)[late & (table["queue"] == queue)] for table in (rows, quiet)]
        error = np.sqrt(sum(part.var() / len(part) for part in parts))
        assert abs(parts[0].mean() - parts[1].mean()) < 4 * error


def test_a_truth_change_leaves_every_label_and_flips_only_stale_truths():
    cause = PlantedCause("truth_change", "lisbon", date(2026, 2, 9), where={"policy": "hate"})
    planted, quiet = (simulate_audits(sites=["lisbon"], causes=causes, seed=4).audits for causes in ([cause], []))
    for name in ("audit_id", "item_id", "rater", "label", "queue", "weight", "auditor", "policy_version_decided"):
        assert planted[name].equals(quiet[name]), name
    stale = planted["policy_version_decided"] != planted["policy_version_audited"]
    reach = (quiet["policy"] == "hate") & (quiet["day"] >= "2026-02-09")
    assert planted.loc[stale, "day"].min() >= pd.Timestamp("2026-02-09")
    assert stale[reach].mean() == pytest.approx(0.7, abs=0.07)
    flipped = planted["truth"] != quiet["truth"]
    assert flipped.sum() > 50
    assert stale[flipped].all()
    assert planted["error"].sum() > quiet["error"].sum() + 40


def test_a_sampling_change_moves_the_raw_rate_and_not_the_weighted_one():
    raw, weighted = [], []
    for seed in range(12):
        cause = PlantedCause("sampling_change", "lisbon", MARCH)
        planted, quiet = (
            simulate_audits(sites=["lisbon"], months=3, audits_per_month=6000, causes=causes, seed=seed).audits
            for causes in ([cause], [])
        )
        pairs = [table[(table["day"] >= "2026-03-01") & (table["audit_round"] == 1)] for table in (planted, quiet)]
        raw.append(pairs[0]["error"].mean() - pairs[1]["error"].mean())
        weighted.append(weighted_rate(proportional(pairs[0])) - weighted_rate(proportional(pairs[1])))
    assert abs(np.mean(weighted)) < 3 * np.std(weighted, ddof=1) / np.sqrt(len(weighted))
    assert np.mean(raw) > 0.01


def test_a_sampling_change_leaves_the_decisions_alone():
    _, rows = decide(PlantedCause("sampling_change", "lisbon", MARCH))
    _, quiet = decide()
    for name, values in quiet.items():
        np.testing.assert_array_equal(rows[name], values, err_msg=name)


def test_a_policy_update_steps_the_version_for_decisions_and_audits():
    cause = PlantedCause("policy_update", "krakow", date(2026, 3, 9), date(2026, 3, 20), where={"policy": "hate"})
    audits = simulate_audits(sites=["krakow"], causes=[cause]).audits
    assert (audits["policy_version_decided"] == audits["policy_version_audited"]).all()
    versions = audits[audits["policy"] == "hate"].groupby(audits["day"] >= "2026-03-09")["policy_version_decided"]
    before, after = (set(part.value_counts().index[:1]) for _, part in versions)
    assert (before, after) == ({"v2"}, {"v3"})


def test_the_demo_begins_one_cause_a_month_at_each_site_but_the_quiet_one(demo):
    begun = [(cause.site, cause.start.month) for cause in demo.causes]
    assert sorted(begun) == [(site, month) for site in ("bogota", "lisbon", "manila") for month in (2, 3)]
    assert {cause.kind for cause in demo.causes} == set(CAUSE_KINDS) - {"one_rater", "drift"}
    assert demo.audits.groupby(["site", demo.audits["day"].dt.month]).size().between(4850, 5150).sum() == 12


def test_the_calendar_holds_what_people_know_of_and_nothing_of_the_rest(demo):
    assert set(demo.events["type"]) <= set(EVENT_TYPES)
    assert set(list_columns(TARGETS, "required")) <= set(demo.targets)
    update = next(cause for cause in demo.causes if cause.kind == "policy_update")
    row = demo.events[demo.events["type"] == "policy_update"].iloc[0]
    assert row["scope"] == f"site=lisbon;policy={update.where['policy']}"
    assert row["start"] == pd.Timestamp("2026-03-09")
    silent = [PlantedCause(kind, "lisbon", MARCH) for kind in ("one_rater", "drift")]
    events = simulate_audits(sites=["lisbon"], audits_per_month=100, causes=silent).events
    assert events["type"].tolist() == ["training_wave"]


def test_what_nobody_chose_is_chosen_from_the_seed_among_what_weighs_much():
    chosen = set()
    for seed in range(6):
        causes = [PlantedCause(kind, "lisbon", MARCH) for kind in ("policy_update", "tool_release", "one_rater")]
        simulation = simulate_audits(sites=["lisbon"], causes=causes, seed=seed)
        policy, queue, rater = (value for cause in simulation.causes for value in cause.where.values())
        assert policy in LABELS[1:4]
        assert queue in QUEUES[:3]
        late = simulation.audits[simulation.audits["day"] >= "2026-03-01"]
        assert (late["rater"] == rater).mean() > 1.3 / 60
        chosen.add((policy, queue))
    assert len(chosen) > 2


def test_several_people_judge_the_overlap(demo):
    ratings = demo.ratings
    assert set(ratings) == set(list_columns(RATINGS))
    assert not ratings.duplicated(["item_id", "rater", "trial"]).any()
    people = ratings.groupby("item_id")["rater"].nunique()
    assert people.min() >= 3
    assert people.median() == 6
    assert set(ratings["item_id"]) <= set(demo.audits["item_id"])
    majority = ratings.groupby("item_id")["label"].agg(lambda labels: labels.value_counts().iloc[0])
    # About 4 % of the judgements are wrong, and 45 % on the 8 % of items that are unclear: 0.92 x 4 + 0.08 x 45 = 7 %.
    assert 1 - majority.sum() / len(ratings) == pytest.approx(0.07, abs=0.025)
    again = ratings[ratings["trial"] == 2]
    assert len(again) == ratings["item_id"].nunique()


def test_comments_and_codes_hold_what_people_write_and_what_an_attacker_would(demo):
    comments = demo.audits["comment"].dropna()
    assert (demo.audits.loc[comments.index, "error"] == 1).all()
    text = "\n".join(comments)
    for words in ("<script>", "=HYPERLINK", "違反", "Missed: this is"):
        assert words in text
    assert comments.str.len().max() > 2000
    update = demo.audits[(demo.audits["site"] == "lisbon") & (demo.audits["day"] >= "2026-03-09")]
    assert update["comment"].str.contains("the update was not applied").sum() > 10
    coded = demo.audits.dropna(subset=["cause2_code"])
    # Two coders both see the cause in 0.85 x 0.75 = 64 % and meet by chance in some of the rest.
    assert 0.6 < (coded["cause_code"] == coded["cause2_code"]).mean() < 0.85


@pytest.mark.parametrize(
    ("cause", "message"),
    [
        (PlantedCause("poltergeist", "lisbon", MARCH), "no cause 'poltergeist'"),
        (PlantedCause("drift", "atlantis", MARCH), "no site 'atlantis'"),
        (PlantedCause("policy_update", "lisbon", MARCH, where={"policy": "parking"}), "no policy 'parking' at lisbon"),
        (PlantedCause("one_rater", "lisbon", MARCH, where={"rater": "r-9999"}), "no rater 'r-9999' at lisbon"),
        (PlantedCause("mix_shift", "lisbon", MARCH, where={"team": "team-1"}), "a mix_shift concerns queue"),
        (PlantedCause("mix_shift", "lisbon", MARCH, where={"queue": "letters"}), "no queue 'letters'"),
    ],
)
def test_what_cannot_be_planted_is_named(cause, message):
    with pytest.raises(ValueError, match=message):
        simulate_audits(sites=["lisbon"], audits_per_month=100, causes=[cause])


def test_a_start_within_a_month_and_an_impossible_rate_are_refused():
    for wish in ({"start": date(2026, 1, 2)}, {"error_rate": 0.7}):
        with pytest.raises(ValueError, match="must be the first of a month"):
            simulate_audits(**wish)


def test_years_of_audits_renew_the_raters_and_keep_the_rate():
    cause = PlantedCause("one_rater", "oslo", date(2025, 11, 1))
    simulation = simulate_audits(sites=["oslo"], start=date(2023, 1, 1), months=36, causes=[cause], seed=2)
    audits = proportional(simulation.audits[simulation.audits["day"] < "2025-11-01"])
    assert audits["tenure_days"].between(0, 729).all()
    # 34 months of 4,200 audits: standard error 0.0008 with the weights, and some more by raters.
    assert weighted_rate(audits) == pytest.approx(0.06, abs=0.004)
