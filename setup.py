"""Copies notebooks and parameter files into the wheel; everything else about the build stands in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
RESOURCES = {"notebooks": "*.ipynb", "parameters": "**/*.yml"}


class BuildWithResources(build_py):
    """Builds the package with its notebooks and parameter files."""

    def run(self) -> None:
        """Build, then copy each resource into `rca_lib/resources`."""
        super().run()
        if self.editable_mode:  # a checkout reads them where they are
            return
        for folder, pattern in RESOURCES.items():
            for source in sorted((ROOT / folder).glob(pattern)):
                target = Path(self.build_lib, "rca_lib", "resources", source.relative_to(ROOT))
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)


setup(cmdclass={"build_py": BuildWithResources})
