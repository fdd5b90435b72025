"""Maps of components as DICOM parametric maps, beside the series that was segmented."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import highdicom as hd
import numpy as np
from highdicom.pm import ParametricMap, RealWorldValueMapping
from highdicom.sr import CodedConcept
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from factorizer_engine.images.files.dicom.codes import codes_of
from factorizer_engine.images.files.dicom.derived import (
    MAKER,
    MANUFACTURER,
    SERIES_NUMBER,
    Algorithm,
    header_errors,
    on_planes,
    planes_to_lps,
    save_dicom,
)
from factorizer_engine.images.files.dicom.results import MODEL_OF_COMPONENT
from factorizer_engine.images.files.dicom.source import SourceSeries
from factorizer_engine.images.files.dicom.texts import short_text
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.models import Label
from factorizer_engine.protocol.tasks.export_dicom import ACTIVITY, EVIDENCE

_UNITS = {
    EVIDENCE: Code("{logit}/mL", "UCUM", "logits per millilitre"),
    ACTIVITY: Code("1", "UCUM", "no units"),
}


@dataclass(frozen=True, eq=False)
class ComponentVolume:
    """A map of a component that is to be exported.

    Attributes:
        scan: Its values.
        name: What the component is called.
        kind: EVIDENCE or ACTIVITY.
        number: Its place among the components, from 1.
        window: The range of values that is displayed.
    """

    scan: Scan
    name: str
    kind: str
    number: int
    window: tuple[float, float]

    @property
    def file_name(self) -> str:
        """The name that `factorizer components` gives it, too."""
        return f"{'component' if self.kind == ACTIVITY else self.kind}_{self.number}.dcm"


def write_parametric_maps(
    volumes: Sequence[ComponentVolume],
    labels: Sequence[Label],
    source: SourceSeries,
    folder: Path,
    algorithm: Algorithm = Algorithm(),  # noqa: B008 (it is frozen)
) -> list[Path]:
    """Write a file a map, all of one series of the study of `source`.

    Args:
        volumes: The maps.
        labels: What the model finds, and so where in the body.
        source: The series that was segmented.
        folder: Where the files are written.
        algorithm: The model whose components they are.

    Raises:
        BadInputError: If a map does not lie where the series does, or cannot be written.
    """
    series, paths = hd.UID(), []
    for place, volume in enumerate(volumes, start=1):
        made = make_parametric_map(volume, source, series, place, algorithm)
        _order_along_the_normal(made)
        _say_where_in_the_body(made, labels)
        paths.append(folder / volume.file_name)
        save_dicom(made, paths[-1])
    return paths


def make_parametric_map(
    volume: ComponentVolume,
    source: SourceSeries,
    series: str,
    instance: int,
    algorithm: Algorithm,
) -> ParametricMap:
    """A DICOM parametric map with the values as they are, in float32.

    The frames have the planes of the source where the map lies on its voxels, otherwise those of
    the map's own grid, in the source's frame of reference.

    Args:
        volume: The map.
        source: The series that was segmented.
        series: UID of the series that the map becomes a part of.
        instance: Its number there.
        algorithm: The model whose component it shows.

    Raises:
        BadInputError: If the map does not lie where the source does.
    """
    if volume.scan.grid.is_sheared:
        raise BadInputError("The axes of the heatmaps are not at right angles, as DICOM wants.")
    placed = on_planes(volume.scan, source)
    values = np.ascontiguousarray(placed.array.transpose(2, 1, 0), dtype=np.float32)
    low, high = volume.window
    mapping = RealWorldValueMapping(
        lut_label=volume.kind.upper(),
        lut_explanation=short_text(f"{volume.kind.capitalize()} of {volume.name}"),
        unit=_UNITS[volume.kind],
        value_range=(float(values.min()), float(values.max())),
        slope=1.0,
        intercept=0.0,
    )
    with header_errors(source, "parametric map"):
        return ParametricMap(
            source_images=list(source.headers),
            pixel_array=hd.Volume(
                values,
                planes_to_lps(placed.grid),
                coordinate_system="PATIENT",
                frame_of_reference_uid=source.frame_of_reference,
            ),
            series_instance_uid=series,
            series_number=SERIES_NUMBER + 2,
            sop_instance_uid=hd.UID(),
            instance_number=instance,
            **MAKER,
            contains_recognizable_visual_features=False,
            real_world_value_mappings=[mapping],
            voi_lut_transformations=[
                hd.VOILUTTransformation(
                    window_center=(low + high) / 2,
                    window_width=high - low,
                    voi_lut_function=hd.VOILUTFunctionValues.LINEAR_EXACT,  # for widths below 1
                )
            ],
            contributing_equipment=_model_of(algorithm),
            content_label=volume.kind.upper(),
            content_description=short_text(volume.name),
            series_description=short_text(f"Components on {source.title}"),
        )


def _model_of(algorithm: Algorithm) -> list[hd.ContributingEquipment] | None:
    """The model as what has processed the images: parametric maps have no other place for it."""
    if not algorithm.model:
        return None
    model = hd.ContributingEquipment(
        MANUFACTURER,
        codes.DCM.ProcessingEquipment,
        manufacturer_model_name=short_text(algorithm.model),
        software_versions=short_text(algorithm.version) or None,
        contribution_description=MODEL_OF_COMPONENT,
    )
    return [model]


def _order_along_the_normal(made: ParametricMap) -> None:
    """Turn the order of the frames around, in which highdicom goes against the planes' normal.

    The standard leaves the order free, but dcmqi, and so Slicer, takes frames to follow the normal.
    """
    frames = np.frombuffer(made.FloatPixelData, np.float32).reshape(made.NumberOfFrames, -1)
    made.FloatPixelData = frames[::-1].tobytes()
    groups = made.PerFrameFunctionalGroupsSequence
    groups.reverse()
    for number, group in enumerate(groups, start=1):
        group.FrameContentSequence[0].DimensionIndexValues = number


def _say_where_in_the_body(made: ParametricMap, labels: Sequence[Label]) -> None:
    """Add the functional group Frame Anatomy, without which dcmqi crashes."""
    regions = (codes_of(label).region for label in labels)
    region = next((region for region in regions if region is not None), codes.SCT.EntireBody)
    anatomy = Dataset()
    anatomy.AnatomicRegionSequence = [CodedConcept.from_code(region)]
    anatomy.FrameLaterality = "U"  # the head and the body are not paired
    made.SharedFunctionalGroupsSequence[0].FrameAnatomySequence = [anatomy]
