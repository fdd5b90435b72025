"""What the engine process does, and what stays warm between two jobs."""

from __future__ import annotations

import gc
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from factorizer_engine.protocol.files import file_digest
from factorizer_engine.protocol.messages import Message
from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.protocol.runs import ModelChoice, RunParams
from factorizer_engine.protocol.tasks.registry import JOBS
from factorizer_engine.protocol.volumes import ScanFile

if TYPE_CHECKING:
    import torch

    from factorizer_engine.bundles.bundle import Bundle
    from factorizer_engine.images.scan import Scan
    from factorizer_engine.inference.result import SegmentationResult
    from factorizer_engine.inference.segmenter import Segmenter
    from factorizer_engine.interaction.correction import Correction
    from factorizer_engine.service.turns import Turn


@dataclass(frozen=True)
class _LastRun:
    """A segmentation kept for the components that may be asked for next."""

    key: tuple
    result: SegmentationResult


@dataclass(frozen=True)
class _LastCorrection:
    """A segmentation that is being corrected, kept for the next click.

    Attributes:
        result: What it began with, or lies on the grid of.
        start: Place and content of the label map that it began with instead; None without one.
        correction: The state so far.
    """

    result: SegmentationResult
    start: tuple | None
    correction: Correction


PATIENCE_SECONDS = 30.0
"""How long a run that may take any device waits for the turn at a graphics card."""


