"""How long models take on this computer, as their last runs have shown."""

from __future__ import annotations

import qt
import slicer
from slicer.i18n import tr as _

from FactorizerSegmentationLib.models import ModelSummary
from FactorizerSegmentationLib.panels.run_controls import durationText
from FactorizerSegmentationLib.tasks.run import Outcome, RunSettings

SETTING = "FactorizerSegmentation/Seconds"


def rememberDuration(settings: RunSettings, outcome: Outcome) -> None:
    """Keep what a run took, if it was one as most are: all of the scan, without mirroring."""
    if settings.boxId is None and settings.mirroring is None and outcome.seconds:
        seconds = sum(outcome.seconds.values())
        qt.QSettings().setValue(_key(settings.model, settings.device), f"{seconds:.2f}")


def lastDuration(model: ModelSummary, device: str) -> float | None:
    """Seconds that the last run of this version of a model took on a device; None before one.

    Args:
        device: As it was chosen: "auto", "cpu", "cuda:0", ...
    """
    try:
        return float(slicer.util.settingsValue(_key(model, device), "")) or None
    except ValueError:
        return None


def describeModel(model: ModelSummary, device: str) -> str:
    """What a model does and how long it takes: here, if it has run here, or by its card."""
    measured, stated = lastDuration(model, device), model.expectedSeconds.get("cpu")
    if measured:
        text = _("{description} The last scan took {time} on this computer.")
    elif stated:
        text = _("{description} Takes about {time} without a graphics card, by its model card.")
    else:
        return model.description
    return text.format(description=model.description, time=durationText(measured or stated))


def _key(model: ModelSummary, device: str) -> str:
    parts = (model.name, model.version, device)
    return "/".join([SETTING, *(part.replace("/", "-").replace("\\", "-") for part in parts)])
