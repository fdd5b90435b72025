"""Runs in the window whose engine is killed, stopped, cut off or made to lie.

However it goes wrong, the scene stays as it was, the user reads one sentence, no process and no
temporary file is left, and the next run gives what it always gives.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import slicer

from engine import tiny
from stress import sabotage
from stress.trial import Trial, is_plain
from stress.window import window

SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGSTOP": signal.SIGSTOP, "SIGTERM": signal.SIGTERM}
KINDS = (*sabotage.KINDS, *SIGNALS)

PATIENCE = 300.0
"""Seconds until a run that should end counts as hanging."""
HANGING = 2.0
"""Seconds after which the user of these trials cancels a run that says nothing."""


class Scenario:
    """The module in its window, a model, its scans, and an engine that can be told to go wrong.

    Args:
        host: The `HostApplication`.
        folder: For the model and the program that runs the engine.
        real: Whether the jobs are real; made up they are quick.
    """

    def __init__(self, host, folder: Path, real: bool) -> None:
        self._host = host
        self._others = _children()  # which are none of its business
        self._order = folder / "order.json"
        self._slow = real
        models = folder / "models"
        tiny.bundle(models)
        os.environ["FACTORIZER_MODELS"] = str(models)
        self._program = write_program(folder, real)
        widget = host.select_module("FactorizerSegmentation")
        slicer.mrmlScene.Clear(False)
        for name, scan in tiny.scans().items():
            node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
            slicer.util.updateVolumeFromArray(node, scan.array.transpose(2, 1, 0).copy())
            node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(scan.affine))
        widget.logic.getParameterNode().inputs.modelName = "tiny"
        widget.enter()
        host.process_events()
        self._engine, self._panel = widget.logic.engine, widget.segmentPanel
        self._panel.ui.pythonLineEdit.text = str(self._program)
        before = set(_nodes())
        self._run("", 0)
        self._expected = self._take_result_away(before)
        began = time.monotonic()
        self._run("", 0)
        self._seconds = time.monotonic() - began
        self._take_result_away(before)

    def trial(self, kind: str, chance: random.Random) -> Trial:
        """One run in which something goes wrong, and one after it."""
        before, state = _nodes(), _state()
        self._run(kind, chance.randrange(1, 6), chance.random() * self._seconds)
        faults = []
        status, new = self._panel.controls.status, set(_nodes()) - set(before)
        succeeded = bool(new) and not self._panel.controls.failedLast
        if succeeded:
            faults.append(self._wrong(self._take_result_away(set(before))))
        elif new:
            faults.append(f"the scene has {sorted(new)} more")
            self._take_result_away(set(before))
        elif not is_plain(status):
            faults.append(f"the user read: {status!r}")
        if _state() != state:
            faults.append("the scene changed")
        faults.append(self._left_behind())
        self._run("", 0)
        if self._panel.controls.failedLast:
            faults.append(f"the next run failed: {self._panel.controls.status}")
        faults.append(self._wrong(self._take_result_away(set(before))))
        text = "; ".join(filter(None, faults))
        return Trial(kind, not succeeded, f"{kind}: {text}" if text else "")

    def close(self) -> str:
        """End the engine; returns what is left behind, or ""."""
        self._engine.stop()
        self._panel.ui.pythonLineEdit.text = ""
        slicer.mrmlScene.Clear(False)
        return self._left_behind()

    def _run(self, kind: str, after: int, delay: float = 0.0) -> None:
        """Click Segment, and Cancel where nothing comes any more."""
        own = kind if kind in sabotage.KINDS else ""
        self._order.write_text(json.dumps({"kind": own, "after": after}))
        controls, button = self._panel.controls, self._panel.ui.applyButton
        button.click()
        if kind in SIGNALS:
            self._host.wait_until(lambda: not controls.running, delay)
            if controls.running and self._engine.processId is not None:
                os.kill(self._engine.processId, SIGNALS[kind])
        if kind in ("stop", "close", "swallow", "SIGSTOP"):
            self._host.wait_until(lambda: not controls.running, HANGING + 4 * self._slow)
            if controls.running:
                button.click()
        if not self._host.wait_until(lambda: not controls.running, PATIENCE):
            raise AssertionError(f"a run with {kind or 'nothing'} did not end")
        self._host.process_events()

    def _take_result_away(self, keep: set[str]) -> str:
        """Remove all other nodes; returns what distinguishes the segmentation among them."""
        scene, digest = slicer.mrmlScene, ""
        for node_id in [known for known in _nodes() if known not in keep]:
            node = scene.GetNodeByID(node_id)
            if node is None:
                continue
            if node.IsA("vtkMRMLSegmentationNode"):
                digest = _digest_of_segments(node)
            scene.RemoveNode(node)
        self._host.process_events()
        return digest

    def _wrong(self, digest: str) -> str:
        return "" if digest == self._expected else "the result is another one"

    def _left_behind(self) -> str:
        """Processes and temporary files that should be gone, or ""."""
        alive = {self._engine.processId} - {None}
        base = Path(slicer.app.temporaryPath)

        def left() -> list[str]:
            files = [*base.glob("FactorizerSegmentation/*")]
            folders = list(base.glob("engine-*"))[len(alive) :]
            return [*map(str, _children() - self._others - alive), *map(str, files + folders)]

        self._host.wait_until(lambda: not left(), 5.0)
        return ", ".join(f"{thing} is left" for thing in left())


def write_program(folder: Path, real: bool) -> Path:
    """A program to be taken for Python, which runs an engine that goes wrong as told.

    Models are in `folder`/models, and the order is `folder`/order.json, see `sabotage`.
    """
    testing = Path(__file__).resolve().parents[1]
    search = [str(testing), str(testing.parent / "FactorizerSegmentation")]
    variables = {
        "FACTORIZER_MODELS": folder / "models",
        "STRESS_ORDER": folder / "order.json",
        "PYTHONPATH": os.pathsep.join(search),
        **({} if real else {"STRESS_FAKE": "1"}),
    }
    exports = " ".join(f"{name}={shlex.quote(str(value))}" for name, value in variables.items())
    program = folder / "python"
    program.write_text(
        f"#!/bin/sh\nexport {exports}\nexec {shlex.quote(sys.executable)} -m stress.sabotage\n",
        encoding="utf-8",
    )
    program.chmod(0o755)
    return program


def real_engine_trials(folder: Path, chance: random.Random) -> Iterator[Trial]:
    """Every kind of failure once, then any, without end; in a window of its own."""
    with window() as host:
        scenario = Scenario(host, folder, real=True)
        try:
            yield from (scenario.trial(kind, chance) for kind in KINDS)
            while True:
                yield scenario.trial(chance.choice(KINDS), chance)
        finally:
            left = scenario.close()
            if left:
                print(left)


def _nodes() -> list[str]:
    scene = slicer.mrmlScene
    return [scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())]


def _state() -> tuple:
    """The nodes, and the voxels of scans."""
    scans = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    voxels = [
        (s.GetID(), hashlib.sha256(slicer.util.arrayFromVolume(s)).hexdigest()) for s in scans
    ]
    return tuple(sorted(_nodes())), tuple(sorted(voxels))


def _digest_of_segments(node) -> str:
    digest = hashlib.sha256()
    segmentation = node.GetSegmentation()
    for index in range(segmentation.GetNumberOfSegments()):
        segment = segmentation.GetNthSegment(index)
        digest.update(segment.GetName().encode())
        name = segmentation.GetNthSegmentID(index)
        digest.update(slicer.util.arrayFromSegmentInternalBinaryLabelmap(node, name).tobytes())
    return digest.hexdigest()


def _children() -> set[int]:
    """Processes that this one has started, directly or not, and that are not over."""
    running = set()
    for child in psutil.Process().children(recursive=True):
        try:
            if child.status() != psutil.STATUS_ZOMBIE:
                running.add(child.pid)
        except psutil.NoSuchProcess:
            continue
    return running
