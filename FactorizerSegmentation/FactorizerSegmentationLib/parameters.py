"""What the module remembers in the scene: one pack a panel, all in one parameter node."""

from typing import Annotated

from slicer import (
    vtkMRMLMarkupsFiducialNode,
    vtkMRMLMarkupsROINode,
    vtkMRMLPlotChartNode,
    vtkMRMLSegmentationNode,
    vtkMRMLTableNode,
)
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

from factorizer_engine.protocol.runs import Quality

CHANNEL_ROLE = "Channel."
"""Volumes are node references of the parameter node, with the channel's name after this."""

EARLIER = "EarlierStudy"
"""Segmentations of earlier studies are node references of this role, the oldest first."""

LEFT_OUT = "LeftOut."
"""Parameters of the parameter node, with the channel's name after this."""


@parameterNodeWrapper
class InputParameters:
    """What to run on what.

    Attributes:
        modelName: The chosen model.
        device: Where to compute: "auto", "cpu", "cuda", ...
        quality: How much work goes into a result, by the name of a `Quality`.
        boxed: Whether to look only inside `box`.
        box: Where to look.
        quickBox: Whether to lay the windows around the box.
        target: Segmentation that is updated inside the box; None makes a new one.
        prepared: Whether the scans are prepared first.
        brainMask: Segmentation that says what is brain; None looks for it.
        biasField: Whether slow changes of brightness are taken out of those with a skull.
    """

    modelName: str = ""
    device: str = "auto"
    quality: str = "balanced"
    boxed: bool = False
    box: vtkMRMLMarkupsROINode
    quickBox: bool = True
    target: vtkMRMLSegmentationNode
    prepared: bool = False
    brainMask: vtkMRMLSegmentationNode
    biasField: bool = True


@parameterNodeWrapper
class SegmentParameters:
    """The last result.

    Attributes:
        segmentation: The segments.
        lesionTable: The lesions.
        addingClicks, removingClicks: What the user has clicked to correct segments.
        scribbles: What the user has painted to correct them.
    """

    segmentation: vtkMRMLSegmentationNode
    lesionTable: vtkMRMLTableNode
    addingClicks: vtkMRMLMarkupsFiducialNode
    removingClicks: vtkMRMLMarkupsFiducialNode
    scribbles: vtkMRMLSegmentationNode


@parameterNodeWrapper
class ComponentsParameters:
    """What to look for inside the network, and how it is shown.

    Attributes:
        region: Region for which components are ranked; "" for any that was found.
        componentCount: How many components to show.
        heatmapOpacity: In percent.
        heatmapShownPart: Percent of the head that a heatmap colours.
        heatmapSmooth: Whether colours go smoothly from voxel to voxel.
        shownMap: What is shown of a component: "evidence" or "activity".
        evidenceColors, activityColors: Names of colour maps; "" for the usual ones.
        explainHere: Whether it is told what the model says under the mouse.
    """

    region: str = ""
    componentCount: Annotated[int, WithinRange(1, 20)] = 6
    heatmapOpacity: Annotated[float, WithinRange(0, 100)] = 60
    heatmapShownPart: Annotated[float, WithinRange(1, 100)] = 5
    heatmapSmooth: bool = True
    shownMap: str = "evidence"
    evidenceColors: str = ""
    activityColors: str = ""
    explainHere: bool = True


@parameterNodeWrapper
class ReportParameters:
    """What the report tells beside the measures.

    Attributes:
        words: The radiologist's own.
        explained: Whether it shows the components that are in the scene.
        seriesFolder: Where the DICOM series of the scan lies; "" leaves it to the database.
        intoDatabase: Whether DICOM objects go into Slicer's database, too.
        parametricMaps: Whether the heatmaps in the scene are among the DICOM objects.
    """

    words: str = ""
    explained: bool = True
    seriesFolder: str = ""
    intoDatabase: bool = True
    parametricMaps: bool = False


@parameterNodeWrapper
class FollowUpParameters:
    """The last comparison; the earlier studies are node references, see `EARLIER`.

    Attributes:
        laidOnto: Whether earlier scans are laid onto the last one.
        changes: What became of each lesion.
        chart: The volumes over time.
    """

    laidOnto: bool = True
    changes: vtkMRMLTableNode
    chart: vtkMRMLPlotChartNode


class Parameters:
    """The packs of a parameter node.

    Attributes:
        node: The vtkMRMLScriptedModuleNode.
        inputs, segment, components, report, followUp: The packs, by the names of their panels.
    """

    def __init__(self, node) -> None:
        self.node = node
        self.inputs = InputParameters(node)
        self.segment = SegmentParameters(node)
        self.components = ComponentsParameters(node)
        self.report = ReportParameters(node)
        self.followUp = FollowUpParameters(node)

    def readAgain(self) -> None:
        """Find the nodes that a scene file has brought after the parameter node.

        The packs remember what they have read, and read again only when that node says that it has
        changed, which it does not when a node comes to which it refers already.
        """
        self.node.Modified()


def chosenQuality(parameters: InputParameters) -> Quality:
    """How much work goes into a result; a scene file can hold anything."""
    name = parameters.quality
    return Quality(name) if name in tuple(Quality) else Quality.balanced


def channelVolume(parameters: InputParameters, channel: str):
    """The volume node chosen for a channel, or None."""
    return parameters.parameterNode.GetNodeReference(CHANNEL_ROLE + channel)


def isLeftOut(parameters: InputParameters, channel: str) -> bool:
    """Whether the user has emptied the row of a channel, which is not to be filled again."""
    return parameters.parameterNode.GetParameter(LEFT_OUT + channel) == "true"


def setLeftOut(parameters: InputParameters, channel: str, leftOut: bool) -> None:
    """Remember whether the user has emptied the row of a channel."""
    if isLeftOut(parameters, channel) != leftOut:
        parameters.parameterNode.SetParameter(LEFT_OUT + channel, "true" if leftOut else "")


def setChannelVolume(parameters: InputParameters, channel: str, volumeNode) -> None:
    """Remember the volume for a channel; None forgets it."""
    nodeId = volumeNode.GetID() if volumeNode is not None else None
    if parameters.parameterNode.GetNodeReferenceID(CHANNEL_ROLE + channel) != nodeId:
        parameters.parameterNode.SetNodeReferenceID(CHANNEL_ROLE + channel, nodeId)


def earlierStudies(parameters: FollowUpParameters) -> list:
    """The segmentation nodes of the earlier studies, the oldest first."""
    node = parameters.parameterNode
    found = [
        node.GetNthNodeReference(EARLIER, n) for n in range(node.GetNumberOfNodeReferences(EARLIER))
    ]
    return [item for item in found if item is not None]


def setEarlierStudies(parameters: FollowUpParameters, segmentationNodes: list) -> None:
    """Remember the segmentations of the earlier studies, the oldest first."""
    if earlierStudies(parameters) == segmentationNodes:
        return
    parameters.parameterNode.RemoveNodeReferenceIDs(EARLIER)
    for segmentationNode in segmentationNodes:
        parameters.parameterNode.AddNodeReferenceID(EARLIER, segmentationNode.GetID())
