#!/usr/bin/env python3
"""Run the demo, the tests and the upkeep of FactorizerExtension, with nothing installed beforehand.

Needs Python 3.10 or newer and its standard library. The first call makes a virtual environment in
`.venv` and installs what is needed there; later calls reuse it until the requirements change.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent
ENVIRONMENT = ROOT / ".venv"
STAMP = ENVIRONMENT / "installed-for.txt"
INSTALL_LOG = ENVIRONMENT / "install.log"
SYSTEM_PACKAGES = ROOT / "Testing" / "host" / "apt-packages.txt"
MODULE = ROOT / "FactorizerSegmentation"

OLDEST_PYTHON = (3, 10)
NEWEST_PYTHON = (3, 13)
"""Slicer's core is built for these versions only."""

PINNED = ROOT / "Testing" / "supply" / "pinned"
"""Lists of exact packages with their hashes, written by `run.py supply --pin`."""

PIP_STEP = ("pip", "pip")
TORCH_STEP = ("PyTorch (about 200 MB)", "torch")
PACKAGES_STEP = ("Slicer's core, Qt and what else is needed (about 1 GB)", "packages")
GRAPHICS_STEP = ("PyTorch's libraries of graphics cards (about 2 GB)", "graphics-cards")
OPTIONAL_STEPS = (("brain extraction (10 MB)", "brain"),)
"""What everything but a part of the preparation does without."""

ENGINE = ("--no-deps", "--no-build-isolation", "--editable", ".")

TEST_PROCESSES = ("--numprocesses", "3", "--dist", "loadfile", "--no-loadscope-reorder")
"""Processes of one thread each, which often wait for others: three keep two cores at work."""

IMPORTS = (
    "torch",
    "monai",
    "SimpleITK",
    "slicer",
    "vtk",
    "PySide6",
    "pytest",
    "mkdocs",
    "factorizer_engine",
)

COMMANDS = ("demo", "test", "stress", "supply", "docs", "lists")

EPILOG = """\
demo   segments the brain tumour of the sample case, shows what drove the network, and writes the
       scene, the segmentation, the heatmaps, pictures and report.html to demo-output/.
       Takes --output FOLDER, --model NAME, --device DEVICE and --count N.
test   checks the code's style and types and runs the whole test suite; arguments after it go to
       pytest, for instance: python3 run.py test Testing/test_demo.py -x
stress breaks scans, models, messages and the engine itself thousands of times and keeps the files
       that go wrong in stress-output/. Takes what to break (all of it if unset; --help lists it),
       --trials N, and --seed N to repeat a run.
supply writes what the software is made of into supply-output/: a bill of materials (CycloneDX),
       licences, known vulnerabilities. Its tools go into .venv-supply. With --versions lowest or
       newest it tries the engine with such versions of what it needs; with --pin it writes anew
       which packages the first call installs, with their hashes.
docs   draws the picture of the architecture anew and builds the documentation into site/;
       arguments after it go to mkdocs, for instance: python3 run.py docs serve
lists  writes the files that Slicer's build installs into FactorizerSegmentation/CMakeLists.txt;
       to be run after a file was added, moved or removed. Needs nothing but this Python.

The others use the environment in .venv next to this file, and make it first where it is missing. On
Debian and Ubuntu, the system libraries that Qt and VTK need are installed too when run as root.
"""


