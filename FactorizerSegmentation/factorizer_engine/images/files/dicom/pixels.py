"""The pixels of DICOM images, as the numbers that they stand for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
from pydicom.pixels import apply_modality_lut
from pydicom.uid import UID, MRImageStorage

from factorizer_engine.images.files.dicom.headers import Slice, read_elements
from factorizer_engine.images.files.dicom.mosaics import mosaic_of
from factorizer_engine.images.files.itk_paths import plain_folder
from factorizer_engine.images.files.native_output import native_output_discarded
from factorizer_engine.protocol.errors import BadInputError

#: What says how stored values are packed; enough to decode them.
_PACKING = (
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelData",
)

_USUAL_PACKING = {
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2",
    "PixelRepresentation": 0,
}


def read_voxels(title: str, modality: str, slices: Sequence[Slice]) -> np.ndarray:
    """The values of images, float32 (columns, rows, slices).

    Stored values are rescaled as each frame says. Padding, which is no image, becomes 0, which
    counts as outside of the patient, or in CT the lowest value of the rest, which is air.

    Args:
        title: What to call the series in messages.
        modality: Such as "MR".
        slices: Images of one size.

    Raises:
        BadInputError: If a file is damaged, or compressed in an unknown way.
    """
    columns, rows = slices[0].shape
    volume = np.empty((len(slices), rows, columns), dtype=np.float32)
    padded = np.zeros(volume.shape, dtype=bool)
    places = defaultdict(list)
    for place, item in enumerate(slices):
        places[item.file].append(place)
    for file, own in places.items():
        frames = [slices[place].frame for place in own]
        volume[own], padded[own] = _read_frames(title, file, frames)
    if padded.any():
        air = np.min(volume, where=~padded, initial=np.inf) if modality == "CT" else 0.0
        volume[padded] = air if np.isfinite(air) else 0.0
    return volume.transpose(2, 1, 0)


def same_pixels(title: str, first: Slice, second: Slice) -> bool:
    """Whether two images show the same.

    Raises:
        BadInputError: If a file is damaged, or compressed in an unknown way.
    """
    values = [_read_frames(title, item.file, [item.frame])[0] for item in (first, second)]
    return bool(np.array_equal(values[0], values[1]))


def _read_frames(title: str, file: Path, frames: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Values (frames, rows, columns) and where they are padding."""
    compression = ""
    try:
        with file.open("rb") as opened:
            data = _with_usual_packing(read_elements(opened))
        compression = _compression(data)
        _check_bits(title, file, data)
        stored = _stored_values(data)[list(frames)]
        shown = _bright_where_high(data, stored)
        values = [_rescaled(data, frame, own) for frame, own in zip(frames, shown, strict=True)]
        return np.stack(values), _padding(data, stored)
    except (PermissionError, MemoryError, BadInputError):
        raise
    except Exception as error:  # decoders fail in many ways on broken data
        raise BadInputError(
            f"The DICOM series {title} is damaged or compressed in an unknown way ({file.name}"
            f"{compression}); export it again, without compression.",
            repr(error),
        ) from error


def _with_usual_packing(data: pydicom.Dataset) -> pydicom.Dataset:
    """The same with what files should say of their values, but which GDCM and Slicer do without."""
    for keyword, value in (*_USUAL_PACKING.items(), ("BitsStored", data.BitsAllocated)):
        if data.get(keyword) in (None, ""):
            setattr(data, keyword, value)
    return data


def _check_bits(title: str, file: Path, data: pydicom.Dataset) -> None:
    """Make sure that values are in the lowest bits, where ITK and Slicer look for them.

    Old devices put them into the highest; files that only say so are taken as they are.
    """
    bits = int(data.BitsStored)
    said = data.get("HighBit")
    if said in (None, "", bits - 1) or int(data.BitsAllocated) != 16 or _compression(data):
        return
    sign, pixels = 1 << (bits - 1), np.frombuffer(data.PixelData, "<u2").astype(np.int32)
    low = pixels & ((1 << bits) - 1)
    extended = ((low ^ sign) - sign) & 0xFFFF
    if not (np.array_equal(pixels, low) or np.array_equal(pixels, extended)):
        raise BadInputError(
            f"The DICOM series {title} has its values in the upper bits of its pixels "
            f"({file.name}), where ITK and Slicer do not look for them; export it again."
        )


def _compression(data: pydicom.Dataset) -> str:
    """The name of the compression behind a comma; "" if there is none."""
    syntax = UID(data.file_meta.TransferSyntaxUID)
    return f", {syntax.name}" if syntax.is_encapsulated else ""


