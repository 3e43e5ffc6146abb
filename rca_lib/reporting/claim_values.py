"""The values of claims: numbers as people write them in tables and slides, with the digits they were rounded to.

A value is a number ("93.0 %", "−1.2 pp", "1,500"), a limit ("at least 95 %", "< 5 %") or a direction ("fell"). A number
without a unit can be a share or a percentage. Both interpretations are returned; the check states which one it used.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, replace
from typing import Literal

MetricKind = Literal["share", "change", "count"]
Operator = Literal["=", "<", "<=", ">", ">="]

RATE_METRICS: dict[str, tuple[str, ...]] = {
    "accuracy": ("accuracy rate", "quality", "quality score", "qa score"),
    "error_rate": ("errors per audit", "defect rate", "share wrong"),
    "over_enforcement": ("over enforcement rate", "false positive rate", "false positives", "fpr"),
    "under_enforcement": ("under enforcement rate", "false negative rate", "false negatives", "fnr", "miss rate"),
    "severity_weighted_accuracy": ("severity weighted quality",),
}
SHARE_METRICS: dict[str, tuple[str, ...]] = {
    "share_of_errors": ("error share", "share of all errors", "part of errors")
}
COUNT_METRICS: dict[str, tuple[str, ...]] = {
    "audits": ("audit count", "number of audits", "sample size", "sample", "n", "items"),
    "errors": ("error count", "number of errors", "defects"),
    "raters": ("rater count", "number of raters", "moderators", "agents"),
}
METRIC_KINDS: dict[str, MetricKind] = {
    **dict.fromkeys((*RATE_METRICS, *SHARE_METRICS), "share"),
    **{f"change_in_{name}": "change" for name in RATE_METRICS},
    **dict.fromkeys(COUNT_METRICS, "count"),
}
CHANGE_PATTERN = re.compile(
    r"(?P<word>change|difference|increase|rise|gain|decrease|drop|fall|decline|loss) (?:in|of) (?P<of>.+)"
    r"|(?P<of2>.+) (?P<word2>change|difference|increase|rise|gain|decrease|drop|fall|decline|loss)"
)
DECREASE_WORDS = ("decrease", "drop", "fall", "decline", "loss")
LIMIT_WORDS: dict[str, Operator] = {
    "at least": ">=", "at most": "<=", "no more than": "<=", "no less than": ">=", "more than": ">", "less than": "<",
    "above": ">", "over": ">", "below": "<", "under": "<", ">=": ">=", "<=": "<=", "≥": ">=", "≤": "<=",
    ">": ">", "<": "<",
}  # fmt: skip
FLOAT_DIGITS = 15  # decimal digits that a float holds; a percentage divided by 100 is rounded to them
DIRECTION_WORDS: dict[str, Operator] = {
    **dict.fromkeys(("fell", "declined", "decreased", "dropped", "down", "lower"), "<"),
    **dict.fromkeys(("rose", "increased", "up", "higher"), ">"),
}
NUMBER_PATTERN = re.compile(
    r"(?:about|around|approx\.?|ca\.?|~|≈)?\s*(?P<sign>[+\-−–]?)\s*(?P<digits>\d[\d.,' \u00a0\u202f]*|\.\d+)\s*"
    r"(?P<unit>%|per cent|percent|pp|pts?|ppts?|points?|percentage points?)?\.?"
)


@dataclass(frozen=True, slots=True)
class ParsedValue:
    """One interpretation of a value.

    Attributes
    ----------
    value
        The number: a share for rates and changes, or a count.
    rounding_error
        Half a unit of the last digit written.
    operator
        "=" for a number, else the side of the limit that is claimed.
    interpretation
        How the number was read, where it can be read in two ways; else "".
    """

    value: float
    rounding_error: float
    operator: Operator = "="
    interpretation: str = ""


def parse_metric(text: str) -> tuple[str, float]:
    """Return the standard name of a metric, and −1 where it counts a decrease as positive.

    Parameters
    ----------
    text
        The metric as written: a name of `METRIC_KINDS`, one of its aliases, or "change in" and the name of a rate.

    Returns
    -------
    tuple of str and float
        The name in `METRIC_KINDS`, and the sign.

    Raises
    ------
    ValueError
        If the metric is not known; the message names the nearest one.

    Examples
    --------
    >>> parse_metric("Error rate"), parse_metric("drop in accuracy"), parse_metric("Sample size")
    (('error_rate', 1.0), ('change_in_accuracy', -1.0), ('audits', 1.0))
    """
    plain = " ".join(re.findall(r"[a-z0-9]+", text.lower()))
    names_by_alias = {
        alias: name
        for table in (RATE_METRICS, SHARE_METRICS, COUNT_METRICS)
        for name, aliases in table.items()
        for alias in aliases
    }
    names_by_alias |= {name.replace("_", " "): name for name in METRIC_KINDS}
    if plain in names_by_alias:
        return names_by_alias[plain], 1.0
    change = CHANGE_PATTERN.fullmatch(plain)
    rate = names_by_alias.get(change["of"] or change["of2"]) if change else None
    if change and rate in RATE_METRICS:
        is_decrease = (change["word"] or change["word2"]) in DECREASE_WORDS
        return f"change_in_{rate}", -1.0 if is_decrease else 1.0
    nearest = difflib.get_close_matches(plain, names_by_alias, 1)
    hint = f"; nearest: {names_by_alias[nearest[0]]}" if nearest else ""
    raise ValueError(f"the metric {text!r} is not known{hint}")


def parse_value(text: str, kind: MetricKind) -> tuple[ParsedValue, ...]:
    """Parse a value in every way it can be meant, the most likely one first.

    Parameters
    ----------
    text
        A number with or without unit, a limit or a direction.
    kind
        "share" for rates, "change" for differences of rates, "count".

    Returns
    -------
    tuple of ParsedValue
        Two interpretations where a number of at most 1 has no unit and is a rate or a change.

    Raises
    ------
    ValueError
        If it contains no number, or states that nothing changed.

    Examples
    --------
    >>> [(parsed.value, parsed.rounding_error) for parsed in parse_value("93.0 %", "share")]
    [(0.93, 0.0005)]
    >>> [parsed.interpretation for parsed in parse_value("0.9", "share")]
    ['read as a share', 'read as per cent']
    """
    plain = " ".join(text.lower().split())
    if plain in ("unchanged", "no change", "stable", "flat", "same"):
        raise ValueError("a claim of no change cannot be checked; claim that the change is at most a margin")
    if plain in DIRECTION_WORDS:
        return (ParsedValue(0.0, 0.0, DIRECTION_WORDS[plain]),)
    limit_words = next((words for words in LIMIT_WORDS if plain.startswith(words)), "")
    match = NUMBER_PATTERN.fullmatch(plain.removeprefix(limit_words).strip())
    if not match:
        raise ValueError(f"there is no number in the value {text!r}" if text else "the value is empty")
    number, decimals = _parse_number(match["digits"], kind)
    number *= -1 if match["sign"] in ("-", "−", "–") else 1
    operator = LIMIT_WORDS.get(limit_words, "=")
    half_unit = 0.5 * 10.0**-decimals
    if kind == "count":
        return (ParsedValue(number, half_unit if decimals else 0.0, operator),)
    percent = ParsedValue(round(number / 100, FLOAT_DIGITS), round(half_unit / 100, FLOAT_DIGITS), operator)
    if match["unit"] or abs(number) > 1:
        return (percent,)
    interpretation = "read as per cent" if kind == "share" else "read as percentage points"
    share = ParsedValue(number, half_unit, operator, "read as a share")
    return share, replace(percent, interpretation=interpretation)


def parse_tolerance(text: str, kind: MetricKind) -> float:
    """Return a tolerance in the unit of a parsed value, 0 where none is given.

    Examples
    --------
    >>> parse_tolerance("0.5 pp", "share"), parse_tolerance("", "count"), parse_tolerance("±10", "count")
    (0.005, 0.0, 10.0)
    """
    if not text.strip():
        return 0.0
    values = parse_value(text.strip().lstrip("±").strip(), kind)
    return abs(values[-1].value)  # the stricter interpretation where there are two


def _parse_number(digits: str, kind: MetricKind) -> tuple[float, int]:
    """Return a number and the decimals written; a comma may separate thousands or decimals."""
    plain = re.sub(r"['\s]", "", digits).rstrip(".,")
    separators = [char for char in plain if char in ".,"]
    is_thousands = kind == "count" and re.fullmatch(r"[1-9]\d{0,2}[.,]\d{3}", plain)
    if len(set(separators)) == 2:  # the last one separates decimals: 1,234.5 or 1.234,5
        plain = plain.replace(separators[0], "").replace(separators[-1], ".")
    elif separators and (len(separators) > 1 or is_thousands):
        plain = plain.replace(separators[0], "")
    else:
        plain = plain.replace(",", ".")
    return float(plain), len(plain.partition(".")[2])
