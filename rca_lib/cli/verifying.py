"""`rca verify`: every report, or anybody's claims, made again from the audits."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rca_lib.cli.options import Json, Workers
from rca_lib.cli.terminal import FAILED, fail, say, shorten_path, show_progress, working, write_json

if TYPE_CHECKING:
    from rca_lib.reporting.verification import Verification


def verify(
    reports: Annotated[
        list[Path] | None, typer.Argument(help="The folder of a report, of a batch, or of several batches.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="Take this export in again, in place of the batch's store.")
    ] = None,
    batch: Annotated[
        Path | None, typer.Option("--batch", help="Take plan, mapping and tables from this batch file.")
    ] = None,
    claims: Annotated[
        Path | None, typer.Option("--claims", help="Check the claims in this CSV, XLSX, PPTX or DOCX file instead.")
    ] = None,
    mapping: Annotated[Path | None, typer.Option("--mapping", help="With --claims: the mapping of --data.")] = None,
    out: Annotated[Path, typer.Option("--out", help="With --claims: the folder for the page and workbook.")] = Path(),
    workers: Workers = 2,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show every check, not only those that fail.")] = False,
    signature: Annotated[
        bool, typer.Option("--signature", help="Only check the signed certificate; nothing is derived again.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make every report again from the audits and compare all of it; or check somebody's claims (--claims).

    For a whole batch a certificate is written. It is signed where the environment variable RCA_SIGNING_KEY is set.

    Exit status: 0 if all is verified. 1 if anything is wrong, missing or failed, or the command could not start.
    2 if an option is wrong. 3 if nothing is wrong, but something could not be checked.
    """
    if claims is not None:
        _verify_claims(claims, data=data, batch=reports[0] if reports else None, mapping=mapping, out=out)
        return
    if not reports:
        raise ValueError("name the folder of a report or of a batch, or give --claims")
    if signature and (data or batch):
        raise typer.BadParameter("--signature derives nothing: leave --data and --batch out")
    verifications: list[Verification] = []
    for folder in reports:
        if signature:
            verifications.append(_check_signature(folder, verbose=verbose, quiet=as_json))
        else:
            options = {"data": data, "batch_file": batch, "workers": workers}
            verifications += _verify(folder, options, verbose=verbose, quiet=as_json)
    _conclude(verifications, as_json=as_json)


def _check_signature(folder: Path, *, verbose: bool, quiet: bool) -> Verification:
    from rca_lib.batch.signing import check_signature

    verification = check_signature(folder)
    if not quiet:
        _show_verification(verification, verbose=verbose)
    return verification


def _conclude(verifications: list[Verification], *, as_json: bool) -> None:
    """Exit with the status that the verifications have."""
    from rca_lib.reporting.verification import count_verdicts, find_status

    counts = count_verdicts(verifications)
    status = find_status(verifications)
    if as_json:
        reports = [verification.to_dict() for verification in verifications]
        write_json({"verdicts": counts, "status": status, "reports": reports})
        raise typer.Exit(status)
    if status:
        words = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
        fail([f"{words[:1].upper()}{words[1:]}."], status)


def _verify_claims(claims: Path, *, data: Path | None, batch: Path | None, mapping: Path | None, out: Path) -> None:
    from rca_lib.batch.claims import check_claim_file, write_claim_report

    now = datetime.now(UTC)
    with working(f"Checking {claims.name}"):
        checks = check_claim_file(claims, data=data, batch=batch, mapping=mapping, now=now)
        audits = data.name if data else f"the audits of {batch.name}" if batch else ""
        pages = write_claim_report(checks, out, audits=audits, now=now)
    for check in checks.checks:
        say(f"{check.claim.source}: {check.outcome}. {check.explanation}")
    say(checks.summary())
    say(f"Open {pages[0]} or {pages[1]}")
    if not checks.holds:
        raise typer.Exit(FAILED)


def _verify(folder: Path, options: dict[str, Any], *, verbose: bool, quiet: bool) -> list[Verification]:
    """Verify a folder with a bar of progress, show each report, write the certificates."""
    from rca_lib.batch.certificate import write_certificate
    from rca_lib.batch.verifying import verify_folder

    with show_progress("Making the reports again") as progress:
        options["on_start"] = progress.expect
        batches = verify_folder(folder, **options, on_progress=lambda told: progress.advance(told.folder))
    for batch in batches:
        for verification in batch.verifications if not quiet else ():
            _show_verification(verification, verbose=verbose)
        try:
            certificate = write_certificate(batch, now=datetime.now(UTC))
        except OSError as problem:
            say(f"No certificate was written: {problem}", error=True)
            continue
        if certificate and not quiet:
            say(f"Open {shorten_path(certificate)}")
    return [verification for batch in batches for verification in batch.verifications]


def _show_verification(verification: Verification, *, verbose: bool) -> None:
    from rca_lib.reporting.verification import GOOD

    say(verification.summary())
    for line in verification.checks:
        if verbose or line.outcome not in GOOD:
            say(f"  {line.outcome}: {line.id}")
            say(f"    reported: {line.reported}")
            say(f"    derived:  {line.derived}")
    for left in verification.not_covered if verbose else ():
        say(f"  not covered: {left}")
