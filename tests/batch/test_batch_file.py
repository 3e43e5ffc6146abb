"""The batch file: every fault is reported in one clear error before anything starts."""

import pytest

from rca_lib.batch.batch_file import NOTEBOOK_FOLDER, read_batch

BATCH = "batch: demo\nnotebooks: {deep_dive: deep.ipynb, portfolio: wide.ipynb, intake: null}\n"


def read(file, text):
    file.write_text(BATCH + text)
    return read_batch(file)


def test_paths_are_relative_to_the_batch_file(batch_file):
    (batch_file.parent / "maps").mkdir()
    (batch_file.parent / "maps" / "m.yml").touch()
    batch = read(batch_file, "mapping: maps/../maps/m.yml\ndata: exports/later.csv\n")
    assert batch.mapping == batch_file.parent / "maps" / "m.yml"
    assert batch.data == batch_file.parent / "exports" / "later.csv"  # the export need not exist: --data may replace it
    assert batch.list_files(["mapping", "events"]) == {"mapping": batch.mapping}
    assert read(batch_file, "data: synthetic\n").data == "synthetic"


def test_notebooks_of_the_project_are_found_and_are_the_default(batch_file):
    batch_file.write_text("batch: demo\nnotebooks: {portfolio: 40_portfolio.ipynb, intake: null}\n")
    notebooks = read_batch(batch_file).notebooks
    assert notebooks["portfolio"] == NOTEBOOK_FOLDER / "40_portfolio.ipynb"
    assert notebooks["deep_dive"] == NOTEBOOK_FOLDER / "10_deep_dive.ipynb"
    assert notebooks["intake"] is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sitess: [x]\n", "unknown key 'sitess' (nearest known: 'sites')"),
        ("seed: one\n", "seed is 'one', not a whole number"),
        ("seed: 1\nseed: 2\n", "line 4: duplicate key 'seed'; keep one"),
        ("periods: [2026-13]\n", "periods is ['2026-13'], not months, weeks, quarters"),
        ("periods: [2026-03, march]\n", "periods is ['2026-03', 'march'], not months, weeks"),
        ("periods: []\n", "periods is [], not months, weeks, quarters, latest-complete, a rule such as {last: 8"),
        ("periods: fortnights\n", "periods is 'fortnights', not months, weeks"),
        ("periods: {last: 0}\n", "periods is '0', not months, weeks"),
        ("periods: {latest: 2}\n", "periods has the unknown key 'latest'; give months, weeks"),
        ("sites: []\n", 'sites is [], not "all" or a list'),
        ("mapping: none.yml\n", "mapping: there is no none.yml"),
        (
            "parameters: {alpha: 'db://ana:pw@x'}\n",
            "alpha is an address with a password: put it into an environment var",
        ),
        ("parameters: {dimensions: [a, 'db://:pw@x']}\n", "dimensions is an address with a password"),
        ("title: see https://ana:pw@x\n", "title is an address with a password"),
        ("timeout_seconds: 0\nbaseline_periods: -1\n", "baseline_periods is '-1', not a whole number from 0; timeout_"),
    ],
)
def test_a_fault_gives_one_error_with_file_key_and_hint(batch_file, text, message):
    with pytest.raises(ValueError) as caught:
        read(batch_file, text)
    assert type(caught.value) is ValueError
    assert str(caught.value).startswith(f"{batch_file}: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must contain lines"),
        ("[a, b]", "must contain lines"),
        ("batch: [", "line 1: not valid YAML"),
        ("title: x\n", "batch is missing; give a name for a folder"),
        ("batch: ../x\n", "batch is '../x', not a name for a folder"),
        ("batch: con\n", "batch is 'con', not a name for a folder"),
        ("batch: x.\n", "batch is 'x.', not a name for a folder"),
        (f"batch: {'x' * 81}\n", "not a name for a folder: letters, digits and ._-, at most 80"),
        ("batch: Ж\n", "batch is 'Ж', not a name for a folder"),
        (
            "batch: x\nnotebooks: {deep: a.ipynb}\n",
            "notebooks is 'deep', not a notebook for deep_dive, ground_truth, portfolio, intake",
        ),
        ("batch: x\nnotebooks: {deep_dive: depe.ipynb}\n", "there is no depe.ipynb (nearest known: 'deep.ipynb')"),
    ],
)
def test_a_file_that_is_not_a_batch_file_is_refused(batch_file, text, message):
    batch_file.write_text(text)
    with pytest.raises(ValueError, match=r"demo\.yml") as caught:
        read_batch(batch_file)
    assert message in str(caught.value)


def test_a_missing_batch_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"none.yml: cannot be read: No such file"):
        read_batch(tmp_path / "none.yml")
