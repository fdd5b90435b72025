"""One volume selector per channel of the model, filled by the volumes' names."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import qt
import slicer
from slicer.i18n import tr as _

from factorizer_engine.images.matching import channel_candidates
from factorizer_engine.protocol import ChannelInfo
from FactorizerSegmentationLib.scene.subjects import siblings
from FactorizerSegmentationLib.scene.volumes import ROLE_ATTRIBUTE


class ChannelSelectors:
    """The selectors of the current model, stacked in `layout`.

    Args:
        layout: Box layout that takes the selectors.
        onChanged: Called after the user or a match has chosen a volume.
    """

    def __init__(self, layout, onChanged: Callable[[], None]) -> None:
        self._layout = layout
        self._onChanged = onChanged
        self._form = None
        self._channels: tuple[ChannelInfo, ...] = ()
        self._selectors: dict[str, object] = {}

    @property
    def channels(self) -> tuple[ChannelInfo, ...]:
        """The channels that have a selector, in the model's order."""
        return self._channels

    def selector(self, channel: str):
        """The qMRMLNodeComboBox of a channel."""
        return self._selectors[channel]

    def build(self, channels: Sequence[ChannelInfo]) -> None:
        """Replace the selectors by one for each of `channels`."""
        if self._form is not None:
            self.release()
            self._layout.removeWidget(self._form)
            self._form.setParent(None)
            self._form.deleteLater()
        self._channels = tuple(channels)
        self._form = qt.QWidget()
        layout = qt.QFormLayout(self._form)
        layout.setContentsMargins(0, 0, 0, 0)
        self._selectors = {channel.name: self._addRow(layout, channel) for channel in channels}
        self._layout.addWidget(self._form)

    def release(self) -> None:
        """Let go of the scene, as before the widgets are deleted."""
        for selector in self._selectors.values():
            selector.blockSignals(True)
            selector.setMRMLScene(None)

    def setScene(self, scene) -> None:
        """Offer the volumes of `scene`."""
        for selector in self._selectors.values():
            selector.setMRMLScene(scene)

    def volumes(self) -> dict[str, object]:
        """Channel name to the chosen volume node, or None."""
        return {name: selector.currentNode() for name, selector in self._selectors.items()}

    def setVolumes(self, volumes: dict[str, object]) -> None:
        """Choose volumes without calling `onChanged`."""
        for name, node in volumes.items():
            selector = self._selectors[name]
            blocked = selector.blockSignals(True)
            selector.setCurrentNode(node)
            selector.blockSignals(blocked)

    def fillEmpty(self, scene) -> bool:
        """Choose volumes by their names where none is chosen; returns whether any was."""
        chosen = self.volumes()
        if all(node is not None for node in chosen.values()):
            return False
        matches = matchVolumes(scene, self._channels, chosen)
        self.setVolumes(matches)
        return bool(matches)

    def problem(self) -> str:
        """One sentence on what is missing or wrong, or the empty string."""
        volumes = self.volumes()
        missing = [name for name, node in volumes.items() if node is None]
        if missing:
            return _("Choose the volume for {names}.").format(names=", ".join(missing))
        names = list(volumes)
        for index, first in enumerate(names):
            for second in names[index + 1 :]:
                if volumes[first] is volumes[second]:
                    sentence = _("{first} and {second} are the same volume; choose another.")
                    return sentence.format(first=first, second=second)
        return ""

    def _addRow(self, layout, channel: ChannelInfo):
        selector = slicer.qMRMLNodeComboBox()
        selector.objectName = f"channelSelector_{channel.name}"
        selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
        selector.showChildNodeTypes = False
        selector.noneEnabled = True
        selector.addEnabled = False
        selector.removeEnabled = False
        selector.renameEnabled = False
        selector.noneDisplay = _("Select the {name} volume").format(name=channel.name)
        selector.toolTip = _tip(channel)
        selector.setMRMLScene(slicer.mrmlScene)
        selector.connect("currentNodeChanged(vtkMRMLNode*)", self._onNodeChanged)
        layout.addRow(f"{channel.name}:", selector)
        return selector

    def _onNodeChanged(self, *ignored) -> None:
        self._onChanged()


def matchVolumes(
    scene, channels: Sequence[ChannelInfo], chosen: dict[str, object]
) -> dict[str, object]:
    """Volumes for the channels that have none, by name and from one study.

    Studies are tried apart, so that a follow-up is not mixed with its baseline: the study of a
    volume that is already chosen goes first, else the one that fills most channels.
    """
    taken = [node for node in chosen.values() if node is not None]
    studies: dict[int, list] = {}
    for node in scene.GetNodesByClass("vtkMRMLScalarVolumeNode"):
        plain = node.GetClassName() == "vtkMRMLScalarVolumeNode" and not node.GetHideFromEditors()
        if plain and node.GetAttribute(ROLE_ATTRIBUTE) is None:
            studies.setdefault(siblings(node), []).append(node)
    best: dict[str, object] = {}
    for nodes in studies.values():
        if taken and not any(node in nodes for node in taken):
            continue
        found = _clearMatches([node for node in nodes if node not in taken], channels)
        found = {name: node for name, node in found.items() if chosen.get(name) is None}
        if len(found) > len(best):
            best = found
    return best


def _clearMatches(nodes: list, channels: Sequence[ChannelInfo]) -> dict[str, object]:
    """The volume of every channel that exactly one of the names speaks of."""
    byName = {_matchingName(node): node for node in nodes}
    candidates = channel_candidates([_matchingName(node) for node in nodes], channels)
    return {name: byName[found[0]] for name, found in candidates.items() if len(found) == 1}


def _matchingName(node) -> str:
    """The node's name without slashes, which would be read as folders."""
    return node.GetName().replace("/", " ").replace("\\", " ")


def _tip(channel: ChannelInfo) -> str:
    spellings = ", ".join(channel.aliases[:6])
    if not spellings:
        return _("The {name} scan of the patient.").format(name=channel.name)
    return _("The {name} scan of the patient, also known as {spellings}.").format(
        name=channel.name, spellings=spellings
    )
