"""Reports as one HTML file: no script, no request to anywhere, every text from the data cleaned or escaped."""

from __future__ import annotations

import base64
import itertools
import re
from collections.abc import Mapping, Sequence
from functools import cache
from html import escape, unescape
from pathlib import Path

import nbformat
import nh3
from nbconvert.exporters import TemplateExporter
from nbconvert.filters import markdown2html, strip_ansi
from nbformat import NotebookNode

TEMPLATE = Path(__file__).parent / "template"
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


def export_html(notebook: NotebookNode | Path, *, title: str, show_code: bool = False, footer: str = "") -> str:
    """Return an executed notebook as a self-contained page.

    Parameters
    ----------
    notebook
        The notebook or its file.
    title
        Stands above the report and in the window's title.
    show_code
        Whether each cell's code can be unfolded.
    footer
        Plain text at the end.

    Notes
    -----
    HTML in a cell or an output is cleaned with an allowlist; it keeps classes and ids, and links within the page or to
    files beside it. Pictures take their alt text and caption from the display's metadata
    (`{"image/svg+xml": {"alt": …}}`). Anything but text, HTML, Markdown and pictures is left out.

    Examples
    --------
    >>> cells = [nbformat.v4.new_markdown_cell("## Where <script>alert(1)</script>")]
    >>> page = export_html(nbformat.v4.new_notebook(cells=cells), title="Lisbon & March")
    >>> "<script" in page, "<title>Lisbon &amp; March</title>" in page, 'href="#Where"' in page
    (False, True, True)
    """
    node = nbformat.read(notebook, as_version=4) if isinstance(notebook, Path) else notebook
    body, _ = _exporter().from_notebook_node(node, resources={"show_code": show_code})
    # A caption that only repeats the answer above its chart is no help to anyone who sees both.
    body = re.sub(r"<figcaption>(.*?)</figcaption>", lambda found: "" if f">{found[1]}</p>" in body else found[0], body)
    return write_page(body, title=title, footer=footer, contents=True)


def write_page(body: str, *, title: str, footer: str = "", contents: bool = False) -> str:
    """Put the head, the look and the contents around a body that is safe already; title and footer are plain text."""
    body, entries = _number_headings(_frame_tables(body))
    page = _exporter().environment.get_template("page.html.j2")
    style = (TEMPLATE / "style.css").read_text(encoding="utf-8")
    shown = {"body": body, "entries": entries if contents else "", "style": style}
    return page.render(title=escape(title), footer=escape(footer), **shown) + "\n"


def clean_html(html: str) -> str:
    """Keep the harmless part of HTML that may hold text from the data.

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
        url_schemes=set(),
        link_rel=None,
        filter_style_properties={"text-align"},
    )


@cache
def _exporter() -> TemplateExporter:
    # Building one takes a second; what it writes does not depend on what it wrote before.
    folder = str(TEMPLATE.parent)
    exporter = TemplateExporter(template_name=TEMPLATE.name, extra_template_basedirs=[folder], file_extension=".html")
    filters = {"clean": clean_html, "plain": _plain, "markdown2html": _markdown, "figure": _figure}
    for name, convert in (filters | {"filter_data_type": _richest}).items():
        exporter.register_filter(name, convert)
    return exporter


def _keep_attribute(tag: str, name: str, value: str) -> str | None:
    # A link stays where it is within the page or leads to a file beside it: no scheme, no host, no root.
    return value if name != "href" or re.fullmatch(r"#\S*|(?![/\\])[^:\\\s\x00-\x20]+", value) else None


def _richest(data: Mapping[str, object]) -> list[str]:
    kinds = ("text/html", "text/markdown", "image/svg+xml", "image/png", "image/jpeg", "text/plain")
    return [kind for kind in kinds if kind in data][:1]


def _plain(text: str) -> str:
    return escape(strip_ansi(text))


def _markdown(text: str) -> str:
    return re.sub(r'<a class="anchor-link"[^>]*>&#182;</a>', "", markdown2html(text))


def _figure(output: NotebookNode, kind: str) -> str:
    data, about = output.data[kind], output.metadata.get(kind) or output.metadata
    coded = base64.b64encode(data.encode()).decode() if kind == "image/svg+xml" else re.sub(r"[^\w+/=]", "", data)
    alt = escape(str(about.get("alt") or "").strip())
    size = "".join(f' {name}="{about[name]:.0f}"' for name in ("width", "height") if isinstance(about.get(name), int))
    caption = f"<figcaption>{alt}</figcaption>" if alt else ""
    picture = f'<img alt="{alt or "A chart without a description"}" src="data:{kind};base64,{coded}"{size}>'
    return f"<figure>{picture}{caption}</figure>"


def _frame_tables(body: str) -> str:
    """Let wide tables scroll, also by keyboard, and set their numbers flush right."""
    number = itertools.count(1)

    def frame(found: re.Match[str]) -> str:
        return f'<div class="scroll" tabindex="0" role="region" aria-label="Table {next(number)}">{found[0]}'

    body = re.sub(r"<table\b", frame, body).replace("</table>", "</table></div>")
    return re.sub(r"<table.*?</table>", lambda found: _align_numbers(found[0]), body, flags=re.DOTALL)


def _align_numbers(table: str) -> str:
    table = re.sub(r"<td>([^<]{1,18})</td>", _class_cell, table)
    last = ["number" in cell for cell in re.findall(r"<t[dh]\b[^>]*>", table.rpartition("<tr")[2])]
    head, end, rest = table.partition("</thead>")
    return "".join(_align_heads(row, last) for row in re.split(r"(?=<tr)", head)) + end + rest if end else table


def _class_cell(found: re.Match[str]) -> str:
    number = re.fullmatch(r"\s*[-−+]?\d[\d.,]*(?:\s?(?:%|[a-z]+))?\s*", found[1])
    return f'<td class="{"number" if number else "short"}">{found[1]}</td>'


def _align_heads(row: str, numbers: Sequence[bool]) -> str:
    # Counted from the right: on the left, the cells of an index may span several rows.
    below = iter(numbers[-len(re.findall(r"<th\b", row)) :])
    return re.sub(r"<th\b(?! class)", lambda found: found[0] + ' class="number"' * next(below, False), row)


def _number_headings(body: str) -> tuple[str, str]:
    """Give every H2 and H3 an id of its own; return the body and the entries of its contents list."""
    taken = {"report", *re.findall(r'<(?!h[23]\b)\w+[^>]*? id="([^"]*)"', body)}
    entries = []

    def name(found: re.Match[str]) -> str:
        level, attributes, inside = found[1], re.sub(r' id="[^"]*"', "", found[2]), found[3]
        text = unescape(re.sub(r"<[^>]+>", "", inside)).strip()
        wanted = re.sub(r"\W+", "-", text).strip("-") or "section"
        slugs = (f"{wanted}-{count}" if count > 1 else wanted for count in itertools.count(1))
        slug = next(slug for slug in slugs if slug not in taken)
        taken.add(slug)
        entries.append(f'<li class="h{level}"><a href="#{slug}">{escape(text)}</a></li>')
        return f'<h{level} id="{slug}"{attributes}>{inside}</h{level}>'

    return re.sub(r"<h([23])\b([^>]*)>(.*?)</h\1>", name, body, flags=re.DOTALL), "".join(entries)
