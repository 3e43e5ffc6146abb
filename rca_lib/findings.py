"""Records shared by all questions (rate, estimate, finding, claim), the error for bad data, and number formatting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any, Generic, Literal, TypeVar, get_args

KindT_co = TypeVar("KindT_co", bound=str, covariant=True)  # the kinds of findings of one question
Grade = Literal["shown", "likely", "possible", "not proven", "ruled out"]
GRADES: tuple[str, ...] = get_args(Grade)
DISPLAY_TOLERANCE = 0.0005  # difference from which a rate reads differently than errors over items
EMPTY_SLICE: Mapping[str, str] = MappingProxyType({})
UNITS_ATTRIBUTE = "units"  # key in `DataFrame.attrs` that holds the units of columns
_COUNT_UNITS = ("errors", "items", "raters", "rows", "days")
_FORMATS = {"%": (1, 100), "pp": (1, 100), **dict.fromkeys(_COUNT_UNITS, (0, 1))}  # digits and factor, by unit
_DEFAULT_FORMAT = (3, 1)
_MAX_SHARE_DIGITS = 3  # digits of a share near 0 or 1, in per cent
_FLOAT_TOLERANCE = 1e-12  # rounding error of an exact 0 or 1
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class DataError(Exception):
    """The data is at fault, not the code.

    Parameters
    ----------
    problem
        What is wrong, in one sentence.
    column
        The affected column.
    rows
        Number of affected rows.
    first
        Values of the first affected row, with its source row if known.
    hint
        What the reader can do about it.

    Examples
    --------
    >>> print(DataError("errors exceed items", column="errors", rows=2, first={"errors": 9}, hint="check the join"))
    errors exceed items (column errors; 2 rows; first: errors=9). Hint: check the join.
    """

    def __init__(
        self,
        problem: str,
        *,
        column: str | None = None,
        rows: int | None = None,
        first: Mapping[Any, object] | None = None,
        hint: str = "",
    ) -> None:
        self.problem = problem
        self.column = column
        self.rows = rows
        self.first = first
        self.hint = hint
        details = [f"column {column}"] if column else []
        if rows is not None:
            details.append(f"{rows:,} row{'s' if rows != 1 else ''}")
        if first:
            details.append("first: " + ", ".join(f"{name}={value}" for name, value in first.items()))
        message = f"{problem} ({'; '.join(details)})" if details else problem
        super().__init__(f"{message}. Hint: {hint.rstrip('.')}." if hint else message)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its interval.

    Attributes
    ----------
    value, low, high
        The estimate and the limits of its interval.
    unit
        "%" and "pp" are stored as shares (0.031 reads 3.1 %). "errors", "items" and "audits" are counts. "" is a number
        without a unit.
    level
        Confidence level: the share of such intervals that contain the true value.
    """

    value: float
    low: float
    high: float
    unit: str = ""
    level: float = 0.95

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval lies on one side of zero."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        """Return for example `3.1 pp (1.2 to 5.0)`."""
        return f"{format_value(self.value, self.unit)} ({_format_interval(self.low, self.high, self.unit)})"


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number without an interval: a count, or a limit such as the smallest detectable change.

    Attributes
    ----------
    value, unit
        As in `Estimate`.
    """

    value: float
    unit: str = ""

    def __str__(self) -> str:
        """Return for example `93 errors`."""
        return format_value(self.value, self.unit)


@dataclass(frozen=True, slots=True)
class Day:
    """A day, as an ISO date."""

    value: str

    def __str__(self) -> str:
        """Return for example `9 Mar 2026`."""
        return format_value(self.value, "date")


@dataclass(frozen=True, slots=True)
class Text:
    """A text that a claim states, such as a fingerprint."""

    value: str

    def __str__(self) -> str:
        """Return the text."""
        return self.value


