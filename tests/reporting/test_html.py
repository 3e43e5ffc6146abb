"""Reports as HTML: self-contained, without scripts, and readable for any data."""

import base64
import re
from html.parser import HTMLParser

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from rca_lib.reporting.html import TEMPLATE_FOLDER, export_html, sanitize_html

HOSTILE = (
    '<script>alert(1)</script><img src=x onerror=alert(2)><a href="javascript:alert(3)">a</a><iframe src="//evil">'
    '</iframe><svg onload=alert(4)><a href="https://evil.example/x">b</a><form action="//evil"><input></form>'
    '<style>body{display:none}</style><b style="background:url(//evil)" onclick=alert(5)>c</b><meta http-equiv=refresh>'
    '<math><mi xlink:href="data:x,<script>alert(6)</script>"></math><base href="//evil"></main></div>"\'><x onfocus=x>'
)
SVG = '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
PNG = base64.b64encode(b"\x89PNG").decode()


class ElementParser(HTMLParser):
    """Collects every element of a page: tag and attributes."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def make_output(data, **metadata):
    return new_output("display_data", data=data, metadata=metadata)


def export(*cells, title="Lisbon", **options):
    return export_html(new_notebook(cells=list(cells)), title=title, **options)


def make_cell(*outputs):
    return new_code_cell("pass", outputs=list(outputs))


def assert_harmless(page):
    elements = ElementParser(page).elements
    active = {"script", "iframe", "object", "embed", "form", "input", "svg", "math", "base", "link", "x"}
    assert not active & {tag for tag, _ in elements}
    for tag, attributes in elements:
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        assert "style" not in attributes or "url" not in attributes["style"]
        for name in ("src", "href", "action"):
            link = attributes.get(name)
            assert link is None or re.match(r"#|data:image/|\.\.?/|[\w%]+/", link), (tag, link)
    assert sum(tag == "style" for tag, _ in elements) == 1
    assert sum(tag == "main" for tag, _ in elements) == 1
    policies = [
        attributes["content"]
        for tag, attributes in elements
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert len(policies) == 1
    assert policies[0].startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")


@pytest.mark.parametrize(
    "cell",
    [
        new_markdown_cell(f"## A {HOSTILE}\n\n{HOSTILE}\n\n`{HOSTILE}`\n\n[x](javascript:alert(1)) ![p](//evil/p.png)"),
        make_cell(make_output({"text/html": HOSTILE})),
        make_cell(make_output({"text/html": f"<table><tr><td>{HOSTILE}</td></tr></table>"})),
        make_cell(make_output({"text/markdown": HOSTILE})),
        make_cell(make_output({"text/plain": HOSTILE})),
        make_cell(new_output("execute_result", data={"text/plain": HOSTILE})),
        make_cell(new_output("stream", text=HOSTILE)),
        make_cell(new_output("stream", name="stderr", text=HOSTILE)),
        make_cell(new_output("error", ename=HOSTILE, evalue=HOSTILE, traceback=[HOSTILE, "\x1b[31m" + HOSTILE])),
        make_cell(make_output({"image/svg+xml": SVG}, **{"image/svg+xml": {"alt": HOSTILE}})),
        make_cell(make_output({"image/png": PNG + '"><script>'}, **{"image/png": {"alt": HOSTILE, "width": HOSTILE}})),
        make_cell(make_output({"application/javascript": "alert(1)", "text/latex": HOSTILE})),
        new_code_cell(HOSTILE),
    ],
)
def test_hostile_text_is_harmless_in_every_channel(cell):
    page = export(cell, title=HOSTILE, footer=HOSTILE)
    assert_harmless(page)
    assert "<script" not in page


def test_plain_text_is_shown_unchanged():
    text = "<b>6 &amp; 7</b>"
    error = new_output("error", ename="DataError", evalue=text, traceback=[])
    page = export(make_cell(new_output("stream", text=text), error), title=text, footer=text)
    # title, running title, stream, error, footer
    assert ElementParser(page).text.count(text) == 5


def test_page_one_keeps_its_classes_ids_and_internal_links():
    page_one = (
        '<section class="page-one"><p class="headline claim" id="claim-1">6 % <span class="grade not-proven">not proven'
        '</span></p><dl><dt>Where</dt><dd><a href="#claim-1">there</a> <a href="../x%2520y/2026-03/report.html">then'
        "</a></dd></dl></section>"
    )
    assert page_one in export(make_cell(make_output({"text/html": page_one})))


LINKS = ["//evil", "\\\\evil", "/etc/passwd", "https://x", "java\nscript:x", " //evil", "\x01//evil"]


@pytest.mark.parametrize("link", LINKS)
def test_external_links_are_removed(link):
    assert sanitize_html(f'<a href="{link}">x</a>') == "<a>x</a>"


def test_headings_are_listed_once_each_and_their_ids_are_unique():
    repeated = [new_markdown_cell(f"## Why?\n\n### {text}") for text in ("Cause & *effect*", "Cause & effect", "報告")]
    page = export(new_markdown_cell("# Q"), make_cell(make_output({"text/html": '<p id="Why">x</p>'})), *repeated)
    elements = ElementParser(page).elements
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [attributes["href"] for tag, attributes in elements if tag == "a" and attributes.get("class") != "skip"]
    headings = [f"#{attributes['id']}" for tag, attributes in elements if tag in ("h2", "h3")]
    assert links == headings
    assert len(links) == 6
    assert page.count("Cause &amp; effect</a>") == 2


def test_images_are_embedded_with_alternative_text_and_never_inline():
    page = export(
        make_cell(
            make_output({"image/svg+xml": SVG, "text/plain": "Figure"}, **{"image/svg+xml": {"alt": "Errors rose"}}),
            make_output({"image/png": PNG}, **{"image/png": {"width": 320}}),
        )
    )
    images = [attributes for tag, attributes in ElementParser(page).elements if tag == "img"]
    assert images[0]["alt"] == "Errors rose"
    assert base64.b64decode(images[0]["src"].removeprefix("data:image/svg+xml;base64,")).decode() == SVG
    assert images[1]["src"] == f"data:image/png;base64,{PNG}"
    assert images[1]["width"] == "320"
    assert all(image["alt"].strip() for image in images)
    assert "<svg" not in page


def test_tables_scroll_by_keyboard_and_numbers_are_aligned_right():
    table = (
        '<table border="1" class="dataframe"><thead><tr style="text-align: right;"><th></th><th>policy</th>'
        "<th>rate</th></tr></thead><tbody><tr><th>0</th><td>hate</td><td>6.2 %</td></tr>"
        "<tr><th>1</th><td>2 of us</td><td>−1</td></tr></tbody></table>"
    )
    page = export(make_cell(make_output({"text/html": table}), make_output({"text/html": "<style>x</style>" + table})))
    tables = [attributes for tag, attributes in ElementParser(page).elements if tag == "table"]
    assert [attributes["tabindex"] for attributes in tables] == ["0", "0"]
    assert page.count('<td class="number">6.2 %</td>') == page.count('<td class="number">−1</td>') == 2
    assert "<td>2 of us</td>" in page
    # The heading of a column is aligned right where its last cell is a number.
    assert "table:has(tbody tr:last-child > :nth-child(3).number) thead th:nth-child(3)" in page


def test_an_image_has_no_caption_besides_its_title():
    page = export(make_cell(make_output({"image/svg+xml": SVG}, **{"image/svg+xml": {"alt": "Errors rose"}})))
    assert page.count("Errors rose") == 1
    assert 'alt="Errors rose"' in page


def test_code_is_hidden_and_messages_are_not_errors():
    cell = new_code_cell("secret_code = 1", outputs=[new_output("stream", name="stderr", text="FutureWarning: x")])
    page = export(cell)
    assert "secret_code" not in page
    assert 'class="failure"' not in page
    assert "<summary>Messages of this step</summary>" in page


def test_a_notebook_file_gives_the_same_page_as_the_notebook(tmp_path):
    notebook = new_notebook(cells=[new_markdown_cell("## Where\n\n| a | b |\n|---|--:|\n| 1 | 2 |")])
    nbformat.write(notebook, tmp_path / "report.ipynb")
    pages = [export_html(tmp_path / "report.ipynb", title="x"), export_html(notebook, title="x")]
    assert pages[0] == pages[1]
    assert '<td style="text-align:right">2</td>' in pages[0]


def test_a_page_states_its_language_and_fits_a_phone():
    page = export(new_markdown_cell("# Q"))
    assert page.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in page
    assert '<a class="skip" href="#report">' in page
    assert "<nav" not in page


def test_the_table_of_contents_is_folded_on_narrow_screens():
    page = export(new_markdown_cell("## Where"))
    assert '<nav aria-label="Contents"><details><summary>Contents</summary>' in page
    wide_screen_style = page.partition("@media (min-width: 62.01rem)")[2].partition("@media")[0]
    assert "nav details::details-content { content-visibility: visible; }" in wide_screen_style


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
def test_every_pair_of_colours_has_enough_contrast(mode):
    style = (TEMPLATE_FOLDER / "style.css").read_text(encoding="utf-8")
    colours = {}
    for block in re.findall(r":root \{(.*?)\}", style, re.DOTALL)[: mode + 1]:
        colours |= dict(re.findall(r"--([\w-]+): (#\w+);", block))
    pairs = "ink/paper ink/soft ink/tint ink/bad-soft muted/paper muted/soft link/paper link/soft on-accent/accent"
    for pair in f"{pairs} bad/bad-soft".split():
        # WCAG 2.2, success criterion 1.4.3: at least 4.5 to 1 for text.
        light, dark = sorted((compute_luminance(colours[name]) for name in pair.split("/")), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, pair


def compute_luminance(colour):
    """Relative luminance of #rrggbb or #rgb (WCAG 2.2, glossary)."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    channels = [int(digits[start : start + 2], 16) / 255 for start in (0, 2, 4)]
    linear = [channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4 for channel in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
