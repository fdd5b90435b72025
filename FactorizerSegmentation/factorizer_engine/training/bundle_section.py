"""The section of a training configuration about the model that becomes of the run."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from factorizer_engine.bundles.settings import Blending, FewerSettings
from factorizer_engine.training.section import Axis, Section, Shade


class InferenceSection(Section):
    """How a model is applied, see `bundles.settings.InferenceSettings`; windows as in training."""

    roi_size: tuple[int, int, int] | None = None
    overlap: float = Field(0.5, ge=0, lt=1)
    blending: Blending = "gaussian"
    mirror_axes: tuple[Axis, ...] = ()
    threshold: float = Field(0.5, gt=0, lt=1)


class PostprocessingSection(Section):
    """What is cleaned, in mL, see `bundles.settings.PostprocessingSettings`."""

    min_volume_ml: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    replace_small: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    min_fragment_ml: float = Field(0.0, ge=0)


class CascadeSection(Section):
    """How the model refines a coarser one, see `bundles.settings.CascadeSettings`."""

    threshold: float = Field(0.2, gt=0, lt=1)
    margin_mm: float = Field(12.0, ge=0)
    share: float = Field(0.5, gt=0, le=1)
    share_with_fewer: float | None = Field(None, gt=0, le=1)


class RegionSection(Section):
    """What users read about a region."""

    title: str


class LabelSection(Section):
    """What users see of a label: name, colour (0 to 255) and Slicer's terminology entry."""

    name: str | None = None
    color: tuple[Shade, Shade, Shade] | None = None
    terminology: str | None = None


class ClicksSection(Section):
    """How the model answers clicks, see `bundles.settings.PromptSettings`."""

    zooms: tuple[Annotated[float, Field(ge=0.25, le=8)], ...] = Field((1.0,), min_length=1)
    margin: float = Field(0.0, ge=0, allow_inf_nan=False)
    likeness: bool = False


class ExpectationsSection(Section):
    """What scans the model was made for, see `protocol.models.Expectations`; "" leaves it open."""

    modality: str = ""
    anatomy: str = ""
    skull: Literal["", "stripped", "present"] = ""


class BundleSection(Section):
    """What `export` writes about the model besides what the run itself knows.

    `changelog` says for this and earlier versions what was new; unset, this is the first version.
    `cascade` counts only if exported with a first stage, `fewer` only with networks that learned
    from studies which lack scans. A region counts as seen from a mean Dice of `seen_from` on.
    """

    family: str = "custom"
    version: str = "0.1.0"
    changelog: dict[str, str] = Field(default_factory=dict)
    title: str = ""
    description: str = ""
    licence: str = ""
    citations: tuple[str, ...] = ()
    channel_aliases: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    regions: dict[str, RegionSection] = Field(default_factory=dict)
    labels: dict[int, LabelSection] = Field(default_factory=dict)
    data_description: str = ""
    expected_seconds: dict[str, float] = Field(default_factory=dict)
    devices: tuple[str, ...] = ()
    expects: ExpectationsSection = ExpectationsSection()
    inference: InferenceSection = InferenceSection()
    postprocessing: PostprocessingSection = PostprocessingSection()
    cascade: CascadeSection = CascadeSection()
    fewer: FewerSettings = FewerSettings()
    clicks: ClicksSection = ClicksSection()
    seen_from: float = Field(0.6, ge=0, le=1)
