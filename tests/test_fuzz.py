"""Random faults in exports, mappings, events, targets and batch files: seeded, and bounded to about a minute."""

import runpy
from pathlib import Path

import pytest

run_case = runpy.run_path(str(Path(__file__).with_name("fuzzing.py")))["run_case"]
CASES, GROUPS = 60, 10


@pytest.mark.parametrize("group", range(GROUPS))
def test_a_random_fault_gives_no_traceback_no_silent_change_and_no_file_elsewhere(group):
    assert [text for seed in range(group, CASES, GROUPS) for text in run_case(seed)] == []
