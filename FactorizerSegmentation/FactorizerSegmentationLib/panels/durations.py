"""How long runs take on this computer, as earlier ones have shown."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from statistics import median

import slicer

from factorizer_engine.protocol.models import ModelDescription
from factorizer_engine.protocol.runs import Quality

RUNS_KEPT = 5
"""So many runs of a kind are remembered; the median of their times is expected of the next."""


class Durations:
    """Seconds of the last runs by model, device and quality, in a file beside Slicer's settings."""

    def __init__(self) -> None:
        settings = Path(slicer.app.slicerUserSettingsFilePath)
        self._path = settings.parent / "FactorizerSegmentation" / "durations.json"

    def add(self, model: ModelDescription, device: str, quality: Quality, seconds: float) -> None:
        """Remember what a run took."""
        known = self._read()
        key = _key(model, device, quality)
        known[key] = [*_numbers(known.get(key)), round(seconds, 2)][-RUNS_KEPT:]
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text(json.dumps(known, indent=1), encoding="utf-8")
        except OSError as error:
            logging.warning("The duration of the run could not be remembered: %s", error)

    def expected(self, model: ModelDescription, device: str, quality: Quality) -> float | None:
        """Seconds that a run may take; before the first the card's for the model as it is."""
        seconds = _numbers(self._read().get(_key(model, device, quality)))
        if seconds:
            return median(seconds)
        stated = model.expected_seconds.get(device.partition(":")[0])
        return stated if quality is Quality.balanced else None

    def _read(self) -> dict:
        try:
            known = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}


def _numbers(found: object) -> list[float]:
    known = found if isinstance(found, list) else []
    return [float(item) for item in known if isinstance(item, (int, float)) and item > 0]


def _key(model: ModelDescription, device: str, quality: Quality) -> str:
    device = "cuda:0" if device == "cuda" else device
    return f"{model.name} {model.version} {device} {quality.value}"
