"""Synthetic audits with known truth: the audits of some sites, with causes planted in them or none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

from rca_lib.audits.schema import AUDIT_COLUMNS, TENURE_BANDS, list_columns
from rca_lib.simulation import scenario
from rca_lib.simulation.scenario import CAUSE_KINDS, LABELS, SITE_PARAMETERS, Arrays, PlantedCause, SimulatedSite

_REJECTED_SHARE, _SECOND_AUDIT_SHARE, _AUDITOR_ERROR, _AMBIGUOUS_SHARE, _AUDITORS = 0.5, 0.04, 0.02, 0.08, 8
_DECISIONS_PER_AUDIT, _DRAWN_PER_AUDIT, _OVERLAP_ITEMS = 25, 2, 150


@dataclass(frozen=True, slots=True)
class Simulation:
    """Audits and the tables that go with them, as in the contract, and the causes as they were planted.

    `audits` has a row per audit with the automatic columns `day`, `tenure` and `error`, times in UTC without zone.
    Random and stratified audits each stand for all decisions of their site and month: `weight` is the number of
    decisions of the stratum over the audits taken from it; rows of other streams stand for themselves (1.0).
    """

    audits: pd.DataFrame
    events: pd.DataFrame
    targets: pd.DataFrame
    population: pd.DataFrame
    ratings: pd.DataFrame
    causes: tuple[PlantedCause, ...]


def simulate_audits(
    *,
    sites: Sequence[str] = ("lisbon", "manila", "bogota", "krakow"),
    start: date = date(2026, 1, 1),
    months: int = 3,
    audits_per_month: int = 5000,
    causes: Sequence[PlantedCause] = (),
    error_rate: float = 0.06,
    seed: int = 0,
) -> Simulation:
    """Simulate the audits of some sites and months, with causes planted in them.

    Parameters
    ----------
    sites, start, months
        Names of sites; the first day of a month; how many months.
    audits_per_month
        Audits per site and month, second audits (one in 26) included.
    causes
        The causes to plant; none by default.
    error_rate
        Probability that label and recorded truth differ, over all decisions where nothing is planted; up to 2 points
        of it are the auditors' errors.
    seed
        The same seed gives the same audits. Sites draw independently: a cause at one does not change the others.

    Raises
    ------
    ValueError
        If a cause is of no known kind, at no simulated site or in a place that the site does not have.

    Examples
    --------
    >>> update = PlantedCause("policy_update", "lisbon", date(2026, 3, 9), where={"policy": "spam"})
    >>> simulation = simulate_audits(sites=["lisbon"], audits_per_month=1000, causes=[update])
    >>> len(simulation.audits), simulation.causes[0].size, simulation.events["title"].tolist()
    (3000, 3.0, ['Refresher course for team-1', 'New version of the policy spam'])
    """
    _validate_arguments(sites, start, causes, error_rate)
    edges = pd.date_range(start, periods=months + 1, freq="MS")
    bounds = [int(days) for days in (edges - edges[0]).days]
    simulated_sites = [
        scenario.create_site(name, number, [cause for cause in causes if cause.site == name], start, bounds[-1], seed)
        for number, name in enumerate(sites)
    ]
    parts = [_simulate_site(site, bounds, audits_per_month, error_rate, seed) for site in simulated_sites]
    audits, ratings = (pd.concat(tables, ignore_index=True) for tables in zip(*parts, strict=True))
    planted = tuple(cause for site in simulated_sites for cause in site.causes)
    events, targets = scenario.list_events(sites, start, planted), _build_targets(start, error_rate)
    return Simulation(audits, events, targets, _count_population(audits), ratings, planted)


def simulate_demo(seed: int = 1) -> Simulation:
    """Simulate the demo: four sites, January to March 2026, a cause in February and in March but none at krakow.

    January has no cause, because there is nothing before it to compare with. No rater cause and no drift is planted.
    """
    causes = [
        PlantedCause(kind, site, date.fromisoformat(start), date.fromisoformat(end) if end else None, size)
        for kind, site, start, end, size in SITE_PARAMETERS["demo"]
    ]
    return simulate_audits(causes=causes, seed=seed)


def write_simulation(simulation: Simulation, folder: Path | str) -> None:
    """Write audits.csv, events.csv, targets.csv, population.csv and ratings.csv as a platform would export them.

    The intake adds the automatic columns. Times end in Z for UTC. Hostile comments stay as they are, as in a real
    export; the intake makes them harmless.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name in ("audits", "events", "targets", "population", "ratings"):
        table = getattr(simulation, name).drop(columns=[*list_columns(AUDIT_COLUMNS, "automatic")], errors="ignore")
        for moment in {"decided_at", "audited_at", "rated_at"} & set(table):
            table[moment] = np.char.add(np.datetime_as_string(table[moment].to_numpy("datetime64[s]")), "Z")
        table.to_csv(Path(folder) / f"{name}.csv", index=False, lineterminator="\n", encoding="utf-8")


