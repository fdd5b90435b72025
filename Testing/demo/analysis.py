"""The engine's part of the demo: a segmentation and what drove it, from the engine process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from demo.stages import Stages
from factorizer_engine.protocol.runs import ModelChoice, Study
from factorizer_engine.protocol.tasks.components import (
    COMPONENTS,
    ComponentsParams,
    ComponentsResult,
)
from factorizer_engine.protocol.tasks.load_model import LOAD_MODEL
from factorizer_engine.protocol.tasks.segment import SEGMENT, SegmentParams, SegmentResult
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
    choice = ModelChoice(settings.model, settings.device)
    common = (choice, Study(scans), str(folder))
    with EngineClient() as engine:
        with stages.stage("Loading the model"):
            engine.request(LOAD_MODEL, choice)
        with stages.stage("Finding the tumour") as report:
            result = engine.request(SEGMENT, SegmentParams(*common), report)
        with stages.stage("Explaining the result") as report:
            params = ComponentsParams(*common, count=settings.count)
            components = engine.request(COMPONENTS, params, report)
    return result, components