class Engine:
    """One model, ready on its device, and the last segmentation with it and its corrections.

    Attributes:
        remark: What to know about where the job at work is computed, for people, or "".
    """

    def __init__(self) -> None:
        self.remark = ""
        self._turn: Turn | None = None
        self._segmenter: Segmenter | None = None
        self._segmenter_key: tuple = ()
        self._last_run: _LastRun | None = None
        self._last_correction: _LastCorrection | None = None

    @property
    def handlers(self) -> Mapping[str, Callable[[Message, Monitor], Message]]:
        """The jobs by the names of their tasks."""
        return {task.name: partial(_run_job, task.name, self) for task in JOBS}

    def ready(
        self, choice: ModelChoice, monitor: Monitor, given: Collection[str] | None = None
    ) -> Segmenter:
        """The segmenter of a model, warm if it is the one used last.

        Args:
            choice: The model, and how it is applied.
            monitor: Told of the progress.
            given: Names of the channels that there are, if that is known.
        """
        monitor.report("loading the model", 0.0)
        from factorizer_engine.bundles.registry import resolve_model
        from factorizer_engine.inference.device import resolve_device
        from factorizer_engine.inference.segmenter import Segmenter

        device = self._device_in_turn(resolve_device(choice.device), choice, monitor)
        bundle = _as_chosen(resolve_model(choice.model, device.type), choice)
        key = (_fingerprint(bundle), replace(choice, model="", device=str(device)))
        if key != self._segmenter_key or self._segmenter is None:
            self._forget()
            self._segmenter = Segmenter(bundle, str(device), choice.precision, choice.compiled)
            self._segmenter_key = key
        segmenter = self._segmenter if given is None else self._segmenter.answering(given)
        monitor.report("loading the model", 1.0)
        return segmenter

    def _device_in_turn(
        self, device: torch.device, choice: ModelChoice, monitor: Monitor
    ) -> torch.device:
        """The device, when it is this engine's turn, or the processor if that would take long."""
        from factorizer_engine.service.turns import Turn, name_of

        self._turn = self._turn or Turn()
        patience = PATIENCE_SECONDS if choice.device == "auto" else None
        if self._turn.take(name_of(device), monitor, patience):
            return device
        self.remark = (
            "The graphics card was in use by another program, so this was computed on the "
            "processor; choose the card by its name to wait for it."
        )
        return type(device)("cpu")

    def end_job(self) -> None:
        """The job at work is over: others may have the device."""
        self.remark = ""
        if self._turn is not None:
            self._turn.give_back()

    def note(self, *parts: str) -> str:
        """What to know about a result, and about where it was computed."""
        return " ".join(part for part in (*parts, self.remark) if part)

    def segment(
        self,
        segmenter: Segmenter,
        scans: Mapping[str, Scan],
        params: RunParams,
        monitor: Monitor,
    ) -> SegmentationResult:
        """Segment the scans, and keep the result for `known_result`.

        It is watched, so that drawing its components needs no second run.
        """
        from factorizer_engine.components.capture import Captures

        with ThreadPoolExecutor(1, "digest") as beside:
            key = beside.submit(self._run_key, params)
            result = segmenter.segment(
                scans,
                params.study.reference,
                params.options,
                monitor,
                watch=lambda plan: Captures.of(segmenter.networks, plan),
            )
        self._last_run = _LastRun(key.result(), result)
        self._last_correction = None
        return result

    def known_result(self, params: RunParams) -> SegmentationResult | None:
        """The result of the last run, if it was one of the same scans with the same options."""
        last = self._last_run
        return last.result if last is not None and last.key == self._run_key(params) else None

    def correction(
        self, segmenter: Segmenter, result: SegmentationResult, start: ScanFile | None
    ) -> Correction:
        """The corrections of a result, or of another label map; those of before if they are.

        Raises:
            BadInputError: If the label map cannot be read or does not fit the result.
        """
        from factorizer_engine.interaction.correction import Correction
        from factorizer_engine.interaction.guides import guide_of
        from factorizer_engine.service.exchange import load_scan

        scan = load_scan(start, start.name or "The segmentation") if start is not None else None
        content = (start.affine, file_digest(start.path, "blake2b")) if start is not None else None
        last = self._last_correction
        if last is None or last.result is not result or last.start != content:
            threshold = segmenter.bundle.inference.threshold
            correction = Correction(result, threshold, guide_of(segmenter), scan)
            last = self._last_correction = _LastCorrection(result, content, correction)
        return last.correction

    def close(self) -> None:
        """Delete the folder of a model that was unpacked from an archive."""
        if self._segmenter is not None and self._segmenter.bundle.storage is not None:
            self._segmenter.bundle.storage.cleanup()

    def _forget(self) -> None:
        """Free the model before the next one is loaded."""
        self._segmenter, self._segmenter_key = None, ()
        self._last_run = self._last_correction = None
        gc.collect()

    def _run_key(self, params: RunParams) -> tuple:
        """Equal for two runs that give the same segmentation, whatever their files are called."""
        scans = params.study.channels.items()
        try:
            files = tuple(
                (name, file.matrix.round(6).tolist(), file_digest(file.path, "blake2b"))
                for name, file in sorted(scans)
            )
        except OSError:
            return (object(),)  # equal to no other run
        return (self._segmenter_key, params.study.reference, params.options, files)


def _run_job(name: str, engine: Engine, params: Message, monitor: Monitor) -> Message:
    """The job of a task is `run` in the file of its name; it is imported when it is needed."""
    try:
        return import_module(f"factorizer_engine.service.jobs.{name}").run(engine, params, monitor)
    finally:
        engine.end_job()


def _as_chosen(bundle: Bundle, choice: ModelChoice) -> Bundle:
    """The bundle as it is to be applied, its first stage too, whose blocks have other names."""
    inference, members = bundle.inference, choice.members
    blocks = dict.fromkeys((*inference.short_circuits, *choice.short_circuits))
    coarse = bundle.coarse
    return replace(
        bundle,
        weights=bundle.weights[:members],
        fewer_weights=bundle.fewer_weights[:members],
        inference=replace(
            inference,
            sweeps=choice.sweeps or inference.sweeps,
            short_circuits=tuple(blocks),
        ),
        coarse=coarse and _as_chosen(coarse, replace(choice, short_circuits=())),
    )


def _fingerprint(bundle: Bundle) -> tuple:
    """Changes when another model is meant, or a file of this one is replaced."""
    folder = bundle.description.path
    status = [path.stat() for path in sorted(folder.rglob("*")) if path.is_file()]
    return (str(folder), *((s.st_mtime_ns, s.st_size) for s in status))
