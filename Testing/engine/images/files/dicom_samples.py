"""Multi-frame DICOM images, and parts of them."""

from __future__ import annotations

from collections.abc import Sequence
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
