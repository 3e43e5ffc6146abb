"""Spikes: a change of level is no spike."""

import numpy as np

from rca_lib.stats.changepoints.spikes import find_spikes


def test_a_step_is_no_spike():
    errors = np.r_[np.full(20, 5.0), np.full(20, 25.0)]
    assert find_spikes(errors, np.full(40, 1.0), counts=True) == ()
