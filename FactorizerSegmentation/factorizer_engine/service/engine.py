"""What the engine process does: one method per request of `protocol.py`.

Heavy packages are imported by the jobs that need them, so that the process answers soon after it
started.
"""

from __future__ import annotations

import gc
import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from factorizer_engine import __version__
from factorizer_engine.protocol import ProbabilityMap
from factorizer_engine.protocol.components import Component
from factorizer_engine.protocol.files import prepare_output_folder
from factorizer_engine.protocol.messages import Message
from factorizer_engine.protocol.models import ModelDescription
from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.protocol.runs import ModelChoice
from factorizer_engine.protocol.tasks.components import ComponentsParams, ComponentsResult
from factorizer_engine.protocol.tasks.hello import HelloResult
from factorizer_engine.protocol.tasks.load_model import LoadModelResult
from factorizer_engine.protocol.tasks.models import ModelsParams, ModelsResult
from factorizer_engine.protocol.tasks.segment import SegmentParams, SegmentResult
from factorizer_engine.protocol.tasks.task import Nothing
from factorizer_engine.protocol.volumes import ScanFile
from factorizer_engine.protocol.wire import PROTOCOL_VERSION

if TYPE_CHECKING:
    from factorizer_engine.bundles.bundle import Bundle
    from factorizer_engine.images.scan import Scan
    from factorizer_engine.inference.segmenter import SegmentationResult, Segmenter

REPORTED_PACKAGES = ("torch", "monai", "numpy", "nibabel", "SimpleITK")

LOADED, SEGMENTED = 0.05, 0.97
"""How far a run has come when the model is loaded, and when only writing is left."""


@dataclass
class _LastRun:
    """A segmentation kept for the components that may be asked for next."""

    key: tuple
    result: SegmentationResult


class EngineJobs:
    """The engine's methods and what stays warm between them.

    One model at a time is kept, ready on its device, and the last segmentation with it.
    """

    def __init__(self) -> None:
        self._segmenter: Segmenter | None = None
        self._segmenter_key: tuple = ()
        self._last_run: _LastRun | None = None

    @property
    def handlers(self) -> Mapping[str, Callable[[Message, Monitor], Message]]:
        """The jobs by the name of their method."""
        return {
            "hello": self.hello,
            "models": self.models,
            "load_model": self.load_model,
            "segment": self.segment,
            "components": self.components,
        }

    def hello(self, _params: Nothing, monitor: Monitor) -> HelloResult:
        """Versions, devices and memory."""
        monitor.report("starting", 0.0)
        from factorizer_engine.inference.device import list_devices

        versions = {"python": platform.python_version()}
        versions.update((package, _version(package)) for package in REPORTED_PACKAGES)
        devices = tuple(list_devices())
        return HelloResult(PROTOCOL_VERSION, __version__, versions, devices, os.getpid())

    def models(self, params: ModelsParams, monitor: Monitor) -> ModelsResult:
        """The models that are installed."""
        from factorizer_engine.bundles.registry import find_bundles

        found = find_bundles([Path(folder) for folder in params.folders])
        return ModelsResult(tuple(describe_model(bundle) for bundle in found))

    def load_model(self, params: ModelChoice, monitor: Monitor) -> LoadModelResult:
        """Make a model ready for `segment`."""
        segmenter = self._ready(params, monitor)
        return LoadModelResult(describe_model(segmenter.bundle), str(segmenter.device))

    def segment(self, params: SegmentParams, monitor: Monitor) -> SegmentResult:
        """Segment the scans; the volumes of the result are written to the output folder."""
        folder = prepare_output_folder(params.output_dir)
        segmenter = self._ready(params, monitor.span(0.0, LOADED))
        scans = _load_scans(params.channels)
        maps = len(segmenter.bundle.description.regions) if params.probabilities else 0
        prepare_output_folder(folder, _space_of(scans, maps))
        result = self._segment(segmenter, scans, params, monitor.span(LOADED, SEGMENTED))
        monitor.report("writing", SEGMENTED)
        return SegmentResult(
            labelmap=_save(result.labelmap, folder / "labelmap.npy"),
            probabilities=_save_probabilities(result, folder) if params.probabilities else (),
            labels=result.labels,
            regions=result.regions,
            lesions=tuple(result.lesions),
            timings=dict(result.timings),
            device=str(result.device),
            model=describe_model(segmenter.bundle),
        )

    def components(self, params: ComponentsParams, monitor: Monitor) -> ComponentsResult:
        """Explain the segmentation of the scans, which is computed first if it was not the last."""
        from factorizer_engine.components import explain, shared_windows

        folder = prepare_output_folder(params.output_dir)
        segmenter = self._ready(params, monitor.span(0.0, LOADED))
        scans = _load_scans(params.channels)
        prepare_output_folder(folder, _space_of(scans, params.count))
        known = self._known_result(params)
        half = LOADED if known else (LOADED + SEGMENTED) / 2
        result = known or self._segment(segmenter, scans, params, monitor.span(LOADED, half))
        maps = explain(
            segmenter,
            scans,
            result=result,
            count=params.count,
            blocks=params.blocks,
            region=params.region,
            monitor=monitor.span(half, SEGMENTED),
        )
        monitor.report("writing", SEGMENTED)
        components = tuple(
            Component(
                network=component.network,
                block=component.block,
                head=component.head,
                rank=component.rank,
                name=component.name,
                contributions=dict(component.contributions),
                window=window,
                heatmap=_save(component.heatmap, folder / f"component_{number}.npy"),
            )
            for number, (component, window) in enumerate(
                zip(maps, shared_windows(maps), strict=True), start=1
            )
        )
        return ComponentsResult(
            components=components,
            model=describe_model(segmenter.bundle),
            note=maps[0].note if maps else "",
        )

    def _ready(self, params: ModelChoice | SegmentParams, monitor: Monitor) -> Segmenter:
        """The segmenter asked for, warm if it is the one used last."""
        monitor.report("loading the model", 0.0)
        from factorizer_engine.bundles.registry import resolve_model
        from factorizer_engine.inference.device import resolve_device
        from factorizer_engine.inference.segmenter import Segmenter

        device = resolve_device(params.device)
        bundle = resolve_model(params.model, device.type)
        key = (_fingerprint(bundle), str(device), params.precision, params.compiled)
        if key != self._segmenter_key:
            self._forget()
            self._segmenter = Segmenter(bundle, str(device), params.precision, params.compiled)
            self._segmenter_key = key
        monitor.report("loading the model", 1.0)
        return self._segmenter

    def _forget(self) -> None:
        """Free the model before the next one is loaded."""
        self._segmenter, self._segmenter_key, self._last_run = None, (), None
        gc.collect()

    def _segment(
        self,
        segmenter: Segmenter,
        scans: Mapping[str, Scan],
        params: SegmentParams,
        monitor: Monitor,
    ) -> SegmentationResult:
        result = segmenter.segment(
            scans,
            reference=params.reference,
            tta=params.tta,
            overlap=params.overlap,
            box=params.box,
            quick=params.quick,
            monitor=monitor,
        )
        self._last_run = _LastRun(self._run_key(params), result)
        return result

    def _known_result(self, params: SegmentParams) -> SegmentationResult | None:
        last = self._last_run
        return last.result if last is not None and last.key == self._run_key(params) else None

    def _run_key(self, params: SegmentParams) -> tuple:
        """Equal for two runs that give the same segmentation."""
        files = []
        for name, file in sorted(params.channels.items()):
            try:
                status = os.stat(file.path)
            except OSError:
                return (object(),)  # equal to no other run
            files.append((name, file.path, file.affine, status.st_mtime_ns, status.st_size))
        settings = (params.reference, params.tta, params.overlap, params.box, params.quick)
        return (self._segmenter_key, settings, tuple(files))


