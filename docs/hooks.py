"""Generates the reference pages from the package when MkDocs builds the site."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mkdocs.structure.files import File

import rca_lib
from rca_lib.audits.schema import AUDIT_COLUMNS, EVENTS, POPULATION, RATINGS, TARGETS, Column

GROUPS = {
    "Questions": ("questions",),
    "Audits, intake and store": ("audits", "intake", "store", "simulation"),
    "Reports": ("reporting", "batch"),
    "Records": ("findings",),
}
TABLES = {
    "Audits": (AUDIT_COLUMNS, "One row per audited decision. The intake adds the *automatic* columns."),
    "Events": (EVENTS, "What happened when. A scope is written `policy=hate;queue=live_*`."),
    "Targets": (TARGETS, "What was agreed with a partner."),
    "Ratings": (RATINGS, "Labels of several people on the same item."),
    "Population": (POPULATION, "Decisions per sampling stratum, from which weights are computed."),
}


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages to the site."""
    for path, lines in (("reference/api.md", write_api()), ("reference/tables.md", write_tables())):
        files.append(File.generated(config, path, content="\n".join(lines)))
    return files


def write_api() -> Iterator[str]:
    """Write a heading per group and a reference per public name."""
    modules = {name: rca_lib.find_module(name) for name in rca_lib.__all__}
    yield "# Python API\n\nEverything below can be imported from `rca_lib`, for example `rca_lib.rank_drivers`.\n"
    for title, packages in GROUPS.items():
        yield f"## {title}\n"
        for name, module in modules.items():
            if module.split(".")[1] in packages and not name.startswith("plot_"):
                yield f"::: {module}.{name}\n"
    yield "## Plots\n\nA plot draws a result and computes nothing.\n"
    yield from (f"::: {module}.{name}\n" for name, module in modules.items() if name.startswith("plot_"))


def write_tables() -> Iterator[str]:
    """Write a table per table that is read, with a row per column."""
    yield "# Tables\n"
    yield "*Advised* columns serve a question that is *not available* without them. Further columns of audits are kept,"
    yield "and can be used as dimensions. A column whose name the package needs itself is kept as `<name>_in_file`.\n"
    for title, (columns, text) in TABLES.items():
        yield f"## {title}\n\n{text}\n\n| column | type | need | meaning | values |\n|---|---|---|---|---|"
        yield from map(_write_column, columns)
        yield ""


def _write_column(column: Column) -> str:
    values = ", ".join(f"`{value}`" for value in column.values)
    purpose = f" ({column.needed_for})" if column.needed_for else ""
    return f"| `{column.name}` | {column.kind} | {column.requirement} | {column.description}{purpose} | {values} |"
