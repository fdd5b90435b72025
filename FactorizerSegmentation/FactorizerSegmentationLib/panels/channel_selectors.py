"""One volume selector per channel of the model, filled by the volumes' headers and names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from html import escape
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from factorizer_engine.protocol.models import Channel
from FactorizerSegmentationLib.panels.node_selectors import deselect, hide, release
from FactorizerSegmentationLib.panels.signals import signalsBlocked
from FactorizerSegmentationLib.panels.tab_order import putInPlace
from FactorizerSegmentationLib.scene.matching import (
    AGAINST,
    LIKELY,
    SURE,
    UNSURE,
    evidenceFor,
    matchVolumes,
)
from FactorizerSegmentationLib.scene.volumes import isScan

MARKS = {
    "green": ("\u2713", "#3d9a50"),
    "amber": ("\u26a0", "#d08a00"),
    "red": ("\u2715", "#d9534f"),
}
"""Sign and colour by severity; the sign alone says it to those who do not tell colours apart."""

TRUST = {SURE: "\u25cf", LIKELY: "\u25d0", UNSURE: "\u25cb", AGAINST: "?"}
"""How much speaks for the volume in a row: a full, a half and an empty circle, or a question."""


class ChannelSelectors:
    """The selectors of the current model, stacked in `layout`.

    Args:
        layout: Box layout that takes the selectors.
        onChosen: Called with the channel's name after the user has chosen or emptied its row.
    """

    def __init__(self, layout, onChosen: Callable[[str], None]) -> None:
        self._layout = layout
        self._onChosen = onChosen
        self._optional = False
        self._form = None
        self._channels: tuple[Channel, ...] = ()
        self._selectors: dict[str, Any] = {}
        self._labels: dict[str, Any] = {}
        self._trustLabels: dict[str, Any] = {}
        self._sentenceLabels: dict[str, Any] = {}
        self._trusted: dict[str, tuple[str, str] | None] = {}
        self._found: dict[str, Sequence[str]] = {}
        self._against: dict[str, str] = {}

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The channels that have a selector, in the model's order."""
        return self._channels

    def selector(self, channel: str):
        """The qMRMLNodeComboBox of a channel."""
        return self._selectors[channel]

    def build(self, channels: Sequence[Channel], optional: bool = False) -> None:
        """Replace the selectors by one for each of `channels`; equal ones stay as they are.

        Args:
            optional: Whether rows may stay empty, which then leave a channel out.
        """
        if self._form is not None and (tuple(channels), optional) == (
            self._channels,
            self._optional,
        ):
            return
        if self._form is not None:
            self.release()
            self._layout.removeWidget(self._form)
            self._form.setParent(None)
            self._form.deleteLater()
        self._channels, self._optional = tuple(channels), optional
        self._form = qt.QWidget()
        layout = qt.QFormLayout(self._form)
        layout.setContentsMargins(0, 0, 0, 0)
        self._labels, self._trustLabels, self._sentenceLabels = {}, {}, {}
        self._trusted, self._found, self._against = {}, {}, {}
        self._selectors = {channel.name: self._addRow(layout, channel) for channel in channels}
        self._layout.addWidget(self._form)
        putInPlace(self._form)

    def release(self) -> None:
        """Let go of the scene, as before the widgets are deleted."""
        release(self._selectors.values())

    def volumes(self) -> dict[str, Any]:
        """Channel name to the chosen volume node, or None."""
        return {name: selector.currentNode() for name, selector in self._selectors.items()}

    def setVolumes(self, volumes: dict[str, Any]) -> None:
        """Choose volumes without calling `onChosen`."""
        for name, node in volumes.items():
            with signalsBlocked(self._selectors[name]):
                self._selectors[name].setCurrentNode(node)
        self.showTrust()

    def showTrust(self) -> None:
        """Say of every row how much speaks for its volume, which may have another name now."""
        for name in self._selectors:
            self._showTrust(name)

    def mark(
        self, channel: str, severity: str, sentences: Sequence[str], shown: Sequence[str]
    ) -> None:
        """Mark a row as green, amber or red and say why; the empty string takes the mark away.

        Args:
            sentences: What its tooltip says.
            shown: What is written below the row.
        """
        tip = _tip(next(known for known in self._channels if known.name == channel))
        label, text = self._labels[channel], f"{channel}:"
        if severity:
            sign, colour = MARKS[severity]
            text = f'<span style="color:{colour}">{sign}</span>&nbsp;{escape(text)}'
        label.text = text
        whole = "<br>".join(escape(sentence) for sentence in (*sentences, tip))
        for widget in (label, self._selectors[channel]):
            widget.toolTip = whole if sentences else tip
        self._found[channel] = shown
        self._showBelow(channel)

    def forget(self, node) -> None:
        """Leave the rows empty in which a volume is chosen that is about to go."""
        deselect(self._selectors.values(), node)

    def offerScansOnly(self, scene) -> None:
        """Leave heatmaps and other results out of the lists, and where they are chosen nothing."""
        volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode", scene)
        hide(self._selectors.values(), [node for node in volumes if not isScan(node)])

    def fillEmpty(self, scene, leftOut: Collection[str] = ()) -> bool:
        """Choose volumes by their names where none is chosen; returns whether any was.

        Args:
            leftOut: Names of channels whose rows stay empty if they may.
        """
        chosen = self.volumes()
        if all(node is not None for node in chosen.values()):
            return False
        found = matchVolumes(scene, self._channels, chosen)
        kept = leftOut if self._optional else ()
        matches = {name: node for name, node in found.items() if name not in kept}
        self.setVolumes(matches)
        return bool(matches)

    def problem(self) -> str:
        """One sentence on what is missing or wrong, or the empty string."""
        volumes = self.volumes()
        missing = [name for name, node in volumes.items() if node is None]
        if missing and not (self._optional and len(missing) < len(volumes)):
            return _("Choose the volume for {names}.").format(names=", ".join(missing))
        volumes = {name: node for name, node in volumes.items() if node is not None}
        for name, node in volumes.items():
            if not isScan(node):
                sentence = _("'{volume}' is not a scan but a result; choose another for {name}.")
                return sentence.format(volume=node.GetName(), name=name)
        names = list(volumes)
        for index, first in enumerate(names):
            for second in names[index + 1 :]:
                if volumes[first] is volumes[second]:
                    sentence = _("{first} and {second} are the same volume; choose another.")
                    return sentence.format(first=first, second=second)
        return ""

    def _addRow(self, layout, channel: Channel):
        selector = slicer.qMRMLNodeComboBox()
        selector.objectName = f"channelSelector_{channel.name}"
        selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
        selector.showChildNodeTypes = False
        selector.noneEnabled = True
        selector.addEnabled = False
        selector.removeEnabled = False
        selector.renameEnabled = False
        empty = _("Left out: no {name}") if self._optional else _("Select the {name} volume")
        selector.noneDisplay = empty.format(name=channel.name)
        selector.toolTip = _tip(channel)
        selector.setMRMLScene(slicer.mrmlScene)
        selector.connect(
            "currentNodeChanged(vtkMRMLNode*)", partial(self._onNodeChanged, channel.name)
        )
        label = self._labels[channel.name] = qt.QLabel(f"{channel.name}:")
        trust = self._trustLabels[channel.name] = qt.QLabel()
        row = qt.QHBoxLayout()
        row.addWidget(selector, 1)
        row.addWidget(trust)
        layout.addRow(label, row)
        below = self._sentenceLabels[channel.name] = qt.QLabel()
        below.objectName = f"channelSentence_{channel.name}"
        below.wordWrap = True
        below.textFormat = qt.Qt.PlainText
        below.visible = False
        layout.addRow(below)
        return selector

    def _onNodeChanged(self, name: str, *ignored) -> None:
        self._showTrust(name)
        self._onChosen(name)

    def _showTrust(self, name: str) -> None:
        """Say how much speaks for the volume in a row."""
        label, node = self._trustLabels[name], self._selectors[name].currentNode()
        shown = None if node is None else (node.GetID(), node.GetName())
        if self._trusted.get(name, ()) == shown:
            return
        self._trusted[name] = shown
        channel = next(known for known in self._channels if known.name == name)
        evidence = None if node is None else evidenceFor(node, channel, self._channels)
        level, reason = (evidence.level, evidence.reason) if evidence is not None else ("", "")
        label.text = TRUST.get(level, "")
        label.toolTip = escape(reason)
        label.accessibleName = reason
        self._against[name] = reason if level == AGAINST else ""
        self._showBelow(name)

    def _showBelow(self, name: str) -> None:
        """Write below a row what speaks against its volume, and what was found in its voxels."""
        below = self._sentenceLabels[name]
        below.text = " ".join(filter(None, (self._against.get(name), *self._found.get(name, ()))))
        below.visible = bool(below.text)


def _tip(channel: Channel) -> str:
    spellings = ", ".join(channel.aliases[:6])
    if not spellings:
        return _("The {name} scan of the patient.").format(name=channel.name)
    return _("The {name} scan of the patient, also known as {spellings}.").format(
        name=channel.name, spellings=spellings
    )