@dataclass(frozen=True, slots=True)
class Rate:
    """An error rate with its interval.

    Attributes
    ----------
    errors, items
        Plain counts of rows.
    value
        Estimated rate, as a share. It differs from errors over items if the rows are weighted.
    low, high
        Limits of the interval, as shares.
    level, method
        Confidence level and name of the interval.
    """

    errors: float
    items: float
    value: float
    low: float
    high: float
    level: float = 0.95
    method: str = "Wilson"

    def __str__(self) -> str:
        """Return for example `6.2 % (5.1 to 7.4; 93 of 1,500)`; "weighted" is added if the counts give another rate."""
        is_weighted = bool(self.items) and abs(self.value - self.errors / self.items) > DISPLAY_TOLERANCE
        counts = f"{self.errors:,.0f} of {self.items:,.0f}{', weighted' if is_weighted else ''}"
        return f"{format_value(self.value, '%')} ({_format_interval(self.low, self.high, '%')}; {counts})"

    @property
    def unit(self) -> str:
        """Return "%"."""
        return "%"


Value = Estimate | Rate | Quantity | Day | Text
Number = Estimate | Rate | Quantity


@dataclass(frozen=True, slots=True)
class Finding(Generic[KindT_co]):
    """One finding of a question.

    Attributes
    ----------
    question, kind
        The question, and what was found ("step", "slice", "mix" …). Each question lists its kinds as a literal type.
    sentence, grade
        The finding, as reports print it, and the strength of evidence, one of `GRADES`.
    estimate, path
        The number, and its path from the result (`slices[0].excess`), so that it can be recomputed.
    where, since
        The slice, as column and value, and the date of the change with its earliest and latest.
    share, p_value
        Share of the whole change that the finding explains, and the probability of such a finding by chance.
    """

    question: str
    kind: KindT_co
    sentence: str
    grade: Grade
    estimate: Number | None = None
    path: str = ""
    where: Mapping[str, str] = field(default_factory=lambda: EMPTY_SLICE)
    since: tuple[str, str, str] | None = None
    share: float | None = None
    p_value: float | None = None

    def __post_init__(self) -> None:
        if self.grade not in GRADES:
            raise ValueError(f"grade {self.grade!r} is none of {', '.join(GRADES)}")


@dataclass(frozen=True, slots=True)
class Claim:
    """A number on page one that can be recomputed from the audits.

    Attributes
    ----------
    id, sentence
        Identifier on the page, and the sentence, with the number as `format_value` writes it.
    key
        What the claim is about, the same in every period, such as "target: accuracy" or "slice, queue = video".
    value, low, high, unit
        The number, as in `Estimate`.
    call
        Python expression that computes the number from the audits of the site and period.
    """

    id: str
    key: str
    sentence: str
    value: float | str
    low: float | None
    high: float | None
    unit: str
    call: str

    def to_dict(self) -> dict[str, object]:
        """Return the claim as an entry of claims.json."""
        return asdict(self)


def get_limits(value: Value) -> tuple[float, float] | tuple[None, None]:
    """Return the limits of the interval of a value; None for a value without an interval."""
    return (value.low, value.high) if isinstance(value, Estimate | Rate) else (None, None)


def get_unit(value: Value) -> str:
    """Return the unit of a value: "date" for a day, "" for a text."""
    if isinstance(value, Day):
        return "date"
    return "" if isinstance(value, Text) else value.unit


def format_value(value: float | str, unit: str = "", *, bare: bool = False) -> str:
    """Format a number as reports print it.

    Parameters
    ----------
    value
        The number, or a date as ISO text.
    unit
        Unit, as in `Estimate`.
    bare
        Leave the unit out.

    Examples
    --------
    >>> format_value(0.0312, "pp"), format_value(0.0312, "%", bare=True), format_value(1234.4, "errors")
    ('3.1 pp', '3.1', '1,234 errors')
    >>> format_value("2026-03-09", "date"), format_value(-0.0004, "pp")
    ('9 Mar 2026', '0.0 pp')

    Only a share of exactly 0 or 1 reads 0.0 % or 100.0 %. Other shares get up to three digits to tell them apart.

    >>> format_value(0.9996, "%"), format_value(0.0004, "%"), format_value(0.9999999, "%"), format_value(1.0, "%")
    ('99.96 %', '0.04 %', '>99.999 %', '100.0 %')

    Counts of one are singular.

    >>> format_value(1.2, "errors"), format_value(-1, "days"), format_value(0.2, "errors")
    ('1 error', '-1 day', '0 errors')
    """
    if isinstance(value, str):
        return _format_date(value) if unit == "date" else value
    digits, factor = _FORMATS.get(unit, _DEFAULT_FORMAT)
    text = _format_share(value) if unit == "%" else f"{value * factor:,.{digits}f}"
    text = _drop_sign_of_zero(text)
    if bare or not unit:
        return text
    is_singular = unit in _COUNT_UNITS and text in ("1", "-1")
    return f"{text} {unit[:-1] if is_singular else unit}"


