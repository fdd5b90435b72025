"""Classic DICOM series written from scans."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from factorizer_engine.images.scan import Scan

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

FRAME = "1.2.3.4.5.6"
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
STRAIGHT = np.array([[-1.0, 0, 0, 10.0], [0, -1.0, 0, 12.0], [0, 0, 3.0, -8.0], [0, 0, 0, 1.0]])


def write_dicom(
    folder: Path, scan: Scan, *, uid: str | None = None, description: str = "FLAIR", **options
) -> str:
    """Write a scan as one DICOM file per slice, in shuffled order; returns the series UID.

    Options: `number` of the series, `skip` (slice indices left out), `positions` (changes the list
    of positions in mm LPS), `change` (changes each data set before it is saved).
    """
    folder.mkdir(parents=True, exist_ok=True)
    uid = uid or generate_uid()
    affine = LPS_TO_RAS @ scan.affine
    count = scan.shape[2]
    positions = [affine[:3, 3] + affine[:3, 2] * index for index in range(count)]
    positions = options.get("positions", lambda p: p)(positions)
    for index in np.random.default_rng(0).permutation(count):
        if index in options.get("skip", ()):
            continue
        data = _data_set(scan, affine, int(index), positions[index])
        data.SeriesInstanceUID, data.SeriesDescription = uid, description
        data.SeriesNumber = options.get("number", 1)
        options.get("change", lambda d: None)(data)
        name = f"{uid[-6:]}_{(index * 10007) % count:03d}.dcm"
        data.save_as(folder / name, enforce_file_format=True)
    return uid


def _data_set(scan: Scan, affine: np.ndarray, index: int, position: np.ndarray) -> pydicom.Dataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = pydicom.Dataset()
    data.file_meta = meta
    data.SOPClassUID, data.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
    data.PatientName, data.PatientID, data.Modality = "Test^Case", "1", "MR"
    data.StudyInstanceUID, data.InstanceNumber = "1.2.3.4", index + 1
    data.Columns, data.Rows = scan.shape[:2]
    axes = affine[:3, :3] / np.asarray(scan.spacing)
    data.ImageOrientationPatient = [f"{v:.10f}" for v in (*axes[:, 0], *axes[:, 1])]
    data.ImagePositionPatient = [f"{v:.8f}" for v in position]
    data.PixelSpacing = [f"{scan.spacing[1]:.8f}", f"{scan.spacing[0]:.8f}"]
    data.SliceThickness = f"{scan.spacing[2]:.6f}"
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
    data.PixelRepresentation = 1
    data.PixelData = np.ascontiguousarray(scan.array[:, :, index].T.astype("<i2")).tobytes()
    return data
