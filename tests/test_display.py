"""Figures and tables of a notebook: names from the data stand in them as they are, in every script."""

import warnings
import xml.etree.ElementTree as ElementTree

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from rca_lib.reporting.display import show_figure, show_words
from rca_lib.reporting.plots.style import Chart, mark_event, new_axes, new_panels, title_of

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
    ax = new_axes(ax)
    ax.barh(range(len(names)), range(len(names)), label=names[0])
    ax.set_yticks(range(len(names)), names)
    ax.annotate(names[0], (0.5, 0))
    mark_event(ax, 0.5, names[0])
    ax.set_xlabel(names[0])
    ax.legend()
    title_of(ax, f"Of {names[0]}.")
    return ax


def read_svg(shown):
    return ElementTree.fromstring(shown.data["image/svg+xml"])


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: ascii(name)[:20])
def test_a_name_is_drawn_as_it_stands_and_without_a_warning(name):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        shown = show_figure(draw, [name, "hate"])
    assert told == []
    assert read_svg(shown).tag.endswith("svg")
    assert "<script" not in shown.data["image/svg+xml"]


@pytest.mark.parametrize("name", ["東京 ヘイト", "증오", "مرحبا", "תוכן", "नीति", "🧵"])
def test_what_the_font_lacks_is_text_that_the_readers_fonts_show(name):
    texts = [element.text for element in read_svg(show_figure(draw, [name])).iter() if element.tag.endswith("text")]
    assert texts.count(name) >= 3
    svg = show_figure(draw, [name]).data["image/svg+xml"]
    assert "font-family: 'DejaVu Sans', sans-serif" in svg


@pytest.mark.parametrize("name", ["hate", "São Paulo", "$x_$"])
def test_what_the_font_has_is_drawn_as_outlines_the_same_everywhere(name):
    assert "<text" not in show_figure(draw, [name]).data["image/svg+xml"]


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_chart_is_the_same_whatever_the_user_has_set_for_matplotlib(settings):
    plain = show_figure(draw, ["hate", "spam"])
    with mpl.rc_context(settings):
        assert show_figure(draw, ["hate", "spam"]) == plain
        assert all(mpl.rcParams[name] == value for name, value in settings.items())


def test_a_plot_that_is_called_by_itself_draws_dollars_too(tmp_path):
    ax = draw(["$x_$", "$\\frac$"])
    assert isinstance(ax.figure, Chart) and isinstance(new_panels(2)[0].figure, Chart)
    ax.figure.savefig(tmp_path / "chart.png", bbox_inches="tight")
    plt.close("all")


def test_words_are_escaped():
    assert show_words("<img src=x> # no heading").data["text/html"] == (
        "<p class='answer'>&lt;img src=x&gt; # no heading</p>"
    )
