"""The contract: every table's columns, written once.

A column is *required* (nothing works without it), *advised* (some question is "not available" without it) or
*optional*. Columns that are not named here may stand in a table too and may be named as dimensions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

Need = Literal["required", "advised", "optional", "automatic"]
Kind = Literal["text", "time", "date", "number", "whole", "flag"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column: what it holds, whether it must be there, its allowed values, and what it `serves`."""

    name: str
    kind: Kind
    need: Need
    meaning: str
    values: tuple[str, ...] = ()
    serves: str = ""


STREAMS = (
    "random", "stratified", "targeted", "seeded_gold", "product_sample", "business_qa", "escalation", "appeal",
)  # fmt: skip
PROPORTIONAL_STREAMS = ("random", "stratified")
SEVERITIES = ("safety_critical", "compliance_critical", "customer_critical", "business_critical", "non_critical")
SEVERITY_WEIGHTS = dict(zip(SEVERITIES, (25.0, 10.0, 5.0, 3.0, 1.0), strict=True))
DISPUTES = ("none", "raised", "upheld_rater", "upheld_auditor", "pending")
TENURES = ("0-30 days", "31-90 days", "91-365 days", "over 365 days")
EVENT_TYPES = (
    "policy_update", "tool_release", "training_wave", "hiring_class", "routing_change", "staffing", "target_change",
    "sampling_change", "truth_change", "outage", "external",
)  # fmt: skip

TARGET_METRICS = ("accuracy", "over_enforcement", "under_enforcement", "severity_weighted_accuracy")

AUDITS = (
    Column("audit_id", "text", "required", "names the audit; unique"),
    Column("item_id", "text", "required", "names the item that was decided"),
    Column("site", "text", "required", "the place that is measured"),
    Column("rater", "text", "required", "pseudonym of the person whose decision is audited"),
    Column("decided_at", "time", "required", "when the rater decided, UTC"),
    Column("label", "text", "required", "what the rater decided"),
    Column("truth", "text", "required", "what the audit decided"),
    Column("vendor", "text", "advised", "the company that runs the site", serves="comparing vendors"),
    Column("queue", "text", "advised", "the stream of work", serves="finding the queue"),
    Column("workflow", "text", "optional", "kind of work", ("moderation", "ads_review", "annotation", "search_eval")),
    Column("stream", "text", "advised", "why the item was sampled", STREAMS, "ruling out a change of sampling"),
    Column("stratum", "text", "advised", "sampling stratum", serves="weights from the population"),
    Column("weight", "number", "advised", "1 / probability of being sampled", serves="rates for all decisions"),
    Column("market", "text", "advised", "market of the item", serves="finding the market"),
    Column("language", "text", "advised", "BCP-47 code", serves="finding the language"),
    Column("policy", "text", "advised", "policy of the truth", serves="rates by policy"),
    Column("severity", "text", "advised", "how bad an error is", SEVERITIES, "severity-weighted accuracy"),
    Column("auditor", "text", "advised", "pseudonym of the auditor", serves="ruling out a change of truth"),
    Column("audited_at", "time", "advised", "when the audit was made, UTC", serves="audit delay"),
    Column("audit_round", "whole", "advised", "1 audit, 2 audit of the audit", serves="the audit's own error"),
    Column("blind", "flag", "advised", "the auditor did not see the label", serves="the audit's own error"),
    Column("policy_version_decided", "text", "advised", "in force at the decision", serves="finding stale truths"),
    Column("policy_version_audited", "text", "advised", "used by the audit", serves="finding stale truths"),
    Column("action", "text", "optional", "what the rater did"),
    Column("true_action", "text", "optional", "what should have been done"),
    Column("content_type", "text", "optional", "video, image, text …"),
    Column("team", "text", "optional", "team of the rater"),
    Column("hiring_class", "text", "optional", "the group the rater started with"),
    Column("tenure_days", "whole", "optional", "days since the rater started"),
    Column("shift", "text", "optional", "shift of the decision"),
    Column("handle_seconds", "number", "optional", "time spent on the item, seconds"),
    Column("dispute", "text", "optional", "what became of a dispute", DISPUTES),
    Column("appeal", "text", "optional", "what became of an appeal", ("none", "raised", "overturned", "sustained")),
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
    Column("tenure", "text", "automatic", "band of tenure_days", TENURES),
    Column("error", "whole", "automatic", "1 where label and truth differ, else 0"),
)  # fmt: skip

