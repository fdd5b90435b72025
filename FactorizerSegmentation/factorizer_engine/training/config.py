"""The training configuration: one readable YAML file, checked before anything else happens."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, ValidationError, field_validator, model_validator

from factorizer_engine.bundles.settings import Normalization, PromptSettings
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.names import is_portable
from factorizer_engine.training.base_model import completed_by_model
from factorizer_engine.training.bundle_section import BundleSection
from factorizer_engine.training.config_files import (
    fill_in_variables,
    leave_out,
    override,
    read_values,
)
from factorizer_engine.training.section import Axis, Millimetres, NonNegativeRange, Range, Section
from factorizer_engine.training.sentences import sentence_about


class DataSection(Section):
    """Where the cases are and what they mean.

    `channels`, `labels` and `regions` may be left out when the folder has a `dataset.json`.
    `regions` are unions of label values; each is one sigmoid output, in this order. Voxels of the
    value `ignore` (or of a label of that name, as in nnU-Net) count neither in the loss nor in
    scores. `needs` names the channels without each of which a region cannot be seen.

    Not all cases need have everything. They may lack the channels `may_lack`, which are zero then,
    and regions that need one of these are unknown. `unlabelled` names, by region, cases whose label
    does not tell of it, with * and ? as in a shell. What is unknown does not count in the loss.
    """

    root: str
    channels: tuple[str, ...] | None = None
    labels: dict[str, int] | None = None
    regions: dict[str, tuple[int, ...]] | None = None
    exclude: tuple[str, ...] = ()
    ignore: int | None = None
    needs: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    may_lack: tuple[str, ...] = ()
    unlabelled: dict[str, tuple[str, ...]] = Field(default_factory=dict)


class SplitSection(Section):
    """Which cases are trained on, selected on and never touched.

    `file` keeps the split; without a name it is `<name>-split.json` beside the configuration that
    is run, or one that is there already beside a configuration which that one extends. The cases of
    one patient stay together: `patient` is a regular expression for the part of a case's name that
    they share; unset, BIDS (`sub-01_ses-02`) and BraTS (`BraTS-GLI-00005-001`) are understood.
    """

    file: str = ""
    patient: str = r"(sub|BraTS-[A-Za-z]+)-[A-Za-z0-9]+(?![A-Za-z0-9])"
    folds: int = Field(5, ge=2)
    fold: int = Field(0, ge=0)
    seed: int = 42
    held_out: tuple[str, ...] = ()
    validation: tuple[str, ...] | None = None

    @field_validator("patient")
    @classmethod
    def _patient_is_an_expression(cls, patient: str) -> str:
        try:
            re.compile(patient)
        except re.error as error:
            raise ValueError(f"it is no regular expression ({error})") from error
        return patient

    @model_validator(mode="after")
    def _fold_exists(self) -> SplitSection:
        if self.fold >= self.folds:
            raise ValueError(f"fold {self.fold} does not exist among {self.folds} folds")
        return self


class PreprocessingSection(Section):
    """What happens to a scan before the network sees it, in training and in use."""

    spacing: tuple[Millimetres, Millimetres, Millimetres] | None = None
    orientation: str = "RAS"
    crop_margin: int = Field(10, ge=0)
    normalization: Normalization = "zscore_nonzero"


class NetworkSection(Section):
    """The network; `arguments` go to its constructor (see `run/networks.py`).

    It begins with the weights of another run (`pretrained`: its `best.pt` or `final.pt`) or of a
    `model` (its name or folder), from which comes, too, what the configuration leaves out
    (`base_model.py`); otherwise with random ones.
    """

    type: Literal["factorizer", "dynunet", "segresnet"] = "factorizer"
    arguments: dict[str, Any] = Field(default_factory=dict)
    pretrained: str | None = None
    model: str | None = None

    @model_validator(mode="after")
    def _one_beginning(self) -> NetworkSection:
        if self.pretrained and self.model:
            raise ValueError("'pretrained' and 'model' exclude each other; leave one out")
        return self


class AugmentationSection(Section):
    """Probabilities and ranges of the random changes made to every training window.

    `flip` mirrors along each of `flip_axes`, one independently of the other. Rotation in degrees
    (about each axis), `scale` and `intensity_scale` as +- fractions, `elastic_mm` the standard
    deviation of a smooth displacement. `misregistration` moves every channel but the first by up to
    so many mm and degrees. `head` puts a random head around stripped brains and normalises anew, as
    scans with a skull would be; windows then also lie further out. `lesions_of_others` puts the
    lesions of another training case into the window; `lesion_contrast` multiplies how much lesions
    differ from healthy tissue, and `healed` takes them away (`lesions.heal_lesions`).
    `sequence_dropout` leaves a random part of the channels (`sequences.random_absence`).
    `inversion` turns bright and dark around. For one channel and one region: `painted_lesions` puts
    a random lesion in place of the case's own as what is to be found, and `structures`, in that
    part of the other windows, any part that looks alike.
    """

    flip: float = Field(0.5, ge=0, le=1)
    flip_axes: tuple[Axis, ...] = (0, 1, 2)
    affine: float = Field(0.15, ge=0, le=1)
    rotation: float = Field(30.0, ge=0, le=180)
    scale: float = Field(0.3, ge=0, lt=1)
    elastic: float = Field(0.0, ge=0, le=1)
    elastic_mm: float = Field(4.0, ge=0)
    noise: float = Field(0.15, ge=0, le=1)
    noise_std: float = Field(0.1, ge=0)
    smoothing: float = Field(0.15, ge=0, le=1)
    smoothing_sigma: NonNegativeRange = (0.5, 1.5)
    intensity_scale: float = Field(0.15, ge=0, le=1)
    intensity_scale_range: float = Field(0.3, ge=0)
    shift: float = Field(0.15, ge=0, le=1)
    shift_range: float = Field(0.1, ge=0)
    gamma: float = Field(0.15, ge=0, le=1)
    gamma_range: NonNegativeRange = (0.7, 1.5)
    bias_field: float = Field(0.0, ge=0, le=1)
    bias_field_std: float = Field(0.2, ge=0)
    low_resolution: float = Field(0.0, ge=0, le=1)
    low_resolution_factor: NonNegativeRange = (1.0, 3.0)
    channel_dropout: float = Field(0.0, ge=0, le=1)
    misregistration: float = Field(0.0, ge=0, le=1)
    misregistration_mm: float = Field(2.0, ge=0)
    misregistration_degrees: float = Field(2.0, ge=0)
    head: float = Field(0.0, ge=0, le=1)
    lesions_of_others: float = Field(0.0, ge=0, le=1)
    lesion_contrast: float = Field(0.0, ge=0, le=1)
    lesion_contrast_range: Range = (0.4, 1.2)
    healed: float = Field(0.0, ge=0, le=1)
    sequence_dropout: float = Field(0.0, ge=0, le=1)
    inversion: float = Field(0.0, ge=0, le=1)
    painted_lesions: float = Field(0.0, ge=0, le=1)
    structures: float = Field(0.0, ge=0, le=1)


class InteractionSection(Section):
    """Clicks in training, by a simulated user; with `clicks` 0 the network learns none.

    Otherwise the network reads three more channels a region (`interaction.strokes`). A part `plain`
    of the windows comes without any click or segmentation; if it is 0, the model finds nothing by
    itself. In the others a user corrects up to `clicks` errors: of the network's own segmentation,
    for which it is asked again after some of them, or with probability `rough` of one that somebody
    else might have made. A part `empty` of these windows begins with nothing. `scribbles` is the
    part of lines among the clicks. The loss of what lies within `near_mm` of clicks is added to
    that of the window, times `near`.
    """

    clicks: int = Field(0, ge=0)
    plain: float = Field(0.2, ge=0, le=1)
    rough: float = Field(0.3, ge=0, le=1)
    empty: float = Field(0.0, ge=0, le=1)
    scribbles: float = Field(0.15, ge=0, le=1)
    radius_mm: float = Field(4.0, gt=0)
    near: float = Field(0.0, ge=0)
    near_mm: float = Field(12.0, gt=0)


class OptimizationSection(Section):
    """How the weights are found.

    `schedule: steps` anneals over `steps`; `schedule: time` anneals over `max_seconds` of training
    time (summed over resumed runs), however many steps that turns out to be. `clock: processor`
    counts the seconds that the process computes (all its threads together) in place of those on the
    wall: fair to networks that are compared on a CPU that has other work, too. `optimizer: muon` is
    Muon for matrices and AdamW for the other weights; it takes about five times AdamW's rates.
    `kernel_rate: voxel` moves kernels of n voxels sqrt(n) times less, see `optimizers.MuonAdamW`.
    """

    steps: int = Field(100_000, ge=1)
    max_seconds: float | None = Field(None, gt=0)
    schedule: Literal["steps", "time"] = "steps"
    clock: Literal["wall", "processor"] = "wall"
    batch_size: int = Field(2, ge=1)
    optimizer: Literal["adamw", "muon"] = "adamw"
    kernel_rate: Literal["matrix", "voxel"] = "matrix"
    learning_rate: float = Field(1e-4, gt=0)
    weight_decay: float = Field(1e-2, ge=0)
    warmup: float = Field(0.02, ge=0, lt=1)
    foreground: float = Field(0.67, ge=0, le=1)
    deep_supervision: tuple[Annotated[float, Field(ge=0)], ...] = (1.0, 0.5, 0.25)
    ema_decay: float = Field(0.999, ge=0, lt=1)
    clip_gradient: float = Field(12.0, gt=0)
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    gradient_checkpointing: bool = False

    @model_validator(mode="after")
    def _time_needs_a_budget(self) -> OptimizationSection:
        if self.schedule == "time" and self.max_seconds is None:
            raise ValueError("schedule 'time' needs 'max_seconds'")
        return self

    @model_validator(mode="after")
    def _kernel_rate_is_of_muon(self) -> OptimizationSection:
        if self.kernel_rate == "voxel" and self.optimizer != "muon":
            raise ValueError("kernel_rate 'voxel' needs 'optimizer: muon'")
        return self


class RunSection(Section):
    """What surrounds the loop.

    With `validation_subsets` of the channels, weights are chosen by the mean of the Dice with all
    channels and of that with each of these parts alone.
    """

    output: str = "runs/{name}"
    device: str = Field("auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")
    seed: int = 42
    threads: int | None = Field(None, ge=1)
    workers: int = Field(0, ge=0)
    cache: str | None = None
    first_validation: int = Field(50, ge=1)
    validate_every: int = Field(500, ge=1)
    validation_overlap: float = Field(0.5, ge=0, lt=1)
    validation_subsets: tuple[tuple[str, ...], ...] = ()
    checkpoint_every: int = Field(100, ge=1)
    log_every: int = Field(20, ge=1)

    @field_validator("output")
    @classmethod
    def _only_the_name_stands_in_braces(cls, output: str) -> str:
        try:
            output.format(name="")
        except (AttributeError, LookupError, ValueError) as error:
            raise ValueError("nothing but {name} may stand in braces") from error
        return output


class TrainingConfig(Section):
    """Everything that defines a run; a copy is kept beside its results."""

    name: str
    window: tuple[PositiveInt, PositiveInt, PositiveInt]
    data: DataSection
    split: SplitSection = SplitSection()
    preprocessing: PreprocessingSection = PreprocessingSection()
    network: NetworkSection = NetworkSection()
    augmentation: AugmentationSection = AugmentationSection()
    interaction: InteractionSection = InteractionSection()
    optimization: OptimizationSection = OptimizationSection()
    run: RunSection = RunSection()
    bundle: BundleSection = BundleSection()

    @field_validator("name")
    @classmethod
    def _the_name_is_that_of_a_folder(cls, name: str) -> str:
        if not is_portable(name):
            raise ValueError(
                "it becomes the name of a folder, so it may not be a path, nor a name that Windows "
                "cannot keep"
            )
        return name

    @model_validator(mode="after")
    def _clicks_need_a_voxel_size(self) -> TrainingConfig:
        if self.interaction.clicks and self.preprocessing.spacing is None:
            raise ValueError("interaction.clicks needs preprocessing.spacing")
        return self

    @model_validator(mode="after")
    def _healing_mirrors_sides(self) -> TrainingConfig:
        if self.augmentation.healed and self.preprocessing.orientation[:1] not in ("L", "R"):
            raise ValueError(
                "augmentation.healed needs an orientation that begins with L or R, such as RAS"
            )
        return self

    @property
    def prompts(self) -> PromptSettings | None:
        """How clicks become input of the network; None if it learns none."""
        section, answer = self.interaction, self.bundle.clicks
        if section.clicks == 0:
            return None
        return PromptSettings(section.radius_mm, answer.zooms, answer.margin, answer.likeness)

    @property
    def by_clicks(self) -> bool:
        """Whether the network never learns what to find before the first click."""
        return self.interaction.clicks > 0 and self.interaction.plain == 0

    def prompt_channels(self, regions: int) -> int:
        """Channels that the network reads beside those of the scans."""
        return self.prompts.channels(regions) if self.prompts is not None else 0

    def differences(self, other: TrainingConfig) -> list[str]:
        """Keys that decide the course of a run and differ, such as "optimization.steps".

        Where data, split and results lie, what is logged and what is told of the model do not.
        """
        own, others = self._deciding(), other._deciding()
        return sorted(key for key in own | others if own.get(key) != others.get(key))

    def _deciding(self) -> dict[str, str]:
        """As text, since the order of regions counts."""
        kept = self.model_dump(
            mode="json",
            include={
                "data": True,
                "split": True,
                "preprocessing": True,
                "network": True,
                "augmentation": True,
                "interaction": True,
                "optimization": True,
                "run": {"seed"},
            },
            exclude={"data": {"root"}, "split": {"file"}},
        )
        found = {f"{name}.{key}": str(value) for name in kept for key, value in kept[name].items()}
        return {"window": str(self.window), **found}

    @property
    def output(self) -> Path:
        """Folder of the run's results."""
        return Path(self.run.output.format(name=self.name))

    @property
    def cache(self) -> Path:
        """Folder of the pre-processed cases."""
        return Path(self.run.cache) if self.run.cache else self.output / "cache"


def load_config(
    path: str | Path,
    data: str | Path | None = None,
    output: str | Path | None = None,
    trains: bool = True,
) -> TrainingConfig:
    """Read and check a configuration.

    `extends: OTHER.yaml` takes everything from another configuration but the keys that are written
    here, section by section. Relative `data.root`, `split.file`, `network.pretrained` and
    `network.model` are taken from the folder of the file that names them; environment variables in
    them are filled in.

    Args:
        path: YAML file (or the `config.json` of a run).
        data: Takes the place of `data.root`.
        output: Takes the place of `run.output`.
        trains: Whether a run shall begin; `network.pretrained` is left out otherwise, so that
            nobody need have these weights to look at data or texts.

    Raises:
        BadInputError: If the file cannot be read or says something impossible.
        BadModelError: If `network.model` does not exist or is damaged.
    """
    path = Path(path)
    values = read_values(path)
    override(values, "data", "root", data)
    override(values, "run", "output", output)
    if not trains:
        leave_out(values, "network", "pretrained")
    fill_in_variables(values)
    try:
        return TrainingConfig.model_validate(completed_by_model(values))
    except ValidationError as error:
        raise BadInputError(sentence_about(path.name, error), str(error)) from error
