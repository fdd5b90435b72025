"""What a model bundle says, as one typed object.

Nothing here imports torch: listing and describing models stays quick.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from factorizer_engine.bundles.settings import (
    CascadeSettings,
    InferenceSettings,
    NetworkSpec,
    PostprocessingSettings,
    Preprocessing,
    PromptSettings,
)
from factorizer_engine.protocol.models import ModelDescription
from factorizer_engine.protocol.profiles import Profiles


@dataclass(frozen=True)
class Bundle:
    """A model: what goes in, what comes out, how, and with which weights.

    Attributes:
        description: What everybody knows of the model.
        preprocessing: How scans become network input.
        inference: How the network is applied.
        postprocessing: How regions are cleaned.
        network: The architecture.
        prompts: How its network reads clicks; None if it reads none.
        cascade: How it refines what the model `coarse` finds; None if it works alone.
        coarse: The first stage of a cascade, which lies in the bundle's folder of that name.
        profiles: What its components mean; None if that was not measured.
        weights: One file per ensemble member.
        storage: Keeps the temporary folder of an unpacked .zip alive as long as the bundle.
    """

    description: ModelDescription
    preprocessing: Preprocessing
    inference: InferenceSettings
    postprocessing: PostprocessingSettings
    network: NetworkSpec
    prompts: PromptSettings | None = None
    cascade: CascadeSettings | None = None
    coarse: Bundle | None = None
    profiles: Profiles | None = None
    weights: tuple[Path, ...] = ()
    storage: TemporaryDirectory[str] | None = field(default=None, repr=False, compare=False)
