# Tested in tests/test_reserved_names.py.
"""The schema: the columns of every table.

A column is *required* (nothing works without it), *advised* (some question is "not available" without it), *optional*,
or *automatic* (the intake adds it). A table may have further columns; they can be used as dimensions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

Requirement = Literal["required", "advised", "optional", "automatic"]
Kind = Literal["text", "time", "date", "number", "whole", "flag"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    name, kind
        Its name and the type of its values.
    requirement
        Whether it must be there.
    description
        What it holds.
    values
        The allowed values; empty where any are.
    needed_for
        What is not available without it.
    """

    name: str
    kind: Kind
    requirement: Requirement
    description: str
    values: tuple[str, ...] = ()
    needed_for: str = ""


STREAMS = (
    "random", "stratified", "targeted", "seeded_gold", "product_sample", "business_qa", "escalation", "appeal",
)  # fmt: skip
PROPORTIONAL_STREAMS = ("random", "stratified")
SEVERITIES = ("safety_critical", "compliance_critical", "customer_critical", "business_critical", "non_critical")
SEVERITY_WEIGHTS = dict(zip(SEVERITIES, (25.0, 10.0, 5.0, 3.0, 1.0), strict=True))
DISPUTES = ("none", "raised", "upheld_rater", "upheld_auditor", "pending")
TENURE_BANDS = ("0-30 days", "31-90 days", "91-365 days", "over 365 days")
EVENT_TYPES = (
    "policy_update", "tool_release", "training_wave", "hiring_class", "routing_change", "staffing", "target_change",
    "sampling_change", "truth_change", "outage", "external",
)  # fmt: skip

TARGET_METRICS = ("accuracy", "over_enforcement", "under_enforcement", "severity_weighted_accuracy")

AUDIT_COLUMNS = (
    Column("audit_id", "text", "required", "names the audit; unique"),
    Column("item_id", "text", "required", "names the item that was decided"),
    Column("site", "text", "required", "the site whose work is audited"),
    Column("rater", "text", "required", "pseudonym of the person whose decision is audited"),
    Column("decided_at", "time", "required", "when the rater decided, UTC"),
    Column("label", "text", "required", "what the rater decided"),
    Column("truth", "text", "required", "what the audit decided"),
    Column("vendor", "text", "advised", "the company that runs the site", needed_for="comparing vendors"),
    Column("queue", "text", "advised", "the stream of work", needed_for="finding the queue"),
    Column("workflow", "text", "optional", "kind of work", ("moderation", "ads_review", "annotation", "search_eval")),
    Column("stream", "text", "advised", "why the item was sampled", STREAMS, "ruling out a change of sampling"),
    Column("stratum", "text", "advised", "sampling stratum", needed_for="weights from the population"),
    Column("weight", "number", "advised", "1 / probability of being sampled", needed_for="rates for all decisions"),
    Column("market", "text", "advised", "market of the item", needed_for="finding the market"),
    Column("language", "text", "advised", "BCP-47 code", needed_for="finding the language"),
    Column("policy", "text", "advised", "policy of the truth", needed_for="rates by policy"),
    Column("severity", "text", "advised", "severity of an error", SEVERITIES, "severity-weighted accuracy"),
    Column("auditor", "text", "advised", "pseudonym of the auditor", needed_for="ruling out a change of truth"),
    Column("audited_at", "time", "advised", "when the audit was made, UTC", needed_for="audit delay"),
    Column("audit_round", "whole", "advised", "1 audit, 2 audit of the audit", needed_for="the audit's own error"),
    Column("blind", "flag", "advised", "the auditor did not see the label", needed_for="the audit's own error"),
    Column("policy_version_decided", "text", "advised", "in force at the decision", needed_for="finding stale truths"),
    Column("policy_version_audited", "text", "advised", "used by the audit", needed_for="finding stale truths"),
    Column("action", "text", "optional", "what the rater did"),
    Column("true_action", "text", "optional", "what should have been done"),
    Column("content_type", "text", "optional", "video, image, text …"),
    Column("team", "text", "optional", "team of the rater"),
    Column("hiring_class", "text", "optional", "the group the rater started with"),
    Column("tenure_days", "whole", "optional", "days since the rater started"),
    Column("shift", "text", "optional", "shift of the decision"),
    Column("handle_seconds", "number", "optional", "time spent on the item, seconds"),
    Column("dispute", "text", "optional", "outcome of a dispute", DISPUTES),
    Column("appeal", "text", "optional", "outcome of an appeal", ("none", "raised", "overturned", "sustained")),
    Column("model_label", "text", "optional", "the label a model proposed"),
    Column("model_score", "number", "optional", "the model's score"),
    Column("cause_code", "text", "optional", "a person's code for the cause"),
    Column("cause_coder", "text", "optional", "who coded it"),
    Column("cause2_code", "text", "optional", "a second person's code"),
    Column("cause2_coder", "text", "optional", "who coded it second"),
    Column("comment", "text", "optional", "the auditor's free text; may quote harmful content"),
    Column("source_file", "text", "automatic", "the file a row came from; in sources.parquet"),
    Column("source_row", "whole", "automatic", "its row there, the header being row 1; in sources.parquet"),
    Column("day", "date", "automatic", "local day of the decision, in the site's time zone"),
    Column("tenure", "text", "automatic", "band of tenure_days", TENURE_BANDS),
    Column("error", "whole", "automatic", "1 where label and truth differ, else 0"),
)  # fmt: skip

