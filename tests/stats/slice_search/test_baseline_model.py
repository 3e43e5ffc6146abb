"""The baseline model on simulated counts."""

import numpy as np
import pytest

from rca_lib.stats.slice_search.baseline_model import fit_baseline_model
from rca_lib.stats.slice_search.contingency import ContingencyTable


def draw_table(seed, sizes, log_odds, audits=40000):
    """Draw audits with one cell each; `log_odds(codes)` gives their error rates."""
    rng = np.random.default_rng(seed)
    codes = np.array([rng.integers(0, size, audits) for size in sizes])
    errors = (rng.random(audits) < 1 / (1 + np.exp(-log_odds(codes)))).astype(float)
    return ContingencyTable(codes, np.ones(audits), errors, np.ones(audits))


def test_the_model_recovers_a_planted_effect():
    # 40,000 audits, with an effect of 0.8 on the log odds of one value of six. The sd of an effect is about 0.06.
    table = draw_table(2, (6, 300), lambda codes: 0.8 * (codes[0] == 3) - 2.5)
    model = fit_baseline_model(table, (6, 300))
    effect = model.effects[0][3] - np.delete(model.effects[0], 3).mean()
    assert effect == pytest.approx(0.8, abs=0.15)
    assert np.abs(model.effects[1]).max() < 0.4


def test_a_value_that_the_baseline_lacks_has_the_effect_0():
    table = draw_table(3, (6, 4), lambda codes: 0.5 * (codes[0] == 2) - 2.5, audits=9000)
    kept = table.codes[0] != 5
    table = ContingencyTable(table.codes[:, kept], table.items[kept], table.errors[kept], table.squared_weights[kept])
    assert fit_baseline_model(table, (6, 4)).effects[0][5] == pytest.approx(0, abs=1e-6)
