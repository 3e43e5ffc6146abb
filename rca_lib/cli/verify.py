"""`rca verify`: make reports again from the audits and compare them, or check the claims of others."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rca_lib.cli.options import JsonOption, WorkersOption
from rca_lib.cli.terminal import (
    EXIT_FAILED,
    exit_with_error,
    print_json,
    print_line,
    shorten_path,
    show_progress,
    show_spinner,
)

if TYPE_CHECKING:
    from rca_lib.batch.batch_verification import BatchVerification
    from rca_lib.reporting.verification import Verification

SignatureOption = Annotated[
    bool, typer.Option("--signature", help="Only check the signed certificate; no report is made again.")
]
TrustedNotebooksOption = Annotated[
    list[Path] | None,
    typer.Option("--trust-notebook", help="Run this notebook too, where the batch's plan names it."),
]


def verify(
    reports: Annotated[
        list[Path] | None, typer.Argument(help="The folder of a report, of a batch, or of several batches.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="Ingest this export again, instead of using the batch's store.")
    ] = None,
    batch: Annotated[
        Path | None, typer.Option("--batch", help="Use plan, mapping and tables of this batch file.")
    ] = None,
    claims: Annotated[
        Path | None, typer.Option("--claims", help="Check the claims in this CSV, XLSX, PPTX or DOCX file instead.")
    ] = None,
    mapping: Annotated[Path | None, typer.Option("--mapping", help="With --claims: the mapping of --data.")] = None,
    out: Annotated[Path, typer.Option("--out", help="With --claims: the folder for the page and workbook.")] = Path(),
    trusted_notebooks: TrustedNotebooksOption = None,
    workers: WorkersOption = 2,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show every check, not only those that fail.")] = False,
    signature: SignatureOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make every report again from the audits and compare every byte, or check the claims of others (--claims).

    For a whole batch a certificate is written. It is signed if the environment variable RCA_SIGNING_KEY is set.

    Exit status: 0 if all is verified. 1 if anything is wrong, missing or failed, or the command could not start.
    2 if an option is wrong. 3 if nothing is wrong, but something could not be checked.
    """
    if claims is not None:
        _verify_claims(claims, data=data, batch=reports[0] if reports else None, mapping=mapping, out=out)
        return
    if not reports:
        raise ValueError("name the folder of a report or of a batch, or give --claims")
    if signature and (data or batch):
        raise typer.BadParameter("--signature makes no report again: leave --data and --batch out")
    verifications: list[Verification] = []
    for folder in reports:
        if signature:
            verifications.append(_check_signature(folder, verbose=verbose, quiet=as_json))
        else:
            batches = _verify_folder(folder, data, batch, trusted_notebooks or [], workers)
            for batch_verification in batches:
                verifications += batch_verification.verifications
                _report_batch(batch_verification, verbose=verbose, quiet=as_json)
    _exit_with_status(verifications, as_json=as_json)


def _check_signature(folder: Path, *, verbose: bool, quiet: bool) -> Verification:
    from rca_lib.batch.signing import check_signature

    verification = check_signature(folder)
    if not quiet:
        _print_verification(verification, verbose=verbose)
    return verification


def _verify_folder(
    folder: Path, data: Path | None, batch_file: Path | None, trusted_notebooks: list[Path], workers: int
) -> list[BatchVerification]:
    """Verify a folder with a progress bar."""
    from rca_lib.batch.batch_verification import verify_folder

    with show_progress("Making the reports again") as progress:
        return verify_folder(
            folder,
            data=data,
            batch_file=batch_file,
            trusted_notebooks=trusted_notebooks,
            workers=workers,
            on_start=progress.start,
            on_progress=lambda verification: progress.advance(verification.folder),
        )


def _report_batch(batch: BatchVerification, *, verbose: bool, quiet: bool) -> None:
    """Print the verification of each report, and write the certificate."""
    from rca_lib.batch.certificate import write_certificate

    if not quiet:
        for verification in batch.verifications:
            _print_verification(verification, verbose=verbose)
    try:
        certificate = write_certificate(batch, now=datetime.now(UTC))
    except OSError as problem:
        print_line(f"No certificate was written: {problem}", error=True)
        return
    if certificate and not quiet:
        print_line(f"Open {shorten_path(certificate)}")


def _print_verification(verification: Verification, *, verbose: bool) -> None:
    """Print the verdict and the checks that did not pass; with `verbose` all checks and what is not covered."""
    from rca_lib.reporting.verification import PASSING_OUTCOMES

    print_line(verification.summary())
    for check in verification.checks:
        if verbose or check.outcome not in PASSING_OUTCOMES:
            print_line(f"  {check.outcome}: {check.id}")
            print_line(f"    reported: {check.reported}")
            print_line(f"    derived:  {check.derived}")
    if verbose:
        for note in verification.not_covered:
            print_line(f"  not covered: {note}")


def _exit_with_status(verifications: list[Verification], *, as_json: bool) -> None:
    """Exit with the status of the verifications, after printing their number by verdict."""
    from rca_lib.reporting.verification import compute_exit_status, count_verdicts

    counts = count_verdicts(verifications)
    status = compute_exit_status(verifications)
    if as_json:
        reports = [verification.to_dict() for verification in verifications]
        print_json({"verdicts": counts, "status": status, "reports": reports})
        raise typer.Exit(status)
    if status:
        summary = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
        exit_with_error([f"{summary[:1].upper()}{summary[1:]}."], status)


def _verify_claims(claims: Path, *, data: Path | None, batch: Path | None, mapping: Path | None, out: Path) -> None:
    """Check a file of claims, print each result, and write page and workbook."""
    from rca_lib.batch.claim_report import check_claim_file, write_claim_report

    now = datetime.now(UTC)
    with show_spinner(f"Checking {claims.name}"):
        checks = check_claim_file(claims, data=data, batch=batch, mapping=mapping, now=now)
        audits = data.name if data else f"the audits of {batch.name}" if batch else ""
        page, workbook = write_claim_report(checks, out, audits=audits, now=now)
    for check in checks.checks:
        print_line(f"{check.claim.location}: {check.outcome}. {check.explanation}")
    print_line(checks.summary())
    print_line(f"Open {page} or {workbook}")
    if not checks.holds:
        raise typer.Exit(EXIT_FAILED)
