"""`rca`: the command line, one module per command.

Every error ends a command with one readable message and an exit status other than 0; only a fault of the program itself
shows a traceback.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Annotated

import typer

import rca_lib
from rca_lib.batch.exit_status import explain_exit, install_signal_handlers
from rca_lib.cli import check, demo, init, lab, look, run, run_one, simulate, verify
from rca_lib.cli.terminal import EXIT_FAILED, exit_with_error

EPILOG = (
    "Exit status: 0 everything succeeded; 1 a run failed, a site lost its audits, data or a file is at fault, or "
    "nothing could start; 2 a wrong command or option; 3 done, but with warnings (--strict) or with something that "
    "could not be checked (verify); 130 interrupted (Ctrl-C); 143 terminated."
)
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")

app = typer.Typer(
    help="Root-cause analysis of audited moderation decisions.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(demo.demo)
app.command()(look.look)
app.command()(init.init)
app.command()(check.check)
app.command()(run.run)
app.command("run-one")(run_one.run_one)
app.command()(verify.verify)
app.command()(simulate.simulate)
app.command()(lab.lab)


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"rca {rca_lib.__version__}")
        raise typer.Exit


@app.callback()
def _start(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Root-cause analysis of audited moderation decisions."""


def main() -> None:
    """Run the command line: the entry point of `rca`."""
    for name in THREAD_VARIABLES:
        os.environ.setdefault(name, "1")  # several threads in each of several processes only wait for one another
    received_signals = install_signal_handlers()
    try:
        sys.exit(app(standalone_mode=False))  # it returns the status of a command that raised typer.Exit
    except BaseException as problem:
        if isinstance(problem, SystemExit) and not received_signals:
            raise
        explanation = explain_exit(problem, received_signals)
        if explanation is None:
            raise
        message, status = explanation
        # An error about side tables has one line per issue.
        has_issues = status == EXIT_FAILED and bool(getattr(problem, "issues", None))
        _exit_with_errors(message.splitlines() if has_issues else [message], status)


def _exit_with_errors(lines: list[str], status: int) -> None:
    """Print an error, with --json also as JSON on standard output, and exit."""
    if "--json" in sys.argv:
        print(json.dumps({"status": status, "errors": lines}, indent=1))  # noqa: T201  for other programs
    exit_with_error(lines, status)
