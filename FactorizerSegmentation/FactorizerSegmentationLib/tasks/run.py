"""One run of a model on volumes of the scene, through the engine, to new nodes in the scene."""

from __future__ import annotations

import math
import shutil
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from factorizer_engine.protocol.boxes import WorldBox
from factorizer_engine.protocol.conversation import Callbacks, Result
from factorizer_engine.protocol.messages import Message
from factorizer_engine.protocol.models import ModelDescription
from factorizer_engine.protocol.runs import ModelChoice, Quality, RunOptions, Study
from factorizer_engine.protocol.tasks.prepare import PREPARE, PrepareParams, PrepareResult
from factorizer_engine.protocol.volumes import ScanFile
from FactorizerSegmentationLib.engine.packages import BRAIN_NETWORKS
from FactorizerSegmentationLib.engine.process import EngineProcess
from FactorizerSegmentationLib.scene.boxes import worldBoxOf
from FactorizerSegmentationLib.scene.errors import SceneError
from FactorizerSegmentationLib.scene.volumes import Place, saveScan, voxelsOf, worldAffine
from FactorizerSegmentationLib.tasks.engine_run import EngineRun
from FactorizerSegmentationLib.tasks.preparation import (
    PreparationSettings,
    keep,
    placedChannels,
    savedBrain,
)

HALF = 0.5
"""How far a run with a preparation has come when its scans are prepared."""


@dataclass(frozen=True)
class RunSettings:
    """What to run on what.

    Attributes:
        model: The model.
        volumeIds: Node id of the volume of each channel that is given, by channel name.
        device: "auto", "cpu", "cuda", ...
        quality: How much work goes into the result.
        boxId: Node id of the box to look in; None looks everywhere.
        quick: Lay the windows around the box.
        targetId: Node id of the segmentation to update inside the box; None makes a new one.
        python: The Python program that runs the engine; "" takes Slicer's own.
        preparation: How the volumes are prepared first; None takes them as they are.
    """

    model: ModelDescription
    volumeIds: Mapping[str, str]
    device: str = "auto"
    quality: Quality = Quality.balanced
    boxId: str | None = None
    quick: bool = False
    targetId: str | None = None
    python: str = ""
    preparation: PreparationSettings | None = None

    @property
    def packages(self) -> tuple[str, ...]:
        """What has to be installed in Slicer beside what every run needs."""
        if self.preparation is None or self.preparation.brainId is not None:
            return ()
        return (BRAIN_NETWORKS,) if self.model.expects.skull == "stripped" else ()

    @property
    def referenceChannel(self) -> str:
        """The channel on whose grid results are given: the model's first of those given."""
        return next(c.name for c in self.model.channels if c.name in self.volumeIds)

    @property
    def referenceId(self) -> str:
        """Node id of the volume on whose grid results are given."""
        return self.volumeIds[self.referenceChannel]


