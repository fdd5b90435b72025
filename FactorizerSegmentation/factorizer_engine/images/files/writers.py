"""Writing results: NIfTI and Slicer segmentations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import SimpleITK as sitk

from factorizer_engine.images.geometry import SHEAR_TOLERANCE
from factorizer_engine.images.orientation import LPS_TO_RAS
from factorizer_engine.images.preprocessing import foreground_box
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.files import written_atomically

if TYPE_CHECKING:
    from factorizer_engine.protocol.models import Label


def write_nifti(scan: Scan, path: str | Path) -> None:
    """Write a scan as NIfTI-1, compressed if the name ends with .nii.gz.

    The sform (code 1, scanner) holds the affine. So does the qform, with the same code, unless axes
    are sheared, which it cannot express; its code is 0 then. Voxels keep their type, but for those
    that not every NIfTI reader knows: boolean becomes uint8, float16 float32, and 64-bit integers
    become int32, or float64 where that is too small.

    Raises:
        BadInputError: If the name ends otherwise or the file cannot be written.
    """
    path = Path(path)
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        raise BadInputError(f"{path.name} must end with .nii or .nii.gz.")
    image = nib.Nifti1Image(_portable(scan.array), None)
    image.header.set_xyzt_units("mm")
    image.set_sform(scan.affine, code=1)
    cosines = scan.affine[:3, :3] / np.asarray(scan.spacing)
    sheared = np.abs(cosines.T @ cosines - np.eye(3)).max() > SHEAR_TOLERANCE
    image.set_qform(scan.affine, code=0 if sheared else 1)
    with written_atomically(path) as temporary:
        nib.save(image, temporary)


def _portable(array: np.ndarray) -> np.ndarray:
    """The array in a type that all NIfTI readers know."""
    if array.dtype == np.bool_:
        return array.astype(np.uint8)
    if array.dtype == np.float16:
        return array.astype(np.float32)
    if array.dtype in (np.int64, np.uint64):
        limits = np.iinfo(np.int32)
        if array.size and (array.min() < limits.min or array.max() > limits.max):
            return array.astype(np.float64)
        return array.astype(np.int32)
    return array


def write_seg_nrrd(
    labelmap: Scan, labels: Sequence[Label], path: str | Path, reference_name: str = ""
) -> None:
    """Write a label map as a Slicer segmentation: names, colours and coded terminology.

    One layer, with the label map's own grid as reference geometry, and one segment per label, even
    without a voxel; its identifier tells the value ("Label_4"), so that a later run can be matched.

    Args:
        labelmap: Integer voxels.
        labels: What the values mean.
        path: Where to write; must end with .seg.nrrd.
        reference_name: The scan that was segmented; kept as a remark.

    Raises:
        BadInputError: If the name ends otherwise or the file cannot be written.
    """
    path = Path(path)
    if not path.name.lower().endswith(".seg.nrrd"):
        raise BadInputError(f"{path.name} must end with .seg.nrrd.")
    array = labelmap.array
    kind = np.uint8 if max((label.value for label in labels), default=0) < 256 else np.uint16
    image = sitk.GetImageFromArray(array.astype(kind, copy=False).transpose(2, 1, 0))
    lps = LPS_TO_RAS @ labelmap.affine
    image.SetSpacing(labelmap.spacing)
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / np.asarray(labelmap.spacing)).ravel().tolist())
    for key, value in _segmentation_fields(labelmap, reference_name).items():
        image.SetMetaData(key, value)
    extents = _extents(array, [label.value for label in labels])
    for index, label in enumerate(labels):
        for key, value in _segment_fields(label, extents[label.value]).items():
            image.SetMetaData(f"Segment{index}_{key}", value)
    with written_atomically(path) as temporary:
        sitk.WriteImage(image, str(temporary), useCompression=True)


def _segmentation_fields(labelmap: Scan, reference_name: str) -> dict[str, str]:
    """What vtkMRMLSegmentationStorageNode keeps about a whole segmentation."""
    geometry = ";".join(f"{number:.15g}" for number in labelmap.affine.ravel())
    extent = ";".join(f"0;{count - 1}" for count in labelmap.shape)
    fields = {
        "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segmentation_ReferenceImageExtentOffset": "0 0 0",
        "Segmentation_ConversionParameters": f"Reference image geometry|{geometry};{extent};|&",
    }
    if reference_name:
        fields["Segmentation_ReferenceName"] = _one_line(reference_name)
    return fields


def _segment_fields(label: Label, extent: str) -> dict[str, str]:
    """What vtkMRMLSegmentationStorageNode keeps about one segment."""
    tags = ["Segmentation.Status:inprogress"]
    if label.terminology:
        tags.append(f"TerminologyEntry:{_one_line(label.terminology)}")
    return {
        "ID": f"Label_{label.value}",
        "Name": _one_line(label.name),
        "NameAutoGenerated": "0",
        "Color": " ".join(f"{component / 255:.6g}" for component in label.color),
        "ColorAutoGenerated": "0",
        "LabelValue": str(label.value),
        "Layer": "0",
        "Extent": extent,
        "Tags": "|".join(tags) + "|",
    }


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _extents(array: np.ndarray, values: Sequence[int]) -> dict[int, str]:
    """First and last voxel of every value along i, j and k, as Slicer writes them."""
    extents = {}
    for value in values:
        box = foreground_box([array == value], margin=0) or [slice(0, 0)] * 3
        extents[value] = " ".join(f"{line.start} {line.stop - 1}" for line in box)
    return extents
