"""Figures and texts of a notebook: names from the data appear unchanged, in every script."""

import warnings
import xml.etree.ElementTree as ElementTree

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from rca_lib.questions.quality import measure_quality
from rca_lib.reporting.display import CHARTS, show_figure
from rca_lib.reporting.html import sanitize_html
from rca_lib.reporting.plots.style import LiteralTextFigure, create_axes, create_panels, mark_event, set_title
from rca_lib.result import NotAvailable, Result
from rca_lib.store.cases import open_case

HOSTILE = (
    "$", "$$", "$x_$", "$\\frac$", "$\\unknown{$", "100$ – 200$", "a_b^c", "\\", "{", "%s", "--><script>", "]]>", "<b>",
    "\x01", "\x0b", "a\tb", "a\nb", "\ufffe", "a\u0301", "\u202e", "x" * 300, "x " * 300, "東京 ヘイト", "ヘ" * 200,
    "증오", "مرحبا", "תוכן", "นโยบาย", "नीति", "🧵", "&amp;",
)  # fmt: skip
SETTINGS = (
    {"text.usetex": True}, {"font.size": 40, "font.family": ["monospace"]}, {"svg.fonttype": "none"},
    {"axes.grid": False}, {"axes.formatter.use_locale": True, "axes.unicode_minus": False}, {"timezone": "Asia/Tokyo"},
    {"lines.linewidth": 9}, {"figure.dpi": 300, "savefig.dpi": 300, "savefig.bbox": "tight"},
    {"svg.hashsalt": "mine"}, {"path.sketch": (1, 2, 3)},
)  # fmt: skip


def draw(names, ax=None):
    ax = create_axes(ax)
    ax.barh(range(len(names)), range(len(names)), label=names[0])
    ax.set_yticks(range(len(names)), names)
    ax.annotate(names[0], (0.5, 0))
    mark_event(ax, 0.5, names[0])
    ax.set_xlabel(names[0])
    ax.legend()
    set_title(ax, f"Of {names[0]}.")
    return ax


def parse_svg(display):
    return ElementTree.fromstring(display.data["image/svg+xml"])


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: ascii(name)[:20])
def test_a_name_is_drawn_unchanged_and_without_a_warning(name):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        display = show_figure(draw, [name, "hate"])
    assert caught == []
    assert parse_svg(display).tag.endswith("svg")
    assert "<script" not in display.data["image/svg+xml"]


@pytest.mark.parametrize("name", ["東京 ヘイト", "증오", "مرحبا", "תוכן", "नीति", "🧵"])
def test_characters_missing_from_the_font_are_written_as_text(name):
    texts = [element.text for element in parse_svg(show_figure(draw, [name])).iter() if element.tag.endswith("text")]
    assert texts.count(name) >= 3
    svg = show_figure(draw, [name]).data["image/svg+xml"]
    assert "font-family: 'DejaVu Sans', sans-serif" in svg


@pytest.mark.parametrize("name", ["hate", "São Paulo", "$x_$"])
def test_characters_of_the_font_are_drawn_as_outlines(name):
    assert "<text" not in show_figure(draw, [name]).data["image/svg+xml"]


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_chart_does_not_depend_on_the_users_matplotlib_settings(settings):
    expected = show_figure(draw, ["hate", "spam"])
    with mpl.rc_context(settings):
        assert show_figure(draw, ["hate", "spam"]) == expected
        assert all(mpl.rcParams[name] == value for name, value in settings.items())


def test_a_plot_called_directly_draws_dollar_signs(tmp_path):
    ax = draw(["$x_$", "$\\frac$"])
    assert isinstance(ax.figure, LiteralTextFigure) and isinstance(create_panels(2)[0].figure, LiteralTextFigure)
    ax.figure.savefig(tmp_path / "chart.png", bbox_inches="tight")
    plt.close("all")


def test_summaries_are_escaped():
    assert NotAvailable("<img src=x> # no heading")._repr_html_() == (
        "<p class='answer'>Not available: &lt;img src=x&gt; # no heading.</p>"
    )


def test_the_name_of_a_result_shows_its_summary_chart_and_table():
    case = open_case("demo", site="lisbon", period="2026-03")
    quality = measure_quality(case.current, case.targets, benign=case.benign)
    bundle = quality._repr_mimebundle_()
    page = bundle["text/html"]
    assert page.index("<p class='answer'>") < page.index("<figure>") < page.index("<table")
    assert bundle["text/plain"] == quality.summary() and quality.summary()[:20] in page


def test_a_chart_of_a_result_survives_sanitizing_and_foreign_images_do_not():
    image = '<figure><img alt="Chart" src="data:image/svg+xml;base64,PHN2Zz4="></figure>'
    assert sanitize_html(image) == image
    for source in ("https://example.com/a.png", "data:text/html;base64,PHN2Zz4=", "data:image/svg+xml,<svg onload=x>"):
        assert "<img" not in sanitize_html(f'<img src="{source}">')
    assert "href" not in sanitize_html('<a href="data:image/png;base64,AA==">a</a>')


def test_every_chart_belongs_to_a_result():
    assert all(issubclass(result_type, Result) for result_type in CHARTS)
