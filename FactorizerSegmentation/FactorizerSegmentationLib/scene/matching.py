"""Which volume in the scene is which channel, by the volumes' studies, DICOM tags and names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import slicer
import vtk
from slicer.i18n import tr as _

from factorizer_engine.protocol.matching import channel_candidates, guess_channel
from factorizer_engine.protocol.models import Channel
from factorizer_engine.protocol.sequences import sequence_named
from factorizer_engine.protocol.series import OTHER, Facts, Kind, Rank, kinds_of, rank_of
from FactorizerSegmentationLib.scene.dicom import factsOf
from FactorizerSegmentationLib.scene.subjects import siblings
from FactorizerSegmentationLib.scene.volumes import isScan

SURE, LIKELY, UNSURE, AGAINST = "sure", "likely", "unsure", "against"
"""How much speaks for a volume in a row: its header, its name only, nothing, or other ones."""


@dataclass(frozen=True)
class Evidence:
    """What speaks for or against a volume as the scan of a channel.

    Attributes:
        level: `SURE`, `LIKELY`, `UNSURE` or `AGAINST`.
        reason: In one sentence.
    """

    level: str
    reason: str


def evidenceFor(volumeNode, channel: Channel, channels: Sequence[Channel]) -> Evidence:
    """What the DICOM header and the name of a volume say about a channel among `channels`."""
    facts, sequence = factsOf(volumeNode), sequence_named(channel.name)
    if facts is not None and sequence is not None:
        kind = _kindsBeside(volumeNode)[volumeNode]
        if kind.name == sequence:
            reason = _("{name} by its DICOM header ({evidence}).")
            return Evidence(SURE, reason.format(name=channel.name, evidence=kind.evidence))
        looks = kind.evidence if kind.name == OTHER else f"{kind.name}: {kind.evidence}"
        reason = _("By its DICOM header it is not {name} ({evidence}).")
        return Evidence(AGAINST, reason.format(name=channel.name, evidence=looks))
    spoken = guess_channel(_matchingName(volumeNode), channels)
    if spoken == channel.name:
        return Evidence(LIKELY, _("{name} by its name.").format(name=channel.name))
    if spoken is not None:
        reason = _("Its name speaks of {other}, not of {name}.")
        return Evidence(AGAINST, reason.format(other=spoken, name=channel.name))
    reason = _("Neither a header nor the name says whether this is {name}.")
    return Evidence(UNSURE, reason.format(name=channel.name))


def matchVolumes(
    scene, channels: Sequence[Channel], chosen: dict[str, object]
) -> dict[str, object]:
    """Volumes for the channels that have none, by header or name, and from one study.

    Studies are tried apart, so that a follow-up is not mixed with its baseline: the study of a
    volume that is already chosen goes first, else the one that fills most channels.
    """
    taken = [node for node in chosen.values() if node is not None]
    studies: dict[int, list] = {}
    for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode", scene):
        if isScan(node):
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


def _clearMatches(nodes: list, channels: Sequence[Channel]) -> dict[str, object]:
    """The volume of every channel for which headers speak, else exactly one name.

    Where a header tells which of the usual sequences a volume is, its name does not count. Of
    several volumes that are a channel by their headers the best is taken.
    """
    byName = {_matchingName(node): node for node in nodes}
    candidates = channel_candidates([_matchingName(node) for node in nodes], channels)
    headers = {node: facts for node in nodes if (facts := factsOf(node)) is not None}
    kinds = _kinds(headers)
    matches = {}
    for channel in channels:
        fitting = [byName[text] for text in candidates[channel.name]]
        sequence = sequence_named(channel.name)
        if sequence is not None:
            fitting = [node for node in fitting if node not in kinds]
            fitting += [node for node, kind in kinds.items() if kind.name == sequence]
        if len(fitting) == 1 or (fitting and all(node in headers for node in fitting)):
            matches[channel.name] = _best(fitting, headers, kinds)
    return matches


def _kinds(headers: Mapping[object, Facts]) -> dict[object, Kind]:
    """Which sequence each volume of a study is, by their headers together."""
    return dict(zip(headers, kinds_of(list(headers.values())), strict=True))


def _kindsBeside(volumeNode) -> dict[object, Kind]:
    """The same of all volumes of the study of a volume."""
    study, scene = siblings(volumeNode), volumeNode.GetScene()
    nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode", scene)
    beside = [node for node in nodes if isScan(node) and siblings(node) == study]
    headers = {node: factsOf(node) for node in (volumeNode, *beside)}
    return _kinds({node: facts for node, facts in headers.items() if facts is not None})


def _isAxial(volumeNode) -> bool:
    """Whether the slices of a volume, its planes of constant k, stand across the patient."""
    directions = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASDirectionMatrix(directions)
    across = [abs(directions.GetElement(row, 2)) for row in range(3)]
    return max(across) == across[2]


def _best(nodes: list, headers: Mapping[object, Facts], kinds: Mapping[object, Kind]):
    """The best of volumes of one kind, see `rank_of`; of equals that which was loaded last."""

    def rank(node) -> Rank:
        kind = kinds[node].name if node in kinds else OTHER
        return rank_of(headers.get(node), kind, max(node.GetSpacing()), _isAxial(node))

    return min(reversed(nodes), key=rank)


def _matchingName(node) -> str:
    """The node's name without slashes, which would be read as folders."""
    return node.GetName().replace("/", " ").replace("\\", " ")
