"""The records that everything exchanges: a rate, an estimate, a finding, a claim, and the error of bad data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any, Literal, Protocol, get_args

Grade = Literal["shown", "likely", "possible", "not proven", "ruled out"]
GRADES: tuple[str, ...] = get_args(Grade)
HALF_DIGIT = 0.0005  # from here on a rate reads otherwise than its counts
NOWHERE: Mapping[str, str] = MappingProxyType({})


class DataError(Exception):
    """The data is at fault, not the code.

    Parameters
    ----------
    problem
        What is wrong, in one sentence.
    column
        The column it is wrong in.
    rows
        How many rows are affected.
    first
        The first offender: its values, its source row where known.
    mend
        What the reader can do about it.

    Examples
    --------
    >>> print(DataError("errors exceed items", column="errors", rows=2, first={"errors": 9}, mend="check the join"))
    errors exceed items (column errors; 2 rows; first: errors=9). Mend: check the join.
    """

    def __init__(
        self,
        problem: str,
        *,
        column: str | None = None,
        rows: int | None = None,
        first: Mapping[str, object] | None = None,
        mend: str = "",
    ) -> None:
        self.problem, self.column, self.rows, self.first, self.mend = problem, column, rows, first, mend
        about = [f"column {column}"] if column else []
        if rows is not None:
            about.append(f"{rows:,} row{'s' if rows != 1 else ''}")
        if first:
            about.append("first: " + ", ".join(f"{name}={value}" for name, value in first.items()))
        text = problem + (f" ({'; '.join(about)})" if about else "")
        super().__init__(f"{text}. Mend: {mend.rstrip('.')}." if mend else text)


@dataclass(frozen=True, slots=True)
class Estimate:
    """One number with its interval; `level` is the share of such intervals that hold the true value.

    `unit` says how it reads: "%" and "pp" are stored as shares (0.031 reads 3.1 %), "errors", "items" and "audits" as
    counts, "date" as an ISO date in text, "" as a bare number.
    """

    value: float | str
    low: float | str | None = None
    high: float | str | None = None
    unit: str = ""
    level: float = 0.95

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval lies on one side of zero."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        """Read as `3.1 pp (1.2 to 5.0)`."""
        if self.low is None or self.high is None:
            return show(self.value, self.unit)
        ends = show(self.low, self.unit, bare=True), show(self.high, self.unit, bare=True)
        return f"{show(self.value, self.unit)} ({ends[0]} to {ends[1]})"


@dataclass(frozen=True, slots=True)
class Rate:
    """Errors out of items, as an estimate of what the rate is.

    `errors` and `items` are plain counts of rows; `value` is the estimated rate, which differs from their ratio where
    the rows carry weights. `low` and `high` hold the true rate in a share `level` of all samples; `method` names how.
    """

    errors: float
    items: float
    value: float
    low: float
    high: float
    level: float = 0.95
    method: str = "Wilson"

    def __str__(self) -> str:
        """Read as `6.2 % (5.1 to 7.4; 93 of 1,500)`, and say that it is weighted where the counts do not divide so."""
        interval = f"{show(self.low, '%', bare=True)} to {show(self.high, '%', bare=True)}"
        weighted = ", weighted" if self.items and abs(self.value - self.errors / self.items) > HALF_DIGIT else ""
        return f"{show(self.value, '%')} ({interval}; {self.errors:,.0f} of {self.items:,.0f}{weighted})"

    @property
    def unit(self) -> str:
        """Rates read as per cent."""
        return "%"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a question hands on: a sentence, how sure it is, and where the number behind it stands in the result.

    `kind` says what was found in the question's own words ("step", "slice", "mix" …). `path` leads from the result to
    the estimate (`slices[0].excess`), so that the number can be derived again. `where` is the slice it speaks of,
    `since` the date with its earliest and latest, `share` the part of the whole change that it explains.
    """

    question: str
    kind: str
    sentence: str
    grade: Grade
    estimate: Estimate | Rate | None = None
    path: str = ""
    where: Mapping[str, str] = field(default_factory=lambda: NOWHERE)
    since: tuple[str, str, str] | None = None
    share: float | None = None
    p_value: float | None = None

    def __post_init__(self) -> None:
        if self.grade not in GRADES:
            raise ValueError(f"grade {self.grade!r} is none of {', '.join(GRADES)}")


@dataclass(frozen=True, slots=True)
class Claim:
    """A number on page one that anybody can derive again.

    `call` is the Python expression that gives the number from the audits of the site and period; `sentence` is what
    the report says, with the number as `show` writes it.
    """

    id: str
    sentence: str
    value: float | str
    low: float | str | None
    high: float | str | None
    unit: str
    call: str

    def to_dict(self) -> dict[str, object]:
        """Return the claim as it stands in claims.json."""
        return asdict(self)


class Answer(Protocol):
    """What every question's result is: it hands on findings."""

    def findings(self) -> tuple[Finding, ...]:
        """Return what was found."""


