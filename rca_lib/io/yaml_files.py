"""One reader for the project's YAML files: batch files, mappings and taxonomies.

Every scalar stays the text in the file: `no` is a label, `NO` a site, `2026-03-01` a name. The reader rejects features
that could expand, hide or change text: aliases, anchors, tags, duplicate keys and several documents.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from rca_lib.findings import DataError

MAX_BYTES = 4_000_000  # the default taxonomy has 0.02 MB; a data table given by mistake is often larger
MAX_DEPTH = 40  # nesting of lists and mappings; no settings file has more than five levels
KeyPath = tuple[str | int, ...]  # the keys that lead to a value in the file
# Text in a message of the YAML parser, and the hint for it.
HINTS = (
    ("'\\t'", "indent with blanks, not with tabs"),
    ("mapping values are not allowed", "put text that holds ': ' in quotes; indent all keys of a level alike"),
    ("that cannot start any token", "put text that begins with @, %, ` or another special character in quotes"),
    ("could not find expected ':'", "write each line as `key: value`, with a blank after the colon"),
    ("expected a single document", "remove the line ---, and keep one document in the file"),
    ("unhashable", "use text as a key"),
)
DEFAULT_HINT = "correct the line; put text with special characters in quotes, and save the file as UTF-8"
QUOTE_HINT = "put the text in quotes, such as '{}'"


@dataclass(frozen=True, slots=True)
class YamlFile:
    """The content of a YAML file, with scalars as text, and the line number of each key."""

    content: Any
    lines: dict[KeyPath, int]


def read_yaml(path: Path | str, *, null_words: Sequence[str] = ()) -> YamlFile:
    """Read a YAML file.

    Parameters
    ----------
    path
        The file, in UTF-8 or UTF-16.
    null_words
        Unquoted scalars that are read as None, such as "null". The default is none.

    Returns
    -------
    YamlFile
        The content, None for an empty file, and the line number of each key.

    Raises
    ------
    OSError
        If the file cannot be read.
    DataError
        If the file is not valid YAML; if it holds an alias, an anchor, a tag or a duplicate key; or if it is larger or
        more deeply nested than a settings file. The error names the line.

    Notes
    -----
    In YAML, ` #` starts a comment. An unquoted `Case # closed` is read as `Case`, which cannot be detected here.
    `plan_columns` points it out if the column is missing.
    """
    file = Path(path)
    if file.is_dir():
        raise DataError(f"{file.name} is a folder, not a YAML file", hint="name the file in it")
    if file.stat().st_size > MAX_BYTES:
        problem = f"the file has more than {MAX_BYTES // 1_000_000} MB"
        raise _build_yaml_error(file, 1, problem, "name a YAML file of settings")
    lines: dict[KeyPath, int] = {}
    try:
        node = yaml.compose(_decode(file), _Loader)
        content = None if node is None else _construct(node, (), lines, null_words)
        return YamlFile(content, lines)
    except _YamlRejected as rejected:
        raise _build_yaml_error(file, *rejected.args) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        problem = " ".join(f"not valid YAML: {error.problem or error.context}".split())
        raise _build_yaml_error(file, line, problem, _find_hint(str(error.problem))) from None
    except yaml.YAMLError as error:  # a control character
        problem = f"not valid YAML: {' '.join(str(error).split())}"
        raise _build_yaml_error(file, 1, problem, "save the file as plain text in UTF-8") from None


class _YamlRejected(Exception):  # noqa: N818
    """Rejected content. The arguments are the line, the problem and the hint."""


class _Loader(yaml.BaseLoader):
    """A loader that composes nodes of plain text and rejects aliases, anchors, tags and deep nesting."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        line = event.start_mark.line + 1
        anchor = getattr(event, "anchor", None)
        tag = getattr(event, "tag", None)
        if isinstance(event, yaml.AliasEvent):
            raise _YamlRejected(line, f"*{anchor} is an alias", QUOTE_HINT.format(f"*{anchor}") + ", or write it out")
        if anchor is not None:
            hint = QUOTE_HINT.format(f"&{anchor} …") + ", or write it out"
            raise _YamlRejected(line, f"&{anchor} is an anchor", hint)
        if tag is not None:
            tag = tag.replace("tag:yaml.org,2002:", "!!")
            raise _YamlRejected(line, f"{tag} is a tag", QUOTE_HINT.format(f"{tag} …"))
        if self.depth >= MAX_DEPTH:
            raise _YamlRejected(line, f"more than {MAX_DEPTH} levels", "write it with fewer levels")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _decode(file: Path) -> str:
    """Return the text of a file in UTF-8 or UTF-16."""
    content = file.read_bytes()
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        name = encoding.removesuffix("-sig").upper()
        raise _YamlRejected(line, f"not valid YAML: bytes that are not {name}", "save the file as UTF-8") from None


def _construct(node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int], null_words: Sequence[str]) -> Any:
    """Return the content of a node, and add the line number of each key to `lines`."""
    if isinstance(node, yaml.SequenceNode):
        return [_construct(item, (*path, index), lines, null_words) for index, item in enumerate(node.value)]
    if isinstance(node, yaml.ScalarNode):
        return None if node.style is None and node.value in null_words else node.value
    content: dict[str, Any] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            hint = "use text as a key; put text with brackets in quotes"
            raise _YamlRejected(line, "a key is a list or a mapping", hint)
        key_path = (*path, key.value)
        lines[key_path] = line
        if key.value in content:  # YAML would keep the last
            raise _YamlRejected(line, f"duplicate key {key.value!r}", "keep one of the two")
        content[key.value] = _construct(value, key_path, lines, null_words)
    return content


def _build_yaml_error(file: Path, line: int, problem: str, hint: str) -> DataError:
    """Return an error that names the file and the line."""
    return DataError(problem, first={"file": file.name, "line": line}, hint=hint)


def _find_hint(problem: str) -> str:
    """Return the hint for a message of the YAML parser."""
    return next((hint for words, hint in HINTS if words in problem), DEFAULT_HINT)
