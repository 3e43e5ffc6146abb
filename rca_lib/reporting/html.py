"""Reports as one HTML file without scripts or external requests; text from the data is sanitized or escaped."""

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

TEMPLATE_FOLDER = Path(__file__).parent / "template"
TEMPLATES = Environment(loader=FileSystemLoader(TEMPLATE_FOLDER), autoescape=True)
DISPLAY_MIME_TYPES = ("text/html", "text/markdown", "image/svg+xml", "image/png", "image/jpeg", "text/plain")
NUMBER_CELL_PATTERN = re.compile(
    r"<td>(\s*(?:–|[-−+]?\d[\d.,-]*(?:\s?(?:%|[a-z]+))?)\s*)</td>"
)  # a number, a date or "–"
URL_PATTERNS = {
    "href": re.compile(r"#\S*|(?![/\\])[^:\\\s\x00-\x20]+"),  # links without scheme, host or root
    "src": re.compile(r"data:image/(?:svg\+xml|png|jpeg);base64,[A-Za-z0-9+/=]+"),  # an image cannot run a script
}
IMAGE_WITHOUT_SOURCE = re.compile(r"<img(?![^>]* src=)[^>]*>")
ALLOWED_TAGS = (
    "a abbr b blockquote br caption code col colgroup dd del details div dl dt em figure h1 h2 h3 h4 h5 h6 hr i img kbd"
    " li ol p pre s section small span strong sub summary sup table tbody td tfoot th thead tr u ul"
)
ALLOWED_ATTRIBUTES = {
    "*": {"class", "id", "title", "role", "aria-label", "aria-labelledby", "lang"},
    "a": {"href"},
    "img": {"alt", "src"},
    "td": {"colspan", "rowspan", "style"},
    "th": {"colspan", "rowspan", "scope", "style"},
}


def export_html(notebook: NotebookNode | Path, *, title: str, footer: str = "") -> str:
    """Return an executed notebook as a self-contained page with a table of contents.

    Parameters
    ----------
    notebook
        An executed notebook, or its path.
    title, footer
        Plain text above and below the report.

    Notes
    -----
    HTML in cells and outputs is sanitized (`sanitize_html`). Images take their alternative text from the metadata of
    the display (`{"image/svg+xml": {"alt": …}}`). Code, and all but text, HTML, Markdown and images, is omitted.

    Examples
    --------
    >>> import nbformat
    >>> cells = [nbformat.v4.new_markdown_cell("## Where <script>alert(1)</script>")]
    >>> page = export_html(nbformat.v4.new_notebook(cells=cells), title="Lisbon & March")
    >>> "<script" in page, "<title>Lisbon &amp; March</title>" in page, 'href="#section-1">Where</a>' in page
    (False, True, True)
    """
    exporter = _get_exporter()
    if isinstance(notebook, Path):
        body, _ = exporter.from_filename(str(notebook))
    else:
        body, _ = exporter.from_notebook_node(notebook)
    body = NUMBER_CELL_PATTERN.sub(r'<td class="number">\1</td>', body)
    body, headings = _add_heading_ids(body)
    return render_template("page.html.j2", title=title, footer=footer, body=Markup(body), headings=headings)


def render_template(name: str, **values: object) -> str:
    """Render a template of this package; every text value is escaped."""
    return TEMPLATES.get_template(name).render(values)


def write_file_atomically(file: Path, text: str) -> Path:
    """Replace a file in one step and return its path; a link is replaced, not followed."""
    temporary = file.with_name(f".{file.name}.new")
    temporary.unlink(missing_ok=True)
    with temporary.open("x", encoding="utf-8", errors="replace") as stream:  # "x" never writes through a link
        stream.write(text)
    return temporary.replace(file)


def sanitize_html(html: str) -> str:
    """Remove everything active from HTML; links may lead within the page and to neighbouring files only.

    Examples
    --------
    >>> sanitize_html('<b onclick="x()">6 %</b><a href="//elsewhere">a</a><a href="#size">b</a><img src=x onerror=y>')
    '<b>6 %</b><a>a</a><a href="#size">b</a>'
    """
    clean = nh3.clean(
        html,
        tags=set(ALLOWED_TAGS.split()),
        attributes=ALLOWED_ATTRIBUTES,
        attribute_filter=_filter_attribute,
        set_tag_attribute_values={"table": {"tabindex": "0"}},  # wide tables scroll, also by keyboard
        url_schemes={"data"},
        link_rel=None,
        filter_style_properties={"text-align"},
    )
    return IMAGE_WITHOUT_SOURCE.sub("", clean)


@cache
def _get_exporter() -> TemplateExporter:
    # Imports and the compiled template are needed from the first page on, and kept.
    from nbconvert.exporters import TemplateExporter
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    markdown = MarkdownWithMath(renderer=IPythonRenderer(escape=False, exclude_anchor_links=True))
    return TemplateExporter(
        template_name=TEMPLATE_FOLDER.name,
        extra_template_basedirs=[str(TEMPLATE_FOLDER.parent)],
        file_extension=".html",
        default_preprocessors=[],  # none changes anything here, and each would validate the notebook again
        filters={"clean": sanitize_html, "markdown2html": markdown.render, "filter_data_type": _select_mime_type},
    )


def _filter_attribute(tag: str, name: str, value: str) -> str | None:
    pattern = URL_PATTERNS.get(name)
    return value if pattern is None or pattern.fullmatch(value) else None


def _select_mime_type(data: Mapping[str, object]) -> list[str]:
    return [mime_type for mime_type in DISPLAY_MIME_TYPES if mime_type in data][:1]


def _add_heading_ids(body: str) -> tuple[str, list[tuple[str, str, Markup]]]:
    """Add an id to every H2 and H3; return the body, and level, id and text of each heading."""
    headings: list[tuple[str, str, Markup]] = []

    def add_id(match: re.Match[str]) -> str:
        level, text = match.groups()
        heading_id = f"section-{len(headings) + 1}"
        headings.append((level, heading_id, Markup(text)))
        return f'<h{level} id="{heading_id}">{text}</h{level}>'

    return re.sub(r"<h([23])\b[^>]*>(.*?)</h\1>", add_id, body, flags=re.DOTALL), headings