class SetupError(Exception):
    """The environment cannot be made; the message is one sentence for the user."""


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, prepare the environment and run the chosen command in it."""
    parser = argparse.ArgumentParser(
        prog="run.py",
        description="Demo, tests and upkeep of FactorizerExtension in one command each.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, help="what to run")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="passed on to it")
    options = parser.parse_args(arguments)
    if options.command == "lists":
        return write_lists()
    try:
        install_system_packages()
        python = prepare_environment()
    except SetupError as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 1
    runs = (run_demo, run_tests, run_stress, run_supply, run_docs)
    return dict(zip(COMMANDS, runs, strict=False))[options.command](python, options.arguments)


def run_demo(python: Path, arguments: list[str]) -> int:
    """Run the demo; returns its exit code."""
    return _run([python, "-m", "demo", *arguments])


def run_tests(python: Path, arguments: list[str]) -> int:
    """Check style and types and run pytest; returns an exit code that is not 0, if any.

    Tests start many processes and wait for them, and the types are checked meanwhile. What Python
    compiles is kept whatever the environment says, as each of these processes would do it anew.
    """
    style = _run([python, "-m", "ruff", "check", ROOT])
    with ThreadPoolExecutor(1) as beside:
        checked = beside.submit(_output_of, [python, "-m", "mypy"])
        command = [python, "-m", "pytest", *TEST_PROCESSES, *arguments]
        tests = _run(command, OMP_NUM_THREADS="1", PYTHONDONTWRITEBYTECODE="")
        types, said = checked.result()
    print(said, end="", flush=True)
    if style or types:
        print("The checks of style and types did not both succeed.", file=sys.stderr)
    return tests or style or types


def run_stress(python: Path, arguments: list[str]) -> int:
    """Break what can be broken, thousands of times; returns 0 if all went as it should."""
    return _run([python, "-m", "stress", *arguments], OMP_NUM_THREADS="1")


def run_supply(python: Path, arguments: list[str]) -> int:
    """Write what the software is made of; returns 0 if nothing speaks against any of it."""
    return _run([python, "-m", "supply", *arguments])


def run_docs(python: Path, arguments: list[str]) -> int:
    """Draw the picture of the architecture and run mkdocs; returns the first exit code not 0."""
    drawn = _run([python, ROOT / "docs" / "tools" / "architecture.py"])
    return drawn or _run([python, "-m", "mkdocs", *(arguments or ["build"])])


def write_lists() -> int:
    """Bring the lists of the module's CMakeLists.txt up to date; returns 0."""
    path = MODULE / "CMakeLists.txt"
    text = path.read_text(encoding="utf-8")
    current = with_current_lists(text)
    if current == text:
        print("The lists in FactorizerSegmentation/CMakeLists.txt are up to date.")
    else:
        path.write_text(current, encoding="utf-8", newline="\n")
        print("FactorizerSegmentation/CMakeLists.txt lists the files as they are now.")
    return 0


def with_current_lists(cmake: str) -> str:
    """The text of a CMakeLists.txt, its lists of installed files replaced by those of the tree."""
    for name, files in installed_files().items():
        entries = "".join(f"  {file}\n" for file in files)
        cmake = re.sub(rf"(?<=set\({name}\n)[^)]*(?=  \))", entries, cmake)
    return cmake


def installed_files() -> dict[str, list[str]]:
    """What Slicer's build installs, by CMake list: sorted, relative to the module's folder."""
    code = sorted(_files_under("FactorizerSegmentationLib", "factorizer_engine"))
    data = [name for name in code if not name.endswith(".py")]
    scripts = [name for name in code if name.endswith(".py")]
    return {
        "MODULE_PYTHON_SCRIPTS": ["${MODULE_NAME}.py", *scripts],
        "MODULE_PYTHON_RESOURCES": sorted([*data, *_files_under("Resources")]),
    }


def _files_under(*folders: str) -> Iterator[str]:
    """Files of the module's folders, without caches and hidden files."""
    for path in (path for folder in folders for path in (MODULE / folder).rglob("*")):
        parts = path.relative_to(MODULE).parts
        if path.is_file() and not any(part[0] == "." or part == "__pycache__" for part in parts):
            yield "/".join(parts)


