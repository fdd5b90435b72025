"""`python3 run.py supply`: bill of materials, licences and known vulnerabilities of what is used.

Writes sbom.json (CycloneDX), licences.csv and audit.json, and says what is not as it is pinned.
Fails if a package has a known vulnerability, or if one that the engine needs is under a licence
that would bind the engine's own. With --pin, the lists of packages and hashes that run.py installs
from are written anew, with the newest versions that go together. With --versions, the tests of the
engine run with the packages that it needs at their lowest and their newest versions, in
environments of several GB (.venv-lowest, .venv-newest).
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from supply.pins import other_versions, write_pins
from supply.versions import KINDS, failing_versions

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".venv-supply"
TOOL_PACKAGES = ("cyclonedx-bom>=7,<8", "pip-audit>=2.9,<3", "uv>=0.5")
ENGINE = "factorizer-engine"
BINDING = re.compile(r"\b(?:A|Affero )?GPL|General Public License", re.IGNORECASE)
OF_LIBRARIES = re.compile(r"LGPL|Lesser")
"""Licences that would bind what they are shipped with, and those among them that do not."""


NOT_AUDITED = (
    "Known vulnerabilities were NOT looked for: the database could not be reached. Run this where "
    "it can be (pip-audit: {:.200})."
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="run.py supply", description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "supply-output")
    parser.add_argument(
        "--versions",
        nargs="*",
        choices=KINDS,
        help="nothing but these versions of what the engine needs; both if none is named",
    )
    parser.add_argument("--pin", action="store_true", help="nothing but new lists of packages")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    if options.versions is not None:
        return 1 if failing_versions(ENGINE, options.output, options.versions or KINDS) else 0
    tools = _tools()
    if options.pin:
        write_pins(tools)
        return 0
    _write_sbom(tools, options.output / "sbom.json")
    binding = _write_licences(options.output / "licences.csv")
    _compare_with_pins()
    vulnerable = _audit(tools, options.output / "audit.json")
    return 1 if binding or vulnerable else 0


def _tools() -> Path:
    """The Python with the tools, in an environment of its own, made where it is missing."""
    folder, name = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    python = TOOLS / folder / name
    if not python.exists():
        print("Installing the tools ...", flush=True)
        venv.create(TOOLS, with_pip=True)
    _run(python, "-m", "pip", "install", "--quiet", *TOOL_PACKAGES)
    return python


def _write_sbom(tools: Path, file: Path) -> None:
    project = ROOT / "pyproject.toml"
    _run(
        tools,
        "-m",
        "cyclonedx_py",
        "environment",
        "--output-reproducible",
        "--pyproject",
        project,
        "--output-file",
        file,
        sys.executable,
    )
    count = len(json.loads(file.read_text(encoding="utf-8"))["components"])
    print(f"{count} components are in {file}")


def _write_licences(file: Path) -> list[str]:
    """Write the licence of every package; returns those that the engine may not need."""
    needed = needed_by(ENGINE)
    rows = sorted(
        (name, found.version, licence_of(found), "engine" if name in needed else "development")
        for found in metadata.distributions()
        if (name := canonical(found.metadata["Name"]))
    )
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("package", "version", "licence", "needed for"), *rows])
    own = [row for row in rows if row[3] == "engine"]
    binding = [name for name, _, licence, _ in own if is_binding(licence)]
    unknown = [name for name, _, licence, _ in own if not licence]
    print(f"{len(rows)} packages, {len(own)} of them needed by the engine, are in {file}")
    for names, what in ((unknown, "do not name their licence"), (binding, "are under the GPL")):
        if names:
            print(f"{len(names)} that the engine needs {what}: {', '.join(names)}")
    return binding


def _compare_with_pins() -> None:
    """Say which packages are not of the versions that run.py installs."""
    own = {canonical(ENGINE), "setuptools", "pip"}
    found = [
        (canonical(known.metadata["Name"]), known.version) for known in metadata.distributions()
    ]
    others = other_versions(sorted({each for each in found if each[0] not in own}))
    print(
        f"{len(others)} packages are not of the pinned versions: {', '.join(others)}"
        if others
        else "All packages are of the versions that are pinned by their hashes"
    )


def _audit(tools: Path, file: Path) -> list[str]:
    """Write what is known of the packages; returns those with a vulnerability."""
    site = sysconfig.get_paths()["purelib"]
    file.unlink(missing_ok=True)  # an earlier audit is none of today
    command = [tools, "-m", "pip_audit", "--path", site, "--format", "json", "--output", file]
    done = subprocess.run(
        [str(part) for part in [*command, "--progress-spinner", "off"]],
        capture_output=True,
        text=True,
    )
    if not file.exists():
        print(NOT_AUDITED.format((done.stderr.strip().splitlines() or ["it said nothing"])[-1]))
        return []
    return _vulnerable(json.loads(file.read_text(encoding="utf-8"))["dependencies"])


def _vulnerable(packages: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say what an audit found; returns the names of packages with a vulnerability."""
    skipped = [package for package in packages if "skip_reason" in package]
    if len(skipped) == len(packages):  # a registry that keeps no such data
        reasons = [str(package["skip_reason"]) for package in skipped]
        print(NOT_AUDITED.format(reasons[0] if reasons else "no packages were found"))
        return []
    vulnerable = [package for package in packages if package.get("vulns")]
    print(
        f"{len(packages) - len(skipped)} packages were audited, of which {len(vulnerable)} have "
        f"known vulnerabilities; {len(skipped)} are unknown to the database that could be reached"
    )
    for package in vulnerable:
        print(f"{package['name']} {package['version']}: {[v['id'] for v in package['vulns']]}")
    return [package["name"] for package in vulnerable]


def needed_by(package: str) -> set[str]:
    """The packages that a package needs here, without extras, and those that they need."""
    found: set[str] = set()
    waiting = [(canonical(package), frozenset[str]())]
    while waiting:
        name, extras = waiting.pop()
        try:
            requirements = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        for requirement in map(Requirement, requirements):
            wanted = [{"extra": extra} for extra in extras or {""}]
            applies = requirement.marker is None or any(map(requirement.marker.evaluate, wanted))
            other = canonical(requirement.name)
            if applies and other not in found:
                found.add(other)
                waiting.append((other, frozenset(requirement.extras)))
    return found


def licence_of(package: metadata.Distribution) -> str:
    """The licence as a package names it: an expression, or classifiers, or a line of text."""
    known = package.metadata
    if known.get("License-Expression"):
        return str(known["License-Expression"])
    classes = [text for text in known.get_all("Classifier") or [] if text.startswith("License ::")]
    names = [text.rpartition(" :: ")[2] for text in classes if text.count("::") > 1]
    return "; ".join(names) or str(known.get("License") or "").strip().partition("\n")[0]


def is_binding(licence: str) -> bool:
    """Whether a licence binds what it is shipped with; not if there is a choice of another one."""
    choices = re.split(r"\bOR\b", licence)
    return all(BINDING.search(text) and not OF_LIBRARIES.search(text) for text in choices)


def canonical(name: str) -> str:
    """The name of a package as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _run(*command: object) -> None:
    subprocess.run([str(part) for part in command], check=True)


if __name__ == "__main__":
    sys.exit(main())
