"""Preparing the chosen volumes before a run: what is asked for, and what of it stays in the scene.

The scans that the model sees are never in the scene: there they would be a second, cut and moved
copy of everything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from slicer.i18n import tr as _

from factorizer_engine.protocol.preparation import PreparationOptions, Step
from factorizer_engine.protocol.tasks.prepare import PrepareResult
from factorizer_engine.protocol.volumes import ScanFile
from FactorizerSegmentationLib.scene import preparation
from FactorizerSegmentationLib.scene.errors import SceneError
from FactorizerSegmentationLib.scene.volumes import Place


@dataclass(frozen=True)
class Prepared:
    """What a preparation has left in the scene.

    Attributes:
        steps: What was done.
        brainNode: The segmentation with the brain that was found, or None.
    """

    steps: tuple[Step, ...]
    brainNode: Any = None


@dataclass(frozen=True)
class PreparationSettings:
    """How volumes are prepared.

    Attributes:
        options: What may be done.
        brainId: Node id of the segmentation that says what is brain; None looks for it.
        kept: Called with the `Prepared` when it is in the scene.
    """

    options: PreparationOptions = field(default_factory=PreparationOptions)
    brainId: str | None = None
    kept: Callable[[Prepared], None] = lambda prepared: None


def placedChannels(volumes: Mapping[str, Any], referenceNode) -> tuple[str, ...]:
    """Channels whose volumes have a registration, which is used, corrected or switched off."""
    return tuple(preparation.registrations(volumes, referenceNode))


def savedBrain(
    scene, settings: PreparationSettings, referenceNode, folder: Path
) -> ScanFile | None:
    """The brain mask that was chosen, in a file for the engine; None if none was.

    Raises:
        SceneError: If it is no longer there.
    """
    if settings.brainId is None:
        return None
    node = scene.GetNodeByID(settings.brainId)
    if node is None:
        raise SceneError(_("The brain mask is no longer there; choose another one, or none."))
    return preparation.saveBrain(node, referenceNode, folder / "brain_given.npy")


def keep(
    scene,
    settings: PreparationSettings,
    result: PrepareResult,
    volumes: Mapping[str, Any],
    referenceNode,
) -> None:
    """Leave in the scene what was found; nothing that is there is replaced but the sheet.

    Args:
        volumes: Volume by channel; those that were deleted meanwhile are None.
        referenceNode: The volume that stayed where it is, or None if it was deleted.
    """
    if referenceNode is None:
        return
    for step in result.steps:
        volumeNode = volumes.get(step.channel)
        if step.matrix and volumeNode is not None:
            preparation.createRegistration(volumeNode, referenceNode, np.array(step.matrix))
    brainNode = None
    if result.brain is not None and settings.brainId is None:
        mask = result.brain.load()
        place = Place.of(referenceNode, mask.shape, result.brain.matrix)
        name = _("{name} brain").format(name=referenceNode.GetName())
        brainNode = preparation.createBrain(scene, mask, place, name)
    if result.sheet:
        preparation.keepSheet(referenceNode, Path(result.sheet).read_text(encoding="utf-8"))
    settings.kept(Prepared(result.steps, brainNode))
