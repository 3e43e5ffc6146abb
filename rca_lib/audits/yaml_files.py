"""One reader for the YAML files of the project: batch files, mappings, taxonomies.

Every scalar stays the text that the file holds: `no` is a label, `NO` a site, `2026-03-01` a name. What could expand,
hide or change text is refused: aliases and anchors, tags, a duplicate key, several documents.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from rca_lib.findings import DataError

MAX_BYTES = 4_000_000  # the default taxonomy has 0.02 MB; a table given by mistake is often larger
MAX_DEPTH = 40  # nested lists and mappings; no settings file has more than five levels
Place = tuple[str | int, ...]  # the keys that lead to a value of the file
# What the parser of YAML says, and what a person does about it.
HINTS = (
    ("'\\t'", "indent with blanks, not with tabs"),
    ("mapping values are not allowed", "put text that holds ': ' in quotes; indent all keys of a level alike"),
    ("that cannot start any token", "put text that begins with @, %, ` or another sign in quotes"),
    ("could not find expected ':'", "write each line as `key: value`, with a blank after the colon"),
    ("expected a single document", "remove the line ---, and keep one document in the file"),
    ("unhashable", "use text as a key"),
)
QUOTE_IT = "put the text in quotes, such as '{}'"


@dataclass(frozen=True, slots=True)
class YamlFile:
    """A YAML file: its content, with scalars as text, and the line of each key."""

    content: Any
    lines: dict[Place, int]


def read_yaml(path: Path | str, *, empty: Sequence[str] = ()) -> YamlFile:
    """Read a YAML file.

    Parameters
    ----------
    path
        The file, in UTF-8 or UTF-16.
    empty
        Unquoted texts that are read as None, such as "null".

    Returns
    -------
    YamlFile
        The content, None where the file is empty, and the line of each key.

    Raises
    ------
    OSError
        If the file cannot be read.
    DataError
        With the line and a hint: no YAML, an alias, an anchor, a tag, a duplicate key, more levels or bytes
        than a settings file has.

    Notes
    -----
    YAML takes ` #` for the start of a comment: an unquoted `Case # closed` is read as `Case`, which cannot be seen
    here. `plan_columns` tells of it where a column is missed.
    """
    file = Path(path)
    if file.is_dir():
        raise DataError(f"{file.name} is a folder, not a YAML file", mend="name the file in it")
    if file.stat().st_size > MAX_BYTES:
        raise _fault(file, 1, f"the file has more than {MAX_BYTES // 1_000_000} MB", "name a YAML file of settings")
    lines: dict[Place, int] = {}
    try:
        node = yaml.compose(_decode(file), _Loader)
        return YamlFile(None if node is None else _construct(node, (), lines, empty), lines)
    except _Refused as refused:
        raise _fault(file, *refused.args) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join(f"not valid YAML: {error.problem or error.context}".split())
        raise _fault(file, mark.line + 1 if mark else 1, problem, _find_hint(str(error.problem))) from None
    except yaml.YAMLError as error:  # a control character
        problem = f"not valid YAML: {' '.join(str(error).split())}"
        raise _fault(file, 1, problem, "save the file as plain text in UTF-8") from None


class _Refused(Exception):  # noqa: N818
    """What is refused: the line, the problem, the hint."""


class _Loader(yaml.BaseLoader):
    """Composes nodes of plain text, and refuses what is not written out."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node:
        event = self.peek_event()
        line, anchor = event.start_mark.line + 1, getattr(event, "anchor", None)
        if isinstance(event, yaml.AliasEvent):
            raise _Refused(line, f"*{anchor} is an alias", QUOTE_IT.format(f"*{anchor}") + ", or write it out")
        if anchor is not None:
            raise _Refused(line, f"&{anchor} is an anchor", QUOTE_IT.format(f"&{anchor} …") + ", or write it out")
        if getattr(event, "tag", None) is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            raise _Refused(line, f"{tag} is a tag", QUOTE_IT.format(f"{tag} …"))
        if self.depth >= MAX_DEPTH:
            raise _Refused(line, f"more than {MAX_DEPTH} levels", "write it with fewer levels")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _decode(file: Path) -> str:
    content = file.read_bytes()
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise _Refused(line, f"not valid YAML: bytes that are no {encoding[:6]}", "save the file as UTF-8") from None


def _construct(node: yaml.Node, place: Place, lines: dict[Place, int], empty: Sequence[str]) -> Any:
    """Return the content of a node, and note the line of each key."""
    if isinstance(node, yaml.SequenceNode):
        return [_construct(item, (*place, number), lines, empty) for number, item in enumerate(node.value)]
    if isinstance(node, yaml.ScalarNode):
        return None if node.style is None and node.value in empty else node.value
    content: dict[str, Any] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise _Refused(line, "a key is a list or a mapping", "use text as a key; put text with brackets in quotes")
        lines[(*place, key.value)] = line
        if key.value in content:  # YAML would keep the last
            raise _Refused(line, f"duplicate key {key.value!r}", "keep one of the two")
        content[key.value] = _construct(value, (*place, key.value), lines, empty)
    return content


def _fault(file: Path, line: int, problem: str, hint: str) -> DataError:
    return DataError(problem, first={"file": file.name, "line": line}, mend=hint)


def _find_hint(problem: str) -> str:
    hints = (hint for words, hint in HINTS if words in problem)
    return next(hints, "correct the line; put text with signs in quotes, and save the file as UTF-8")