def describe_model(bundle: Bundle) -> ModelDescription:
    """The bundle as it is shown to callers."""
    return ModelDescription(
        name=bundle.description.name,
        version=bundle.description.version,
        family=bundle.description.family,
        title=bundle.description.title,
        description=bundle.description.summary,
        path=str(bundle.description.path),
        channels=bundle.description.channels,
        regions=bundle.description.regions,
        labels=bundle.description.labels,
        expected_seconds=dict(bundle.description.expected_seconds),
        card=bundle.description.card,
        notes=tuple(bundle.description.notes),
    )


def _load_scans(channels: Mapping[str, ScanFile]) -> dict[str, Scan]:
    from factorizer_engine.images.checks import check_shape
    from factorizer_engine.images.scan import Scan

    scans = {}
    for channel, file in channels.items():
        name = file.name or channel
        voxels = file.load(mapped=True)
        check_shape(name, voxels.shape)  # before they are read into memory
        scans[channel] = Scan(np.array(voxels), file.matrix, name)
    return scans


def _space_of(scans: Mapping[str, Scan], maps: int) -> int:
    """Bytes for a label map and some float32 maps on the grid of the largest scan."""
    return (1 + 4 * maps) * max((scan.array.size for scan in scans.values()), default=0)


def _save(scan: Scan, path: Path) -> ScanFile:
    return ScanFile.save(scan.array, scan.affine, path, scan.name)


def _save_probabilities(result: SegmentationResult, folder: Path) -> tuple[ProbabilityMap, ...]:
    affine = result.labelmap.affine
    return tuple(
        ProbabilityMap(
            region.name,
            ScanFile.save(volume, affine, folder / f"probability_{number}.npy", region.title),
        )
        for number, (region, volume) in enumerate(
            zip(result.regions, result.probabilities, strict=True), start=1
        )
    )


def _fingerprint(bundle: Bundle) -> tuple:
    """Changes when another model is asked for or the files of this one are replaced."""
    status = [os.stat(path) for path in bundle.weights if path.exists()]
    weights = tuple((s.st_mtime_ns, s.st_size) for s in status)
    return (
        str(bundle.description.path),
        bundle.description.name,
        bundle.description.version,
        weights,
    )


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
