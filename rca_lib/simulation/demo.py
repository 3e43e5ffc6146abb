# Tested in tests/cli/test_demo.py.
"""The store of simulated audits that the name "demo" stands for."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from rca_lib.intake.column_mapping import ColumnMapping
from rca_lib.intake.ingest import ingest
from rca_lib.intake.side_tables import read_side_tables, write_side_tables

DEMO_STORE = "demo"  # what stands for the simulated audits where a store is named


def create_demo_store() -> Path:
    """Return a store of the demo's simulated audits.

    Returns
    -------
    Path
        A temporary folder. It is written once per process and removed when the process ends.
    """
    return Path(_write_demo_store().name)


@cache
def _write_demo_store() -> TemporaryDirectory[str]:
    """Simulate the demo, ingest it, and write its events, targets and ratings beside the audits."""
    from rca_lib.simulation.synthetic_audits import simulate_demo, write_simulation  # real audits do not need it

    store = TemporaryDirectory(prefix="rca-demo-")
    with TemporaryDirectory(prefix="rca-export-") as export:
        write_simulation(simulate_demo(), Path(export))
        ingest(Path(export) / "audits.csv", Path(store.name), synthetic=True)
        files = {name: Path(export) / f"{name}.csv" for name in ("events", "targets", "ratings")}
        write_side_tables(read_side_tables(files, ColumnMapping()), Path(store.name))
    return store