def show(value: float | str, unit: str = "", *, bare: bool = False) -> str:
    """Write a number as the reports do; `bare` leaves the unit away.

    Examples
    --------
    >>> show(0.0312, "pp"), show(0.0312, "%", bare=True), show(1234.4, "errors"), show("2026-03-09", "date")
    ('3.1 pp', '3.1', '1,234 errors', '9 Mar 2026')
    >>> show(-0.0004, "pp")
    '0.0 pp'

    Only a share of exactly 0 or 1 reads 0.0 % or 100.0 %; others get the digits that tell them apart, up to three.

    >>> show(0.9996, "%"), show(0.0004, "%"), show(0.9999999, "%"), show(1.0, "%")
    ('99.96 %', '0.04 %', '>99.999 %', '100.0 %')

    One is singular.

    >>> show(1.2, "errors"), show(-1, "days"), show(0.2, "errors")
    ('1 error', '-1 day', '0 errors')
    """
    if isinstance(value, str):
        return _show_date(value) if unit == "date" else value
    digits, factor = _DIGITS.get(unit, (3, 1))
    text = _show_share(value) if unit == "%" else f"{value * factor:,.{digits}f}"
    if _is_zero(text):
        text = text.removeprefix("-")
    if bare or not unit:
        return text
    return f"{text} {unit[:-1] if unit in _COUNTED and text in ('1', '-1') else unit}"


def count_noun(count: float, noun: str, plural: str = "") -> str:
    """Write a number and what is counted, one in the singular.

    Parameters
    ----------
    count
        How many; sums of weights are rounded to whole numbers.
    noun
        In the singular; of several words the last one takes the plural.
    plural
        Where it is irregular ("audits of items"); formed by the rules of English where it is empty.

    Examples
    --------
    >>> count_noun(1, "error"), count_noun(0, "error"), count_noun(1234, "policy"), count_noun(2, "exact match")
    ('1 error', '0 errors', '1,234 policies', '2 exact matches')
    >>> count_noun(1, "audit of the audit", "audits of the audit")
    '1 audit of the audit'
    """
    text = f"{count:,.0f}"
    text = text.removeprefix("-") if _is_zero(text) else text
    if text in ("1", "-1"):
        return f"{text} {noun}"
    if not plural and noun.endswith(("s", "x", "ch", "sh")):
        plural = f"{noun}es"
    elif not plural and noun.endswith("y") and noun[-2:-1] not in "aeiou":
        plural = f"{noun[:-1]}ies"
    return f"{text} {plural or noun + 's'}"


def mark_units(frame: Any, **units: str | Sequence[str]) -> Any:
    """Note the units of a frame's columns beside it, for whoever writes its numbers (`show`).

    Parameters
    ----------
    frame
        A pandas frame; its values are not changed.
    units
        By column the unit of its numbers, as in `Estimate`, or one per row; other columns hold bare numbers.

    Returns
    -------
    DataFrame
        The same frame, with the units in `frame.attrs["units"]`.
    """
    frame.attrs[UNITS] = {name: unit if isinstance(unit, str) else list(unit) for name, unit in units.items()}
    return frame


UNITS = "units"
_COUNTED = ("errors", "items", "raters", "rows", "days")
_DIGITS = {"%": (1, 100), "pp": (1, 100), **dict.fromkeys(_COUNTED, (0, 1))}
_MOST_DIGITS = 3  # of a share near 0 or 1, in per cent
_DUST = 1e-12  # what floating point leaves of an exact 0 or 1
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _is_zero(text: str) -> bool:
    return not text.strip("-0.")


def _show_share(value: float) -> str:
    """Write a share in per cent; one that is neither 0 nor 1 does not read like one that is."""
    percent = value * 100
    if not (_DUST < value < 1 - _DUST):
        return f"{percent:,.1f}"
    for digits in range(1, _MOST_DIGITS + 1):
        text = f"{percent:.{digits}f}"
        if 0 < float(text) < 100:
            return text
    step = 10.0**-_MOST_DIGITS
    return f"<{step:.{_MOST_DIGITS}f}" if value < 0.5 else f">{100 - step:.{_MOST_DIGITS}f}"


def _show_date(iso: str) -> str:
    year, month, day = iso[:10].split("-")
    return f"{int(day)} {_MONTHS[int(month) - 1]} {year}"


def join_words(words: Sequence[str]) -> str:
    """Join as prose does.

    Examples
    --------
    >>> join_words(["mix", "truth", "sampling"])
    'mix, truth and sampling'
    """
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def name_slice(where: Mapping[str, str]) -> str:
    """Name a slice as people read it.

    Examples
    --------
    >>> name_slice({"policy": "hate", "tenure": "0-30 days"}), name_slice({})
    ('policy = hate and tenure = 0-30 days', 'everywhere')
    """
    return " and ".join(f"{name} = {value}" for name, value in where.items()) or "everywhere"