def _format_interval(low: float, high: float, unit: str) -> str:
    """Return "low to high" without the unit."""
    return f"{format_value(low, unit, bare=True)} to {format_value(high, unit, bare=True)}"


def format_count(count: float, noun: str, plural: str = "") -> str:
    """Format a number with the noun that is counted, singular for one.

    Parameters
    ----------
    count
        The number; sums of weights are rounded to whole numbers.
    noun
        The noun in the singular. Of several words, the last one takes the plural.
    plural
        Irregular plural ("audits of items"). Default: formed by the rules of English.

    Examples
    --------
    >>> format_count(1, "error"), format_count(0, "error"), format_count(1234, "policy"), format_count(2, "exact match")
    ('1 error', '0 errors', '1,234 policies', '2 exact matches')
    >>> format_count(1, "audit of the audit", "audits of the audit")
    '1 audit of the audit'
    """
    text = _drop_sign_of_zero(f"{count:,.0f}")
    if text in ("1", "-1"):
        return f"{text} {noun}"
    return f"{text} {plural or _pluralize(noun)}"


def _pluralize(noun: str) -> str:
    """Return the plural by the rules of English."""
    if noun.endswith(("s", "x", "ch", "sh")):
        return f"{noun}es"
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}s"


def set_units(frame: Any, **units: str | Sequence[str]) -> Any:
    """Store the units of a frame's columns, for formatting with `format_value`.

    Parameters
    ----------
    frame
        A pandas frame; its values are not changed.
    units
        By column: the unit of its numbers, as in `Estimate`, or one unit per row. Other columns have no unit.

    Returns
    -------
    DataFrame
        The same frame, with the units in `frame.attrs["units"]`.
    """
    frame.attrs[UNITS_ATTRIBUTE] = {name: unit if isinstance(unit, str) else list(unit) for name, unit in units.items()}
    return frame


def _drop_sign_of_zero(text: str) -> str:
    """Return "-0.0" as "0.0"."""
    return text if text.strip("-0.") else text.removeprefix("-")


def _format_share(value: float) -> str:
    """Format a share in per cent; only exact shares of 0 and 1 read 0.0 and 100.0."""
    percent = value * 100
    if not (_FLOAT_TOLERANCE < value < 1 - _FLOAT_TOLERANCE):
        return f"{percent:,.1f}"
    for digits in range(1, _MAX_SHARE_DIGITS + 1):
        text = f"{percent:.{digits}f}"
        if 0 < float(text) < 100:
            return text
    smallest = 10.0**-_MAX_SHARE_DIGITS
    return f"<{smallest:.{_MAX_SHARE_DIGITS}f}" if value < 0.5 else f">{100 - smallest:.{_MAX_SHARE_DIGITS}f}"


def _format_date(iso: str) -> str:
    """Format an ISO date as "9 Mar 2026"."""
    year, month, day = iso[:10].split("-")
    return f"{int(day)} {_MONTHS[int(month) - 1]} {year}"


def join_words(words: Sequence[str]) -> str:
    """Join words with commas and "and".

    Examples
    --------
    >>> join_words(["mix", "truth", "sampling"])
    'mix, truth and sampling'
    """
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def format_slice(where: Mapping[str, str]) -> str:
    """Return the name of a slice.

    Examples
    --------
    >>> format_slice({"policy": "hate", "tenure": "0-30 days"}), format_slice({})
    ('policy = hate and tenure = 0-30 days', 'everywhere')
    """
    return " and ".join(f"{name} = {value}" for name, value in where.items()) or "everywhere"
