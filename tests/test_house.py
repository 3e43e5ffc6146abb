"""The house itself: floors, sizes, thin notebooks, one list of packages."""

import ast
import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

import rca_lib

ROOT = Path(__file__).resolve().parents[1]
ROOMS = sorted((ROOT / "rca_lib").rglob("*.py"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
FLOORS = {
    "findings": 0,
    "result": 0,
    "resources": 0,
    "io": 1,
    "stats": 1,
    "audits": 2,
    "intake": 3,
    "simulation": 4,
    "store": 5,
    "models": 6,
    "questions": 7,
    "reporting": 8,
    "batch": 9,
    "cli": 10,
    "__main__": 11,
    "__init__": 11,
}


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _floor(module: str) -> int | None:
    part = module.split(".")[1] if module.startswith("rca_lib.") else None
    return FLOORS[part] if part else None


def _imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return found | {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


@pytest.mark.parametrize("path", ROOMS, ids=_name)
def test_a_room_imports_only_from_floors_below(path):
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    own = _floor(module)
    if own is None:
        return
    inside = [name for name in _imports(path) if name.startswith("rca_lib.")]
    assert [name for name in inside if _floor(name) > own] == []
    if "questions" in module.split("."):
        assert [name for name in inside if name.startswith("rca_lib.questions.")] == []


@pytest.mark.parametrize("path", ROOMS, ids=_name)
def test_a_file_has_400_lines_at_most_and_a_function_40_without_its_docstring(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            documented = len((ast.get_docstring(node, clean=False) or "").splitlines())
            assert node.end_lineno - node.lineno + 1 - documented <= 40, node.name


@pytest.mark.parametrize("name", rca_lib.__all__)
def test_every_name_of_the_public_face_is_there_and_says_what_it_is(name):
    assert getattr(rca_lib, name).__doc__


@pytest.mark.parametrize("path", NOTEBOOKS, ids=_name)
def test_a_notebook_is_thin_and_stripped(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    assert notebook["cells"][0]["source"][0].startswith("# ")
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert "parameters" in code[0]["metadata"]["tags"]
    for cell in code:
        source = "".join(cell["source"])
        assert (cell["outputs"], cell["execution_count"]) == ([], None)
        assert len(source.splitlines()) <= 12
        forbidden = (ast.FunctionDef, ast.ClassDef, ast.For, ast.Try, ast.While, ast.Lambda)
        assert not [node for node in ast.walk(ast.parse(source)) if isinstance(node, forbidden)]
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom):
                assert node.module == "rca_lib"
            assert not isinstance(node, ast.Import)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=_name)
def test_every_parameter_says_its_type_and_what_it_is(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cell = next(cell for cell in notebook["cells"] if "parameters" in cell["metadata"].get("tags", ()))
    for line in cell["source"]:
        assert re.fullmatch(r"\w+: [\w\[\]| ]+ = .+  # .+\n?", line), line


def test_conda_installs_this_project_and_lists_no_packages_of_its_own():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    plain = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    installed = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert [re.split(r"[=<>]", entry)[0] for entry in plain] == ["python", "pip"]
    assert installed == ["--editable .[dev]"]


def test_every_dependency_is_pinned_with_a_hash_and_has_its_reason():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    listed = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    for entry in listed:
        name = re.split(r"[<>=]", entry)[0]
        assert re.search(rf'^  "{re.escape(entry)}",\s+# \S', text, flags=re.MULTILINE), f"{entry} has no reason"
        assert re.search(rf"^{re.escape(name)}==\S+ \\\n    --hash=sha256:", lock, flags=re.MULTILINE), name


def test_no_file_names_a_registry_or_a_machine_path():
    hosts = ("pypi" + ".org", "python" + "hosted", "npmjs", "debian" + ".org", "conda" + ".anaconda", "/wo" + "rk/")
    for path in [ROOT / "Makefile", ROOT / "requirements.lock", ROOT / "pyproject.toml", ROOT / "README.md", *ROOMS]:
        assert not [host for host in hosts if host in path.read_text(encoding="utf-8")], path


@pytest.mark.parametrize("path", sorted((ROOT / "rca_lib").rglob("[!_]*.py")), ids=_name)
def test_a_module_has_its_test_file_or_names_it_in_the_first_line(path):
    relative = path.relative_to(ROOT / "rca_lib")
    own = ROOT / "tests" / relative.parent / f"test_{relative.name}"
    first_line = path.read_text(encoding="utf-8").splitlines()[0]
    named = re.fullmatch(r"# Tested in (tests/\S+\.py)\.", first_line)
    assert own.exists() or (named and (ROOT / named[1]).exists())
    tests = [ROOT / named[1]] if named else [own]
    assert not (named and own.exists())
    assert all("def test_" in test.read_text(encoding="utf-8") for test in tests)
