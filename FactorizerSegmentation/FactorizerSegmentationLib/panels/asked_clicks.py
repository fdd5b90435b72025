"""What the user has clicked, and what the engine was asked about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from factorizer_engine.protocol.clicks import Click
from FactorizerSegmentationLib.scene.clicks import ClickMarks
from FactorizerSegmentationLib.scene.live_labels import LiveLabels
from FactorizerSegmentationLib.scene.scribbles import Scribbles

if TYPE_CHECKING:
    from FactorizerSegmentationLib.tasks.run import RunSettings


@dataclass(frozen=True)
class Placed:
    """A click of the user.

    Attributes:
        click: The click.
        keeper: What keeps it in the scene.
        node: The segmentation that there was to be corrected then, or None.
    """

    click: Click
    keeper: ClickMarks | Scribbles
    node: Any


@dataclass(frozen=True)
class Asked:
    """What the engine was asked.

    Attributes:
        settings: Of the run.
        segmentationNode: What is corrected.
        live: Its labels.
        placed: The click.
        instead: What was corrected before, and its lesions, if this began a new segmentation.
    """

    settings: RunSettings
    segmentationNode: Any
    live: LiveLabels
    placed: Placed
    instead: tuple[Any, Any] | None = None
