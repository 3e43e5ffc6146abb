"""The store of the demo's synthetic audits, for whoever names none."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from rca_lib.audits.intake import take_in
from rca_lib.audits.mapping import Mapping
from rca_lib.audits.side_tables import read_side_tables, write_side_tables


def demo_store() -> Path:
    """Return a store of the demo's synthetic audits, made once per process and gone with it."""
    return Path(_make_demo_store().name)


@cache
def _make_demo_store() -> TemporaryDirectory[str]:
    from rca_lib.audits.synthetic import demo_simulation, write_simulation  # real audits have no use for it

    folder = TemporaryDirectory(prefix="rca-demo-")
    with TemporaryDirectory(prefix="rca-export-") as export:
        write_simulation(demo_simulation(), Path(export))
        take_in(Path(export) / "audits.csv", Path(folder.name))
        files = {name: Path(export) / f"{name}.csv" for name in ("events", "targets", "ratings")}
        write_side_tables(read_side_tables(files, Mapping()), Path(folder.name))
    return folder
