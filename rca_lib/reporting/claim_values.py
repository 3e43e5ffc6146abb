"""The values of claims: numbers as people write them in tables and slides, with the digits they were rounded to.

A value may be a number ("93.0 %", "−1.2 pp", "1,500"), a bound ("at least 95 %", "< 5 %") or a direction ("fell").
A number without a unit can mean a share or per cent; both readings are returned, and the check says which one it took.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["share", "change", "count"]
Bound = Literal["=", "<", "<=", ">", ">="]

LEVELS: dict[str, tuple[str, ...]] = {
    "accuracy": ("accuracy rate", "quality", "quality score", "qa score"),
    "error_rate": ("errors per audit", "defect rate", "share wrong"),
    "over_enforcement": ("over enforcement rate", "false positive rate", "false positives", "fpr"),
    "under_enforcement": ("under enforcement rate", "false negative rate", "false negatives", "fnr", "miss rate"),
    "severity_weighted_accuracy": ("severity weighted quality",),
}
SHARES: dict[str, tuple[str, ...]] = {"share_of_errors": ("error share", "share of all errors", "part of errors")}
COUNTS: dict[str, tuple[str, ...]] = {
    "audits": ("audit count", "number of audits", "sample size", "sample", "n", "items"),
    "errors": ("error count", "number of errors", "defects"),
    "raters": ("rater count", "number of raters", "moderators", "agents"),
}
KINDS: dict[str, Kind] = {
    **dict.fromkeys((*LEVELS, *SHARES), "share"),
    **{f"change_in_{name}": "change" for name in LEVELS},
    **dict.fromkeys(COUNTS, "count"),
}
CHANGE = re.compile(
    r"(?P<word>change|difference|increase|rise|gain|decrease|drop|fall|decline|loss) (?:in|of) (?P<of>.+)"
    r"|(?P<of2>.+) (?P<word2>change|difference|increase|rise|gain|decrease|drop|fall|decline|loss)"
)
DECREASES = ("decrease", "drop", "fall", "decline", "loss")
BOUNDS: dict[str, Bound] = {
    "at least": ">=", "at most": "<=", "no more than": "<=", "no less than": ">=", "more than": ">", "less than": "<",
    "above": ">", "over": ">", "below": "<", "under": "<", ">=": ">=", "<=": "<=", "≥": ">=", "≤": "<=",
    ">": ">", "<": "<",
}  # fmt: skip
DIRECTIONS: dict[str, Bound] = {
    **dict.fromkeys(("fell", "declined", "decreased", "dropped", "down", "lower"), "<"),
    **dict.fromkeys(("rose", "increased", "up", "higher"), ">"),
}
NUMBER = re.compile(
    r"(?:about|around|approx\.?|ca\.?|~|≈)?\s*(?P<sign>[+\-−–]?)\s*(?P<digits>\d[\d.,' \u00a0\u202f]*|\.\d+)\s*"
    r"(?P<unit>%|per cent|percent|pp|pts?|ppts?|points?|percentage points?)?\.?"
)


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read a value: `value` as a share or a count, known to within `half_unit`; `told` names the reading."""

    value: float
    half_unit: float
    bound: Bound = "="
    told: str = ""


def name_metric(text: str) -> tuple[str, float]:
    """Return the standard name of a metric, and −1 where it counts a decrease as positive.

    Raises
    ------
    ValueError
        If the metric is not known; the message names the nearest.

    Examples
    --------
    >>> name_metric("Error rate"), name_metric("drop in accuracy"), name_metric("Sample size")
    (('error_rate', 1.0), ('change_in_accuracy', -1.0), ('audits', 1.0))
    """
    plain = " ".join(re.findall(r"[a-z0-9]+", text.lower()))
    known = {alias: name for table in (LEVELS, SHARES, COUNTS) for name, aliases in table.items() for alias in aliases}
    known |= {name.replace("_", " "): name for name in KINDS}
    if plain in known:
        return known[plain], 1.0
    found = CHANGE.fullmatch(plain)
    if found and (level := known.get(found["of"] or found["of2"])) in LEVELS:
        return f"change_in_{level}", -1.0 if (found["word"] or found["word2"]) in DECREASES else 1.0
    near = difflib.get_close_matches(plain, known, 1)
    raise ValueError(f"the metric {text!r} is not known{f'; nearest: {known[near[0]]}' if near else ''}")


def read_value(text: str, kind: Kind) -> tuple[Reading, ...]:
    """Read a value in every way it can be meant, the likeliest first.

    Parameters
    ----------
    text
        A number with or without unit, a bound or a direction.
    kind
        "share" for rates, "change" for differences of rates, "count".

    Returns
    -------
    tuple of Reading
        Two readings where a number of at most 1 has no unit and stands for a rate or a change.

    Raises
    ------
    ValueError
        If there is no number in it, or it says that nothing changed.

    Examples
    --------
    >>> [(reading.value, reading.half_unit) for reading in read_value("93.0 %", "share")]
    [(0.93, 0.0005)]
    >>> [reading.told for reading in read_value("0.9", "share")]
    ['read as a share', 'read as per cent']
    """
    plain = " ".join(text.lower().split())
    if plain in ("unchanged", "no change", "stable", "flat", "same"):
        raise ValueError("that nothing changed cannot be checked; claim that the change is at most a margin")
    if plain in DIRECTIONS:
        return (Reading(0.0, 0.0, DIRECTIONS[plain]),)
    word = next((word for word in BOUNDS if plain.startswith(word)), "")
    found = NUMBER.fullmatch(plain.removeprefix(word).strip())
    if not found:
        raise ValueError(f"there is no number in the value {text!r}" if text else "the value is empty")
    number, decimals = _read_number(found["digits"], kind)
    number *= -1 if found["sign"] in ("-", "−", "–") else 1
    bound = BOUNDS.get(word, "=")
    if kind == "count":
        return (Reading(number, 0.5 * 10.0**-decimals if decimals else 0.0, bound),)
    half = 0.5 * 10.0**-decimals
    percent = Reading(round(number / 100, 15), round(half / 100, 15), bound)
    if found["unit"] or abs(number) > 1:
        return (percent,)
    told = "read as per cent" if kind == "share" else "read as percentage points"
    return Reading(number, half, bound, "read as a share"), Reading(percent.value, percent.half_unit, bound, told)


def read_tolerance(text: str, kind: Kind) -> float:
    """Return a tolerance in the unit of a reading, 0 where none is given.

    Examples
    --------
    >>> read_tolerance("0.5 pp", "share"), read_tolerance("", "count"), read_tolerance("±10", "count")
    (0.005, 0.0, 10.0)
    """
    if not text.strip():
        return 0.0
    readings = read_value(text.strip().lstrip("±").strip(), kind)
    return abs(readings[-1].value)  # the stricter reading where there are two


def _read_number(digits: str, kind: Kind) -> tuple[float, int]:
    """Return a number and how many decimals were written; a comma may separate thousands or decimals."""
    plain = re.sub(r"['\s]", "", digits).rstrip(".,")
    marks = [mark for mark in plain if mark in ".,"]
    if len(set(marks)) == 2:  # the last mark is the decimal mark: 1,234.5 or 1.234,5
        plain = plain.replace(marks[0], "").replace(marks[-1], ".")
    elif marks and (len(marks) > 1 or (kind == "count" and re.fullmatch(r"[1-9]\d{0,2}[.,]\d{3}", plain))):
        plain = plain.replace(marks[0], "")
    else:
        plain = plain.replace(",", ".")
    return float(plain), len(plain.partition(".")[2])
