"""Files to read, made by the libraries or by hand."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk

from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.models import Label

NEOPLASM = (
    "Segmentation category and type - 3D Slicer General Anatomy list"
    "~SCT^49755003^Morphologically Altered Structure~SCT^108369006^Neoplasm~^^"
    "~Anatomic codes - DICOM master list~SCT^12738006^Brain~^^"
)
LABELS = (
    Label(1, "Necrotic core", (200, 40, 40), NEOPLASM),
    Label(2, "Oedema", (255, 255, 0), NEOPLASM),
    Label(4, "Enhancing tumour", (0, 128, 255), NEOPLASM),
)


def save_nifti(scan: Scan, path: Path) -> None:
    image = nib.Nifti1Image(scan.array, scan.affine)
    image.set_qform(scan.affine, 1)
    nib.save(image, path)


def save_itk(scan: Scan, path: Path, compress: bool = False) -> None:
    image = sitk.GetImageFromArray(scan.array.transpose(2, 1, 0))
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ scan.affine
    image.SetSpacing(scan.spacing)
    image.SetOrigin(lps[:3, 3])
    image.SetDirection((lps[:3, :3] / scan.spacing).ravel())
    sitk.WriteImage(image, str(path), compress)


def nifti_bytes(shape=(4, 5, 6), data: bytes | None = None, **fields) -> bytes:
    """A NIfTI-1 file made by hand, so that headers that libraries refuse to write can be tried."""
    header = nib.Nifti1Header()
    header.set_data_shape(shape)
    header.set_data_dtype(np.int16)
    header["magic"], header["vox_offset"] = b"n+1", 352
    header["pixdim"][1:4] = 1
    for key, value in fields.items():
        header[key] = value
    if data is None:
        data = np.arange(np.prod(shape), dtype=np.int16).tobytes()
    return header.binaryblock + b"\0" * 4 + data