def prepare_environment() -> Path:
    """Return the Python of `.venv`, which is made, completed or made anew where needed."""
    wanted = _requirements_digest()
    if not _starts(_environment_python()):
        _make_environment()
    elif STAMP.is_file() and STAMP.read_text().strip() == wanted and _imports_are_found():
        return _environment_python()
    STAMP.unlink(missing_ok=True)
    began = time.monotonic()
    _install_pinned(*PIP_STEP)
    _install_torch()
    _install_pinned(*PACKAGES_STEP)
    if _torch_needs_libraries():
        _install_pinned(*GRAPHICS_STEP)
    _pip_install("the engine", ENGINE)
    for title, name in OPTIONAL_STEPS:
        try:
            _install_pinned(title, name)
        except SetupError as error:
            print(f"Going on without {title}: {error}", flush=True)
    STAMP.write_text(wanted + "\n")
    print(f"Environment ready after {time.monotonic() - began:.0f} s.", flush=True)
    return _environment_python()


def install_system_packages() -> None:
    """Install the libraries that Qt and VTK need, on Debian and Ubuntu, when run as root."""
    if not sys.platform.startswith("linux") or not SYSTEM_PACKAGES.is_file():
        return
    lines = (line.split("#")[0].strip() for line in SYSTEM_PACKAGES.read_text().splitlines())
    missing = _missing_system_packages([name for name in lines if name])
    if not missing:
        return
    if not shutil.which("apt-get"):
        print("This is no Debian or Ubuntu: Xvfb and Qt's system libraries are taken as present.")
        return
    if os.geteuid() != 0:
        print(
            "Without root the system libraries stay as they are; if Qt or a picture fails, run: "
            f"sudo apt-get install {' '.join(missing)}"
        )
        return
    print(f"Installing {len(missing)} system packages ...", flush=True)
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "--yes", "--no-install-recommends", *missing]):
        done = subprocess.run(["apt-get", "-qq", *command], env=quiet, capture_output=True)
        if done.returncode:
            print(
                f"apt-get {command[0]} did not succeed, so tests that need a window may fail "
                f"({_last_line(done.stderr)})."
            )
            return


def _make_environment() -> None:
    interpreter = _find_interpreter()
    if ENVIRONMENT.exists():
        print("The environment in .venv does not start and is made anew.", flush=True)
        shutil.rmtree(ENVIRONMENT)
    done = subprocess.run([interpreter, "-m", "venv", str(ENVIRONMENT)], capture_output=True)
    if done.returncode:
        raise SetupError(
            f"{interpreter} could not make a virtual environment; on Debian and Ubuntu install "
            "python3-venv, and then run this again."
        )


def _find_interpreter() -> str:
    """This Python where it is of a supported version, else another one on the path."""
    if OLDEST_PYTHON <= sys.version_info[:2] <= NEWEST_PYTHON:
        return sys.executable
    for minor in range(NEWEST_PYTHON[1], OLDEST_PYTHON[1] - 1, -1):
        other = shutil.which(f"python3.{minor}")
        if other and _starts(Path(other)):
            return other
    versions = (sys.version_info, OLDEST_PYTHON, NEWEST_PYTHON)
    running, oldest, newest = (f"{version[0]}.{version[1]}" for version in versions)
    raise SetupError(
        f"Python {running} has no Slicer core: run this with Python {oldest} to {newest}."
    )


def _install_pinned(title: str, name: str) -> None:
    """Install what a list names, and nothing whose hash is another one."""
    print(f"Installing {title} ...", flush=True)
    _pip_install(title, ("--no-deps", "--require-hashes", "-r", str(PINNED / f"{name}.txt")))


