"""Matching of a file's columns with the columns of audits, by their names and their values.

A header is split into words, and each word belongs to groups such as *rater* (agent, moderator, annotator …), *audit*
(QA, expert, gold …) or *decision* (label, verdict …). A rule names the groups that make up a column: a rater word with
a decision word is the label, an audit word with a decision word is the truth. A rule only counts where the values fit:
a time column needs dates, a label needs values that repeat. Columns that no name reveals are found by their values
alone, for example a truth by sharing its values with the label.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from rca_lib.audits.schema import AUDIT_COLUMNS
from rca_lib.findings import DataError
from rca_lib.intake.column_mapping import suggest_names
from rca_lib.intake.column_profiles import MIN_UNIQUE_SHARE, ColumnProfile


def _read_words(text: str) -> frozenset[str]:
    return frozenset(text.split())


WORDS: Mapping[str, frozenset[str]] = {
    "audit": _read_words(
        "qa qc audit audited auditor auditors expert gold golden final correct corrected true truth reference "
        "adjudicated adjudicator adjudication consensus verified quality"
    ),
    "rater": _read_words(
        "rater raters agent moderator reviewer annotator worker labeler labeller user employee operator analyst "
        "contributor judge coder original initial first bpo"
    ),
    "decision": _read_words(
        "label labels decision judgment judgement verdict answer category class outcome result annotation response "
        "rating choice choices tag grade"
    ),
    "time": _read_words("time date at timestamp datetime on ts day utc"),
    "done": _read_words(
        "decided decision reviewed moderated labeled labelled annotated submitted submit completed created closed "
        "handled judged answered event"
    ),
    "item": _read_words(
        "item content post asset video image task document doc ad object entity url media message sample unit question "
        "creative listing product query"
    ),
    "id": _read_words("id ids key number no nr num identifier uuid guid hash ref sid"),
    "case": _read_words("case ticket review assignment judgment judgement annotation record row evaluation hit"),
    "auditor": _read_words("auditor qa qc expert checker adjudicator verifier evaluator"),
    "name": _read_words("id ids name email mail login alias pseudonym code"),
    "truth": _read_words("truth gold golden groundtruth"),
    "site": _read_words("site location center centre office city hub"),
}
# By column, the groups whose words make it up, with the strength of the evidence.
RULES: Mapping[str, tuple[tuple[tuple[str, ...], float], ...]] = {
    "audit_id": ((("audit", "id"), 0.95), (("case", "id"), 0.85), (("case",), 0.6), (("id",), 0.5)),
    "item_id": ((("item", "id"), 0.95), (("item",), 0.6)),
    "site": ((("site",), 0.9), (("site", "name"), 0.9)),
    "rater": ((("rater", "name"), 0.95), (("rater",), 0.9)),
    "auditor": ((("auditor", "name"), 0.95), (("auditor",), 0.9)),
    "decided_at": ((("done", "time"), 0.95), (("rater", "time"), 0.9), (("done",), 0.7), (("time",), 0.6)),
    "audited_at": ((("audit", "time"), 0.95),),
    "label": ((("rater", "decision"), 0.95), (("decision",), 0.8)),
    "truth": ((("audit", "decision"), 0.97), (("truth",), 0.9), (("audit",), 0.7)),
}
# Further names of the columns that one expression identifies.
SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "vendor": ("vendor", "partner", "supplier", "bpo", "company"),
    "queue": ("queue", "project", "work type", "job"),
    "workflow": ("workflow",),
    "stream": ("stream", "sample type", "sample source", "sampling", "audit type"),
    "weight": ("weight", "sampling weight", "sample weight", "inclusion probability", "sampling probability"),
    "market": ("market", "country", "region", "geo"),
    "language": ("language", "lang", "locale"),
    "policy": ("policy", "policy name", "guideline", "rule", "policy area", "violation type"),
    "severity": ("severity", "error severity"),
    "team": ("team", "squad", "team lead"),
    "hiring_class": ("hiring class", "cohort", "wave", "training batch"),
    "tenure_days": ("tenure", "tenure days"),
    "shift": ("shift",),
    "content_type": ("content type", "media type", "format"),
    "handle_seconds": ("handle time", "handling time", "aht", "handle seconds", "time spent", "lead time"),
    "dispute": ("dispute", "dispute outcome"),
    "appeal": ("appeal", "appeal outcome"),
    "model_label": ("model label", "prediction", "predicted label", "ai decision", "model decision"),
    "model_score": ("model score", "score", "confidence"),
    "cause_code": ("cause code", "root cause", "error cause", "cause"),
    "comment": ("comment", "comments", "note", "notes", "remark", "feedback", "rationale", "explanation", "qa comment"),
}
CONSTANT_COLUMNS = ("site", "stream")  # may be the same in every row, so that an answer need not be a column
MIN_SCORE = 0.5  # evidence from which a column is proposed
MIN_OVERLAP = 0.5  # share of the values of two columns that occur in both, in a pair of label and truth
MAX_GROUP_SHARE = 0.5  # distinct values per row of a column that groups rows


@dataclass(frozen=True, slots=True)
class ColumnMatch:
    """The column of a file that is proposed for a column of audits.

    Attributes
    ----------
    column
        The column of audits.
    sources
        The columns of the file; several are joined with ":".
    reason
        Why.
    question
        What a person has to confirm; "" if the match is clear.
    """

    column: str
    sources: tuple[str, ...]
    reason: str
    question: str = ""


ACCEPTS: Mapping[str, Callable[[ColumnProfile], bool]] = {
    "audit_id": lambda profile: profile.is_identifier,
    "decided_at": lambda profile: profile.is_date,
    "audited_at": lambda profile: profile.is_date,
    "label": lambda profile: profile.is_label,
    "truth": lambda profile: profile.is_label,
    "weight": lambda profile: profile.is_number,
    "model_score": lambda profile: profile.is_number,
    "handle_seconds": lambda profile: profile.is_number,
    "tenure_days": lambda profile: profile.is_number,
    "comment": lambda profile: True,
}


def match_columns(profiles: Sequence[ColumnProfile], answers: Mapping[str, str]) -> list[ColumnMatch]:
    """Propose a column of the file for each column of audits.

    Parameters
    ----------
    profiles
        The columns of the file.
    answers
        Columns of the file that a person has chosen, by column of audits.

    Returns
    -------
    list of ColumnMatch
        The matches in the order of the schema. Columns without evidence are left out.

    Raises
    ------
    DataError
        If an answer names no column of the file.
    """
    by_name = {profile.name: profile for profile in profiles}
    matches = _match_answers(answers, by_name)
    used = {name for match in matches.values() for name in match.sources}
    free = {name: profile for name, profile in by_name.items() if name not in used}
    candidates = [
        (score, -position, column.name, profile.name)
        for profile in free.values()
        for position, column in enumerate(AUDIT_COLUMNS)
        if column.requirement != "automatic" and (score := _score_match(column.name, profile)) >= MIN_SCORE
    ]
    for _, _, column, name in sorted(candidates, reverse=True):
        if column not in matches and name in free:
            matches[column] = ColumnMatch(column, (name,), _describe_match(column, free.pop(name)))
    _match_by_values(matches, by_name, free)
    return [matches[column.name] for column in AUDIT_COLUMNS if column.name in matches]


def _match_answers(answers: Mapping[str, str], profiles: Mapping[str, ColumnProfile]) -> dict[str, ColumnMatch]:
    """Return the matches that a person has chosen: a column of the file, or several with commas between them.

    Raises
    ------
    DataError
        If an answer names no column of the file, and the column of audits cannot be the same in every row.
    """
    matches = {}
    for column in (column.name for column in AUDIT_COLUMNS if column.name in answers):
        answer = answers[column]
        sources = (answer,) if answer in profiles else tuple(part.strip() for part in answer.split(","))
        unknown = [name for name in sources if name not in profiles]
        if not unknown:
            matches[column] = ColumnMatch(column, sources, "your answer")
        elif column not in CONSTANT_COLUMNS:
            problem = f"{column}: {unknown[0]!r} is not a column of the file"
            raise DataError(problem, column=column, hint=f"nearest: {suggest_names(unknown[0], profiles)}")
    return matches


def _score_match(column: str, profile: ColumnProfile) -> float:
    """Return how strongly a column of the file suggests to be a column of audits, from 0 to 1."""
    words = profile.words
    if "_".join(words) == column:
        return 1.0  # whatever its values are: the intake says what is wrong with them
    if not len(profile.values) or not ACCEPTS.get(column, lambda profile: not profile.is_date)(profile):
        return 0.0
    scores = [_score_rule(groups, strength, words) for groups, strength in RULES.get(column, ())]
    for synonym in SYNONYMS.get(column, ()):
        parts = synonym.split()
        if set(parts) <= set(words):
            scores.append(0.93 * (len(parts) / len(words)) ** 0.5)
    return max(scores, default=0.0)


def _score_rule(groups: Sequence[str], strength: float, words: Sequence[str]) -> float:
    """Return the strength of a rule, less for words that it does not explain; 0 if a group has no word of its own."""
    unexplained = list(words)
    for group in groups:
        word = next((word for word in unexplained if word in WORDS[group]), None)
        if word is None:
            return 0.0
        unexplained.remove(word)
    return strength * (1 - len(unexplained) / len(words)) ** 0.25


def _describe_match(column: str, profile: ColumnProfile) -> str:
    """Return the reason for a match by name, with the part of the values that confirms it."""
    if column in ("decided_at", "audited_at"):
        return f"name; {profile.date_share:.0%} of its values are dates"
    if column == "audit_id" and profile.is_identifier:
        return "name; its values identify the rows"
    if column in ("label", "truth"):
        return f"name; {len(profile.distinct):,} different values"
    return "name"


# By values -----------------------------------------------------------------------------------------------------------


def _match_by_values(
    matches: dict[str, ColumnMatch], profiles: Mapping[str, ColumnProfile], free: dict[str, ColumnProfile]
) -> None:
    """Add the required columns that no name reveals, as far as the values show them."""
    _match_labels(matches, profiles, free)
    _match_times(matches, free)
    _join_times_of_day(matches, profiles, free)
    if "item_id" not in matches:
        names = [name for name, profile in free.items() if _can_name_items(profile)]
        if len(names) == 1:
            free.pop(names[0])
            matches["item_id"] = ColumnMatch(
                "item_id", (names[0],), "values: the only column that can name items", f"Does {names[0]} name the item?"
            )
        elif not names and "audit_id" in matches:
            reason = "no column names the item: every audit counts as one of another item"
            question = "No column names the item. Is every audit about another item?"
            matches["item_id"] = ColumnMatch("item_id", matches["audit_id"].sources, reason, question)
    if "audit_id" not in matches:
        _match_audit_id(matches, profiles)


def _match_labels(
    matches: dict[str, ColumnMatch], profiles: Mapping[str, ColumnProfile], free: dict[str, ColumnProfile]
) -> None:
    """Add a label or a truth that shares its values with the other one, or a pair of columns that share values."""
    for column, other in (("truth", "label"), ("label", "truth")):
        if column in matches or other not in matches:
            continue
        known = profiles[matches[other].sources[0]]
        overlaps = {name: _compute_overlap(known, profile) for name, profile in free.items() if profile.is_label}
        best = max(overlaps, key=overlaps.__getitem__, default="")
        if best and overlaps[best] >= MIN_OVERLAP:
            free.pop(best)
            reason = f"values: {overlaps[best]:.0%} are also values of {known.name}"
            matches[column] = ColumnMatch(column, (best,), reason, f"Is {best} the {column} of {known.name}?")
    if "label" in matches or "truth" in matches:
        return
    names = [name for name, profile in free.items() if profile.is_label]
    pairs = [
        (_compute_overlap(free[left], free[right]), -position, left, right)
        for position, left in enumerate(names)
        for right in names[position + 1 :]
    ]
    overlap, _, left, right = max(pairs, default=(0.0, 0, "", ""))
    if overlap >= MIN_OVERLAP:
        reason = f"values: {left} and {right} share {overlap:.0%}; the label usually comes first"
        question = f"Is {left} the decision of the rater, and {right} that of the audit?"
        for column, name in (("label", left), ("truth", right)):
            free.pop(name)
            matches[column] = ColumnMatch(column, (name,), reason, question)


def _compute_overlap(first: ColumnProfile, second: ColumnProfile) -> float:
    """Return the share of distinct values that occur in both columns, of those of the smaller column."""
    smaller = min(len(first.distinct), len(second.distinct))
    return len(first.distinct & second.distinct) / smaller if smaller > 1 else 0.0


def _match_times(matches: dict[str, ColumnMatch], free: dict[str, ColumnProfile]) -> None:
    """Add the only column of dates as the time of the decision, or the time of the audit in its place."""
    if "decided_at" in matches:
        return
    names = [name for name, profile in free.items() if profile.is_date]
    if names:
        free.pop(names[0])
        reason = f"values: {'the only' if len(names) == 1 else 'the first'} column of dates"
        question = f"Is {names[0]} the time of the decision?"
        matches["decided_at"] = ColumnMatch("decided_at", (names[0],), reason, question)
    elif "audited_at" in matches:
        (source,) = matches["audited_at"].sources
        reason = "no column has the time of the decision: the time of the audit stands for it"
        question = f"No column has the time of the decision. Use {source}, the time of the audit?"
        matches["decided_at"] = ColumnMatch("decided_at", (source,), reason, question)


def _join_times_of_day(
    matches: dict[str, ColumnMatch], profiles: Mapping[str, ColumnProfile], free: dict[str, ColumnProfile]
) -> None:
    """Join a column of days with the first free column of times of day."""
    for column in ("decided_at", "audited_at"):
        match = matches.get(column)
        times = [name for name, profile in free.items() if profile.is_time_of_day]
        if match is None or len(match.sources) > 1 or not times or not profiles[match.sources[0]].is_day:
            continue
        free.pop(times[0])
        sources = (*match.sources, times[0])
        matches[column] = replace(match, sources=sources, reason=f"{match.reason}; {times[0]} has the times of day")


def _can_name_items(profile: ColumnProfile) -> bool:
    return profile.unique_share > MAX_GROUP_SHARE and not profile.is_date and profile.number_share < 1


def _match_audit_id(matches: dict[str, ColumnMatch], profiles: Mapping[str, ColumnProfile]) -> None:
    """Join columns that together identify a row."""
    sources: tuple[str, ...] = ()
    for column in ("item_id", "rater", "decided_at", "auditor", "audited_at"):
        if column not in matches:
            continue
        sources = tuple(dict.fromkeys([*sources, *matches[column].sources]))
        frame = pd.DataFrame({name: profiles[name].values for name in sources})
        if len(frame) and 1 - frame.duplicated().mean() >= MIN_UNIQUE_SHARE:
            names = " and ".join(sources)
            question = f"No column names the audit. Does {names} identify it?"
            matches["audit_id"] = ColumnMatch("audit_id", sources, "no column names the audit; these do", question)
            return
