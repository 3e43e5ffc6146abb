"""The sentence of the headline."""

from types import SimpleNamespace

import pytest

from rca_lib.reporting.headline import _describe_cause


@pytest.mark.parametrize(
    ("points", "expected"), [(0.02, ("harder", "not worse work")), (-0.02, ("easier", "not better work"))]
)
def test_a_mix_shift_is_described_in_the_direction_of_its_effect(points, expected):
    sentence = _describe_cause(SimpleNamespace(kind="mix", effect=points, where={}), with_size=True)
    assert all(words in sentence for words in expected), sentence
