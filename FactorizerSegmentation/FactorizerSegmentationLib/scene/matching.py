"""Which volume in the scene is which channel, by the volumes' names and studies."""

from __future__ import annotations

from collections.abc import Sequence

import slicer

from factorizer_engine.protocol.matching import channel_candidates
from factorizer_engine.protocol.models import Channel
from FactorizerSegmentationLib.scene.subjects import siblings
from FactorizerSegmentationLib.scene.volumes import isScan


def matchVolumes(
    scene, channels: Sequence[Channel], chosen: dict[str, object]
) -> dict[str, object]:
    """Volumes for the channels that have none, by name and from one study.

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
    """The volume of every channel that exactly one of the names speaks of."""
    byName = {_matchingName(node): node for node in nodes}
    candidates = channel_candidates([_matchingName(node) for node in nodes], channels)
    return {name: byName[found[0]] for name, found in candidates.items() if len(found) == 1}


def _matchingName(node) -> str:
    """The node's name without slashes, which would be read as folders."""
    return node.GetName().replace("/", " ").replace("\\", " ")
