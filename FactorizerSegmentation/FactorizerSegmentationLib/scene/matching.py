"""Which volume in the scene is which channel, by the volumes' studies, DICOM tags and names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import slicer
from slicer.i18n import tr as _

from factorizer_engine.protocol.matching import channel_candidates, guess_channel
from factorizer_engine.protocol.models import Channel
from factorizer_engine.protocol.sequences import sequence_named
from factorizer_engine.protocol.series import OTHER, Facts, is_computed, kind_of, rank_of
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
        kind = kind_of(facts)
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
    kinds = {node: kind_of(facts).name for node, facts in headers.items()}
    matches = {}
    for channel in channels:
        fitting = [byName[text] for text in candidates[channel.name]]
        sequence = sequence_named(channel.name)
        if sequence is not None:
            fitting = [node for node in fitting if node not in kinds]
            fitting += [node for node, kind in kinds.items() if kind == sequence]
        if len(fitting) == 1 or (fitting and all(node in headers for node in fitting)):
            matches[channel.name] = _best(fitting, headers)
    return matches


def _best(nodes: list, headers: Mapping[object, Facts]):
    """The best of volumes of one kind, see `rank_of`; of equals that which was loaded last."""

    def rank(node) -> tuple[bool, float]:
        facts = headers.get(node)
        computed = facts is not None and is_computed(facts, kind_of(facts).name)
        return rank_of(computed, max(node.GetSpacing()))

    return min(reversed(nodes), key=rank)


def _matchingName(node) -> str:
    """The node's name without slashes, which would be read as folders."""
    return node.GetName().replace("/", " ").replace("\\", " ")
