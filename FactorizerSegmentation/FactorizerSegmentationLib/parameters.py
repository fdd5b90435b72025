"""What the module remembers in the scene."""

from typing import Annotated

from slicer import vtkMRMLMarkupsROINode, vtkMRMLSegmentationNode, vtkMRMLTableNode
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

CHANNEL_ROLE = "Channel."
"""Volumes are node references of the parameter node, with the channel's name after this."""


@parameterNodeWrapper
class Parameters:
    """Choices and results, saved with the scene.

    Attributes:
        modelName: The chosen model.
        device: Where to compute: "auto", "cpu", "cuda", ...
        mirroring: Whether to average over mirrored copies.
        boxed: Whether to look only inside `box`.
        box: Where to look.
        quickBox: Whether to lay the windows around the box.
        target: Segmentation that is updated inside the box; None makes a new one.
        region: Region for which components are ranked; "" for any that was found.
        componentCount: How many components to show.
        heatmapOpacity: In percent.
        heatmapShownPart: Percent of the head that a heatmap colours.
        segmentation: The last result.
        lesionTable: Its lesions.
    """

    modelName: str = ""
    device: str = "auto"
    mirroring: bool = False
    boxed: bool = False
    box: vtkMRMLMarkupsROINode
    quickBox: bool = True
    target: vtkMRMLSegmentationNode
    region: str = ""
    componentCount: Annotated[int, WithinRange(1, 20)] = 6
    heatmapOpacity: Annotated[float, WithinRange(0, 100)] = 60
    heatmapShownPart: Annotated[float, WithinRange(1, 100)] = 5
    segmentation: vtkMRMLSegmentationNode
    lesionTable: vtkMRMLTableNode


def channelVolume(parameters: Parameters, channel: str):
    """The volume node chosen for a channel, or None."""
    return parameters.parameterNode.GetNodeReference(CHANNEL_ROLE + channel)


def setChannelVolume(parameters: Parameters, channel: str, volumeNode) -> None:
    """Remember the volume for a channel; None forgets it."""
    nodeId = volumeNode.GetID() if volumeNode is not None else None
    if parameters.parameterNode.GetNodeReferenceID(CHANNEL_ROLE + channel) != nodeId:
        parameters.parameterNode.SetNodeReferenceID(CHANNEL_ROLE + channel, nodeId)
