"""Sequences of clicks in the window, at random: no error, no lost edit, no node left over."""

from __future__ import annotations

import logging
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from hypothesis import HealthCheck, settings, strategies
from hypothesis import seed as seeded
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from engine import tiny
from stress.engine import write_program
from stress.trial import Trial
from stress.window import window

NAMES = ("FLAIR", "T1")
STEPS = 15
"""Clicks in a sequence, at most."""
OURS = "FactorizerSegmentation.Role"
PATIENCE = 5.0
"""Seconds in which what follows a click has happened, even on a busy machine."""


class Storm(RuleBasedStateMachine):
    """A user of the panel; `begin` gives the window, the same for all sequences."""

    host: Any
    folder: Path
    program: Path
    errors: list[str]

    @classmethod
    def begin(cls, host, folder: Path) -> type[Storm]:
        """A machine for this window."""
        tiny.bundle(folder / "models")
        os.environ["FACTORIZER_MODELS"] = str(folder / "models")
        members = {"host": host, "folder": folder, "program": write_program(folder, real=False)}
        (folder / "order.json").write_text('{"kind": ""}', encoding="utf-8")
        return type("StormInWindow", (cls,), {**members, "errors": []})

    @initialize()
    def empty_scene(self) -> None:
        self.errors.clear()
        self.edits: dict[str, np.ndarray] = {}
        slicer.mrmlScene.Clear(False)
        self.host.process_events(0.02)
        for name in NAMES:
            self.add_scan(name)
        self.widget.enter()
        self.widget.logic.getParameterNode().inputs.modelName = "tiny"
        self.panel.ui.pythonLineEdit.text = str(self.program)

    @property
    def widget(self):
        return slicer.util.getModuleWidget(slicer.modules.factorizersegmentation)

    @property
    def panel(self):
        return self.widget.segmentPanel

    @rule(name=strategies.sampled_from(NAMES))
    def add_scan(self, name: str) -> None:
        scan = tiny.scans()[name]
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        slicer.util.updateVolumeFromArray(node, scan.array.transpose(2, 1, 0).copy())
        node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(scan.affine))

    @rule()
    def segment(self) -> None:
        self.panel.ui.applyButton.click()
        self._wait()

    @rule(during=strategies.floats(0, 0.2))
    def segment_and_cancel(self, during: float) -> None:
        self._interrupted(during, self.panel.ui.applyButton.click)

    @rule(during=strategies.floats(0, 0.2), which=strategies.integers(0, 9))
    def segment_and_delete(self, during: float, which: int) -> None:
        self._interrupted(during, lambda: self.delete("vtkMRMLScalarVolumeNode", which))

    @rule(during=strategies.floats(0, 0.2))
    def segment_and_close(self, during: float) -> None:
        self._interrupted(during, self.close_scene)

    @rule(
        kind=strategies.sampled_from(
            ("vtkMRMLScalarVolumeNode", "vtkMRMLSegmentationNode", "vtkMRMLTableNode")
        ),
        which=strategies.integers(0, 9),
    )
    def delete(self, kind: str, which: int) -> None:
        nodes = slicer.util.getNodesByClass(kind)
        if nodes:
            node = nodes[which % len(nodes)]
            self.edits.pop(node.GetID(), None)
            slicer.mrmlScene.RemoveNode(node)

    @rule(which=strategies.integers(0, 9), seed=strategies.integers(0, 99))
    def edit(self, which: int, seed: int) -> None:
        """Paint by hand, as a script of the user would; later runs must leave it alone."""
        nodes = self._segmentations()
        if not nodes:  # no precondition: how far a run came that was cut off is a matter of time
            return
        node = nodes[which % len(nodes)]
        segment = node.GetSegmentation().GetNthSegmentID(0)
        if not segment:
            return
        scan = node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole())
        if scan is None:
            return
        mask = np.random.default_rng(seed).random(scan.GetImageData().GetDimensions()[::-1]) < 0.1
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask.astype(np.uint8), node, segment, scan)
        self.edits[node.GetID()] = self._mask(node, segment)

    @rule(button=strategies.sampled_from(("undoButton", "redoButton")))
    def take_back(self, button: str) -> None:
        found = getattr(self.widget.reviewPanel.ui, button)
        if found.enabled:
            found.click()

    @rule()
    def leave_and_enter(self) -> None:
        self.widget.exit()
        self.host.process_events(0.01)
        self.widget.enter()

    @rule()
    def close_scene(self) -> None:
        self.edits.clear()
        slicer.mrmlScene.Clear(False)

    @rule()
    def save_and_open(self) -> None:
        before = len(self._segmentations())
        path = self.folder / "scene.mrb"
        assert slicer.util.saveScene(str(path))
        edits = [self._mask_of_first(self._node(key)) for key in self.edits]
        slicer.util.loadScene(str(path), {"clear": True})
        self.host.process_events(0.02)
        found = [self._mask_of_first(node) for node in self._segmentations()]
        assert len(found) == before, "segmentations were lost by saving"
        for mask in edits:
            assert any(np.array_equal(mask, other) for other in found), "an edit was lost by saving"
        self.edits.clear()

    @invariant()
    def nothing_went_wrong(self) -> None:
        self.host.process_events(0.02)
        assert not self.errors, self.errors
        assert not self.panel.controls.running

    @invariant()
    def edits_are_as_they_were(self) -> None:
        for key, mask in getattr(self, "edits", {}).items():
            node = self._node(key)
            assert node is not None, "an edited segmentation is gone"
            assert np.array_equal(self._mask_of_first(node), mask), "an edit was lost"

    @invariant()
    def no_map_is_left_without_its_segmentation(self) -> None:
        # They go a moment after it, which is longer on a busy machine.
        self.host.wait_until(lambda: not self._maps_alone(), PATIENCE)
        assert not self._maps_alone(), f"maps without a segmentation: {self._maps_alone()}"

    def _maps_alone(self) -> set[str]:
        referred = set()
        for node in self._segmentations():
            roles: list[str] = []
            node.GetNodeReferenceRoles(roles)
            referred |= {node.GetNodeReferenceID(role) for role in roles}
        volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        maps = {node.GetID() for node in volumes if node.GetAttribute(OURS) == "Probability"}
        return maps - referred

    def teardown(self) -> None:
        self._wait()
        slicer.mrmlScene.Clear(False)

    def _interrupted(self, during: float, action) -> None:
        self.panel.ui.applyButton.click()
        self.host.wait_until(lambda: not self.panel.controls.running, during)
        if self.panel.controls.running:
            action()
        self._wait()

    def _wait(self) -> None:
        assert self.host.wait_until(lambda: not self.panel.controls.running, 30), "a run hangs"

    @staticmethod
    def _node(key: str):
        return slicer.mrmlScene.GetNodeByID(key)

    @staticmethod
    def _segmentations() -> list:
        return slicer.util.getNodesByClass("vtkMRMLSegmentationNode")

    def _mask_of_first(self, node) -> np.ndarray:
        return self._mask(node, node.GetSegmentation().GetNthSegmentID(0))

    @staticmethod
    def _mask(node, segment: str) -> np.ndarray:
        return slicer.util.arrayFromSegmentInternalBinaryLabelmap(node, segment).copy()


