"""`rca init`: propose a mapping and a batch file for an unknown export, and ask what the export leaves open."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import yaml

from rca_lib.cli.terminal import print_line, print_table, print_warning, shorten_path, show_spinner
from rca_lib.findings import DataError

if TYPE_CHECKING:
    from rca_lib.intake.mapping_proposal import MappingProposal, Question

MAX_NAME_CHARS = 40
EXPORT_SUFFIXES = 3  # as in audits.csv.gz


def init(
    export: Annotated[Path, typer.Argument(help="A file of audits (CSV, XLSX, JSON, Parquet …).")],
    yes: Annotated[bool, typer.Option("--yes", help="Accept every proposal; reports list what was assumed.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="The folder for the files; by default one named after the export.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
) -> None:
    """Propose a mapping and a batch file for an export.

    On a terminal, it asks what the export leaves open. It writes mapping.yml, batch.yml, and empty tables of events and
    targets.

    Exit status: 0 if the files were written. 1 if a question is open, the export cannot be used, or a file exists.
    """
    name = _make_batch_name(export)
    folder = out or Path(name)
    files = [folder / file for file in ("mapping.yml", "batch.yml", "events.csv", "targets.csv")]
    existing = [file for file in files if file.exists()]
    if existing and not force:
        raise ValueError(
            f"{shorten_path(existing[0])} exists; choose another folder with --out, or replace it: --force"
        )
    answers: dict[str, str] = {}
    proposal = _propose_readable(export, answers)
    _print_proposal(proposal)
    if proposal.questions and not yes:
        proposal = _ask_questions(export, proposal, answers)
    for file, text in zip(files, _build_files(name, export, folder, proposal), strict=True):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    for question in proposal.questions:
        print_warning(f"assumed, not confirmed: {question.key}: {question.proposal or 'none'}")
    if proposal.preview.ledger:
        print_line(proposal.preview.ledger.summary())
    print_line(f"Wrote {', '.join(shorten_path(file) for file in files)}.")
    print_line(f"Next: rca run {shorten_path(files[1])}")


def _propose(export: Path, answers: dict[str, str]) -> MappingProposal:
    from rca_lib.intake.mapping_proposal import propose_mapping

    with show_spinner(f"Reading {export.name}"):
        return propose_mapping(export, answers=answers, now=datetime.now(UTC))


def _propose_readable(export: Path, answers: dict[str, str]) -> MappingProposal:
    """Propose a mapping; on a terminal, ask for the settings without which the file cannot be read."""
    from rca_lib.intake.mapping_proposal import find_reading_question

    while True:
        try:
            return _propose(export, answers)
        except DataError as problem:
            question = find_reading_question(problem)
            if question is None or not sys.stdin.isatty():
                raise
            answers[question.key] = _ask(question)


def _print_proposal(proposal: MappingProposal) -> None:
    """Print the column of the file for each column of audits, with the reason, and what is not used."""
    rows = [(match.column, " + ".join(match.sources), match.reason) for match in proposal.matches]
    rows += [(column, f"always {value!r}", "no such column") for column, value in proposal.constants.items()]
    print_table(("column of audits", "column of the file", "reason"), rows)
    if proposal.unused:
        print_line(f"Kept as further dimensions: {', '.join(proposal.unused)}.")


def _ask_questions(export: Path, proposal: MappingProposal, answers: dict[str, str]) -> MappingProposal:
    """Ask each question on a terminal; an answer may raise further questions."""
    if not sys.stdin.isatty():
        listed = " ".join(
            f"{question.text} Proposed: {question.proposal or 'none'}." for question in proposal.questions
        )
        raise ValueError(f"{export.name}: {listed} Run rca init on a terminal to answer, or accept all with --yes")
    while proposal.questions:
        question = proposal.questions[0]
        answers[question.key] = _ask(question)
        try:
            proposal = _propose(export, answers)
        except DataError as problem:
            print_warning(problem)
            del answers[question.key]
    return proposal


def _ask(question: Question) -> str:
    print_line(question.text)
    default = question.proposal or ("" if question.key == "benign" else None)
    answer: str = typer.prompt(question.key, default=default, show_default=bool(question.proposal))
    return answer.strip()


def _make_batch_name(export: Path) -> str:
    """Return the name of a batch for an export: its file name in letters, digits and underscores.

    Examples
    --------
    >>> _make_batch_name(Path("Lisbon audits (March).csv.gz")), _make_batch_name(Path("审核.xlsx"))
    ('lisbon_audits_march', 'audits')
    """
    stem = export.name
    for suffix in reversed(export.suffixes[-EXPORT_SUFFIXES:]):
        stem = stem.removesuffix(suffix)
    ascii_stem = "".join(char if char.isascii() and char.isalnum() else " " for char in stem.casefold())
    return "_".join(ascii_stem.split())[:MAX_NAME_CHARS].strip("_") or "audits"


def _build_files(name: str, export: Path, folder: Path, proposal: MappingProposal) -> tuple[str, str, str, str]:
    """Return the mapping, the batch file and the empty tables of events and targets."""
    from rca_lib.audits.schema import EVENTS, TARGETS, list_columns

    data = yaml.safe_dump(Path(os.path.relpath(export.absolute(), folder.absolute())).as_posix(), allow_unicode=True)
    batch = (
        "# `rca run` with this file makes a report for every site and month of the export.\n"
        f"batch: {name}\n"
        f"data: {data.splitlines()[0]}\n"
        "mapping: mapping.yml\n"
        "# events: events.csv # policy updates, tool releases, hiring classes …; once it has rows, remove the first #\n"
        "# targets: targets.csv # the accuracy that was agreed, for each site or queue\n"
        "periods: months # or weeks, latest-complete, {last: 8, frequency: week}, [2026-03]\n"
    )
    return proposal.to_yaml(), batch, f"{','.join(list_columns(EVENTS))}\n", f"{','.join(list_columns(TARGETS))}\n"
