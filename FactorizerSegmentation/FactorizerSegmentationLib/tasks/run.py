"""One run from volumes in the scene, through the engine, to new nodes in the scene."""

from __future__ import annotations

import logging
import math
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from factorizer_engine import protocol
from factorizer_engine.protocol.boxes import WorldBox
from factorizer_engine.protocol.errors import EngineError, InternalError
from factorizer_engine.protocol.progress import Progress
from FactorizerSegmentationLib.engine.process import Callbacks, EngineProcess
from FactorizerSegmentationLib.models import ModelSummary
from FactorizerSegmentationLib.scene import overlays, segments, tables
from FactorizerSegmentationLib.scene.boxes import worldBoxOf
from FactorizerSegmentationLib.scene.errors import SceneError
from FactorizerSegmentationLib.scene.subjects import putBeside
from FactorizerSegmentationLib.scene.updates import Patch, belongsTo, updateInside
from FactorizerSegmentationLib.scene.volumes import Place, saveScan, voxelsOf

MODEL_ATTRIBUTE = "FactorizerSegmentation.Model"
"""Says in the scene which model, of which version, made a segmentation."""


@dataclass(frozen=True)
class RunSettings:
    """What to run on what.

    Attributes:
        model: The model.
        volumeIds: Node id of the volume of each channel, by channel name.
        device: "auto", "cpu", "cuda", ...
        mirroring: Average over mirrored copies; None leaves it to the model.
        boxId: Node id of the box to look in; None looks everywhere.
        quick: Lay the windows around the box.
        targetId: Node id of the segmentation to update inside the box; None makes a new one.
    """

    model: ModelSummary
    volumeIds: Mapping[str, str]
    device: str = "auto"
    mirroring: bool | None = None
    boxId: str | None = None
    quick: bool = False
    targetId: str | None = None

    @property
    def referenceId(self) -> str:
        """Node id of the volume on whose grid results are given."""
        return self.volumeIds[self.model.channels[0].name]


@dataclass(frozen=True)
class Outcome:
    """The nodes of a run and what it said.

    Attributes:
        segmentationNode: The segments, new or updated, or None if segmentation was not the task.
        lesionTableNode: The lesions, or None.
        heatmapNodes: One volume per component, most influential first.
        seconds: By stage of the computation.
        device: Where it ran.
        note: What to know about the heatmaps, or "".
        patch: What was changed in a segmentation that was there before, or None.
    """

    segmentationNode: object | None = None
    lesionTableNode: object | None = None
    heatmapNodes: list = field(default_factory=list)
    seconds: Mapping[str, float] = field(default_factory=dict)
    device: str = ""
    note: str = ""
    patch: Patch | None = None


@dataclass(frozen=True)
class RunCallbacks:
    """Who is told; exactly one of `finished` and `failed` is called, once."""

    finished: Callable[[Outcome], None]
    failed: Callable[[str, str], None]
    progress: Callable[[Progress], None] = lambda progress: None


