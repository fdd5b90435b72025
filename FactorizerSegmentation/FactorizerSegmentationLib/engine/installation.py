"""Installs Python packages into Slicer's own Python, while the window lives on.

pip runs as a process of its own. Packages that belong to Slicer (numpy, SimpleITK, ...) are never
replaced: pip gets their versions as constraints. PyTorch is left to its own extension, which picks
the build for the graphics card, unless there is a folder of wheels to take it from.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import logging
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from FactorizerSegmentationLib.engine.packages import (
    ALONE,
    FASTER,
    SLICERS_OWN,
    TORCH,
    missingPackages,
    nameOf,
)

_PIP = (
    "-m",
    "pip",
    "install",
    "--progress-bar",
    "off",
    "--no-input",
    "--disable-pip-version-check",
)
_SEEN = re.compile(r"^(?:Collecting|Requirement already satisfied:|Processing) (\S+)")
_LINES_KEPT = 50


class Installation:
    """One installation, step by step.

    Args:
        requirements: What to install.
        wheels: Folder of wheels, to install without a network; "" for the package index.
        onProgress: Called with a line of what happens, and the part that is done, 0 to 1.
        onEnded: Called once, with one sentence on what went wrong, or "".
    """

    def __init__(
        self,
        requirements: Sequence[str],
        wheels: str,
        onProgress: Callable[[str, float], None],
        onEnded: Callable[[str], None],
    ) -> None:
        self._requirements = list(requirements)
        self._wheels = wheels
        self._onProgress = onProgress
        self._onEnded = onEnded
        self._steps: list[Callable[[], None]] = []
        self._wanted = {_normal(nameOf(item)) for item in requirements}
        self._seen: set[str] = set()
        self._lines: list[str] = []
        self._process: Any = None
        self._mayFail = False
        self._folder: Path | None = None

    def start(self) -> None:
        """Begin, and return."""
        self._folder = Path(tempfile.mkdtemp(prefix="factorizer-pip-"))
        optional = [item for item in self._requirements if item in FASTER]
        alone = [item for item in self._requirements if item in ALONE]
        needed = [item for item in self._requirements if item not in (*FASTER, *ALONE)]
        if TORCH in needed and not self._wheels:
            needed.remove(TORCH)
            self._steps.append(self._installTorch)
        if needed:
            self._steps.append(partial(self._pip, needed, mayFail=False))
        if alone:
            self._steps.append(partial(self._pip, ["--no-deps", *alone], mayFail=False))
        # Apart from the others, for numba does not take every numpy that Slicer may have.
        self._steps += [partial(self._pip, [item], mayFail=True) for item in optional]
        qt.QTimer.singleShot(0, self._next)

    def cancel(self) -> None:
        """Stop; what is complete stays installed."""
        self._steps.clear()
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.waitForFinished(1000)
            process.deleteLater()
        self._end(_("The installation was cancelled; press the button again to go on."))

    def _next(self) -> None:
        if self._folder is None:
            return
        if self._steps:
            self._steps.pop(0)()
            return
        importlib.invalidate_caches()
        still = missingPackages([item for item in self._requirements if item not in FASTER])
        sentence = _("After the installation {names} is still missing; restart Slicer.")
        self._end(sentence.format(names=", ".join(map(nameOf, still))) if still else "")

    def _installTorch(self) -> None:
        """Its extension knows no other way than to let the window wait."""
        if not hasattr(slicer.modules, "pytorchutils"):
            self._end(
                _(
                    "Install the PyTorch extension in the Extensions Manager first, then restart "
                    "Slicer; or choose a folder of wheels."
                )
            )
            return
        self._onProgress(_("PyTorch is being installed; the window waits for it."), 0.0)
        slicer.app.processEvents()
        from PyTorchUtils import PyTorchUtilsLogic

        try:
            torch = PyTorchUtilsLogic().installTorch(
                askConfirmation=False, torchVersionRequirement=TORCH.removeprefix("torch")
            )
        except Exception:
            logging.exception("PyTorch could not be installed.")
            torch = None
        if torch is None:
            self._end(_("PyTorch was not installed; the engine cannot run without it."))
        else:
            self._seen.add(_normal(nameOf(TORCH)))
            self._next()

    def _pip(self, requirements: Sequence[str], mayFail: bool) -> None:
        constraints = Path(str(self._folder)) / "constraints.txt"
        constraints.write_text("\n".join(_ownVersions()) + "\n", encoding="utf-8")
        offline = ("--no-index", "--find-links", self._wheels) if self._wheels else ()
        process = qt.QProcess()
        process.setProcessChannelMode(qt.QProcess.MergedChannels)
        # Its own connections refer to it: it must not go while it sends a signal.
        process.connect("readyReadStandardOutput()", partial(self._onOutput, process))
        process.finished.connect(partial(self._onFinished, process))
        process.errorOccurred.connect(partial(self._onError, process))
        self._process, self._mayFail, self._lines = process, mayFail, []
        arguments = [*_PIP, *offline, "-c", str(constraints), *requirements]
        process.start(sys.executable, arguments)

    def _onOutput(self, process) -> None:
        if process is not self._process:  # cancelled
            return
        text = process.readAllStandardOutput().data().decode("utf-8", "replace")
        for line in filter(None, map(str.strip, text.splitlines())):
            self._lines = [*self._lines, line][-_LINES_KEPT:]
            found = _SEEN.match(line)
            if found is not None:
                self._seen.add(_normal(nameOf(found[1])))
            part = len(self._wanted & self._seen) / (len(self._wanted) + 1)
            self._onProgress(line, part)

    def _onError(self, process, error) -> None:
        if error == qt.QProcess.FailedToStart:
            self._onFinished(process, 1)

    def _onFinished(self, process, code: int, *ignored) -> None:
        if process is not self._process:  # cancelled
            return
        self._onOutput(process)
        process.deleteLater()
        self._process = None
        if code == 0:
            self._next()
            return
        reason = next((line for line in self._lines if line.startswith("ERROR")), "")
        logging.warning("pip failed.\n%s", "\n".join(self._lines))
        if self._mayFail:
            self._next()
        else:
            sentence = _("The Python packages could not be installed: {reason}")
            reason = reason.removeprefix("ERROR:").strip() or _("the application log says why.")
            self._end(sentence.format(reason=reason))

    def _end(self, problem: str) -> None:
        folder, self._folder = self._folder, None
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
            self._onEnded(problem)


def _ownVersions() -> list[str]:
    """Slicer's packages, and torch, as they are installed now."""
    versions = []
    for name in (*SLICERS_OWN, "torch"):
        try:
            versions.append(f"{name}=={importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _normal(name: str) -> str:
    """A package's name as it is compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
