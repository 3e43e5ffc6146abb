"""`rca`: the command line, one module per command."""

from __future__ import annotations

import json
import os
import sys
from typing import Annotated

import typer

import rca_lib
from rca_lib.batch.stopping import explain_end, watch_signals
from rca_lib.cli import checking, running, simulating, verifying
from rca_lib.cli.terminal import FAILED, fail

EPILOG = (
    "Exit status: 0 everything succeeded; 1 a run failed, a site has lost its audits, the data or a file is at fault, "
    "or nothing could start; 2 a wrong command or option; 3 done, but with warnings (--strict) or with something that "
    "could not be checked (verify); 130 interrupted (Ctrl-C); 143 terminated."
)
app = typer.Typer(
    help="Root-cause analysis of audited decisions.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(running.demo)
app.command()(checking.check)
app.command()(running.run)
app.command()(verifying.verify)
app.command()(simulating.simulate)
app.command()(simulating.lab)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rca {rca_lib.__version__}")
        raise typer.Exit


@app.callback()
def _start(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Root-cause analysis of audited decisions."""


def main() -> None:
    """Run the command line; every error is one readable message and an exit status other than 0."""
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # several threads each wait for one another where several processes run
    received = watch_signals()
    try:
        sys.exit(app(standalone_mode=False))  # it returns the status of a command that left by typer.Exit
    except BaseException as problem:
        told = None if isinstance(problem, SystemExit) and not received else explain_end(problem, received)
        if told is None:
            raise
        message, status = told
        several = status == FAILED and getattr(problem, "faults", ())  # of side tables, a line each
        _stop(message.splitlines() if several else [message], status)


def _stop(lines: list[str], status: int) -> None:
    """Tell of an error, as JSON on standard output too where that was asked for, and exit."""
    if "--json" in sys.argv:
        print(json.dumps({"status": status, "errors": lines}, indent=1))  # noqa: T201  for other programs
    fail(lines, status)
