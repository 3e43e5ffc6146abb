"""Reports as one HTML file: no script, no request to anywhere, every text from the data cleaned or escaped."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import nh3
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

if TYPE_CHECKING:
    from nbconvert.exporters import TemplateExporter
    from nbformat import NotebookNode

TEMPLATE = Path(__file__).parent / "template"
PAGES = Environment(loader=FileSystemLoader(TEMPLATE), autoescape=True)
SHOWN = ("text/html", "text/markdown", "image/svg+xml", "image/png", "image/jpeg", "text/plain")
NUMBER = re.compile(r"<td>(\s*(?:–|[-−+]?\d[\d.,-]*(?:\s?(?:%|[a-z]+))?)\s*)</td>")  # or none, or a date
TAGS = (
    "a abbr b blockquote br caption code col colgroup dd del details div dl dt em h1 h2 h3 h4 h5 h6 hr i kbd li ol p"
    " pre s section small span strong sub summary sup table tbody td tfoot th thead tr u ul"
)
ATTRIBUTES = {
    "*": {"class", "id", "title", "role", "aria-label", "aria-labelledby", "lang"},
    "a": {"href"},
    "td": {"colspan", "rowspan", "style"},
    "th": {"colspan", "rowspan", "scope", "style"},
}


def export_html(notebook: NotebookNode | Path, *, title: str, footer: str = "") -> str:
    """Return an executed notebook as a self-contained page with a contents list.

    `title` and `footer` are plain text above and below. HTML in a cell or an output is cleaned as by `clean_html`;
    pictures take their alternative text from the display's metadata (`{"image/svg+xml": {"alt": …}}`). The code, and
    anything but text, HTML, Markdown and pictures, is left out.

    Examples
    --------
    >>> import nbformat
    >>> cells = [nbformat.v4.new_markdown_cell("## Where <script>alert(1)</script>")]
    >>> page = export_html(nbformat.v4.new_notebook(cells=cells), title="Lisbon & March")
    >>> "<script" in page, "<title>Lisbon &amp; March</title>" in page, 'href="#section-1">Where</a>' in page
    (False, True, True)
    """
    exporter = _exporter()
    read = exporter.from_filename if isinstance(notebook, Path) else exporter.from_notebook_node
    body, _ = read(notebook)
    body = NUMBER.sub(r'<td class="number">\1</td>', body)
    body, headings = _number_headings(body)
    return fill_template("page.html.j2", title=title, footer=footer, body=Markup(body), headings=headings)


def fill_template(name: str, **values: object) -> str:
    """Fill a template of this room; every text among the values is escaped."""
    return PAGES.get_template(name).render(values)


def replace_page(file: Path, page: str) -> Path:
    """Put a page into the place of a file in one step, or of a link, never through it; return the file."""
    new = file.with_name(f".{file.name}.new")
    new.unlink(missing_ok=True)
    with new.open("x", encoding="utf-8", errors="replace") as opened:  # of its own: a link would not be followed
        opened.write(page)
    return new.replace(file)


def clean_html(html: str) -> str:
    """Keep the harmless part of HTML that may hold text from the data; links stay within the page or beside it.

    Examples
    --------
    >>> clean_html('<b onclick="x()">6 %</b><a href="//elsewhere">a</a><a href="#size">b</a><img src=x onerror=y>')
    '<b>6 %</b><a>a</a><a href="#size">b</a>'
    """
    return nh3.clean(
        html,
        tags=set(TAGS.split()),
        attributes=ATTRIBUTES,
        attribute_filter=_keep_attribute,
        set_tag_attribute_values={"table": {"tabindex": "0"}},  # a wide table scrolls, also by keyboard
        url_schemes=set(),
        link_rel=None,
        filter_style_properties={"text-align"},
    )


@cache
def _exporter() -> TemplateExporter:
    # The first page waits for the imports and compiles the template; those after it do not.
    from nbconvert.exporters import TemplateExporter
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    markdown = MarkdownWithMath(renderer=IPythonRenderer(escape=False, exclude_anchor_links=True))
    return TemplateExporter(
        template_name=TEMPLATE.name,
        extra_template_basedirs=[str(TEMPLATE.parent)],
        file_extension=".html",
        default_preprocessors=[],  # none changes a thing here, and each would check the notebook again
        filters={"clean": clean_html, "markdown2html": markdown.render, "filter_data_type": _richest},
    )


def _keep_attribute(tag: str, name: str, value: str) -> str | None:
    # No scheme, no host, no root.
    return value if name != "href" or re.fullmatch(r"#\S*|(?![/\\])[^:\\\s\x00-\x20]+", value) else None


def _richest(data: Mapping[str, object]) -> list[str]:
    return [kind for kind in SHOWN if kind in data][:1]


def _number_headings(body: str) -> tuple[str, list[tuple[str, str, Markup]]]:
    """Give every H2 and H3 an id; return the body and the level, the id and the text of each."""
    headings: list[tuple[str, str, Markup]] = []

    def name(found: re.Match[str]) -> str:
        level, text = found.groups()
        headings.append((level, f"section-{len(headings) + 1}", Markup(text)))
        return f'<h{level} id="{headings[-1][1]}">{text}</h{level}>'

    return re.sub(r"<h([23])\b[^>]*>(.*?)</h\1>", name, body, flags=re.DOTALL), headings
