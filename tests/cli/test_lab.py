"""`rca lab`: it opens JupyterLab on the notebooks, and never overwrites one."""

import os

import pytest

from rca_lib.cli import lab
from rca_lib.resources import PROJECT_FOLDER


@pytest.fixture
def commands(monkeypatch):
    """The commands that would have replaced this process."""
    commands = []
    monkeypatch.setattr(os, "execv", lambda _, command: commands.append(command))
    return commands


def test_outside_a_checkout_missing_notebooks_are_copied_and_changed_ones_stay(tmp_path, monkeypatch, commands):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lab, "is_checkout", lambda: False)
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "10_deep_dive.ipynb").write_text("changed")
    lab.lab()
    assert f"--ServerApp.root_dir={tmp_path}" in commands[0]
    assert (tmp_path / "notebooks" / "10_deep_dive.ipynb").read_text() == "changed"
    assert (tmp_path / "notebooks" / "40_portfolio.ipynb").exists()


def test_a_checkout_is_opened_itself(tmp_path, monkeypatch, commands):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lab, "is_checkout", lambda: True)
    lab.lab()
    assert f"--ServerApp.root_dir={PROJECT_FOLDER}" in commands[0]
    assert list(tmp_path.iterdir()) == []