def _stored_values(data: pydicom.Dataset) -> np.ndarray:
    """The numbers in the file, (frames, rows, columns), before they are rescaled."""
    syntax = UID(data.file_meta.TransferSyntaxUID)
    stored = _decompressed(data) if syntax.is_encapsulated else data.pixel_array
    frames = stored.reshape(-1, int(data.Rows), int(data.Columns))
    mosaic = mosaic_of(data)
    return mosaic.slices_of(frames[0]) if mosaic else frames


def _decompressed(data: pydicom.Dataset) -> np.ndarray:
    """What ITK, which knows all compressions, makes of the pixels if nothing says their scale."""
    bare = pydicom.Dataset()
    bare.file_meta = pydicom.dataset.FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = data.file_meta.TransferSyntaxUID
    bare.file_meta.MediaStorageSOPClassUID = bare.SOPClassUID = MRImageStorage
    bare.file_meta.MediaStorageSOPInstanceUID = bare.SOPInstanceUID = data.SOPInstanceUID
    for keyword in _PACKING:
        if keyword in data:
            bare[keyword] = data[keyword]
    if _is_negative(data):
        bare.add_new("PhotometricInterpretation", "CS", "MONOCHROME2")
    import SimpleITK as sitk  # neither needed nor waited for by others

    with plain_folder() as folder:
        path = Path(folder) / "image.dcm"
        bare.save_as(path, enforce_file_format=True)
        with native_output_discarded():  # decoders print what they think of a file
            return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def _bright_where_high(data: pydicom.Dataset, stored: np.ndarray) -> np.ndarray:
    """Stored values, turned around where low ones are to be shown bright, as ITK and Slicer do."""
    if not _is_negative(data) or stored.dtype.kind == "f":
        return stored
    is_signed = int(data.PixelRepresentation) == 1
    ends = -1 if is_signed else 2 ** int(data.BitsStored) - 1  # the sum of the lowest and highest
    turned: np.ndarray = ends - stored.astype(np.int64)
    return turned


def _is_negative(data: pydicom.Dataset) -> bool:
    return data.get("PhotometricInterpretation") == "MONOCHROME1"


def _rescaled(data: pydicom.Dataset, frame: int, stored: np.ndarray) -> np.ndarray:
    """The values of one frame, by its own rescaling, else what frames share, else the file's."""
    rule = _transformation(data, frame)
    if rule.get("ModalityLUTSequence"):
        return apply_modality_lut(stored, rule).astype(np.float32)
    slope = float(rule.get("RescaleSlope") or 1.0)  # 0 is no slope, though some write it
    intercept = float(rule.get("RescaleIntercept") or 0.0)
    if not np.isfinite((slope, intercept)).all():
        raise ValueError(f"values are rescaled by {slope} and {intercept}")
    if (slope, intercept) == (1.0, 0.0):
        return stored.astype(np.float32)
    return (stored * slope + intercept).astype(np.float32)


def _transformation(data: pydicom.Dataset, frame: int) -> pydicom.Dataset:
    frames = data.get("PerFrameFunctionalGroupsSequence") or []
    shared = data.get("SharedFunctionalGroupsSequence") or []
    for group in (*frames[frame : frame + 1], *shared):
        if group.get("PixelValueTransformationSequence"):
            return group.PixelValueTransformationSequence[0]
    return data


def _padding(data: pydicom.Dataset, stored: np.ndarray) -> np.ndarray:
    """Where stored values are padding: one value, or all from it to a second one."""
    kind = "Float" if stored.dtype.kind == "f" else ""
    kind = "DoubleFloat" if stored.dtype == np.float64 else kind
    value = data.get(f"{kind}PixelPaddingValue")
    if value is None:
        return np.zeros(stored.shape, dtype=bool)
    limit = data.get(f"{kind}PixelPaddingRangeLimit")
    ends = [value, value if limit is None else limit]
    if not kind:
        ends = [_as_stored(data, int(end)) for end in ends]
    return (stored >= min(ends)) & (stored <= max(ends))


def _as_stored(data: pydicom.Dataset, value: int) -> int:
    """The number whose bits are those of `value`; some files give it with the wrong sign."""
    bits = int(data.BitsStored)
    value %= 2**bits
    negative = int(data.PixelRepresentation) == 1 and value >= 2 ** (bits - 1)
    return value - 2**bits if negative else value
