"""What pyproject.toml cannot say: models lie beside the package, and are installed within it."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

RESOURCES = Path(__file__).resolve().parent / "FactorizerSegmentation" / "Resources"


class BuildWithResources(build_py):
    """Puts into the package what the engine reads of the module's Resources."""

    def run(self) -> None:
        """Build the package; an editable installation finds the resources where they are."""
        super().run()
        if self.editable_mode:
            return
        built = Path(self.build_lib) / "factorizer_engine" / "resources"
        shutil.copytree(RESOURCES / "models", built / "models", dirs_exist_ok=True)
        shutil.copy2(RESOURCES / "catalogue.json", built)


setup(cmdclass={"build_py": BuildWithResources})
