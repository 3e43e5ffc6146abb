"""Audits of a store read into narrow frames."""

import duckdb
import pandas as pd
import pytest

from rca_lib.store.audit_frames import MAX_CATEGORIES, read_audit_frame

ROWS = 3 * MAX_CATEGORIES


@pytest.fixture(scope="module")
def audits():
    connection = duckdb.connect()
    relation = connection.sql(
        f"""
        select i::varchar as audit_id, i::varchar as item_id, date '2026-01-05' as day,
            if(i % 4 = 0, 1, 0)::utinyint as error, 'because of ' || i as comment,
            if(i % 7 = 0, null, 'queue ''' || i % 3 || '''') as queue, 'r' || i as rater,
            'https://example.org/' || i as url, 'wave ' || i % 5 as wave, i / 7.0 as seconds
        from range({ROWS}) as t(i)
        """
    )
    yield relation
    connection.close()


def test_text_with_few_values_is_categorical_and_ids_stay_text(audits):
    frame = read_audit_frame(audits)
    categorical = [name for name, dtype in frame.dtypes.items() if isinstance(dtype, pd.CategoricalDtype)]
    assert categorical == ["queue", "wave"]
    assert frame["queue"].cat.categories.tolist() == ["queue '0'", "queue '1'", "queue '2'"]
    assert frame["queue"].isna().sum() == len(range(0, ROWS, 7))


def test_a_column_outside_the_schema_is_read_if_it_has_few_values_or_is_named(audits):
    assert {"wave", "seconds", "rater"} <= set(read_audit_frame(audits)) and "url" not in read_audit_frame(audits)
    assert "url" in read_audit_frame(audits, ["url", "absent"])


def test_only_comments_of_errors_are_read(audits):
    frame = read_audit_frame(audits)
    assert frame.loc[frame["error"] == 1, "comment"].str.startswith("because of ").all()
    assert frame.loc[frame["error"] == 0, "comment"].isna().all()


def test_every_value_is_the_value_of_the_store(audits):
    frame = read_audit_frame(audits, ["url"]).drop(columns="comment")
    expected = audits.df()[list(frame)]
    assert frame.astype(object).where(frame.notna(), None).equals(expected.astype(object).where(expected.notna(), None))
