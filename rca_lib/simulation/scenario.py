# Tested in tests/simulation/test_synthetic_audits.py.
"""The scenario behind synthetic audits: the people and work of a site, and the effect of each planted cause."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit

from rca_lib.findings import EMPTY_SLICE

Arrays = dict[str, np.ndarray]

SITE_PARAMETERS: dict[str, Any] = json.loads((Path(__file__).parent / "scenario.json").read_text(encoding="utf-8"))
LABELS, QUEUES, CAUSE_KINDS = (
    tuple(SITE_PARAMETERS["labels"]),
    tuple(SITE_PARAMETERS["queues"]),
    tuple(SITE_PARAMETERS["causes"]),
)
SHIFTS = ("early", "day", "late")

_QUEUE_SHARES, _QUEUE_DIFFICULTY = (
    np.array(SITE_PARAMETERS["queue_shares"]),
    np.array(SITE_PARAMETERS["queue_hardness"]),
)
_POLICY_DIFFICULTY, _PREVALENCE = (
    np.array(SITE_PARAMETERS["policy_hardness"]),
    np.array(SITE_PARAMETERS["policy_prevalence"]),
)
_SKILL_SD, _DIFFICULTY_SD, _LATE_SHIFT_EFFECT, _FIRST_MONTH_EFFECT, _FIRST_QUARTER_EFFECT = 0.35, 0.5, 0.1, 0.4, 0.15
_SEATS, _SEAT_DAYS, _TEAMS = 60, 730, 6
_CLASS_RATERS, _CLASS_SHARE, _STALE_SHARE, _DRIFT_DAYS = 12, 0.18, 0.7, 30
_DRAWS = ("queue", "policy", "violating", "seat", "class", "error", "how", "tool", "truth", "second")


@dataclass(frozen=True, slots=True)
class PlantedCause:
    """Something that is made to happen at a site, from the day `start` to the day `end` (both included).

    What `size` means, by `kind`, and what an empty `where` becomes (chosen from the seed): "policy_update" the factor
    on the odds of an error in one policy; "hiring_class" the same for a class of new raters over other new starters
    (the class stays after `end`); "one_rater" the same for one of the busiest raters; "drift" the factor on everybody's
    odds that is reached after 30 days, growing on as steadily; "tool_release" the share of one queue's labels that are
    saved as benign; "mix_shift" the share of the volume that the hardest queue takes; "truth_change" the share of one
    policy's benign items that audits, under a later version than was in force, call violating; "sampling_change" the
    share of rejected decisions in the stratified sample.
    """

    kind: str
    site: str
    start: date
    end: date | None = None
    size: float = np.nan  # the usual size of the kind
    where: Mapping[str, str] = field(default_factory=lambda: EMPTY_SLICE)


@dataclass(frozen=True, slots=True)
class SimulatedSite:
    """What a site is made of: `staff` has a row per rater; `first_day` is day 0 of all day numbers."""

    name: str
    number: int
    zone: str
    first_day: date
    staff: pd.DataFrame
    seat_shares: np.ndarray
    policy_shares: np.ndarray
    causes: tuple[PlantedCause, ...]


def create_site(
    name: str, number: int, causes: Sequence[PlantedCause], first_day: date, days: int, seed: int
) -> SimulatedSite:
    """Staff a site and complete its planted causes; `number` makes the names of its raters unique among sites."""
    rng = make_rng(name, seed, "site")
    profile = SITE_PARAMETERS["places"].get(name, SITE_PARAMETERS["places"][""])
    seat_shares = rng.lognormal(0, 0.35, _SEATS)
    policy_shares = np.array(SITE_PARAMETERS["policy_shares"]) * rng.lognormal(0, 0.3, (len(QUEUES), len(LABELS) - 1))
    staff = _hire_raters([cause for cause in causes if cause.kind == "hiring_class"], first_day, days, rng)
    codes = 1000 * number + make_rng(name, seed, "names").permutation(1000)[: len(staff)]
    staff["rater"] = [f"r-{code:04d}" for code in codes]
    staff["vendor"] = np.array(profile["vendors"])[staff["seat"] % _TEAMS * len(profile["vendors"]) // _TEAMS]
    staff["language"] = np.array(profile["languages"])[staff["seat"] % len(profile["languages"])]
    staff["market"] = staff["language"].str[-2:]
    policy_shares /= policy_shares.sum(axis=1, keepdims=True)
    site = SimulatedSite(
        name, number, profile["zone"], first_day, staff, seat_shares / seat_shares.sum(), policy_shares, ()
    )
    return replace(site, causes=tuple(_complete_cause(cause, site, days, seed) for cause in causes))


def make_rng(site: str, seed: int, purpose: str) -> np.random.Generator:
    """Return the random generator of one site and purpose, independent of all other draws."""
    return np.random.default_rng([seed, crc32(site.encode()), crc32(purpose.encode())])


def draw_decisions(site: SimulatedSite, day: np.ndarray, *, error_rate: float, seed: int) -> Arrays:
    """Draw a decision for each entry of `day` (numbers of days), with the site's causes at work.

    Every draw is made whether a cause uses it or not, and `error_rate` is met every 30 days before the causes work: the
    same seed without a cause gives the same decisions but for what the cause did.

    Returns
    -------
    dict of arrays
        An entry per decision: `queue`, `policy` (why it was reported), `truth`, `label`: codes; `rater`: row of the
        staff; `tenure` in days; `second` of the shift; `difficulty` of the item and `hardness` (the logit of an error
        without causes); `why`: 1 + the index in `CAUSE_KINDS` of what made the error, else 0; `version` of the policy;
        `stale` where the audit uses the next one; `standard`: what an audit without mistakes calls the item.
    """
    rng = make_rng(site.name, seed, "decisions")
    chance = dict(zip(_DRAWS, rng.random((len(_DRAWS), len(day))), strict=True))
    difficulty = rng.normal(0, _DIFFICULTY_SD, len(day))
    plain = _compute_error_logit(_assign_work(site, day, chance, ()), site) + difficulty
    level = np.empty(len(day))
    for month in (day // 30 == number for number in range(day.max() // 30 + 1)):
        level[month] = _solve_intercept(plain[month], error_rate)
    rows = _assign_work(site, day, chance, site.causes) | {"difficulty": difficulty}
    rows["hardness"] = _compute_error_logit(rows, site) + difficulty + level
    rows["second"] = (chance["second"] * 8 * 3600).astype(int)
    _draw_labels(rows, site, chance)
    _apply_nonrater_causes(rows, site, chance)
    return rows


def list_events(sites: Sequence[str], start: date, causes: Sequence[PlantedCause]) -> pd.DataFrame:
    """Return the calendar: at each site a refresher course, which does nothing, and the causes that people know of."""
    course = start + timedelta(days=12)
    rows: list[tuple[str, date, date | None, str, str]] = [
        ("training_wave", course, None, f"site={site};team=team-1", "Refresher course for team-1") for site in sites
    ]
    for cause in causes:
        known = SITE_PARAMETERS["causes"][cause.kind]
        if "event" in known:
            scope = ";".join(f"{name}={value}" for name, value in {"site": cause.site, **cause.where}.items())
            title = known["title"].format(", ".join(cause.where.values()))
            rows.append((known["event"], cause.start, cause.end, scope, title))
    events = pd.DataFrame(rows, columns=["type", "start", "end", "scope", "title"])
    events = events.astype({"start": "datetime64[us]", "end": "datetime64[us]"})
    events = events.sort_values(["start", "scope"], kind="stable", ignore_index=True)
    events.insert(0, "event_id", [f"e-{number:03d}" for number in range(1, len(events) + 1)])
    return events.assign(visibility="all")


def is_active(cause: PlantedCause, site: SimulatedSite, day: np.ndarray, *, forever: bool = False) -> np.ndarray:
    """Return for each day number whether the cause is at work or, with `forever`, has begun."""
    last = np.inf if forever or cause.end is None else (cause.end - site.first_day).days
    return (day >= (cause.start - site.first_day).days) & (day <= last)


def get_confused_policy(policy: np.ndarray) -> np.ndarray:
    """Return the policy that each policy is confused with."""
    return policy % (len(LABELS) - 1) + 1


def draw_categories(shares: Sequence[float] | np.ndarray, chance: np.ndarray) -> np.ndarray:
    """Return for each number between 0 and 1 the place that it falls into, the places being as wide as `shares`."""
    return np.searchsorted(np.cumsum(shares)[:-1], chance, side="right")


def _hire_raters(classes: Sequence[PlantedCause], first_day: date, days: int, rng: np.random.Generator) -> pd.DataFrame:
    """Fill every seat for two years at a time, evenly staggered, so that tenures keep their distribution.

    Who takes a seat is as skilled as who left it: where nothing is planted, turnover alone must not move the rate.
    """
    seat, generations = np.arange(_SEATS), 2 + days // _SEAT_DAYS
    hired = rng.permutation(_SEATS) * _SEAT_DAYS // _SEATS + _SEAT_DAYS * (np.arange(generations)[:, None] - 1)
    skill = rng.normal(0, _SKILL_SD, _SEATS)
    regular = {"seat": np.tile(seat, generations), "hired": hired.ravel(), "skill": np.tile(skill, generations)}
    start = pd.Timestamp(first_day) + pd.to_timedelta(pd.Series(hired.ravel()), unit="D")
    staff_tables = [
        pd.DataFrame(regular).assign(hiring_class=start.dt.year.astype(str) + "-Q" + start.dt.quarter.astype(str))
    ]
    for cause in classes:
        recruits = {"seat": seat[:_CLASS_RATERS], "skill": rng.normal(0, _SKILL_SD, _CLASS_RATERS)}
        begins = (cause.start - first_day).days
        staff_tables.append(pd.DataFrame(recruits).assign(hired=begins, hiring_class=_format_hiring_class(cause)))
    staff = pd.concat(staff_tables, ignore_index=True)
    staff["team"] = "team-" + (staff["seat"] % _TEAMS + 1).astype(str)
    staff["shift"] = np.array(SHIFTS)[staff["seat"] // _TEAMS % len(SHIFTS)]
    return staff


def _format_hiring_class(cause: PlantedCause) -> str:
    return cause.where.get("hiring_class", f"{cause.start:%Y-%m}")


def _complete_cause(cause: PlantedCause, site: SimulatedSite, days: int, seed: int) -> PlantedCause:
    """Fill in the size and the place; what nobody chose is drawn among the larger ones, so that it can be seen."""
    rng, world = make_rng(site.name, seed, f"{cause.kind} {cause.start}"), SITE_PARAMETERS["causes"][cause.kind]
    begins, hired = max((cause.start - site.first_day).days, 0), site.staff["hired"].to_numpy()
    raters = np.arange(_SEATS) + _SEATS * ((begins - hired[:_SEATS]) // _SEAT_DAYS)
    staying = raters[hired[raters] + _SEAT_DAYS >= min(days, begins + 90)]
    busiest = staying[np.argsort(-site.seat_shares[staying % _SEATS])][:5]
    usual = {"policy": LABELS[1 + rng.integers(3)], "queue": QUEUES[rng.integers(3)]}
    usual |= {"rater": site.staff["rater"][rng.choice(busiest)], "hiring_class": _format_hiring_class(cause)}
    if cause.kind == "mix_shift":
        usual["queue"] = QUEUES[int(np.argmax(_QUEUE_DIFFICULTY))]
    if cause.kind in ("mix_shift", "sampling_change") and not set(cause.where) <= set(world["where"]):
        concerns = " and ".join(world["where"]) or "a whole site"
        raise ValueError(f"a {cause.kind} concerns {concerns}, not {dict(cause.where)}")
    where = {name: usual[name] for name in world["where"]} | dict(cause.where)
    for name, value in where.items():
        if value not in _list_values(name, site):
            raise ValueError(f"no {name} {value!r} at {site.name} to plant a {cause.kind} in")
    return replace(cause, size=world["size"] if np.isnan(cause.size) else cause.size, where=where)


def _list_values(column: str, site: SimulatedSite) -> tuple[str, ...]:
    return {"policy": LABELS[1:], "queue": QUEUES}.get(column, tuple(site.staff.get(column, ())))


def _solve_intercept(logit: np.ndarray, rate: float) -> float:
    """Return the intercept that gives the logits a mean probability of `rate`; 0 where there are none."""
    return brentq(lambda shift: expit(logit + shift).mean() - rate, -20, 20, xtol=1e-9) if len(logit) else 0.0


def _assign_work(site: SimulatedSite, day: np.ndarray, chance: Arrays, causes: Sequence[PlantedCause]) -> Arrays:
    """Assign queue, policy and rater to each decision; only mix shifts and hiring classes change them."""
    queue, hired = draw_categories(_QUEUE_SHARES, chance["queue"]), site.staff["hired"].to_numpy()
    seat = draw_categories(site.seat_shares, chance["seat"])
    rater = seat + _SEATS * ((day - hired[seat]) // _SEAT_DAYS)
    newest = chance["class"] / _CLASS_SHARE
    for cause in causes:
        if cause.kind == "mix_shift":
            harder = np.array(QUEUES) == cause.where["queue"]
            shares = np.where(harder, cause.size, (1 - cause.size) * _QUEUE_SHARES / _QUEUE_SHARES[~harder].sum())
            queue = np.where(is_active(cause, site, day), draw_categories(shares, chance["queue"]), queue)
        elif cause.kind == "hiring_class":
            joined = is_active(cause, site, day, forever=True) & (newest >= 0) & (newest < 1)
            first = np.flatnonzero(site.staff["hiring_class"] == cause.where["hiring_class"])[0]
            rater = np.where(joined, first + (newest * _CLASS_RATERS).astype(int), rater)
            newest = newest - 1
    steps = np.cumsum(site.policy_shares, axis=1)[:, :-1]
    policy = 1 + sum((chance["policy"] >= steps[queue, index]).astype(int) for index in range(steps.shape[1]))
    truth, tenure = np.where(chance["violating"] < _PREVALENCE[policy - 1], policy, 0), day - hired[rater]
    return {"day": day, "queue": queue, "policy": policy, "rater": rater, "tenure": tenure, "truth": truth}


def _compute_error_logit(rows: Arrays, site: SimulatedSite) -> np.ndarray:
    people = site.staff["skill"] + np.where(site.staff["shift"] == "late", _LATE_SHIFT_EFFECT, 0.0)
    green = np.where(
        rows["tenure"] <= 30, _FIRST_MONTH_EFFECT, np.where(rows["tenure"] <= 90, _FIRST_QUARTER_EFFECT, 0.0)
    )
    work = _POLICY_DIFFICULTY[rows["policy"] - 1] + _QUEUE_DIFFICULTY[rows["queue"]]
    return people.to_numpy()[rows["rater"]] + green + work


def _is_affected(cause: PlantedCause, rows: Arrays, site: SimulatedSite, *, forever: bool = False) -> np.ndarray:
    """Return a mask of the decisions that the cause concerns, in its slice and time."""
    inside = is_active(cause, site, rows["day"], forever=forever)
    for name, value in cause.where.items():
        codes = {"policy": rows["policy"] - 1, "queue": rows["queue"]}.get(name, rows["rater"])
        inside = inside & (np.array(_list_values(name, site)) == value)[codes]
    return inside


def _draw_labels(rows: Arrays, site: SimulatedSite, chance: Arrays) -> None:
    """Draw the raters' labels: causes raise the odds of an error; the cause of each extra error is recorded."""
    logit, why, version = rows["hardness"], np.zeros(len(rows["day"]), int), 1 + rows["policy"] % 3
    wrong = chance["error"] < expit(logit)
    for cause in site.causes:
        if cause.kind not in ("policy_update", "hiring_class", "one_rater", "drift"):
            continue
        elapsed = (rows["day"] - (cause.start - site.first_day).days) / _DRIFT_DAYS if cause.kind == "drift" else 1.0
        logit = logit + np.where(_is_affected(cause, rows, site), np.log(cause.size) * elapsed, 0.0)
        before, wrong = wrong, chance["error"] < expit(logit)
        why[wrong & ~before] = 1 + CAUSE_KINDS.index(cause.kind)
        if cause.kind == "policy_update":
            version = version + _is_affected(cause, rows, site, forever=True)
    missed = np.where(chance["how"] < 0.65, 0, get_confused_policy(rows["policy"]))
    imagined = np.where(chance["how"] < 0.8, rows["policy"], get_confused_policy(rows["policy"]))
    rows["label"] = np.where(wrong, np.where(rows["truth"] > 0, missed, imagined), rows["truth"])
    rows |= {"why": why, "version": version}


def _apply_nonrater_causes(rows: Arrays, site: SimulatedSite, chance: Arrays) -> None:
    """Apply tool faults and audits under a later policy version: errors that no rater made."""
    rows |= {"standard": rows["truth"], "stale": np.zeros(len(rows["day"]), bool)}
    for cause in site.causes:
        if cause.kind == "tool_release":
            lost = _is_affected(cause, rows, site) & (chance["tool"] < cause.size) & (rows["label"] > 0)
            rows["label"] = np.where(lost, 0, rows["label"])
            rows["why"][lost] = 1 + CAUSE_KINDS.index(cause.kind)
        elif cause.kind == "truth_change":
            later = _is_affected(cause, rows, site) & (chance["truth"] < max(cause.size, _STALE_SHARE))
            flipped = later & (chance["truth"] < cause.size) & (rows["truth"] == 0)
            rows["stale"] = rows["stale"] | later
            rows["standard"] = np.where(flipped, rows["policy"], rows["standard"])
            rows["why"][flipped] = 1 + CAUSE_KINDS.index(cause.kind)