def _install_torch() -> None:
    """Install the build of PyTorch that pip finds here, if its hash is one of those on the list.

    Pip itself would prefer the one for graphics cards, whose hash its registry tells beforehand.
    """
    title, name = TORCH_STEP
    print(f"Installing {title} ...", flush=True)
    pins, report = (PINNED / f"{name}.txt").read_text(encoding="utf-8"), ENVIRONMENT / "torch.json"
    _pip_install(title, ("--no-deps", "--report", str(report), pins.split()[0]))
    for found in json.loads(report.read_text(encoding="utf-8"))["install"]:
        if found["download_info"]["archive_info"]["hashes"]["sha256"] not in pins:
            subprocess.run([_environment_python(), "-m", "pip", "uninstall", "-qy", "torch"])
            raise SetupError(
                f"{title} cannot be installed: its hash is not one of those in {PINNED.name}."
            )


def _torch_needs_libraries() -> bool:
    """Whether PyTorch was built for graphics cards, whose libraries are packages on Linux."""
    check = (
        "import sys; from importlib.metadata import version as v; sys.exit('+cpu' in v('torch'))"
    )
    return sys.platform.startswith("linux") and _starts(_environment_python(), check)


def _pip_install(title: str, requirements: tuple[str, ...]) -> None:
    command = [str(_environment_python()), "-m", "pip", "install", *requirements]
    with INSTALL_LOG.open("ab") as log:
        begin = log.tell()
        done = subprocess.run(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
    if done.returncode == 0:
        return
    text = INSTALL_LOG.read_bytes()[begin:].decode("utf-8", errors="replace")
    if "DO NOT MATCH THE HASHES" in text:
        raise SetupError(
            f"{title} cannot be installed: a package is not the one that {PINNED.name} names by "
            f"its hash; the end of {INSTALL_LOG} says which."
        )
    if "No matching distribution found" in text or "Could not find a version" in text:
        raise SetupError(
            f"{title} cannot be installed here ({_last_line(text)}): it needs Python 3.10 to 3.13 "
            "on Linux x86-64, Windows x86-64 or macOS on Apple silicon, and pip needs a network."
        )
    raise SetupError(f"pip could not install {title}; the end of {INSTALL_LOG} says why.")


def _requirements_digest() -> str:
    """Changes when the requirements change, or when the repository is moved."""
    parts = (
        (ROOT / "pyproject.toml").read_text(encoding="utf-8"),
        *(path.read_text(encoding="utf-8") for path in sorted(PINNED.glob("*.txt"))),
        str(ROOT),
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _imports_are_found() -> bool:
    """Whether every needed package is there; looks for them without importing them."""
    check = "import sys; from importlib.util import find_spec as f; sys.exit(not all(map(f, {!r})))"
    return _starts(_environment_python(), check.format(IMPORTS))


def _environment_python() -> Path:
    folder, name = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    return ENVIRONMENT / folder / name


def _starts(python: Path, code: str = "import pip") -> bool:
    try:
        return subprocess.run([str(python), "-c", code], capture_output=True).returncode == 0
    except OSError:
        return False


def _missing_system_packages(names: list[str]) -> list[str]:
    """Those that are not installed; Debian and Ubuntu renamed some to end with "t64"."""
    if not shutil.which("dpkg-query"):
        return names
    query = ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n"]
    variants = [variant for name in names for variant in (name, f"{name}t64")]
    answer = subprocess.run([*query, *variants], capture_output=True).stdout.decode()
    installed = {line.split()[0] for line in answer.splitlines() if line.endswith(" installed")}
    return [name for name in names if not installed & {name, f"{name}t64"}]


def _last_line(output: str | bytes) -> str:
    text = output.decode(errors="replace") if isinstance(output, bytes) else output
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no message"


def _output_of(command: list[object]) -> tuple[int, str]:
    """Run a command at the repository's root; returns its exit code and what it said."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    return done.returncode, done.stdout


def _run(command: list[object], **variables: str) -> int:
    """Run a command at the repository's root, with the demo and the stand-in host importable."""
    folders = [str(ROOT / "Testing"), str(ROOT / "FactorizerSegmentation")]
    search = os.pathsep.join([*folders, *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, **variables, "PYTHONPATH": search}
    return subprocess.run([str(part) for part in command], cwd=ROOT, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
