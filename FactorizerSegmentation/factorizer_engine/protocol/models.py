"""What models take and give: channels in, regions and labels out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from factorizer_engine.protocol.messages import Message
from factorizer_engine.protocol.places import ModelPath


@dataclass(frozen=True)
class Channel(Message):
    """One input channel; bundles list them in network order.

    Attributes:
        name: The name shown to users and accepted on the command line, such as "FLAIR".
        aliases: Other spellings that file and series names use, lower case.
    """

    name: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Region(Message):
    """One sigmoid output of the network; bundles list them in network order.

    Attributes:
        name: Short name, such as "WT".
        label: Value painted into the label map where the region holds.
        title: Name for people, such as "Whole tumour".
        order: Regions are painted in ascending order, so an inner region covers the one around it;
            those of equal order exclude each other, and the likeliest holds.
        around: Names of the regions that it lies in. None, as usual: in all of a lower order. It is
            told where some lie beside each other, as a spleen beside a liver with a tumour.
    """

    name: str
    label: int
    title: str
    order: int = 0
    around: tuple[str, ...] | None = None

    def lies_in(self, other: Region) -> bool:
        """Whether all of it is part of another region."""
        if self.around is None:
            return self.order > other.order
        return other.name in self.around


@dataclass(frozen=True)
class Label(Message):
    """One value of the label map.

    Attributes:
        value: The voxel value.
        name: Name for people.
        color: Red, green and blue, 0 to 255.
        terminology: Slicer's coded terminology entry (seven parts joined by "~"), or "".
    """

    value: int
    name: str
    color: tuple[int, int, int]
    terminology: str = ""


@dataclass(frozen=True)
class Subset(Message):
    """A part of a model's channels, and what the model can do with it alone.

    Attributes:
        channels: Names of the channels, in network order.
        regions: Names of the regions that can be seen; without any, the part is not enough.
        dice: Mean Dice of regions, where it was measured.
        cases: On how many cases.
        unseen: Whether neither training nor the choice of weights knew any of these.
    """

    channels: tuple[str, ...]
    regions: tuple[str, ...]
    dice: dict[str, float] = field(default_factory=dict)
    cases: int = 0
    unseen: bool = True


@dataclass(frozen=True)
class Expectations(Message):
    """What scans a model was made for, so that others can be told apart before a run.

    Attributes:
        modality: As in DICOM, such as "MR"; "" leaves it open.
        anatomy: Such as "brain"; "" leaves it open.
        skull: "stripped" or "present" for heads; "" if both will do.
    """

    modality: str = ""
    anatomy: str = ""
    skull: str = ""

    @property
    def brain_mr(self) -> bool:
        """Whether what is known of MR scans of the brain holds."""
        return self.modality == "MR" and self.anatomy == "brain"


@dataclass(frozen=True)
class ModelDescription(Message):
    """A model, as everybody speaks of it: panel, command line, engine, card and report.

    Attributes:
        name: Unique name, such as "glioma-fast".
        version: Version of the model.
        family: What it segments; a family name picks the best installed model for the device.
        title: Name for people.
        summary: What it does, in one or two sentences.
        channels: Inputs in network order.
        regions: Outputs in network order.
        labels: Values of the label map.
        path: Its folder.
        expected_seconds: Kind of device ("cpu", "cuda", "mps") to typical seconds for one case.
        devices: Kinds of device on which the model is a good choice; empty means all.
        expects: What scans it was made for.
        notes: What had to be assumed because the model's files do not say it.
        card: The model card, Markdown.
        subsets: Parts of the channels that are told of, all channels included; a model without any
            needs all of its channels.
        by_clicks: Whether it finds nothing by itself, and outlines what is clicked on.
    """

    name: str
    version: str
    family: str
    title: str
    summary: str
    channels: tuple[Channel, ...]
    regions: tuple[Region, ...]
    labels: tuple[Label, ...]
    path: ModelPath = Path()
    expected_seconds: dict[str, float] = field(default_factory=dict)
    devices: tuple[str, ...] = ()
    expects: Expectations = Expectations()
    notes: tuple[str, ...] = ()
    card: str = ""
    subsets: tuple[Subset, ...] = ()
    by_clicks: bool = False
