# Tested in tests/batch/test_report_comparison.py.
"""Comparison of HTML pages: the sections in which two pages differ, and active content that no report has."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser

PAGE_ONE, ABOVE_PAGE_ONE, BELOW_PAGE_ONE, PAGE_HEAD = "page one", "above page one", "below page one", "head of the page"
HEADINGS = ("h1", "h2", "h3", "h4")
ACTIVE_TAGS = frozenset(
    ("script", "iframe", "object", "embed", "form", "link", "base", "input", "button", "video", "audio", "svg")
)
CONTENT_SECURITY_POLICY = "default-src 'none'"
ALLOWED_STYLE_PATTERN = re.compile(r"\s*(text-align\s*:\s*[a-z]+\s*;?\s*)*")
MAX_DIFFERENCE_CHARS = 300  # characters quoted of a difference: a long sentence
# "start", the tag, then the name and value of each attribute; "end" and the tag; "text" or "comment" and its content.
Token = tuple[str, ...]


@dataclass(slots=True)
class PageSection:
    """A section of a page: its name, and its tags, texts and comments in order."""

    name: str
    tokens: list[Token] = field(default_factory=list)

    def text(self) -> str:
        """Return the visible text."""
        return " ".join(" ".join(token[1] for token in self.tokens if token[0] == "text").split())


@dataclass(frozen=True, slots=True)
class SectionDifference:
    """The first difference in a section of two pages: what the page contains, and what is expected."""

    section: str
    reported: str
    expected: str


def split_page(page: str) -> list[PageSection]:
    """Split a page at its headings and around page one.

    Raises
    ------
    ValueError
        If the page cannot be parsed as HTML.
    """
    parser = _SectionParser()
    try:
        parser.feed(page)
        parser.close()
    except (AssertionError, RecursionError) as error:
        raise ValueError(f"it is not valid HTML: {error}") from None
    return parser.sections


def find_section_differences(page: str, expected_page: str) -> list[SectionDifference]:
    """Return the sections in which a page differs from the expected one.

    Parameters
    ----------
    page, expected_page
        The two pages as text. Tags, attributes, texts, comments and declarations all count.

    Returns
    -------
    list of SectionDifference
        In the order of the expected page; additional sections last.

    Notes
    -----
    Pages that differ only in what a parser drops (blanks inside a tag, upper case of a tag) have no differing section.

    Examples
    --------
    >>> find_section_differences("<h2>Where?</h2><p>manila</p>", "<h2>Where?</h2><p>lisbon</p>")
    [SectionDifference(section='Where?', reported='manila', expected='lisbon')]
    """
    sections = _number_repeated_sections(split_page(page))
    expected_sections = _number_repeated_sections(split_page(expected_page))
    differences = []
    for name in dict.fromkeys([*expected_sections, *sections]):
        section, expected = sections.get(name), expected_sections.get(name)
        if expected is not None and section is None:
            differences.append(SectionDifference(name, "missing", _quote_text(expected)))
        if section is not None and expected is None:
            differences.append(SectionDifference(name, _quote_text(section), "no such section"))
        if section is not None and expected is not None and section.tokens != expected.tokens:
            difference = _find_token_difference(section.tokens, expected.tokens)
            differences.append(SectionDifference(name, *difference))
    return differences


def read_page_claims(page: str) -> dict[str, str]:
    """Return the sentences of page one by the id of their claim, each with its grade, as a reader sees them.

    Raises
    ------
    ValueError
        If there is not exactly one page one, an id occurs twice, or there is a comment.
    """
    page_ones = [section for section in split_page(page) if section.name == PAGE_ONE]
    if len(page_ones) != 1:
        raise ValueError(f"the page has {len(page_ones)} sections of page one instead of one")
    claims: dict[str, str] = {}
    claim_id = ""
    for token in page_ones[0].tokens:
        kind, content = token[:2]
        if kind == "comment":
            raise ValueError("page one contains a comment")
        if kind == "start" and content == "p":
            claim_id = _get_attributes(token).get("id", "").removeprefix("claim-")
            if claim_id in claims:
                raise ValueError(f"the claim {claim_id} occurs twice")
        elif kind == "text" and claim_id:
            claims[claim_id] = " ".join(f"{claims.get(claim_id, '')} {content}".split())
        elif kind == "end" and content == "p":
            claim_id = ""
    return claims


def find_active_content(page: str) -> list[str]:
    """Return what no report contains: scripts, event handlers, requests, hiding styles, no content security policy.

    Examples
    --------
    >>> find_active_content('<p onclick="x()">6 %</p><script>y()</script>')
    ['no content security policy', 'attribute onclick of <p>', '<script>']
    """
    tokens = [token for section in split_page(page) for token in section.tokens]
    missing_policy = [] if any(map(_is_security_policy, tokens)) else ["no content security policy"]
    return [*missing_policy, *dict.fromkeys(_find_active_tags(tokens))]


def _find_active_tags(tokens: Sequence[Token]) -> Iterator[str]:
    for token in tokens:
        if token[0] != "start":
            continue
        tag, attributes = token[1], _get_attributes(token)
        if tag in ACTIVE_TAGS:
            yield f"<{tag}>"
        if tag == "meta" and attributes.get("http-equiv", "").lower() == "refresh":
            yield "an automatic redirect"
        yield from _find_active_attributes(tag, attributes)


def _find_active_attributes(tag: str, attributes: Mapping[str, str]) -> Iterator[str]:
    for name, value in attributes.items():
        is_internal = value.startswith(("#", "data:image/"))
        leads_outside = name in ("href", "src") and not is_internal and re.match(r"\w+:|//", value)
        hides = name in ("hidden", "srcdoc") or (name == "style" and not ALLOWED_STYLE_PATTERN.fullmatch(value))
        if name.startswith("on") or leads_outside or hides:
            yield f"attribute {name} of <{tag}>"


def _get_attributes(token: Token) -> dict[str, str]:
    return dict(zip(token[2::2], token[3::2], strict=True))


def _is_security_policy(token: Token) -> bool:
    return token[:2] == ("start", "meta") and any(text.startswith(CONTENT_SECURITY_POLICY) for text in token[2:])


def _number_repeated_sections(sections: Sequence[PageSection]) -> dict[str, PageSection]:
    """Return the sections by name; the second of a name is called "name (2)"."""
    counts = Counter[str]()
    sections_by_name = {}
    for section in sections:
        counts[section.name] += 1
        count = counts[section.name]
        sections_by_name[f"{section.name} ({count})" if count > 1 else section.name] = section
    return sections_by_name


def _find_token_difference(tokens: Sequence[Token], expected: Sequence[Token]) -> tuple[str, str]:
    """Return the first token that differs, on both sides."""
    pairs = enumerate(zip(tokens, expected, strict=False))
    shorter_length = min(len(tokens), len(expected))
    index = next((index for index, (token, right) in pairs if token != right), shorter_length)
    return _format_token(tokens, index), _format_token(expected, index)


def _format_token(tokens: Sequence[Token], index: int) -> str:
    if index >= len(tokens):
        return "nothing"
    kind, content, *attributes = tokens[index]
    if kind == "text":
        return content.strip()[:MAX_DIFFERENCE_CHARS]
    if kind == "comment":
        return f"a comment: {content[:MAX_DIFFERENCE_CHARS]}"
    pairs = zip(attributes[::2], attributes[1::2], strict=True)
    attribute_text = "".join(f' {name}="{value}"' for name, value in pairs)
    return f"<{'/' if kind == 'end' else ''}{content}{attribute_text}>"[:MAX_DIFFERENCE_CHARS]


def _quote_text(section: PageSection) -> str:
    return (section.text() or "no text")[:MAX_DIFFERENCE_CHARS]


class _SectionParser(HTMLParser):
    """Collects the tokens of a page by section."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.sections = [PageSection(PAGE_HEAD)]
        self._depth = 0  # nesting of `section` tags inside page one
        self._heading: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "body":
            self._start_section(ABOVE_PAGE_ONE)
        elif tag == "section" and "page-one" in (values.get("class") or "").split():
            self._start_section(PAGE_ONE)
            self._depth = 0
        elif tag in HEADINGS and self.sections[-1].name != PAGE_ONE:
            self._start_section("")
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
                self._start_section(BELOW_PAGE_ONE)
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

    def _start_section(self, name: str) -> None:
        self.sections.append(PageSection(name))

    def _add(self, *token: str) -> None:
        self.sections[-1].tokens.append(token)
