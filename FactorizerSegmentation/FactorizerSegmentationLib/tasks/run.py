"""One run from volumes in the scene, through the engine, to new nodes in the scene."""

from __future__ import annotations

import logging
import math
import shutil
import tempfile
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic

import qt
import slicer
from slicer.i18n import tr as _

from factorizer_engine.protocol.boxes import WorldBox
from factorizer_engine.protocol.conversation import Callbacks, Result
from factorizer_engine.protocol.errors import CancelledError, EngineError, InternalError
from factorizer_engine.protocol.messages import Message
from factorizer_engine.protocol.models import ModelDescription
from factorizer_engine.protocol.progress import Progress
from factorizer_engine.protocol.runs import ModelChoice, Quality, RunOptions, Study
from factorizer_engine.protocol.tasks.prepare import PREPARE, PrepareParams, PrepareResult
from factorizer_engine.protocol.tasks.task import Task
from factorizer_engine.protocol.volumes import ScanFile
from FactorizerSegmentationLib.engine.packages import BRAIN_NETWORKS
from FactorizerSegmentationLib.engine.process import EngineProcess
from FactorizerSegmentationLib.scene.boxes import worldBoxOf
from FactorizerSegmentationLib.scene.errors import SceneError
from FactorizerSegmentationLib.scene.volumes import Place, saveScan, voxelsOf
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
    def referenceChannel(self) -> str:
        """The channel on whose grid results are given: the model's first of those given."""
        return next(c.name for c in self.model.channels if c.name in self.volumeIds)

    @property
    def packages(self) -> tuple[str, ...]:
        """What has to be installed in Slicer beside what every run needs."""
        if self.preparation is None or self.preparation.brainId is not None:
            return ()
        return (BRAIN_NETWORKS,) if self.model.expects.skull == "stripped" else ()

    @property
    def referenceId(self) -> str:
        """Node id of the volume on whose grid results are given."""
        return self.volumeIds[self.referenceChannel]


