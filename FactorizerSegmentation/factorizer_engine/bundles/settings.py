"""How a model is applied, as typed settings. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Normalization = Literal["zscore_nonzero", "zscore", "none"]
Blending = Literal["gaussian", "constant"]


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
        sweeps: Sweeps T of every factorisation, in place of those of the training; None leaves
            them.
        short_circuits: Blocks such as "decoder.3.0" whose factorisation passes on what it gets.
    """

    roi_size: tuple[int, int, int]
    overlap: float = 0.5
    blending: Blending = "gaussian"
    mirror_axes: tuple[int, ...] = ()
    threshold: float = 0.5
    sweeps: int | None = None
    short_circuits: tuple[str, ...] = ()


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
class PromptSettings:
    """How clicks and scribbles become input channels, of networks that were trained with them.

    Attributes:
        radius_mm: Of the ball that stands for a point.
        zooms: How much larger the window around a click is than the network's, with voxels and
            balls as much larger; the logits of several are averaged. Those below 1 see finer
            voxels, and answer in place of the others where what is clicked on is small.
        margin: Logits by which the threshold is moved at the click's own place beyond what makes
            the click win, see `interaction.thresholding`.
        likeness: Whether what looks like the click counts beside the network's answer, see
            `interaction.regression`; fitted to networks that outline one lesion in one scan.
    """

    radius_mm: float = 4.0
    zooms: tuple[float, ...] = (1.0,)
    margin: float = 0.0
    likeness: bool = False

    @property
    def finest(self) -> float:
        """How much larger than the network's the smallest voxels are, 1 at most."""
        return min(1.0, *self.zooms)

    @staticmethod
    def channels(regions: int) -> int:
        """Input channels that follow those of the scans: three for every region."""
        return 3 * regions


@dataclass(frozen=True)
class CascadeSettings:
    """How a model looks again, more finely, at what a coarser model found.

    Coarse to fine as in the cascade of nnU-Net (Isensee et al., Nature Methods 18:203, 2021), but
    with the finer network independent of the coarser one's answer, and the logits of both averaged.

    Attributes:
        threshold: Probability of any region, by the coarser model, from which voxels are looked at
            again.
        margin_mm: How far around them.
        share: Of the finer model in the averaged logits, above 0 to 1.
        share_with_fewer: The same where scans are missing and other networks of the coarser model
            answer, which learned from such studies as the finer one may not have; None if it is
            the same.
    """

    threshold: float = 0.2
    margin_mm: float = 12.0
    share: float = 0.5
    share_with_fewer: float | None = None


@dataclass(frozen=True)
class SecondLook:
    """A part of the channels with which networks look twice, the second time at fewer of them.

    Attributes:
        given: The part.
        seen: What they see of it in the second look; the logits of both looks are averaged.
    """

    given: tuple[str, ...]
    seen: tuple[str, ...]


@dataclass(frozen=True)
class FewerSettings:
    """Which networks answer where scans are missing, of a model with networks that learned that.

    Those answer alone for every part of the channels but the ones named first. Whoever answers sees
    zeros in place of what is missing.

    Attributes:
        own: Parts for which the networks that answer for all channels are better by themselves.
        both: Parts for which the logits of all networks are averaged.
        again: Parts for which those that learned it look twice.
    """

    own: tuple[tuple[str, ...], ...] = ()
    both: tuple[tuple[str, ...], ...] = ()
    again: tuple[SecondLook, ...] = ()


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
