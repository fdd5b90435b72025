"""The exact packages of development and continuous integration, each file known by its hash.

`run.py` installs from these lists, for every system and version of Python that is supported, and
nothing that is not in them.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).resolve().parent / "pinned"
EXTRAS = ("host", "test", "training", "docs")
TORCH = "torch==2.13.0"
BRAIN = "deepbet==1.0.2"
BUILD = "setuptools>=77"
OLDEST_PYTHON = "3.10"

_OF_GRAPHICS_CARDS = re.compile(r"(?:nvidia|cuda)-")
"""Packages that only builds of PyTorch for graphics cards need, several GB on Linux."""

_PINNED = re.compile(r"^([\w.-]+)==(\S+)")


def write_pins(tools: Path) -> None:
    """Find the newest versions that go together, and write them with the hashes of their files.

    Args:
        tools: The Python that has uv.
    """
    FOLDER.mkdir(exist_ok=True)
    pins = list(_blocks(_compiled(tools, BUILD, TORCH, project=True)))
    (torch,) = [pin for pin in pins if pin.startswith(f"{TORCH} ")]
    of_cards = [pin for pin in pins if _OF_GRAPHICS_CARDS.match(pin)]
    lists = {
        "pip": _compiled(tools, "pip"),
        "torch": _with_hash_of_own_build(torch),
        "packages": "".join(pin for pin in pins if pin not in [torch, *of_cards]),
        "graphics-cards": "".join(of_cards),
        "brain": _compiled(tools, BRAIN, alone=True),
    }
    for name, text in lists.items():
        (FOLDER / f"{name}.txt").write_text(text, encoding="utf-8", newline="\n")
        print(f"{len(list(_blocks(text)))} packages are in {FOLDER / name}.txt")


def pinned_versions() -> dict[str, set[str]]:
    """The versions of each package that are pinned, for one Python or another."""
    found: dict[str, set[str]] = {}
    for file in FOLDER.glob("*.txt"):
        for pin in _blocks(file.read_text(encoding="utf-8")):
            match = _PINNED.match(pin)
            assert match is not None, pin
            found.setdefault(match[1].lower(), set()).add(match[2])
    return found


def _compiled(tools: Path, *needs: str, project: bool = False, alone: bool = False) -> str:
    """What uv pins, with the hashes of all files, whatever the system and version of Python."""
    command = [str(tools), "-m", "uv", "pip", "compile", "--quiet", "--universal"]
    command += ["--generate-hashes", "--no-header", "--no-annotate", "--upgrade"]
    command += ["--python-version", OLDEST_PYTHON, "-"]
    if project:
        command += ["pyproject.toml", *(part for extra in EXTRAS for part in ("--extra", extra))]
    if alone:
        command += ["--no-deps"]
    done = subprocess.run(
        command, cwd=ROOT, input="\n".join(needs), capture_output=True, text=True, check=True
    )
    return done.stdout


def _blocks(text: str) -> Iterator[str]:
    """The pins of a list, each a line with the version and lines with hashes."""
    for block in re.split(r"\n(?=\S)", text.strip()):
        if block:
            yield f"{block}\n"


def _with_hash_of_own_build(pin: str) -> str:
    """A pin that takes the build that pip finds here, too, such as one without graphics cards."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", folder]
        subprocess.run([*command, TORCH], check=True)
        (wheel,) = Path(folder).iterdir()
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return pin if digest in pin else f"{pin.rstrip()} \\\n    --hash=sha256:{digest}\n"


def other_versions(installed: Sequence[tuple[str, str]]) -> list[str]:
    """Those of the packages, by name and version, that are not the pinned ones."""
    pinned = pinned_versions()
    return [
        f"{name} {version}"
        for name, version in installed
        if version.partition("+")[0] not in pinned.get(name, ())
    ]