class Run(Generic[Result]):
    """Base of the runs: files there, request, result, files away.

    A run of a task is a subclass that knows its task, the task's own parameters, and what becomes
    of the result.

    Args:
        scene: Where the volumes are and the results go.
        engine: Does the work.
        settings: What to run on what.
        callbacks: Who is told; `finished` gets what `_createNodes` gives.
    """

    task: Task[Any, Result]

    def __init__(
        self, scene, engine: EngineProcess, settings: RunSettings, callbacks: Callbacks[Any]
    ) -> None:
        self._scene = scene
        self._engine = engine
        self._settings = settings
        self._callbacks = callbacks
        self._requestId: int | None = None
        self._box: WorldBox | None = None
        self._prepared: PrepareResult | None = None
        self._folder: Path | None = None
        self._creation: Generator[None, None, object] | None = None

    @property
    def summary(self) -> str:
        """What is run on what, for the log."""
        settings = self._settings
        nodes = {name: self._scene.GetNodeByID(i) for name, i in settings.volumeIds.items()}
        scans = ", ".join(f"{name}={node.GetName()}" for name, node in nodes.items() if node)
        model = f"{settings.model.name} {settings.model.version}"
        quality = settings.quality.value
        return f"{self.task.name}: {model}, {settings.device}, {quality}; {scans}"

    def start(self) -> None:
        """Hand the volumes to the engine and return; the callbacks tell the rest.

        Raises:
            SceneError: If a volume cannot be used; then no callback is called.
        """
        try:
            self._folder = temporaryFolder()
            self._box = self._currentBox()
            channels = self._saveChannels(self._folder)
            self._begin(Study(channels, self._settings.referenceChannel), self._folder)
        except BaseException:
            self._end()
            raise

    def cancel(self) -> None:
        """Ask to stop; `failed` is called as cancelled within about two seconds."""
        if self._creation is not None:
            self._creation.close()
            self._onFailed(CancelledError())
        elif self._requestId is not None:
            self._engine.cancel(self._requestId)

    def _begin(self, study: Study, folder: Path) -> None:
        """Ask for the task, or first for the preparation of its scans."""
        if self._settings.preparation is None:
            self._ask(self.task, self._params(study, folder), self._onResult)
        else:
            self._prepare(self._settings.preparation, study, folder)

    def _prepare(self, settings: PreparationSettings, study: Study, folder: Path) -> None:
        volumes, reference = self._volumes(), self._reference()
        params = PrepareParams(
            str(self._settings.model.path),
            study,
            str(folder),
            settings.options,
            placedChannels(volumes, reference),
            savedBrain(self._scene, settings, reference, folder),
        )
        self._ask(PREPARE, params, self._onPrepared, end=HALF)

    def _onPrepared(self, result: PrepareResult) -> None:
        self._prepared = result
        if self._folder is None:
            return
        study = Study(result.channels, self._settings.referenceChannel)
        self._ask(self.task, self._params(study, self._folder), self._onResult, start=HALF)

    def _ask(
        self,
        task: Task[Any, Any],
        params: Message,
        onResult: Callable[[Any], None],
        start: float = 0.0,
        end: float = 1.0,
    ) -> None:
        """Hand a request to the engine whose progress is from `start` to `end` of this run's."""

        def progressed(progress: Progress) -> None:
            fraction = start + (end - start) * progress.fraction
            remaining = progress.remaining if end == 1.0 else None
            self._callbacks.progress(replace(progress, fraction=fraction, remaining=remaining))

        callbacks = Callbacks(onResult, self._onFailed, progressed)
        self._requestId = self._engine.request(task, params, callbacks)

    def _particular(self) -> dict[str, Any]:
        """The parameters that only this task has."""
        return {}

    def _createNodes(self, result: Result) -> Generator[None, None, object]:
        """Make the nodes of a result, and return them.

        The window is alive at every `yield`. If the generator is closed there, or fails, it takes
        back what it has made.
        """
        raise NotImplementedError

    def _params(self, study: Study, folder: Path) -> Message:
        settings = self._settings
        quick, quality = settings.quick and self._box is not None, settings.quality
        return self.task.params(
            ModelChoice(str(settings.model.path), settings.device, members=quality.members),
            study,
            str(folder),
            RunOptions(quality.mirroring, quality.overlap, self._box, quick),
            **self._particular(),
        )

    def _currentBox(self) -> WorldBox | None:
        """The box as it is now; the user may move it during the run."""
        if self._settings.boxId is None:
            return None
        node = self._scene.GetNodeByID(self._settings.boxId)
        if node is None:
            raise SceneError(_("The box is no longer there; choose another one."))
        return worldBoxOf(node)

    def _saveChannels(self, folder: Path) -> dict[str, ScanFile]:
        nodes = {}
        for name, nodeId in self._settings.volumeIds.items():
            nodes[name] = self._scene.GetNodeByID(nodeId)
            if nodes[name] is None:
                raise SceneError(_("The volume for {name} is no longer there.").format(name=name))
        needed = sum(voxelsOf(node).nbytes for node in nodes.values())
        if needed > shutil.disk_usage(folder).free:
            sentence = _(
                "The disk with the folder {path} is too full for the scans; free {size} GB."
            )
            raise SceneError(sentence.format(path=folder.parent, size=math.ceil(needed / 1e9)))
        return {
            name: saveScan(node, folder / f"channel{index}.npy")
            for index, (name, node) in enumerate(nodes.items())
        }

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

    def _onResult(self, result: Result) -> None:
        self._creation = self._createAll(result)
        self._goOn()

    def _createAll(self, result: Result) -> Generator[None, None, object]:
        """The nodes of a result, and with them those of the preparation before it."""
        outcome = yield from self._createNodes(result)
        settings = self._settings.preparation
        if self._prepared is not None and settings is not None:
            keep(self._scene, settings, self._prepared, self._volumes(), self._reference())
        return outcome

    def _goOn(self) -> None:
        """Make the next nodes, and come back when the window has had its turn."""
        if self._creation is None:  # cancelled
            return
        try:
            with slicer.util.RenderBlocker():
                next(self._creation)
        except StopIteration as ended:
            self._end()
            self._callbacks.finished(ended.value)
        except EngineError as error:
            self._onFailed(error)
        except Exception:
            logging.exception("The result of the Factorizer engine could not be shown.")
            sentence = _("The result could not be added to the scene; the log says more.")
            self._onFailed(InternalError(sentence))
        else:
            qt.QTimer.singleShot(0, self._goOn)

    def _onFailed(self, error: EngineError) -> None:
        self._end()
        self._callbacks.failed(error)

    def _end(self) -> None:
        self._creation = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def temporaryFolder() -> Path:
    """A new folder for one run below Slicer's temporary folder.

    Raises:
        SceneError: If it cannot be made.
    """
    base = Path(slicer.app.temporaryPath) / "FactorizerSegmentation"
    try:
        base.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix="run-", dir=base))
    except OSError as error:
        raise SceneError(
            _(
                "Slicer's temporary folder {path} cannot be written; choose another in the "
                "application settings."
            ).format(path=base.parent)
        ) from error
