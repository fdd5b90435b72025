"""How long models take on this computer, as their last runs have shown."""

from __future__ import annotations

from collections.abc import Mapping

import qt
import slicer
from slicer.i18n import tr as _

from factorizer_engine.protocol.description import WITHOUT_CHECKSUMS
from factorizer_engine.protocol.models import ModelDescription
from FactorizerSegmentationLib.panels.run_controls import durationText
from FactorizerSegmentationLib.tasks.run import RunSettings

SETTING = "FactorizerSegmentation/Seconds"


def rememberDuration(settings: RunSettings, secondsByStage: Mapping[str, float]) -> None:
    """Keep what a run took, if it was one as most are: all of the scan, without mirroring."""
    if settings.boxId is None and settings.mirroring is None and secondsByStage:
        seconds = sum(secondsByStage.values())
        qt.QSettings().setValue(_key(settings.model, settings.device), f"{seconds:.2f}")


def lastDuration(model: ModelDescription, device: str) -> float | None:
    """Seconds that the last run of this version of a model took on a device; None before one.

    Args:
        device: As it was chosen: "auto", "cpu", "cuda:0", ...
    """
    try:
        return float(slicer.util.settingsValue(_key(model, device), "")) or None
    except ValueError:
        return None


def describeModel(model: ModelDescription, device: str) -> str:
    """What a model does and how long it takes: here, if it has run here, or by its card."""
    description = model.summary
    if WITHOUT_CHECKSUMS in model.notes:
        description = f"{description} {WITHOUT_CHECKSUMS}".strip()
    measured, stated = lastDuration(model, device), model.expected_seconds.get("cpu")
    if measured:
        text = _("{description} The last scan took {time} on this computer.")
        return text.format(description=description, time=durationText(measured))
    if stated:
        text = _("{description} Takes about {time} without a graphics card, by its model card.")
        return text.format(description=description, time=durationText(stated))
    return description


def _key(model: ModelDescription, device: str) -> str:
    parts = (model.name, model.version, device)
    return "/".join([SETTING, *(part.replace("/", "-").replace("\\", "-") for part in parts)])
