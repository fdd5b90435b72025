"""The engine with the packages that it needs at their lowest and at their newest versions.

Each gets a virtual environment of its own, in which part of the tests runs. Packages that others
bring along are as new as they can be.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("lowest", "newest")
TEST_PACKAGES = ("pytest", "hypothesis", "einops", "py7zr", "dcmqi")
TESTS = ("images", "bundles", "networks", "inference", "components", "lesions", "service", "cli")
"""Folders of Testing/engine in which most of what is needed is used."""


def requirements_of(package: str) -> list[Requirement]:
    """What an installed package needs here, without extras."""
    every = map(Requirement, metadata.requires(package) or [])
    return [need for need in every if need.marker is None or need.marker.evaluate({"extra": ""})]


def lowest_version(requirement: Requirement) -> str:
    """The lowest version that a requirement allows, by its ">=" or "==".

    Raises:
        ValueError: If it does not name one.
    """
    for part in requirement.specifier:
        if part.operator in (">=", "=="):
            return part.version
    raise ValueError(f"{requirement} does not say from which version on")


def failing_versions(package: str, output: Path, kinds: Sequence[str] = KINDS) -> list[str]:
    """Try a package with other versions of what it needs; returns the kinds that do not work.

    Args:
        package: Installed here.
        output: Gets what was installed and the tests' output, KIND.txt and KIND.log.
        kinds: Of `KINDS`.
    """
    return [kind for kind in kinds if not _works(package, kind, output)]


def _works(package: str, kind: str, output: Path) -> bool:
    folder = ROOT / f".venv-{kind}"
    shutil.rmtree(folder, ignore_errors=True)
    print(f"Installing the {kind} versions into {folder.name} ...", flush=True)
    venv.create(folder, with_pip=True)
    part, name = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    python, log = folder / part / name, output / f"{kind}.log"
    needs = requirements_of(package)
    constraints = output / f"{kind}-constraints.txt"
    lines = [f"{need.name}=={lowest_version(need)}\n" for need in needs if kind == "lowest"]
    constraints.write_text("".join(lines), encoding="utf-8")
    wanted = [f"{need.name}{need.specifier}" for need in needs]
    install = ["-m", "pip", "install", "-c", str(constraints), *wanted, *TEST_PACKAGES]
    if _logged(log, [python, *install]):
        print(f"The {kind} versions cannot be installed with Python {_own_python()}; see {log}.")
        return False
    with (output / f"{kind}.txt").open("wb") as file:
        subprocess.run([str(python), "-m", "pip", "freeze"], stdout=file, check=True)
    folders = [str(ROOT / "Testing" / "engine" / name) for name in TESTS]
    failed = _logged(log, [python, "-m", "pytest", "-p", "no:cacheprovider", *folders])
    print(f"{kind}: {_last_line(log)}", flush=True)
    return not failed


def _logged(log: Path, command: Sequence[object]) -> int:
    """Run a command whose output goes to the end of a file; returns its exit code."""
    folders = [str(ROOT / "Testing"), str(ROOT / "FactorizerSegmentation")]
    variables = {"PYTHONPATH": os.pathsep.join(folders), "OMP_NUM_THREADS": "1"}
    with log.open("ab") as file:
        return subprocess.run(
            [str(part) for part in command],
            cwd=ROOT,
            env={**os.environ, **variables},
            stdout=file,
            stderr=subprocess.STDOUT,
        ).returncode


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return re.sub(r"^=+ | =+$", "", lines[-1]) if lines else "no output"


def _own_python() -> str:
    return ".".join(map(str, sys.version_info[:2]))
