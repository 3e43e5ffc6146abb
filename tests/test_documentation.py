"""The documentation: its tutorial works as written, its links lead somewhere, and it covers commands and names."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rca_lib
from rca_lib.cli import app

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]  # MkDocs checks the links of docs/
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
SKIPPED = ("rca demo", "rca lab")  # the wheel's test runs the demo; JupyterLab does not end


def name_page(page):
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name_page)
def test_every_relative_link_leads_to_a_file(page):
    for target in re.findall(r"\]\(([^)#]+?)(?:#[\w-]+)?\)", page.read_text(encoding="utf-8")):
        assert target.startswith("http") or (page.parent / target).exists(), target


def test_the_readme_is_short_enough_to_be_read():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_every_command_is_in_the_reference():
    reference = (ROOT / "docs" / "reference" / "command-line.md").read_text(encoding="utf-8")
    names = [command.name or command.callback.__name__ for command in app.registered_commands]
    assert [name for name in names if f"`rca {name}" not in reference] == []


def test_tab_completion_and_the_module_of_each_public_name_are_there():
    assert {*rca_lib.__all__} <= {*dir(rca_lib)}
    for name in rca_lib.__all__:
        assert hasattr(importlib.import_module(rca_lib.find_module(name)), name)


def test_the_tutorial_works_as_written(tmp_path):
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ran = []
    for block in BLOCK.finditer(text):
        language, body = block.groups()
        if language == "yaml":
            path = re.findall(r"Save this as `([^`]+)`|short\. Save this as `([^`]+)`", text[: block.start()])[-1]
            (tmp_path / (path[0] or path[1])).write_text(body, encoding="utf-8")
        commands = [["-c", body]] if language == "python" else []
        if not language:
            lines = [line for line in body.splitlines() if line.startswith("rca ") and line not in SKIPPED]
            commands = [["-m", "rca_lib", *line.split()[1:]] for line in lines]
        for command in commands:
            done = subprocess.run(
                [sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, (command, done.stdout, done.stderr)
            ran.append(command)
    assert len(ran) >= 7
    assert (tmp_path / "reports" / "practice" / "certificate.html").exists()
