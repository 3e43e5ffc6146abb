"""`rca simulate`: write the demo's synthetic audits as an export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rca_lib.cli.terminal import print_line, show_spinner


def simulate(
    out: Annotated[Path, typer.Argument(help="The folder that receives audits, events, targets and ratings.")],
    seed: Annotated[int, typer.Option("--seed", help="A number; each gives different audits.")] = 1,
) -> None:
    """Write the demo's synthetic audits with their planted causes, in the form of an export."""
    from rca_lib.simulation.synthetic_audits import simulate_demo, write_simulation

    with show_spinner("Simulating audits"):
        simulation = simulate_demo(seed=seed)
        write_simulation(simulation, out)
    for cause in simulation.causes:
        condition = ", ".join(f"{column} = {value}" for column, value in cause.where.items())
        suffix = f" ({condition})" if condition else ""
        print_line(f"{cause.site}: {cause.kind} from {cause.start}{suffix}")
    print_line(f"{len(simulation.audits):,} audits in {out}")
