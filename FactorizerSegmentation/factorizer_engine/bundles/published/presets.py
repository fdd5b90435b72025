"""What the published Factorizer networks do not store with their weights.

Settings of the networks in Ashtari et al. (MedIA 84:102706, 2023), of the ISLES'22 challenge entry
that DeepISLES ships, and of the authors' two MONAI bundles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from factorizer_engine.bundles.settings import Blending, InferenceSettings, Preprocessing
from factorizer_engine.protocol import conventions
from factorizer_engine.protocol.models import Channel, Label, Region


@dataclass(frozen=True)
class Preset:
    """One published network.

    Attributes:
        name: How the preset is called.
        title: Name for people.
        family: What it segments.
        channels: Possible lists of inputs, in network order.
        regions: Outputs, in network order.
        labels: Values of the label map.
        preprocessing: How scans become network input.
        blending: How overlapping windows are joined.
        network: Settings of the network that tensors do not tell.
        fingerprint: Settings that tensors do tell, by which the network is recognised.
        is_legacy: Whether the keys are those of versions before today's.
        advice: What the scans must be like, or "".
    """

    name: str
    title: str
    family: str
    channels: tuple[tuple[Channel, ...], ...]
    regions: tuple[Region, ...]
    labels: tuple[Label, ...]
    preprocessing: Preprocessing
    blending: Blending
    network: Mapping[str, Any]
    fingerprint: Mapping[str, Any] = field(default_factory=dict)
    is_legacy: bool = True
    advice: str = ""

    def channels_for(self, count: int) -> tuple[Channel, ...] | None:
        """The list of `count` inputs, or None if the published network had no such variant."""
        return next((names for names in self.channels if len(names) == count), None)

    def matches(self, settings: Mapping[str, Any], is_legacy: bool) -> bool:
        """Whether a checkpoint with these settings looks like the published network."""
        return (
            is_legacy == self.is_legacy
            and self.channels_for(settings["in_channels"]) is not None
            and settings["out_channels"] == len(self.regions)
            and all(settings.get(name) == value for name, value in self.fingerprint.items())
        )

    def inference(self, roi_size: tuple[int, int, int]) -> InferenceSettings:
        """Sliding-window settings; all published networks use an overlap of one half."""
        return InferenceSettings(roi_size, 0.5, self.blending)


def _channels(*names: str) -> tuple[Channel, ...]:
    return tuple(conventions.channel(name) for name in names)


_GLIOMA_1MM = {"head_dim": 8, "patch_size": 8, "spatial_size": [128, 128, 128]}
_STROKE_2MM = {"patch_size": 4, "spatial_size": [64, 64, 64]}

_ALL = (
    Preset(
        name="brats-paper",
        title="Glioma (paper)",
        family="glioma",
        channels=(_channels("FLAIR", "T1", "T1ce", "T2"),),
        regions=conventions.glioma_regions(),
        labels=conventions.glioma_labels(),
        preprocessing=Preprocessing((1.0, 1.0, 1.0)),
        blending="constant",
        network={"reshape": "SWMatricize", "shifts": [None, 4]},
        fingerprint=_GLIOMA_1MM,
    ),
    Preset(
        name="isles22-paper",
        title="Ischaemic stroke (paper)",
        family="stroke",
        channels=(_channels("DWI", "ADC"), _channels("DWI", "ADC", "FLAIR")),
        regions=conventions.stroke_regions(),
        labels=conventions.stroke_labels(),
        preprocessing=Preprocessing((2.0, 2.0, 2.0)),
        blending="constant",
        network={"reshape": "SWMatricize", "shifts": [None, 2]},
        fingerprint={"head_dim": 4, **_STROKE_2MM},
    ),
    Preset(
        name="isles22-challenge",
        title="Ischaemic stroke (ISLES'22 challenge)",
        family="stroke",
        channels=(_channels("DWI", "ADC", "FLAIR"),),
        regions=conventions.stroke_regions(),
        labels=conventions.stroke_labels(),
        preprocessing=Preprocessing((2.0, 2.0, 2.0)),
        blending="constant",
        network={"reshape": "SWMatricize", "shifts": [None, 1, 2, 3]},
        fingerprint={"head_dim": 8, **_STROKE_2MM},
        advice="The FLAIR must be registered to the DWI.",
    ),
    Preset(
        name="brats23",
        title="Glioma (BraTS 2023)",
        family="glioma",
        channels=(_channels("T1", "T1ce", "T2", "FLAIR"),),
        regions=conventions.glioma_regions(3),
        labels=conventions.glioma_labels(3),
        preprocessing=Preprocessing((1.0, 1.0, 1.0), crop_margin=10),
        blending="gaussian",
        network={"reshape": "SWMatricize", "shifts": [None, 2, 4, 6]},
        fingerprint=_GLIOMA_1MM,
        is_legacy=False,
    ),
    Preset(
        name="isles22",
        title="Ischaemic stroke (ISLES'22)",
        family="stroke",
        channels=(_channels("DWI", "ADC"),),
        regions=conventions.stroke_regions(),
        labels=conventions.stroke_labels(),
        preprocessing=Preprocessing((2.0, 2.0, 2.0), crop_margin=10),
        blending="gaussian",
        network={"reshape": "SWMatricize", "shifts": [None, 1, 2, 3]},
        fingerprint={"head_dim": 8, **_STROKE_2MM},
        is_legacy=False,
    ),
)
PRESETS: Mapping[str, Preset] = {preset.name: preset for preset in _ALL}