# Names that the package gives to its own columns while it works on audits; a test finds them in the code. They and the
# columns of the schema are reserved in upper and lower case: some engines do not distinguish `Items` from `items`.
INTERNAL_COLUMNS = (
    "against", "asked", "cause", "cell", "cluster", "code", "content", "count", "cumulative", "differs", "end",
    "errors", "expected", "fate", "file", "first_nonempty", "given", "group", "harmless", "index", "item", "items",
    "known", "line", "mark", "metric", "month", "most", "name", "now", "one", "other", "others", "part", "passed",
    "period", "place", "rate", "rate_ratio", "ratings", "reasons", "recorded", "repairs", "right", "role", "round",
    "row", "rows", "scope", "second", "share", "since", "squared_weight", "stale", "start", "step", "suggested",
    "suspect", "time", "total", "trial", "truth_version", "value", "version", "week", "weighted_errors", "what",
    "why", "words", "wrong",
)  # fmt: skip
RESERVED_COLUMNS = frozenset(column.name for column in AUDIT_COLUMNS) | frozenset(INTERNAL_COLUMNS)

RESERVED_SUFFIX = "_in_file"  # is added to a user's column whose name is reserved

RATINGS = (
    Column("item_id", "text", "required", "the item"),
    Column("rater", "text", "required", "who judged it"),
    Column("label", "text", "required", "the judgement"),
    Column("role", "text", "optional", "in what role", ("rater", "auditor", "expert", "model")),
    Column("trial", "whole", "optional", "1, 2 … where the same person judged an item again"),
    Column("rated_at", "time", "optional", "when"),
    Column("blind", "flag", "optional", "without seeing other judgements"),
)

EVENTS = (
    Column("event_id", "text", "required", "names the event"),
    Column("type", "text", "required", "what kind", EVENT_TYPES),
    Column("start", "time", "required", "when it began"),
    Column("end", "time", "optional", "when it ended"),
    Column("scope", "text", "optional", "column=value pairs it concerns, `;` between them"),
    Column("share", "number", "optional", "share of the decisions it touched"),
    Column("title", "text", "required", "what happened"),
    Column("visibility", "text", "optional", "internal, all or vendor:NAME"),
)

TARGETS = (
    Column("metric", "text", "required", "what is measured", TARGET_METRICS),
    Column("scope", "text", "optional", "column=value pairs it holds for, `;` between them"),
    Column("valid_from", "date", "optional", "first day"),
    Column("valid_to", "date", "optional", "last day"),
    Column("direction", "text", "optional", "at_least or at_most", ("at_least", "at_most")),
    Column("contract", "number", "required", "what was agreed, as a share"),
    Column("realistic", "number", "optional", "what can be expected"),
    Column("stretch", "number", "optional", "what would be very good"),
    Column("min_audits", "whole", "optional", "below this no verdict"),
)

POPULATION = (
    Column("period", "text", "required", "the period"),
    Column("site", "text", "required", "the site"),
    Column("queue", "text", "optional", "the queue"),
    Column("stratum", "text", "required", "the sampling stratum"),
    Column("decisions", "whole", "required", "how many decisions it holds"),
)

DIMENSIONS = (
    "policy", "queue", "market", "language", "content_type", "vendor", "team", "hiring_class", "tenure", "shift",
)  # fmt: skip


def list_columns(table: tuple[Column, ...], *requirements: Requirement) -> tuple[str, ...]:
    """Return the names of a table's columns; only those with the given requirements where any is given.

    Examples
    --------
    >>> list_columns(AUDIT_COLUMNS, "required")
    ('audit_id', 'item_id', 'site', 'rater', 'decided_at', 'label', 'truth')
    """
    return tuple(column.name for column in table if not requirements or column.requirement in requirements)


def resolve_reserved_name(name: str, taken: Collection[str]) -> str:
    """Return the name under which a user's column is kept: its own, or another where that is reserved.

    Examples
    --------
    >>> (resolve_reserved_name("colour", ()), resolve_reserved_name("Items", ()),
    ...  resolve_reserved_name("items", ["items_in_file"]))
    ('colour', 'Items_in_file', 'items_in_file_in_file')
    """
    resolved = name
    while resolved.casefold() in RESERVED_COLUMNS or (resolved != name and resolved.casefold() in taken):
        resolved += RESERVED_SUFFIX
    return resolved


def describe_renamed_columns(names: Iterable[str]) -> tuple[str, ...]:
    """Say which columns are kept under another name because their own is reserved."""
    original_names = {name: name.removesuffix(RESERVED_SUFFIX) for name in names}
    return tuple(
        f"column {original} kept as {name}, its name is reserved"
        for name, original in original_names.items()
        if original.casefold() in RESERVED_COLUMNS
    )


def parse_scope(scope: str | None) -> dict[str, str]:
    """Read a scope such as `policy=hate;queue=video` as a dict; empty means everywhere.

    Examples
    --------
    >>> parse_scope("policy=hate; queue=video")
    {'policy': 'hate', 'queue': 'video'}
    """
    if not scope or scope != scope or scope == "*":
        return {}
    pairs = (part.split("=", 1) for part in str(scope).split(";") if part.strip())
    return {name.strip(): value.strip() for name, value in pairs}


def matches_pattern(value: object, pattern: str) -> bool:
    """Tell whether a value equals the value that a scope names, or matches its pattern.

    Examples
    --------
    >>> matches_pattern("live_video", "live_*"), matches_pattern("[EN] video", "[EN] video")
    (True, True)
    >>> matches_pattern("Live", "live")
    False
    """
    return value == pattern or fnmatchcase(str(value), pattern)
