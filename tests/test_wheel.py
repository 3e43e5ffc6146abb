"""The wheel works by itself: installed into an environment of its own, away from any checkout."""

import os
import shutil
import site
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BUILD_INPUTS = ("rca_lib", "notebooks", "parameters", "pyproject.toml", "setup.py", "MANIFEST.in", "README.md")
ANALYSIS = """
import rca_lib
case = rca_lib.open_case("reports/demo/_audits", site="lisbon", period="2026-03")
assert len(rca_lib.read_taxonomy().causes) > 20
print(rca_lib.__file__, rca_lib.measure_quality(case.current).error_rate.items)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    source = tmp_path_factory.mktemp("source")
    for name in BUILD_INPUTS:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        copy(ROOT / name, source / name)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "-w",
        "dist",
        ".",
    ]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (built,) = (source / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """Return the folder of commands of an environment that holds the wheel, and finds its dependencies in this one."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", str(packages), str(wheel)]
    subprocess.run(command, check=True, capture_output=True)
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    (folder / "share").mkdir(exist_ok=True)
    (folder / "share" / "jupyter").symlink_to(Path(sys.prefix, "share", "jupyter"))  # templates of nbconvert
    return folder / "bin"


def run_in(environment, folder, *command):
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run(
        [environment / "python", *command], cwd=folder, env=clean, capture_output=True, text=True, check=False
    )


def test_the_wheel_carries_notebooks_batch_files_taxonomy_and_templates(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for folder, pattern in (("notebooks", "*.ipynb"), ("parameters", "**/*.yml")):
        for file in (ROOT / folder).glob(pattern):
            assert f"rca_lib/resources/{file.relative_to(ROOT).as_posix()}" in names
    assert {Path(name).suffix for name in names} >= {".sql", ".j2", ".json", ".ipynb", ".yml"}


def test_the_installed_package_runs_the_demo_and_opens_its_case(environment, tmp_path):
    demo = run_in(environment, tmp_path, "-m", "rca_lib", "demo", "--site", "lisbon", "--period", "2026-03")
    assert demo.returncode == 0, demo.stderr
    assert (tmp_path / "reports" / "demo" / "lisbon" / "2026-03" / "report.html").exists()
    analysis = run_in(environment, tmp_path, "-c", ANALYSIS)
    assert analysis.returncode == 0, analysis.stderr
    assert str(environment.parent) in analysis.stdout
