"""Proposal of a mapping for an unknown export: what `rca init` writes.

The proposal reads a sample of the file and matches its columns (`column_matching`). It then previews the ingestion, so
that the order of day and month, the decimal mark and the unit of percentages are taken from the values where these
prove it. What the file leaves open becomes a question with a proposed answer. A person answers it, or the answer is
listed under `assumed` in the mapping; the ledger and page one of every report then say so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import yaml
from pydantic import ValidationError

from rca_lib.audits.schema import AUDIT_COLUMNS, STREAMS
from rca_lib.findings import DataError
from rca_lib.intake.column_mapping import MAPPABLE_COLUMNS, ColumnMapping, suggest_names
from rca_lib.intake.column_matching import ColumnMatch, match_columns
from rca_lib.intake.column_profiles import profile_columns
from rca_lib.intake.preview import IngestPreview, preview_ingest
from rca_lib.intake.sources import read_source
from rca_lib.io.control_characters import escape_control_chars
from rca_lib.io.duckdb_connection import connect_duckdb

SAMPLE_ROWS = 20_000  # rows at the top of the file that the proposal looks at
DEFAULT_SITE = "site-1"  # the site of an export without a column of sites
BENIGN_WORDS = (
    "benign", "ok", "okay", "clean", "safe", "allow", "allowed", "approve", "approved", "pass", "passed", "compliant",
    "legit", "legitimate", "ham", "none", "nonviolating", "acceptable", "accepted", "good", "no violation",
    "not violating", "non violating", "non violation", "no action", "no issue", "not spam",
)  # fmt: skip
BENIGN_OF_TWO = ("0", "false", "no", "n", "negative")  # where these are one of two labels
SET_NOTATION = re.compile(r"\s*[\[{].*[\]}]\s*|.*[^\s;|][;|]\s*[^\s;|].*", flags=re.DOTALL)
MIN_SET_SHARE = 0.05  # share of labels in the notation of a set from which sets are proposed
SETTING_QUESTIONS = {
    "time_zone": "The times carry no offset from UTC. Which time zone is the clock of the export?",
    "date_order": "Do dates such as 03/04/2026 begin with the day (dmy) or the month (mdy)?",
    "decimal": "Is the decimal mark of the numbers a point or a comma?",
    "percent": 'Are numbers without a percent sign shares (0.85: "share") or percentages (85: "percent")?',
    "weight_is": 'All weights are at most 1. Are they the "probability" of being sampled, or the "weight" itself?',
}
MAX_REASON_CHARS = 200
# Settings without which a file cannot be read; the hint of its error names the one that is missing.
READING_SETTINGS = ("encoding", "sheet", "records", "query", "header_row")


@dataclass(frozen=True, slots=True)
class Question:
    """What the file leaves open.

    Attributes
    ----------
    key
        The column of audits or the key of the mapping that it is about.
    text
        The question.
    proposal
        The proposed answer.
    """

    key: str
    text: str
    proposal: str


@dataclass(frozen=True, slots=True)
class MappingProposal:
    """A proposed mapping.

    Attributes
    ----------
    file
        The name of the file.
    matches
        The column of the file for each column of audits, with the reason.
    constants
        Values that are the same in every row, by column of audits.
    settings
        The other keys of the mapping.
    questions
        What the file leaves open and no answer decides.
    unused
        The columns of the file that become extra dimensions.
    preview
        The ingestion with this mapping.
    """

    file: str
    matches: tuple[ColumnMatch, ...]
    constants: Mapping[str, str]
    settings: dict[str, Any]
    questions: tuple[Question, ...]
    unused: tuple[str, ...]
    preview: IngestPreview

    def to_mapping(self) -> ColumnMapping:
        """Return the proposal as a mapping; open questions are listed under `assumed`."""
        return ColumnMapping(**self._to_dict())

    def to_yaml(self) -> str:
        """Return the mapping as a YAML file, with the reasons as comments."""
        content = self._to_dict()
        reasons = {match.column: match.reason for match in self.matches}
        lines = [f"# How {_to_comment(self.file)} writes audits. Check it with `rca check`.", "columns:"]
        for column, source in content.pop("columns").items():
            reason = reasons.get(column, "the same in every row")
            lines.append(f"  {column}: {_dump_inline(source)} # {_to_comment(reason)}")
        assumed = content.pop("assumed", ())
        lines += [f"{key}: {_dump_inline(value)}" for key, value in content.items()]
        if assumed:
            lines.append(
                "# Nobody has confirmed these. Delete a line once it is confirmed; reports list what stands here."
            )
            lines += ["assumed:", *(f"  - {_dump_inline(text)}" for text in assumed)]
        return "\n".join(lines) + "\n"

    def _to_dict(self) -> dict[str, Any]:
        columns: dict[str, Any] = {match.column: _unwrap(match.sources) for match in self.matches}
        columns |= {column: {"constant": value} for column, value in self.constants.items()}
        ordered = {name: columns[name] for name in MAPPABLE_COLUMNS if name in columns}
        content: dict[str, Any] = {"columns": ordered, **self.settings}
        if self.questions:
            content["assumed"] = [f"{question.key}: {question.proposal or 'none'}" for question in self.questions]
        return content


def propose_mapping(
    source: Path, *, answers: Mapping[str, str] | None = None, now: datetime | None = None
) -> MappingProposal:
    """Propose a mapping for an export.

    Parameters
    ----------
    source
        The export.
    answers
        Answers to the questions of an earlier proposal, by the key of the question.
    now
        The moment after which a date lies in the future; None: no date counts as future.

    Returns
    -------
    MappingProposal
        The proposal, with the questions that are still open.

    Raises
    ------
    DataError
        If the file cannot be read as a table, if a required column cannot be found, or if the file cannot be ingested
        whatever the answers are.
    """
    answers = dict(answers or {})
    reading_settings = _validate_answers(answers, READING_SETTINGS)
    names, sample = _read_sample(source, ColumnMapping.model_validate(reading_settings))
    profiles = profile_columns(sample, names)
    matches = match_columns(profiles, answers)
    constants, questions = _fill_missing_columns(matches, answers)
    _require_columns(source, matches, constants, names)
    questions += [
        Question(match.column, match.question, ", ".join(match.sources))
        for match in matches
        if match.question and match.column not in answers
    ]
    used = {name for match in matches for name in match.sources}
    labels = [profile.values for profile in profiles if profile.name in _list_label_sources(matches)]
    proposal = MappingProposal(
        source.name,
        tuple(matches),
        constants,
        {},
        (),
        tuple(name for name in names if name not in used),
        IngestPreview(source.name),
    )
    settings, setting_questions = _propose_scale(labels, answers)
    settings |= reading_settings
    proposal, preview_questions = _preview_settings(source, replace(proposal, settings=settings), answers, now)
    proposal, benign_questions = _propose_benign(proposal, answers)
    all_questions = [*questions, *setting_questions, *preview_questions, *benign_questions]
    return replace(proposal, questions=tuple(dict.fromkeys(all_questions)))


def find_reading_question(error: DataError) -> Question | None:
    """Return the question that a file raises which cannot be read without a setting; None for any other error.

    Parameters
    ----------
    error
        The error of `propose_mapping`.

    Returns
    -------
    Question or None
        The question, without a proposal.

    Examples
    --------
    >>> error = DataError("a.xlsx has 2 sheets", hint="name one under sheet: in the mapping: May, June")
    >>> find_reading_question(error).key
    'sheet'
    """
    key = next((key for key in READING_SETTINGS if re.search(rf"\b{key}:? ", error.hint)), None)
    return Question(key, str(error), "") if key else None


def _read_sample(source: Path, mapping: ColumnMapping) -> tuple[tuple[str, ...], pd.DataFrame]:
    """Return the header and the first rows of a file, as text."""
    with (
        TemporaryDirectory(prefix="rca-init-") as folder,
        connect_duckdb(folders=[Path(folder)], files=[source]) as connection,
    ):
        names = read_source(connection, source, mapping, Path(folder)).names
        cells = ", ".join(f"c{position}" for position in range(len(names)))
        return names, connection.sql(f"select {cells} from raw where record_issue is null limit {SAMPLE_ROWS}").df()


def _fill_missing_columns(
    matches: Sequence[ColumnMatch], answers: Mapping[str, str]
) -> tuple[dict[str, str], list[Question]]:
    """Return constants for columns that the file lacks and that one value can stand for, with the questions."""
    matched = {match.column for match in matches}
    constants: dict[str, str] = {}
    questions: list[Question] = []
    if "site" not in matched:
        constants["site"] = answers.get("site", DEFAULT_SITE)
        questions.append(Question("site", "No column names the site. What is the site of all audits?", DEFAULT_SITE))
    if "stream" not in matched:
        text = f"No column says how the audits were sampled. How were they ({', '.join(STREAMS)})?"
        constants["stream"] = answers.get("stream", "random")
        questions.append(Question("stream", text, "random"))
    return constants, [question for question in questions if question.key not in answers]


def _require_columns(
    source: Path, matches: Sequence[ColumnMatch], constants: Mapping[str, str], names: Sequence[str]
) -> None:
    """Raise DataError if a required column has neither a match nor a constant."""
    found = {*constants, *(match.column for match in matches)}
    missing = [column for column in AUDIT_COLUMNS if column.requirement == "required" and column.name not in found]
    if not missing:
        return
    used = {name for match in matches for name in match.sources}
    free = [name for name in names if name not in used]
    wanted = ", ".join(f"{column.name} ({column.description})" for column in missing)
    hint = f"name it under columns in a mapping; columns without a use: {suggest_names(missing[0].name, free)}"
    if any(name[:1].isdigit() for name in names):
        hint += "; if the file has no header, write header_row: 0, and its columns are column_1, column_2 …"
    raise DataError(f"{source.name}: no column looks like {wanted}", column=missing[0].name, hint=hint)


def _list_label_sources(matches: Iterable[ColumnMatch]) -> set[str]:
    return {name for match in matches if match.column in ("label", "truth") for name in match.sources}


# Settings ------------------------------------------------------------------------------------------------------------


def _propose_scale(
    labels: Sequence[pd.Series[str]], answers: Mapping[str, str]
) -> tuple[dict[str, Any], list[Question]]:
    """Propose sets of labels where the labels are written as sets."""
    if "label_scale" in answers:
        return {"label_scale": answers["label_scale"]}, []
    cells = pd.concat(labels) if labels else pd.Series([], dtype="str")
    if not len(cells) or cells.str.fullmatch(SET_NOTATION).mean() < MIN_SET_SHARE:
        return {}, []
    text = 'Some labels look like sets. Are they "multilabel", or is each text one "nominal" label?'
    return {"label_scale": "multilabel"}, [Question("label_scale", text, "multilabel")]


def _preview_settings(
    source: Path, proposal: MappingProposal, answers: Mapping[str, str], now: datetime | None
) -> tuple[MappingProposal, list[Question]]:
    """Preview the ingestion, and add the settings that it needs; each that no answer gives is a question."""
    settings = proposal.settings | _validate_answers(answers, (*SETTING_QUESTIONS, "label_scale"))
    questions: list[Question] = []
    while True:
        preview = preview_ingest(source, replace(proposal, settings=settings).to_mapping(), now=now)
        assumed = dict(text.split(": ", 1) for text in preview.assumed)
        if preview.ledger is None and "weight_is" not in settings and _asks_for_weights(preview):
            assumed["weight_is"] = "probability"
        settings |= assumed
        questions += [Question(key, SETTING_QUESTIONS[key], value) for key, value in assumed.items()]
        if preview.ledger is not None or not assumed:
            break
    if preview.ledger is None:
        raise preview.problems[-1]
    return replace(proposal, settings=settings, preview=preview), questions


def _validate_answers(answers: Mapping[str, str], keys: Sequence[str]) -> dict[str, str]:
    """Return the answers that are these settings of the mapping.

    Raises
    ------
    DataError
        If an answer is not valid.
    """
    settings = {key: answers[key] for key in keys if key in answers}
    try:
        ColumnMapping.model_validate(settings)
    except ValidationError as error:
        details = error.errors()[0]
        problem = f"{details['loc'][0]}: {details['msg'].removeprefix('Value error, ')}"
        raise DataError(problem, hint="give another answer") from None
    return settings


def _asks_for_weights(preview: IngestPreview) -> bool:
    return bool(preview.problems) and "weight_is" in preview.problems[-1].hint


def _propose_benign(proposal: MappingProposal, answers: Mapping[str, str]) -> tuple[MappingProposal, list[Question]]:
    """Propose the labels that mean no violation, by their words."""
    labels = [label.mapped_label or label.source_label for label in proposal.preview.labels]
    text = 'Which labels mean "no violation"? Separate several with commas; leave it blank if there is none.'
    if "benign" in answers:
        benign = [label.strip() for label in answers["benign"].split(",") if label.strip()]
    else:
        benign = [label for label in dict.fromkeys(labels) if _is_benign(label, len(set(labels)))]
        benign = ["benign"] if "benign" in benign else benign
    if benign == ["benign"]:
        return proposal, []
    questions = [] if "benign" in answers else [Question("benign", text, ", ".join(benign))]
    if not benign:
        return proposal, questions if proposal.preview.labels else []
    unknown = [label for label in benign if label not in labels]
    if unknown:
        problem = f"benign: {unknown[0]!r} is not one of the labels"
        raise DataError(problem, column="label", hint=f"nearest: {suggest_names(unknown[0], labels)}")
    return replace(proposal, settings={**proposal.settings, "benign": benign}), questions


def _is_benign(label: str, label_count: int) -> bool:
    """Return whether the words of one of several labels say that it is no violation.

    Examples
    --------
    >>> [_is_benign(label, 5) for label in ("No violation", "non-violating", "OK", "spam", "not safe", "0")]
    [True, True, True, False, False, False]
    >>> _is_benign("0", 2)
    True
    """
    words = BENIGN_WORDS + (BENIGN_OF_TWO if label_count == 2 else ())
    return " ".join(re.findall(r"[^\W_]+", label.casefold())) in words


# YAML ----------------------------------------------------------------------------------------------------------------


def _unwrap(sources: tuple[str, ...]) -> str | list[str]:
    return sources[0] if len(sources) == 1 else list(sources)


def _dump_inline(value: object) -> str:
    """Return a value as YAML on one line, with control characters escaped."""
    is_plain = escape_control_chars(value) == str(value)
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=is_plain, width=10**9, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")


def _to_comment(text: str) -> str:
    return escape_control_chars(text, max_chars=MAX_REASON_CHARS)
