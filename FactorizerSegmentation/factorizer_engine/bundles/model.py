"""What a model bundle says, as typed objects.

Nothing here imports torch: listing and describing models stays quick. The network and its weights
are only touched by `NetworkSpec.build` and `Bundle.build_networks`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import nn

Normalization = Literal["zscore_nonzero", "zscore", "none"]
Blending = Literal["gaussian", "constant"]


@dataclass(frozen=True)
class Channel:
    """One input channel; bundles list them in network order.

    Attributes:
        name: The name shown to users and accepted on the command line, such as "FLAIR".
        aliases: Other spellings that file and series names use, lower case.
    """

    name: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Region:
    """One sigmoid output of the network; bundles list them in network order.

    Attributes:
        name: Short name, such as "WT".
        label: Value painted into the label map where the region holds.
        title: Name for people, such as "Whole tumour".
        order: Regions are painted in ascending order, so an inner region covers the one around it;
            those of equal order exclude each other, and the likeliest holds.
    """

    name: str
    label: int
    title: str
    order: int = 0


@dataclass(frozen=True)
class Label:
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
class Preprocessing:
    """How scans become network input.

    Attributes:
        spacing: Voxel size of the model space in mm, or None to keep the reference scan's.
        orientation: Axis codes of the model space, such as "RAS".
        crop_margin: Voxels kept around the foreground bounding box.
        normalization: Per channel: z-score over nonzero voxels, over all voxels, or nothing.
    """

    spacing: tuple[float, float, float] | None = (1.0, 1.0, 1.0)
    orientation: str = "RAS"
    crop_margin: int = 0
    normalization: Normalization = "zscore_nonzero"


@dataclass(frozen=True)
class InferenceSettings:
    """How the network is slid over the prepared volume.

    Attributes:
        roi_size: Window in voxels of the model space.
        overlap: Fraction of a window shared with its neighbour, 0 to below 1.
        blending: Weight of a window's voxels where windows overlap.
        mirror_axes: Spatial axes along which predictions are also made mirrored and averaged.
        threshold: Probability from which a region holds.
    """

    roi_size: tuple[int, int, int]
    overlap: float = 0.5
    blending: Blending = "gaussian"
    mirror_axes: tuple[int, ...] = ()
    threshold: float = 0.5


@dataclass(frozen=True)
class PostprocessingSettings:
    """How regions are cleaned before they are painted, and labels after it.

    Attributes:
        min_volume_ml: Per region name: connected pieces smaller than this are removed.
        replace_small: Per region name: when all of the region together is smaller than this many
            mL, it is not painted, so the region around it shows (enhancing tumour becomes core).
        min_fragment_ml: Pieces of a label smaller than this that touch other labels, such as
            slivers along the edge of an inner region, become part of what they touch most.
    """

    min_volume_ml: Mapping[str, float] = field(default_factory=dict)
    replace_small: Mapping[str, float] = field(default_factory=dict)
    min_fragment_ml: float = 0.0


@dataclass(frozen=True)
class NetworkSpec:
    """A network as plain data.

    Attributes:
        target: Name of the network class, such as "Factorizer".
        arguments: Keyword arguments as JSON-like values. Classes are written by name ("ReLU",
            "NMF"); a class with preset arguments is the pair ["SWMatricize", {"head_dim": 8}].
    """

    target: str
    arguments: Mapping[str, Any]

    def build(self) -> nn.Module:
        """The network with fresh weights.

        Raises:
            BadModelError: If the target or an argument is not one that bundles may name.
        """
        from factorizer_engine.bundles.architecture import build_network

        return build_network(self)


@dataclass(frozen=True)
class Bundle:
    """A model: what goes in, what comes out, how, and with which weights.

    Attributes:
        path: The bundle's folder.
        name: Unique name, such as "glioma-fast".
        version: Version of the model.
        family: What it segments; a family name picks the best installed bundle for the device.
        title: Name for people.
        description: One or two sentences.
        channels: Inputs in network order.
        regions: Outputs in network order.
        labels: Values of the label map.
        preprocessing: How scans become network input.
        inference: How the network is applied.
        postprocessing: How regions are cleaned.
        network: The architecture.
        weights: One file per ensemble member.
        card: The model card (Markdown).
        expected_seconds: Device kind ("cpu", "cuda", "mps") to typical seconds for one case.
        devices: Device kinds on which the model is a good choice; empty means all.
        notes: What had to be assumed because the bundle or checkpoint does not say it.
        storage: Keeps the temporary folder of an unpacked .zip alive as long as the bundle.
    """

    path: Path
    name: str
    version: str
    family: str
    title: str
    description: str
    channels: tuple[Channel, ...]
    regions: tuple[Region, ...]
    labels: tuple[Label, ...]
    preprocessing: Preprocessing
    inference: InferenceSettings
    postprocessing: PostprocessingSettings
    network: NetworkSpec
    weights: tuple[Path, ...]
    card: str = ""
    expected_seconds: Mapping[str, float] = field(default_factory=dict)
    devices: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    storage: object = field(default=None, repr=False, compare=False)

    def build_networks(self, device: str = "cpu") -> list[nn.Module]:
        """One network per weights file, in evaluation mode, on `device`.

        Raises:
            BadModelError: If weights are missing, damaged or do not fit the network.
        """
        from factorizer_engine.bundles.architecture import build_networks

        return build_networks(self, device)
