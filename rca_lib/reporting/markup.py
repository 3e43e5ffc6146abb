"""Reports taken apart: which sections two pages differ in, and what a page holds that no report holds."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser

PAGE_ONE, TOP, HEAD = "page one", "above page one", "head of the page"
HEADINGS = ("h1", "h2", "h3", "h4")
ACTIVE = {"script", "iframe", "object", "embed", "form", "link", "base", "input", "button", "video", "audio", "svg"}
POLICY = "default-src 'none'"
HARMLESS_STYLE = re.compile(r"\s*(text-align\s*:\s*[a-z]+\s*;?\s*)*")
LONGEST = 300  # characters of a difference that are quoted
Token = tuple[str, ...]


@dataclass(slots=True)
class Section:
    """A part of a page: what it is called, and its tags, texts and comments in order."""

    name: str
    tokens: list[Token] = field(default_factory=list)

    def text(self) -> str:
        """Return its visible text."""
        return " ".join(" ".join(token[1] for token in self.tokens if token[0] == "text").split())


@dataclass(frozen=True, slots=True)
class Difference:
    """A section in which two pages differ: the first place, on the page and as it should be."""

    section: str
    found: str
    expected: str


def split_page(page: str) -> list[Section]:
    """Split a page at its headings and around page one.

    Raises
    ------
    ValueError
        If it is no HTML that can be parsed.
    """
    reader = _Reader()
    try:
        reader.feed(page)
        reader.close()
    except (AssertionError, RecursionError) as problem:
        raise ValueError(f"it is no HTML: {problem}") from None
    return reader.sections


def find_differences(found: str, expected: str) -> list[Difference]:
    """Return the sections in which a page differs from what it should be, in the order of the latter.

    Parameters
    ----------
    found, expected
        The two pages as text. Tags, attributes, texts, comments and declarations all count.

    Notes
    -----
    Pages that differ only in what a parser drops (blanks inside a tag, the case of a tag) have no differing section.

    Examples
    --------
    >>> find_differences("<h2>Where?</h2><p>manila</p>", "<h2>Where?</h2><p>lisbon</p>")
    [Difference(section='Where?', found='manila', expected='lisbon')]
    """
    theirs, ours = (_number(split_page(page)) for page in (found, expected))
    differing = []
    for name in dict.fromkeys([*ours, *theirs]):
        one, other = theirs.get(name), ours.get(name)
        if one is None or other is None:
            told = ((one or other).text() or "no text")[:LONGEST]
            differing.append(Difference(name, told if one else "missing", told if other else "no such section"))
        elif one.tokens != other.tokens:
            differing.append(Difference(name, *_first_difference(one.tokens, other.tokens)))
    return differing


def read_claims_of(page: str) -> dict[str, str]:
    """Return the sentences of page one by the id of their claim, each with its grade, as a reader sees them.

    Raises
    ------
    ValueError
        If there is not exactly one page one, an id stands there twice, or a text stands outside the claims.
    """
    parts = [section for section in split_page(page) if section.name == PAGE_ONE]
    if len(parts) != 1:
        raise ValueError(f"the page holds {len(parts)} sections of page one, not one")
    claims: dict[str, str] = {}
    inside = ""
    for token in parts[0].tokens:
        if token[0] == "start":
            told = dict(token[2:][place : place + 2] for place in range(0, len(token) - 2, 2))
            inside = told.get("id", "").removeprefix("claim-") if token[1] == "p" else inside
            if token[1] == "p" and inside in claims:
                raise ValueError(f"the claim {inside} stands there twice")
        elif token[0] == "comment":
            raise ValueError("page one holds a comment")
        elif token[0] == "text" and inside:
            claims[inside] = " ".join(f"{claims.get(inside, '')} {token[1]}".split())
        elif token[:2] == ("end", "p"):
            inside = ""
    return claims


def find_active_content(page: str) -> list[str]:
    """Return what a page holds that no report holds: scripts, handlers, requests, hiding styles, no content policy.

    Examples
    --------
    >>> find_active_content('<p onclick="x()">6 %</p><script>y()</script>')
    ['no content security policy', 'attribute onclick of <p>', '<script>']
    """
    found = [f"{problem}" for section in split_page(page) for problem in _active(section.tokens)]
    policies = [token for section in split_page(page) for token in section.tokens if _is_policy(token)]
    return [*([] if policies else ["no content security policy"]), *dict.fromkeys(found)]


def _active(tokens: Sequence[Token]) -> Iterator[str]:
    for token in tokens:
        if token[0] != "start":
            continue
        tag, attributes = token[1], dict(zip(token[2::2], token[3::2], strict=True))
        if tag in ACTIVE:
            yield f"<{tag}>"
        if tag == "meta" and attributes.get("http-equiv", "").lower() == "refresh":
            yield "a page that moves on by itself"
        yield from _active_attributes(tag, attributes)


def _active_attributes(tag: str, attributes: Mapping[str, str]) -> Iterator[str]:
    for name, value in attributes.items():
        outside = name in ("href", "src") and not value.startswith(("#", "data:image/")) and re.match(r"\w+:|//", value)
        hiding = name in ("hidden", "srcdoc") or (name == "style" and not HARMLESS_STYLE.fullmatch(value))
        if name.startswith("on") or outside or hiding:
            yield f"attribute {name} of <{tag}>"


def _is_policy(token: Token) -> bool:
    return token[:2] == ("start", "meta") and any(part.startswith(POLICY) for part in token[2:])


def _number(sections: Sequence[Section]) -> dict[str, Section]:
    """Name each section, the second of a name "name (2)"."""
    seen, named = Counter[str](), {}
    for section in sections:
        seen[section.name] += 1
        named[f"{section.name} ({seen[section.name]})" if seen[section.name] > 1 else section.name] = section
    return named


def _first_difference(found: Sequence[Token], expected: Sequence[Token]) -> tuple[str, str]:
    place = next((n for n, (one, other) in enumerate(zip(found, expected, strict=False)) if one != other), None)
    place = min(len(found), len(expected)) if place is None else place
    return _tell(found, place), _tell(expected, place)


def _tell(tokens: Sequence[Token], place: int) -> str:
    if place >= len(tokens):
        return "nothing"
    kind, *rest = tokens[place]
    if kind == "text":
        return rest[0].strip()[:LONGEST]
    if kind == "comment":
        return f"a comment: {rest[0][:LONGEST]}"
    attributes = "".join(f' {name}="{value}"' for name, value in zip(rest[1::2], rest[2::2], strict=True))
    return f"<{'/' if kind == 'end' else ''}{rest[0]}{attributes}>"[:LONGEST]


class _Reader(HTMLParser):
    """Collects the tokens of a page, section by section."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.sections = [Section(HEAD)]
        self._depth = 0  # of tags `section` inside page one
        self._heading: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "body":
            self._begin(TOP)
        elif tag == "section" and "page-one" in (values.get("class") or "").split():
            self._begin(PAGE_ONE)
            self._depth = 0
        elif tag in HEADINGS and self.sections[-1].name != PAGE_ONE:
            self._begin("")
            self._heading = ""
        self._depth += tag == "section"
        self._add("start", tag, *(text or "" for pair in attrs for text in pair))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._add("start", tag, *(text or "" for pair in attrs for text in pair))

    def handle_endtag(self, tag: str) -> None:
        self._add("end", tag)
        if tag == "section" and self.sections[-1].name == PAGE_ONE:
            self._depth -= 1
            if not self._depth:
                self._begin("below page one")
        elif tag in HEADINGS and self._heading is not None:
            self.sections[-1].name = " ".join(self._heading.split()) or "a heading without text"
            self._heading = None

    def handle_data(self, data: str) -> None:
        if self._heading is not None:
            self._heading += data
        self._add("text", data)

    def handle_comment(self, data: str) -> None:
        self._add("comment", data)

    def handle_decl(self, decl: str) -> None:
        self._add("comment", f"!{decl}")

    def unknown_decl(self, data: str) -> None:
        self._add("comment", f"![{data}")

    def handle_pi(self, data: str) -> None:
        self._add("comment", f"?{data}")

    def _begin(self, name: str) -> None:
        self.sections.append(Section(name))

    def _add(self, *token: str) -> None:
        self.sections[-1].tokens.append(token)
