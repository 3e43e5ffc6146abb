"""Counts by group: exact whatever the engine, the order of rows and the number of threads."""

import duckdb
import numpy as np
import pandas as pd
import pytest

from rca_lib.audits.counting import count_errors


def make_audits(rows, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "queue": rng.choice(["video", "text", "image"], rows),
            "error": (rng.random(rows) < 0.1).astype(int),
            "weight": np.exp(rng.normal(0, 3, rows)),
        }
    )


def count_with_duckdb(audits, threads):
    with duckdb.connect(config={"threads": threads}) as connection:
        return count_errors(connection.from_df(audits), ["queue"])


@pytest.fixture(scope="module")
def audits():
    return make_audits(300_000)


def test_sums_of_weights_are_equal_to_the_last_digit_on_any_engine_and_in_any_order(audits):
    expected = count_errors(audits, ["queue"])
    shuffled = audits.sample(frac=1, random_state=1).reset_index(drop=True)
    pd.testing.assert_frame_equal(count_errors(shuffled, ["queue"]), expected, check_exact=True)
    for threads in (1, 2, 8):
        for table in (audits, shuffled):
            pd.testing.assert_frame_equal(count_with_duckdb(table, threads), expected, check_exact=True)


def test_sums_of_weights_agree_with_the_exact_sum(audits):
    counts = count_errors(audits)
    weights = audits["weight"].to_numpy(np.longdouble)
    exact = [float(weights.sum()), float((weights**2).sum())]
    assert counts[["weight", "squared_weight"]].iloc[0].to_numpy(float) == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e15])
def test_the_size_of_the_weights_does_not_matter(scale):
    audits = make_audits(1_000)
    scaled = audits.assign(weight=audits["weight"] * scale)
    counts, reference = count_errors(scaled, ["queue"]), count_errors(audits, ["queue"])
    assert counts["weight"].to_numpy() == pytest.approx(reference["weight"].to_numpy() * scale, rel=1e-12)
    assert (counts["weighted_errors"] <= counts["weight"]).all()


def test_weights_of_one_give_the_counts_themselves():
    counts = count_errors(make_audits(1_000).assign(weight=1.0), ["queue"])
    for name, count in (("weight", "items"), ("weighted_errors", "errors"), ("squared_weight", "items")):
        assert counts[name].tolist() == counts[count].tolist()


@pytest.mark.parametrize("weight", [0.0, np.inf, np.nan])
def test_a_weight_that_cannot_be_added_is_left_to_the_caller(weight):
    audits = make_audits(10).assign(weight=[weight] * 10)
    total = count_errors(audits)["weight"].iloc[0]
    assert total == (np.inf if weight == np.inf else 0.0)
