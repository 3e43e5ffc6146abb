"""Reports from exports that lack columns: a small export, any of its columns left out, and the notebooks run on it.

    python tests/benchmarks/bench_completeness.py --subsets 200 --seed 7

runs every notebook on exports that lack a single optional column each, and on random subsets of the optional columns.
It prints each that fails, and how many did. Tests import what is here and run fewer.
"""

from __future__ import annotations

import argparse
import ast
import json
import random
import sys
import tempfile
import traceback
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import pandas as pd

from rca_lib.audits.schema import AUDIT_COLUMNS, list_columns
from rca_lib.batch.batch_file import NOTEBOOK_FOLDER, NOTEBOOKS
from rca_lib.intake.column_mapping import ColumnMapping
from rca_lib.intake.ingest import ingest
from rca_lib.simulation.synthetic_audits import simulate_demo

REQUIRED = list_columns(AUDIT_COLUMNS, "required")
ROWS = 240


def make_export(sites: Sequence[str] = ("lisbon", "manila")) -> pd.DataFrame:
    """Return a small export with every column that can be left out."""
    audits = simulate_demo().audits
    audits = audits[audits["site"].isin(["lisbon"])].drop(columns=["day", "tenure", "error"])
    parts = []
    for number, site in enumerate(sites):
        part = audits.sample(ROWS, random_state=number).reset_index(drop=True).assign(site=site)
        parts.append(part.assign(audit_id=site + part["audit_id"].astype(str)))
    export = pd.concat(parts, ignore_index=True)
    draw = random.Random(1)
    export["appeal"] = [draw.choice(["none", "raised", "overturned", "sustained"]) for _ in range(len(export))]
    export["model_label"] = [draw.choice([label, "benign"]) for label in export["label"]]
    export["model_score"] = [round(draw.random(), 3) for _ in range(len(export))]
    missing = {*list_columns(AUDIT_COLUMNS, "advised", "optional")} - {*export.columns}
    assert not missing, missing
    return export


def list_optional(export: pd.DataFrame) -> tuple[str, ...]:
    """Return the columns of an export that may be left out."""
    return tuple(name for name in export.columns if name not in REQUIRED)


def draw_subsets(names: Sequence[str], count: int, seed: int) -> Iterator[tuple[str, ...]]:
    """Draw random subsets of columns, of every size."""
    draw = random.Random(seed)
    for _ in range(count):
        yield tuple(sorted(draw.sample(names, draw.randint(0, len(names)))))


def run_notebooks(export: pd.DataFrame, kinds: Collection[str] = tuple(NOTEBOOKS)) -> None:
    """Take an export in and run the cells of the notebooks on it, as a kernel would, for one site and for all."""
    with tempfile.TemporaryDirectory() as folder:
        store, output = Path(folder) / "store", Path(folder) / "out" / "report"
        output.mkdir(parents=True)
        ingest(export, store, mapping=ColumnMapping(time_zone="UTC"))
        given = {"store": str(store), "output": str(output), "site": "lisbon", "period": "2026-03", "periods": []}
        for kind in kinds:
            run_cells(NOTEBOOK_FOLDER / NOTEBOOKS[kind], given)
        if "deep_dive" in kinds:
            assert json.loads((output / "claims.json").read_text(encoding="utf-8"))["claims"]


def run_cells(notebook: Path, given: dict[str, object]) -> None:
    """Run the code cells of a notebook with parameters, and show the value of each that ends in one."""
    space: dict[str, object] = {}
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] != "code":
            continue
        lines = ast.parse("".join(cell["source"])).body
        shown = lines.pop() if isinstance(lines[-1], ast.Expr) else None
        exec(compile(ast.Module(lines, []), notebook.name, "exec"), space)
        if "parameters" in cell["metadata"].get("tags", ()):
            space |= {name: value for name, value in given.items() if name in space}
        value = eval(compile(ast.Expression(shown.value), notebook.name, "eval"), space) if shown else None
        for name in ("_repr_mimebundle_", "_repr_html_"):
            if hasattr(value, name):
                getattr(value, name)()


def main() -> None:
    """Run all single omissions and random subsets; print those that fail."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subsets", type=int, default=200)
    parser.add_argument("--seed", type=int, default=7)
    told = parser.parse_args()
    export = make_export()
    names = list_optional(export)
    cases = [tuple(other for other in names if other != name) for name in names]
    cases += [(), *draw_subsets(names, told.subsets, told.seed)]
    failed = 0
    for kept in cases:
        try:
            run_notebooks(export[[*REQUIRED, *kept]])
        except Exception:  # noqa: BLE001  each is told
            failed += 1
            sys.stdout.write(f"without {', '.join(sorted({*names} - {*kept}))}:\n{traceback.format_exc(limit=-3)}\n")
    sys.stdout.write(f"{failed} of {len(cases)} failed\n")


if __name__ == "__main__":
    main()
