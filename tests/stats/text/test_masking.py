"""Masked texts show length and script, and nothing else."""

import pytest

from rca_lib.stats.text.masking import mask_text


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (None, "[no text]"),
        (float("nan"), "[no text]"),
        ("  ", "[no text]"),
        ("<b>hi</b>", "[9 characters, Latin]"),
        ("слово word словарь", "[18 characters, Cyrillic]"),
        ("视频无法播放", "[6 characters, CJK]"),
        ("\u202e\u0000secret", "[8 characters, Latin]"),  # no control or direction signs
        ("12 34", "[5 characters, no letters]"),
        ("x" * 1_000_000, "[1,000,000 characters, Latin]"),
    ],
)
def test_a_text_is_replaced_by_length_and_script(text, masked):
    assert mask_text(text) == masked
