"""The parts that a headline names, in the direction in which they moved the error rate."""

from types import SimpleNamespace

import pytest

from rca_lib.reporting.headline import _tell_part


@pytest.mark.parametrize(("points", "words"), [(0.02, ("harder", "no worse")), (-0.02, ("easier", "no better"))])
def test_a_mix_is_told_in_the_direction_in_which_it_moved_the_rate(points, words):
    told = _tell_part(SimpleNamespace(kind="mix", points=points, where={}), sized=True)
    assert all(word in told for word in words), told
