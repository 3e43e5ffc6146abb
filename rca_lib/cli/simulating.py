"""`rca simulate` and `rca lab`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from rca_lib.cli.options import PROJECT
from rca_lib.cli.terminal import say, working


def simulate(
    out: Annotated[Path, typer.Argument(help="The folder that receives audits, events, targets and ratings.")],
    seed: Annotated[int, typer.Option("--seed", help="Other audits for another number.")] = 1,
) -> None:
    """Write the demo's synthetic audits, with their planted causes, as an export would look."""
    from rca_lib.audits.synthetic import demo_simulation, write_simulation

    with working("Simulating audits"):
        simulation = demo_simulation(seed=seed)
        write_simulation(simulation, out)
    for cause in simulation.causes:
        where = ", ".join(f"{name} = {value}" for name, value in cause.where.items())
        say(f"{cause.site}: {cause.kind} from {cause.start}{f' ({where})' if where else ''}")
    say(f"{len(simulation.audits):,} audits in {out}")


def lab() -> None:
    """JupyterLab on the notebooks."""
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={PROJECT}"]
    command += ["--LabApp.default_url=/lab/tree/notebooks"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # a container has no other user; the server listens on this machine only
    os.execv(sys.executable, command)