def run_storms(machine: type[Storm], count: int, seed: int) -> None:
    """Let so many sequences happen; raises what went wrong in the shortest that goes wrong.

    Exceptions in slots, which Qt swallows, and logged errors count.
    """
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: machine.errors.append(record.getMessage())  # type: ignore[method-assign]
    before, logger = sys.excepthook, logging.getLogger()
    sys.excepthook = lambda kind, error, trace: machine.errors.append(repr(error))
    logger.addHandler(handler)
    try:
        run_state_machine_as_test(
            seeded(seed)(machine),
            settings=settings(
                max_examples=count,
                stateful_step_count=STEPS,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        logger.removeHandler(handler)
        sys.excepthook = before


def storm_trials(folder: Path, chance: random.Random) -> Iterator[Trial]:
    """Storms of a hundred sequences each."""
    with window() as host:
        logging.disable(logging.NOTSET)
        host.select_module("FactorizerSegmentation")
        machine = Storm.begin(host, folder)
        while True:
            try:
                run_storms(machine, 100, chance.randrange(2**32))
            except Exception as error:
                yield Trial("100 sequences", False, "\n".join(_told(error)))
            else:
                yield Trial("100 sequences", False, "")


def _told(error: BaseException) -> Iterator[str]:
    """An error, or those in a group of them, with the clicks that lead to it."""
    for part in getattr(error, "exceptions", ()):
        yield from _told(part)
    yield repr(error)
    yield from getattr(error, "__notes__", [])