class Run:
    """Base of the runs: files there, request, result, files away.

    Args:
        scene: Where the volumes are and the results go.
        engine: Does the work.
        settings: What to run on what.
        callbacks: Who is told.
    """

    method = ""

    def __init__(
        self, scene, engine: EngineProcess, settings: RunSettings, callbacks: RunCallbacks
    ) -> None:
        self._scene = scene
        self._engine = engine
        self._settings = settings
        self._callbacks = callbacks
        self._requestId: int | None = None
        self._box: WorldBox | None = None
        self._folder: Path | None = None

    def start(self) -> None:
        """Hand the volumes to the engine and return; the callbacks tell the rest.

        Raises:
            SceneError: If a volume cannot be used; then no callback is called.
        """
        try:
            self._folder = _temporaryFolder()
            params = self._params()
        except BaseException:
            self._removeFiles()
            raise
        callbacks = Callbacks(self._onResult, self._onFailed, self._callbacks.progress)
        self._requestId = self._engine.request(self.method, params, callbacks)

    def cancel(self) -> None:
        """Ask to stop; `failed` is called as cancelled within about two seconds."""
        if self._requestId is not None:
            self._engine.cancel(self._requestId)

    def _params(self) -> protocol.Message:
        raise NotImplementedError

    def _createNodes(self, result: protocol.Message) -> Outcome:
        raise NotImplementedError

    def _commonParams(self) -> dict:
        settings = self._settings
        self._box = self._currentBox()
        return {
            "model": str(settings.model.path),
            "channels": self._saveChannels(),
            "output_dir": str(self._folder),
            "reference": settings.model.channels[0].name,
            "device": settings.device,
            "tta": settings.mirroring,
            "box": self._box,
            "quick": settings.quick and self._box is not None,
        }

    def _currentBox(self) -> WorldBox | None:
        """The box as it is now; the user may move it during the run."""
        if self._settings.boxId is None:
            return None
        node = self._scene.GetNodeByID(self._settings.boxId)
        if node is None:
            raise SceneError(_("The box is no longer there; choose another one."))
        return worldBoxOf(node)

    def _saveChannels(self) -> dict[str, protocol.ScanFile]:
        nodes = {}
        for name, nodeId in self._settings.volumeIds.items():
            nodes[name] = self._scene.GetNodeByID(nodeId)
            if nodes[name] is None:
                raise SceneError(_("The volume for {name} is no longer there.").format(name=name))
        needed = sum(voxelsOf(node).nbytes for node in nodes.values())
        if needed > shutil.disk_usage(self._folder).free:
            sentence = _(
                "The disk with the folder {path} is too full for the scans; free {size} GB."
            )
            raise SceneError(
                sentence.format(path=self._folder.parent, size=math.ceil(needed / 1e9))
            )
        return {
            name: saveScan(node, self._folder / f"channel{index}.npy")
            for index, (name, node) in enumerate(nodes.items())
        }

    def _place(self, scan: protocol.ScanFile, shape: tuple[int, ...]) -> Place:
        reference = self._scene.GetNodeByID(self._settings.referenceId)
        return Place.of(reference, shape, scan.matrix)

    def _name(self, text: str) -> str:
        reference = self._scene.GetNodeByID(self._settings.referenceId)
        name = reference.GetName() if reference is not None else self._settings.model.title
        return text.format(name=name)

    def _onResult(self, result: protocol.Message) -> None:
        try:
            with slicer.util.RenderBlocker():
                outcome = self._createNodes(result)
        except EngineError as error:
            self._onFailed(error.kind, str(error))
            return
        except Exception:
            logging.exception("The result of the Factorizer engine could not be shown.")
            sentence = _("The result could not be added to the scene; the log says more.")
            self._onFailed(InternalError.kind, sentence)
            return
        self._removeFiles()
        self._callbacks.finished(outcome)

    def _onFailed(self, kind: str, sentence: str) -> None:
        self._removeFiles()
        self._callbacks.failed(kind, sentence)

    def _removeFiles(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


class SegmentationRun(Run):
    """Finds the lesions: a new or updated segmentation node and a table of lesions."""

    method = "segment"

    def _params(self) -> protocol.SegmentParams:
        return protocol.SegmentParams(**self._commonParams(), probabilities=False)

    def _createNodes(self, result: protocol.SegmentResult) -> Outcome:
        labelmap = result.labelmap.load()
        place = self._place(result.labelmap, labelmap.shape)
        target, patch = self._target(place), None
        if target is not None:
            world = result.labelmap.matrix
            patch = updateInside(target, labelmap, result.labels, place, self._box, world)
        else:
            target = self._create(result, labelmap, place)
        title = _("{name} lesions") if self._box is None else _("{name} lesions inside the box")
        tableNode = tables.createLesionTable(self._scene, result.lesions, self._name(title))
        tables.markBoxed(tableNode, self._box is not None)
        putBeside(tableNode, place.volumeNode)
        return Outcome(target, tableNode, [], result.timings, result.device, patch=patch)

    def _target(self, place: Place):
        """The segmentation to update, if it is still there and still fits."""
        targetId = self._settings.targetId
        node = self._scene.GetNodeByID(targetId) if targetId and self._box else None
        fits = node is not None and place.volumeNode is not None
        return node if fits and belongsTo(node, place.volumeNode) else None

    def _create(self, result: protocol.SegmentResult, labelmap, place: Place):
        node = segments.createSegmentation(
            self._scene, labelmap, result.labels, place, self._name(_("{name} segmentation"))
        )
        node.SetAttribute(MODEL_ATTRIBUTE, f"{result.model.name} {result.model.version}")
        return node


class ComponentsRun(Run):
    """Looks inside the network: heatmap volumes of the components that drove the result.

    Args:
        count: How many components to ask for.
        region: Region for which they are ranked; "" for any that was found.
    """

    method = "components"

    def __init__(
        self, scene, engine, settings, callbacks, count: int = 6, region: str = ""
    ) -> None:
        super().__init__(scene, engine, settings, callbacks)
        self._count = count
        self._region = region

    def _params(self) -> protocol.ComponentsParams:
        return protocol.ComponentsParams(
            **self._commonParams(), count=self._count, region=self._region or None
        )

    def _createNodes(self, result: protocol.ComponentsResult) -> Outcome:
        if not result.components:
            return Outcome(note=result.note)
        scan = result.components[0].heatmap
        nodes = overlays.createHeatmaps(
            self._scene,
            result.components,
            self._place(scan, scan.load(mapped=True).shape),
            self._name(_("{name} components")),
        )
        return Outcome(heatmapNodes=nodes, note=result.note)


def _temporaryFolder() -> Path:
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