# Names that the package gives to columns of its own while it works on audits: a test finds them in the code. With the
# columns of the contract they are reserved, in any case, since engines and frames tell no `Items` from `items`.
DERIVED = (
    "against", "asked", "cause", "cell", "cluster", "clusters", "code", "cohen", "content", "count", "cumulative",
    "differs", "end", "errors", "expected", "family", "fate", "file", "filename", "first_text", "given", "group",
    "half", "harmless", "index", "item", "items", "known", "label_again", "line", "mark", "marks", "metric", "month",
    "name", "now", "one", "other", "others", "part", "period", "place", "rate", "ratings", "reasons", "recorded",
    "rejected", "repairs", "right", "role", "round", "row", "rows", "second", "share", "since", "squared_weight",
    "stale", "start", "step", "suggested", "sure", "suspect", "time", "times_the_rate", "total", "trial", "truly",
    "truth_again", "truth_version", "value", "version", "week", "weighted_errors", "what", "why", "words", "wrong",
)  # fmt: skip
RESERVED = frozenset(column.name for column in AUDITS) | frozenset(DERIVED)

IN_FILE = "_in_file"  # is added to the names of columns that the package itself needs

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


def columns(table: tuple[Column, ...], *needs: Need) -> tuple[str, ...]:
    """Return the names of a table's columns, of these needs only where any is named.

    Examples
    --------
    >>> columns(AUDITS, "required")
    ('audit_id', 'item_id', 'site', 'rater', 'decided_at', 'label', 'truth')
    """
    return tuple(column.name for column in table if not needs or column.need in needs)


def keep_apart(name: str, taken: Collection[str]) -> str:
    """Return the name under which a column of the user's is kept: its own, or a safe one where that is reserved.

    Examples
    --------
    >>> keep_apart("colour", ()), keep_apart("Items", ()), keep_apart("items", ["items_in_file"])
    ('colour', 'Items_in_file', 'items_in_file_in_file')
    """
    safe = name
    while safe.casefold() in RESERVED or (safe != name and safe.casefold() in taken):
        safe += IN_FILE
    return safe


def tell_renamed(names: Iterable[str]) -> tuple[str, ...]:
    """Say which of the names that columns are kept under are not the user's own."""
    own = {name: name.removesuffix(IN_FILE) for name in names}
    return tuple(
        f"column {old} kept as {name}, its name is reserved" for name, old in own.items() if old.casefold() in RESERVED
    )


def parse_scope(scope: str | None) -> dict[str, str]:
    """Read `policy=hate;queue=video` as a dict; nothing means everywhere.

    Examples
    --------
    >>> parse_scope("policy=hate; queue=video")
    {'policy': 'hate', 'queue': 'video'}
    """
    if not scope or scope != scope or scope == "*":
        return {}
    pairs = (part.split("=", 1) for part in str(scope).split(";") if part.strip())
    return {name.strip(): value.strip() for name, value in pairs}


def fits_pattern(value: object, pattern: str) -> bool:
    """Tell whether a value of the audits is the one that a scope names, or fits its pattern.

    Examples
    --------
    >>> fits_pattern("live_video", "live_*"), fits_pattern("[EN] video", "[EN] video"), fits_pattern("Live", "live")
    (True, True, False)
    """
    return value == pattern or fnmatchcase(str(value), pattern)
