"""Multi-frame DICOM images and mosaics, and parts of them."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.uid import generate_uid

from factorizer_engine.images.scan import Scan


def multi_frame(scan: Scan, indices: Sequence[int] | None = None) -> pydicom.Dataset:
    """An enhanced MR image with slices of a scan, by default all from last to first."""
    indices = list(reversed(range(scan.shape[2]))) if indices is None else list(indices)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ scan.affine
    axes = lps[:3, :3] / np.asarray(scan.spacing)
    data = pydicom.Dataset()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = pydicom.uid.EnhancedMRImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    data.SOPClassUID = pydicom.uid.EnhancedMRImageStorage
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID
    data.SeriesInstanceUID, data.SeriesDescription, data.Modality = generate_uid(), "T2", "MR"
    data.Columns, data.Rows, data.NumberOfFrames = *scan.shape[:2], len(indices)
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
    orientation, measures = pydicom.Dataset(), pydicom.Dataset()
    orientation.ImageOrientationPatient = [f"{v:.10f}" for v in (*axes[:, 0], *axes[:, 1])]
    measures.PixelSpacing = [f"{scan.spacing[1]:.8f}", f"{scan.spacing[0]:.8f}"]
    measures.SliceThickness = f"{scan.spacing[2]:.6f}"
    shared = pydicom.Dataset()
    shared.PlaneOrientationSequence = [orientation]
    shared.PixelMeasuresSequence = [measures]
    data.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for index in indices:
        place, frame = pydicom.Dataset(), pydicom.Dataset()
        place.ImagePositionPatient = [f"{v:.8f}" for v in lps[:3, 3] + lps[:3, 2] * index]
        frame.PlanePositionSequence = [place]
        frames.append(frame)
    data.PerFrameFunctionalGroupsSequence = frames
    pixels = scan.array[:, :, indices].transpose(2, 1, 0).astype("<i2")
    data.PixelData = np.ascontiguousarray(pixels).tobytes()
    return data


def plain_frames(scan: Scan) -> pydicom.Dataset:
    """Many frames in a file of which only the first has a place, as before enhanced images."""
    data = multi_frame(scan, range(scan.shape[2]))
    shared, first = data.SharedFunctionalGroupsSequence[0], data.PerFrameFunctionalGroupsSequence[0]
    data.update(shared.PlaneOrientationSequence[0])
    data.update(shared.PixelMeasuresSequence[0])
    data.update(first.PlanePositionSequence[0])
    del data.SharedFunctionalGroupsSequence, data.PerFrameFunctionalGroupsSequence
    return data


def rescale(slope: float, intercept: float) -> pydicom.Dataset:
    """What says of one frame, or of all, how its values are scaled."""
    rule, group = pydicom.Dataset(), pydicom.Dataset()
    rule.RescaleSlope, rule.RescaleIntercept, rule.RescaleType = slope, intercept, "US"
    group.PixelValueTransformationSequence = [rule]
    return group


def compress(data: pydicom.Dataset, folder: Path, compressor: str) -> None:
    """Compress the pixels in place, with ITK's encoder."""
    values = data.pixel_array.reshape(-1, data.Rows, data.Columns)
    path = folder / "compressed.dcm"
    writer = sitk.ImageFileWriter()
    writer.SetFileName(str(path))
    writer.UseCompressionOn()
    writer.SetCompressor(compressor)
    writer.Execute(sitk.GetImageFromArray(values))
    other = pydicom.dcmread(path)
    path.unlink()
    assert other.file_meta.TransferSyntaxUID.is_encapsulated
    data.file_meta.TransferSyntaxUID = other.file_meta.TransferSyntaxUID
    data["PixelData"] = other["PixelData"]
    for keyword in ("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"):
        setattr(data, keyword, other[keyword].value)


def mosaic(scan: Scan, series: str, downwards: bool = False) -> pydicom.Dataset:
    """A volume as Siemens' echo-planar sequences write it: its slices as tiles of one image.

    Its place is that of a plain image of the mosaic's size with the first slice in its middle, and
    only the private header (CSA) says how many slices there are, and on which side they follow.

    Args:
        scan: Slices follow in the direction of their normal, or against it if they go `downwards`.
        series: Series Instance UID.
        downwards: See there.
    """
    columns, rows, count = scan.shape
    across = int(np.ceil(np.sqrt(count)))
    tiles = np.zeros((across**2, rows, columns), "<i2")
    tiles[:count] = scan.array.transpose(2, 1, 0)
    tiles = tiles.reshape(across, across, rows, columns).swapaxes(1, 2)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ scan.affine
    axes = lps[:3, :3] / np.asarray(scan.spacing)
    outwards = lps[:3, :2] @ (np.array([columns, rows]) * (across - 1) / 2)
    data = multi_frame(scan, [0])
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = pydicom.uid.MRImageStorage
    del data.NumberOfFrames, data.PerFrameFunctionalGroupsSequence
    shared = data.SharedFunctionalGroupsSequence[0]
    del data.SharedFunctionalGroupsSequence
    data.update(shared.PlaneOrientationSequence[0])
    data.update(shared.PixelMeasuresSequence[0])
    data.ImageType = ["ORIGINAL", "PRIMARY", "DIFFUSION", "NONE", "ND", "MOSAIC"]
    data.SeriesInstanceUID, data.SeriesDescription = series, "ep2d_diff"
    data.Manufacturer = "SIEMENS"
    data.Rows, data.Columns = across * rows, across * columns
    data.ImagePositionPatient = [f"{v:.8f}" for v in lps[:3, 3] - outwards]
    data.SpacingBetweenSlices = f"{scan.spacing[2]:.8f}"
    data.PixelData = np.ascontiguousarray(tiles).tobytes()
    normal = np.cross(axes[:, 0], axes[:, 1]) * (-1 if downwards else 1)
    private = data.private_block(0x29, "SIEMENS CSA HEADER", create=True)
    fields = {"NumberOfImagesInMosaic": [count], "SliceNormalVector": normal.tolist()}
    private.add_new(0x10, "OB", csa_header(fields))
    return data


def csa_header(fields: Mapping[str, Sequence[float]]) -> bytes:
    """The private header of Siemens, version 2, see nibabel's "Siemens format DICOM"."""
    header = b"SV10\4\3\2\1" + struct.pack("<2I", len(fields), 77)
    for name, values in fields.items():
        kind = b"US" if isinstance(values[0], int) else b"FD"
        header += struct.pack("<64si4s3i", name.encode(), len(values), kind, 0, len(values), 77)
        for value in values:
            text = str(value).encode() if kind == b"US" else f"{value:.8f}".encode()
            text += b"\0" * (-len(text) % 4)
            header += struct.pack("<4i", len(text), len(text), 77, len(text)) + text
    return header
