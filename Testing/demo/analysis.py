"""The engine's part of the demo: a segmentation and what drove it, from the engine process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from demo.stages import Stages
from factorizer_engine.protocol.runs import ModelChoice
from factorizer_engine.protocol.tasks.components import ComponentsParams, ComponentsResult
from factorizer_engine.protocol.tasks.segment import SegmentParams, SegmentResult
from factorizer_engine.protocol.volumes import ScanFile
from factorizer_engine.service.client import EngineClient


@dataclass(frozen=True)
class Settings:
    """What the user may choose.

    Attributes:
        model: Name, family or path of the model.
        device: Where to compute, "auto" for the best one.
        count: How many components to show.
    """

    model: str = "glioma"
    device: str = "auto"
    count: int = 6


def analyse(
    scans: dict[str, ScanFile], settings: Settings, folder: Path, stages: Stages
) -> tuple[SegmentResult, ComponentsResult]:
    """Segment the scans and explain the result in one engine process.

    Args:
        scans: Channel name to the scan's file.
        folder: Existing folder for the files of the result.

    Raises:
        EngineError: As the engine reports it, one sentence.
    """
    common = dict(
        model=settings.model, channels=scans, output_dir=str(folder), device=settings.device
    )
    with EngineClient() as engine:
        with stages.stage("Loading the model"):
            engine.request("load_model", ModelChoice(settings.model, settings.device))
        with stages.stage("Finding the tumour") as report:
            result = engine.request("segment", SegmentParams(**common), report)
        with stages.stage("Explaining the result") as report:
            params = ComponentsParams(**common, count=settings.count)
            components = engine.request("components", params, report)
    return result, components
