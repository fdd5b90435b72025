"""What a model bundle says, as one typed object.

Nothing here imports torch: listing and describing models stays quick. The network and its weights
are only touched by `Bundle.build_networks`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from factorizer_engine.bundles.settings import (
    InferenceSettings,
    NetworkSpec,
    PostprocessingSettings,
    Preprocessing,
)
from factorizer_engine.protocol.models import Channel, Label, Region

if TYPE_CHECKING:
    from torch import nn


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