class Run(EngineRun[Result]):
    """Base of the runs of a model on volumes of the scene.

    A run of a task is a subclass that knows its task, the task's own parameters, and what becomes
    of the result.

    Args:
        scene: Where the volumes are and the results go.
        engine: Does the work.
        settings: What to run on what.
        callbacks: Who is told; `finished` gets what `_createNodes` gives.
    """

    showsPreparation = True
    """Whether a preparation makes a quality sheet; a click, which is to be quick, needs none."""

    def __init__(
        self, scene, engine: EngineProcess, settings: RunSettings, callbacks: Callbacks[Any]
    ) -> None:
        super().__init__(scene, engine, callbacks)
        self._settings = settings
        self._box: WorldBox | None = None
        self._study = Study({})
        self._prepared: PrepareResult | None = None

    @property
    def summary(self) -> str:
        """What is run on what, for the log."""
        settings = self._settings
        nodes = {name: self._scene.GetNodeByID(i) for name, i in settings.volumeIds.items()}
        scans = ", ".join(f"{name}={node.GetName()}" for name, node in nodes.items() if node)
        model = f"{settings.model.name} {settings.model.version}"
        quality = settings.quality.value
        return f"{self.task.name}: {model}, {settings.device}, {quality}; {scans}"

    def _begin(self, folder: Path) -> None:
        """Save the scans, and ask for the task, or first for the preparation of its scans."""
        self._box = self._currentBox()
        self._checkVolumes(folder)
        super()._begin(folder)

    def _handOver(self, folder: Path) -> Generator[None, None, None]:
        channels = {}
        for index, name in enumerate(self._settings.volumeIds):
            channels[name] = saveScan(self._volume(name), folder / f"channel{index}.npy")
            yield
        self._study = Study(channels, self._settings.referenceChannel)
        if self._settings.preparation is None:
            self._ask(self.task, self._params(folder), self._onResult)
        else:
            self._prepare(self._settings.preparation, folder)

    def _prepare(self, settings: PreparationSettings, folder: Path) -> None:
        volumes, reference = self._volumes(), self._reference()
        params = PrepareParams(
            str(self._settings.model.path),
            self._study,
            str(folder),
            settings.options,
            placedChannels(volumes, reference),
            savedBrain(self._scene, settings, reference, folder),
            self.showsPreparation,
        )
        self._ask(PREPARE, params, partial(self._onPrepared, folder), end=HALF)

    def _onPrepared(self, folder: Path, result: PrepareResult) -> None:
        """Go on with the prepared scans."""
        self._prepared = result
        self._study = Study(result.channels, self._settings.referenceChannel)
        try:
            params = self._params(folder)
        except SceneError as error:
            self._onFailed(error)
            return
        self._ask(self.task, params, self._onResult, start=HALF)

    def _nodesOf(self, result: Result) -> Generator[None, None, object]:
        """With those that the preparation leaves."""
        outcome = yield from super()._nodesOf(result)
        settings = self._settings.preparation
        if self._prepared is not None and settings is not None:
            keep(self._scene, settings, self._prepared, self._volumes(), self._reference())
        return outcome

    def _particular(self) -> dict[str, Any]:
        """The parameters that only this task has."""
        return {}

    def _params(self, folder: Path) -> Message:
        settings = self._settings
        quick, quality = settings.quick and self._box is not None, settings.quality
        return self.task.params(
            ModelChoice(str(settings.model.path), settings.device, members=quality.members),
            self._study,
            str(folder),
            RunOptions(quality.mirroring, quality.overlap, self._box, quick, self._upsideDown),
            **self._particular(),
        )

    @property
    def _upsideDown(self) -> bool:
        """Whether the heads were found to stand on their top."""
        return self._prepared is not None and self._prepared.upside_down

    def _currentBox(self) -> WorldBox | None:
        """The box as it is now; the user may move it during the run."""
        if self._settings.boxId is None:
            return None
        node = self._scene.GetNodeByID(self._settings.boxId)
        if node is None:
            raise SceneError(_("The box is no longer there; choose another one."))
        return worldBoxOf(node)

    def _checkVolumes(self, folder: Path) -> None:
        """Raise a SceneError unless all volumes are usable and their files have room."""
        nodes = [self._volume(name) for name in self._settings.volumeIds]
        needed = sum(voxelsOf(node).nbytes for node in nodes)
        for node in nodes:
            worldAffine(node)
        if needed > shutil.disk_usage(folder).free:
            sentence = _(
                "The disk with the folder {path} is too full for the scans; free {size} GB."
            )
            raise SceneError(sentence.format(path=folder.parent, size=math.ceil(needed / 1e9)))

    def _volume(self, channel: str):
        """The volume node of a channel.

        Raises:
            SceneError: If it was deleted.
        """
        node = self._scene.GetNodeByID(self._settings.volumeIds[channel])
        if node is None:
            raise SceneError(_("The volume for {name} is no longer there.").format(name=channel))
        return node

    def _volumes(self) -> dict[str, Any]:
        """The volume node of each channel; those that were deleted are None."""
        ids = self._settings.volumeIds.items()
        return {name: self._scene.GetNodeByID(nodeId) for name, nodeId in ids}

    def _reference(self):
        """The volume node on whose grid results are given, or None if it was deleted."""
        return self._scene.GetNodeByID(self._settings.referenceId)

    def _place(self, scan: ScanFile, shape: tuple[int, ...]) -> Place:
        return Place.of(self._reference(), shape, scan.matrix)

    def _name(self, text: str) -> str:
        reference = self._reference()
        name = reference.GetName() if reference is not None else self._settings.model.title
        return text.format(name=name)