def _validate_arguments(sites: Sequence[str], start: date, causes: Sequence[PlantedCause], error_rate: float) -> None:
    for cause in causes:
        if cause.kind not in CAUSE_KINDS:
            raise ValueError(f"no cause {cause.kind!r}; plant one of {', '.join(CAUSE_KINDS)}")
        if cause.site not in sites:
            raise ValueError(f"no site {cause.site!r} to plant a {cause.kind} at; simulated are {', '.join(sites)}")
    if start.day != 1 or not 0 < error_rate < 0.5:
        raise ValueError(f"start {start} must be the first of a month, error_rate {error_rate} between 0 and 0.5")


def _simulate_site(
    site: SimulatedSite, bounds: Sequence[int], audits_per_month: int, error_rate: float, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    first_round = round(audits_per_month / (1 + _SECOND_AUDIT_SHARE))
    rng, days = scenario.make_rng(site.name, seed, "days"), []
    for month in (np.arange(*ends) for ends in pairwise(bounds)):
        traffic = np.array(SITE_PARAMETERS["weekdays"])[(site.first_day.weekday() + month) % 7]
        days.append(rng.choice(month, _DRAWN_PER_AUDIT * first_round, p=traffic / traffic.sum()))
    auditors_part = min(_AUDITOR_ERROR, error_rate / 3)
    # Where both err on an item they agree in 7 of 10 cases, and no error shows: rate = r + a - 1.7 r a.
    raters_part = (error_rate - auditors_part) / (1 - 1.7 * auditors_part)
    rows = scenario.draw_decisions(site, np.concatenate(days), error_rate=raters_part, seed=seed)
    samples = list(_draw_sample(rows, site, len(days), _DECISIONS_PER_AUDIT * audits_per_month, seed))
    sample = {name: np.concatenate([pick[name] for pick in samples]) for name in samples[0]}
    sample |= {name: values[sample["place"]] for name, values in rows.items()}
    rng = scenario.make_rng(site.name, seed, "audits")
    sample = _simulate_audit(sample, auditors_part, (audits_per_month - first_round) * len(days), rng)
    return _build_audit_table(sample, site, rng), _simulate_overlap_sample(
        sample, site, _OVERLAP_ITEMS * len(days), rng
    )


def _draw_sample(rows: Arrays, site: SimulatedSite, months: int, decisions: int, seed: int) -> Iterator[Arrays]:
    """Draw the audits of each month and sampling plan: which decisions, by which stream and stratum, at what weight."""
    rng, plan = scenario.make_rng(site.name, seed, "sample"), np.zeros(len(rows["day"]), int)
    shares = [_REJECTED_SHARE]
    for cause in (cause for cause in site.causes if cause.kind == "sampling_change"):
        plan[scenario.is_active(cause, site, rows["day"])] = len(shares)
        shares.append(cause.size)
    for month in np.split(np.arange(len(plan)), months):
        for number, share in enumerate(shares):
            members = rng.permutation(month[plan[month] == number])
            picked = _select_sample(
                members, rows, share, SITE_PARAMETERS["changed_sampling_plan" if number else "sampling_plan"], rng
            )
            stands_for = round(decisions * len(members) / len(month))
            rejected = round(stands_for * np.sum(rows["label"][members] > 0) / max(len(members), 1))
            sizes = np.array([0, stands_for, stands_for - rejected, rejected, 0, 0])
            weights = np.where(sizes > 0, sizes / np.bincount(picked, minlength=6).clip(1), 1.0)
            suffix = f", plan {number + 1}" if number else ""
            strata = np.array(["", f"any{suffix}", f"accepted{suffix}", f"rejected{suffix}", "", ""])
            place, code = members[picked > 0], picked[picked > 0]
            stream = np.array([0, 0, 1, 1, 2, 3])[code]
            yield {"place": place, "stream": stream, "stratum": strata[code], "weight": weights[code]}


def _select_sample(
    members: np.ndarray, rows: Arrays, share: float, plan: Sequence[float], rng: np.random.Generator
) -> np.ndarray:
    """Pick from shuffled decisions: 1 at random, 2 accepted, 3 rejected, 4 by risk, 5 by difficulty; 0 not at all."""
    chance, stratified, targeted, gold = (round(len(members) / _DRAWN_PER_AUDIT * part) for part in plan)
    picked, rejected, many = np.zeros(len(members), int), rows["label"][members] > 0, round(share * stratified)
    picked[:chance] = 1
    for code, inside, count in ((2, ~rejected, stratified - many), (3, rejected, many)):
        picked[np.flatnonzero((picked == 0) & inside)[:count]] = code
    for code, risk, count in ((5, 6 * rows["difficulty"], gold), (4, 2.5 * rows["hardness"], targeted)):
        remaining = np.flatnonzero(picked == 0)
        # The largest sums of risk and Gumbel noise are a draw without replacement in proportion to exp(risk).
        order = np.argsort(-risk[members[remaining]] - rng.gumbel(size=len(remaining)))
        picked[remaining[order[:count]]] = code
    return picked


def _simulate_audit(sample: Arrays, share: float, seconds: int, rng: np.random.Generator) -> Arrays:
    """Add blind second audits, record a truth for each audit, a wrong one in `share` of them; order by decision."""
    first = len(sample["day"])
    again = rng.choice(np.flatnonzero(sample["stream"] < 2), seconds, replace=False)
    auditor = rng.integers(_AUDITORS, size=first)
    other = (auditor[again] + rng.integers(1, _AUDITORS, seconds)) % _AUDITORS
    index = np.concatenate([np.arange(first), again])
    sample = {name: values[index] for name, values in sample.items()}
    sample |= {"round": 1 + (np.arange(len(index)) >= first), "auditor": np.concatenate([auditor, other])}
    order = np.lexsort([sample[name] for name in ("round", "place", "second", "day")])
    sample = {name: values[order] for name, values in sample.items()}
    violating, policy = sample["standard"] > 0, sample["policy"]
    strictness = np.exp(rng.normal(0, 0.4, _AUDITORS))
    # The strict see violations that are none, the lenient overlook some; the mean over auditors is `share` in both.
    lean = np.stack([strictness / strictness.mean(), 1 / strictness / (1 / strictness).mean()])
    wrong = rng.random(len(index)) < share * lean[violating.astype(int), sample["auditor"]]
    wrong &= sample["stream"] < 3  # the truth of seeded items is known
    overlooked = np.where(rng.random(len(index)) < 0.7, 0, scenario.get_confused_policy(policy))
    sample["recorded"] = np.where(wrong, np.where(violating, overlooked, policy), sample["standard"])
    sample["error"] = (sample["label"] != sample["recorded"]).astype(int)
    sample["why"] = np.where(wrong, 1 + len(CAUSE_KINDS), sample["why"])
    return sample


def _build_audit_table(sample: Arrays, site: SimulatedSite, rng: np.random.Generator) -> pd.DataFrame:
    """Return a site's audits, a row each."""
    rows, label = len(sample["day"]), sample["label"]
    audits = _decode_columns(sample, site, rng).assign(site=site.name, decided_at=_decided_at(sample, site))
    audits["audit_id"] = "a-" + pd.Series(10_000_000 * (site.number + 1) + np.arange(rows)).astype("str")
    audits["item_id"] = _format_item_ids(sample["place"], site)
    delay = 86400 * (sample["round"] + 2 * rng.random(rows))
    audits["audited_at"] = audits["decided_at"] + pd.to_timedelta(delay.astype(int), unit="s")
    audits["stratum"] = pd.Series(sample["stratum"], dtype="str").replace("", None)
    slip = (rng.random(rows) < 0.015) & (label > 0)
    audits["action"] = _decode(SITE_PARAMETERS["actions"], label).mask(slip, "restrict")
    pace = 3.6 + 0.1 * sample["difficulty"] + 0.3 * (sample["tenure"] <= 30)
    audits["handle_seconds"] = np.exp(rng.normal(pace, 0.5)).round(1)
    audits["day"] = pd.Timestamp(site.first_day) + pd.to_timedelta(sample["day"], unit="D")
    numbers = {"weight": "weight", "error": "error", "audit_round": "round", "tenure_days": "tenure"}
    audits = audits.assign(blind=sample["round"] == 2, **{name: sample[key] for name, key in numbers.items()})
    staff = site.staff.iloc[sample["rater"]].reset_index(drop=True)
    audits = pd.concat([audits, staff, _simulate_error_annotations(sample, rng)], axis=1)
    return audits[[name for name in list_columns(AUDIT_COLUMNS) if name in audits]]


def _decode_columns(sample: Arrays, site: SimulatedSite, rng: np.random.Generator) -> pd.DataFrame:
    label, recorded, queue, version = (sample[name] for name in ("label", "recorded", "queue", "version"))
    usual, versions = rng.random(len(queue)) < 0.75, [f"v{number}" for number in range(50)]
    content = np.where(usual, np.array(SITE_PARAMETERS["content_of_queue"])[queue], rng.integers(3, size=len(queue)))
    codes = {
        "label": (LABELS, label),
        "truth": (LABELS, recorded),
        "queue": (SITE_PARAMETERS["queues"], queue),
        "workflow": (SITE_PARAMETERS["workflows"], queue),
        "stream": (SITE_PARAMETERS["streams"], sample["stream"]),
        "policy": (LABELS, np.where(recorded > 0, recorded, sample["policy"])),
        "severity": (SITE_PARAMETERS["severities"], recorded),
        "auditor": (_format_auditor_ids(site), sample["auditor"]),
        "policy_version_decided": (versions, version),
        "policy_version_audited": (versions, version + sample["stale"]),
        "true_action": (SITE_PARAMETERS["actions"], recorded),
        "content_type": (SITE_PARAMETERS["content_types"], content),
        "tenure": (TENURE_BANDS, np.searchsorted([30, 90, 365], sample["tenure"])),
    }
    return pd.DataFrame({name: _decode(names, positions) for name, (names, positions) in codes.items()})


def _decided_at(sample: Arrays, site: SimulatedSite) -> pd.Series:
    # Shifts of eight hours begin at 8:00, 9:30 and 11:00: by day in UTC too from Bogota to Manila, so that a reader who
    # declares no time zones gets the same days.
    opens = (8 + 1.5 * site.staff["shift"].map(scenario.SHIFTS.index)).to_numpy()[sample["rater"]]
    seconds = sample["day"] * 86400 + (opens * 3600).astype(int) + sample["second"]
    local = pd.Series(np.datetime64(site.first_day, "us") + seconds.astype("timedelta64[s]"))
    return local.dt.tz_localize(site.zone).dt.tz_convert("UTC").dt.tz_localize(None)


def _format_item_ids(positions: np.ndarray, site: SimulatedSite) -> pd.Series:
    return "i-" + pd.Series(10_000_000 * (site.number + 1) + positions).astype("str")


def _format_auditor_ids(site: SimulatedSite) -> list[str]:
    return [f"q-{_AUDITORS * site.number + code + 1:03d}" for code in range(_AUDITORS)]


def _decode(names: Sequence[str], codes: np.ndarray) -> pd.Series:
    return pd.Series(np.array(names, dtype=object)[codes], dtype="str")


def _simulate_error_annotations(sample: Arrays, rng: np.random.Generator) -> pd.DataFrame:
    """Return what people wrote about the errors: a dispute's fate, the causes that two coders saw, a comment."""
    positions = np.flatnonzero(sample["error"])
    why, label, recorded = (sample[name][positions] for name in ("why", "label", "recorded"))
    chance, slips = rng.random((8, len(positions))), SITE_PARAMETERS["slip_codes"]
    known = [cause["codes"] * len(slips) or slips for cause in SITE_PARAMETERS["causes"].values()]
    codes = np.array([slips, *known, SITE_PARAMETERS["wrong_truth_codes"] * len(slips)], dtype=object)
    code, mistake = (codes[row, (len(slips) * draw).astype(int)] for row, draw in ((why, chance[0]), (0, chance[1])))
    sentences = [
        [[text.format(label=a, truth=b) for b in LABELS] for a in LABELS] for text in SITE_PARAMETERS["verdicts"]
    ]
    verdict = np.where(recorded == 0, 0, np.where(label == 0, 1, 2))
    remark = pd.Series(code).map(SITE_PARAMETERS["remarks"]).to_numpy(dtype=object)
    comment = np.array(sentences, dtype=object)[verdict, label, recorded] + " " + remark
    hostile = np.array([*SITE_PARAMETERS["hostile_comments"], "see the whole thread; " * 200], dtype=object)
    comment = np.where(chance[2] < 0.02, hostile[(len(hostile) * chance[1]).astype(int)], comment)
    coded, twice = chance[3] < 0.4, chance[3] < 0.24
    written = {
        "dispute": _decode(
            list(SITE_PARAMETERS["disputes"]),
            scenario.draw_categories([*SITE_PARAMETERS["disputes"].values()], chance[4]),
        ),
        "cause_code": np.where(coded, np.where(chance[5] < 0.85, code, mistake), None),
        "cause_coder": np.array([None, "c-1"], object)[coded.astype(int)],
        "cause2_code": np.where(twice, np.where(chance[6] < 0.75, code, mistake), None),
        "cause2_coder": np.array([None, "c-2"], object)[twice.astype(int)],
        "comment": np.where(chance[7] < 0.6, comment, None),
    }
    table = pd.DataFrame(written, dtype="str").set_axis(positions).reindex(np.arange(len(sample["error"])))
    return table.fillna({"dispute": "none"})


def _simulate_overlap_sample(sample: Arrays, site: SimulatedSite, items: int, rng: np.random.Generator) -> pd.DataFrame:
    """Let up to four raters of the day (the first of them twice) and two auditors judge some random items, blind."""
    random = np.flatnonzero((sample["stream"] == 0) & (sample["round"] == 1))
    item = np.sort(rng.permutation(random)[:items])
    items = len(item)
    panel = sample["rater"][(item[:, None] + [1, 2, 3, 4, 1]) % len(sample["rater"])]
    auditors = np.argsort(rng.random((items, _AUDITORS)), axis=1)[:, :2]
    skill = site.staff["skill"].to_numpy()
    logit = (sample["hardness"][item] - skill[sample["rater"][item]])[:, None] + skill[panel]
    odds = np.hstack([expit(logit), np.full(auditors.shape, _AUDITOR_ERROR)])
    odds[rng.random(items) < _AMBIGUOUS_SHARE] = 0.45
    judged = {name: np.repeat(values[item], odds.shape[1]) for name, values in sample.items()}
    names, judge = [*site.staff["rater"], *_format_auditor_ids(site)], np.hstack([panel, len(skill) + auditors])
    other = np.where(judged["truth"] > 0, 0, judged["policy"])
    written = {
        "item_id": _format_item_ids(judged["place"], site),
        "rater": _decode(names, judge.ravel()),
        "role": np.tile(["rater"] * 5 + ["auditor"] * 2, items),
        "trial": np.tile([1, 1, 1, 1, 2, 1, 1], items),
        "rated_at": _decided_at(judged, site) + pd.to_timedelta(np.tile([2, 2, 2, 2, 4, 2, 2], items), unit="D"),
        "label": _decode(LABELS, np.where((rng.random(odds.shape) < odds).ravel(), other, judged["truth"])),
    }
    return pd.DataFrame(written).assign(blind=True).drop_duplicates(["item_id", "rater", "trial"])


def _count_population(audits: pd.DataFrame) -> pd.DataFrame:
    """Return a row per month, site and stratum: the decisions it holds, which its weights add up to."""
    designed = audits[(audits["audit_round"] == 1) & audits["stratum"].notna()]
    month = designed["day"].dt.to_period("M").rename("period")
    counts = designed.groupby([month, "site", "stratum"])["weight"].sum().round().astype("int64")
    return counts.rename("decisions").reset_index().astype({"period": "str"})


def _build_targets(start: date, error_rate: float) -> pd.DataFrame:
    """Return targets that the rate meets where nothing is planted: the contract allows a fifth more errors."""
    rows = [("accuracy", "at_least", *(1 - factor * error_rate for factor in (1.2, 1.0, 0.7)))]
    for metric in ("over_enforcement", "under_enforcement"):
        rows.append((metric, "at_most", *(factor * error_rate for factor in (1.6, 1.2, 0.8))))
    targets = pd.DataFrame(rows, columns=["metric", "direction", "contract", "realistic", "stretch"])
    return targets.round(4).assign(scope="", valid_from=start.isoformat(), min_audits=400)
