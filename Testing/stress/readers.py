"""Files that libraries ship, and series written in many ways, held against other readers.

References are dcm2niix (Debian's package, or that of the Python index; left out where there is
none), SimpleITK and nibabel. What is read must have the voxels and the place that every reference
gives it which can read the file; what is not must be refused with the reason.
"""

from __future__ import annotations

import itertools
import random
import shutil
import subprocess
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.uid import MRImageStorage, RLELossless, generate_uid

from engine.dicom_writing import write_dicom
from engine.images.files.dicom_samples import compress, multi_frame, rescale
from factorizer_engine.images.files import read_scan
from factorizer_engine.images.files.dicom import is_dicom_file
from factorizer_engine.images.files.native_output import native_output_discarded
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.errors import EngineError
from module.geometry import orientation_affines, tilted
from stress.trial import Trial, is_plain

SHAPE = (24, 20, 6)
STACKED, DISTANCE = 4, 2.0
"""Copies of a single image that make a series, and their distance in mm."""
CLOSE = 1e-3
"""Millimetres, and part of a value."""

WRONG_ABOUT = {
    "J2K_pixelrep_mismatch.dcm": {"SimpleITK", "dcm2niix"},
    "rtdose_expb.dcm": {"SimpleITK", "dcm2niix"},
    **dict.fromkeys(("rtdose.dcm", "rtdose_rle.dcm", "6154", "6247", "6278"), {"dcm2niix"}),
}
"""References that are left out for a file. SimpleITK misreads 32 bits in big-endian order, and both
take the sign of compressed pixels from these rather than from the header, as pydicom does. dcm2niix
knows no offsets of the frames of a dose, and leaves it at that where low values are bright."""

COMPRESSED_FRAMES = tuple(f"multi-frame {packing}" for packing in ("RLE", "JPEG2000", "JPEGLS"))
"""What is left to SimpleITK: dcm2niix 1.0.20220720 unpacks the first frame only, and 1.0.20260724
does not sort them by their places."""


@dataclass(frozen=True)
class Volume:
    """What a reader makes of a file: voxels, and their affine to RAS mm."""

    array: np.ndarray
    affine: np.ndarray

    def canonical(self) -> Volume:
        """The same with axes as near to R, A, S as they come."""
        image = nib.Nifti1Image(np.asarray(self.array, np.float64), self.affine)
        turned = nib.as_closest_canonical(image)
        return Volume(turned.get_fdata(), turned.affine)


Reader = Callable[[Path], list[Volume]]
"""Gives the volumes in a file or folder, none where it cannot read it."""


def reader_trials(folder: Path, chance: random.Random) -> Iterator[Trial]:
    """Every file once."""
    warnings.simplefilter("ignore")
    compared: Counter[str] = Counter()
    dicom = {"SimpleITK": _itk_series}
    if shutil.which("dcm2niix"):
        dicom["dcm2niix"] = _dcm2niix
    else:
        print("dcm2niix is not installed; it is left out.")
    for path in _shipped(nib, (".nii", ".nii.gz", ".hdr", ".img")):
        yield _judged(path.name, path, {"nibabel": _nibabel, "SimpleITK": _itk}, compared)
    for name, series, padding in (*_stacks(folder), *_written(folder, chance)):
        by_itk = name.endswith(COMPRESSED_FRAMES)
        references = {"SimpleITK": _itk_series} if by_itk else dicom
        yield _judged(name, series, references, compared, padding)
    print(f"Held against {', '.join(f'{name} {n} times' for name, n in compared.items())}.")


def _judged(
    name: str,
    path: Path,
    references: dict[str, Reader],
    compared: Counter[str],
    padding: float | None = None,
) -> Trial:
    try:
        scan = read_scan(path)
    except EngineError as error:
        return Trial(name, True, "" if is_plain(str(error)) else str(error))
    except Exception as error:
        return Trial(name, False, repr(error))
    own, faults = Volume(scan.array, scan.affine).canonical(), []
    for title in references.keys() - WRONG_ABOUT.get(name, set()):
        volumes = [volume.canonical() for volume in references[title](path)]
        compared[title] += bool(volumes)
        differences = [_difference(own, volume, padding) for volume in volumes]
        if all(differences):
            faults += [f"{title}: {text}" for text in differences]
    return Trial(name, False, "; ".join(faults))


def _difference(own: Volume, other: Volume, padding: float | None) -> str:
    """In what two volumes differ, other than in padding and NaN; "" if in nothing."""
    if own.array.shape != other.array.shape:
        return f"{own.array.shape} voxels, not {other.array.shape}"
    if not np.allclose(own.affine, other.affine, atol=CLOSE):
        return f"it lies at {own.affine.tolist()}, not {other.affine.tolist()}"
    same = np.isclose(own.array, other.array, rtol=CLOSE, atol=CLOSE) | np.isnan(other.array)
    if padding is not None:
        same |= other.array == padding
    return "" if same.all() else f"{(~same).mean():.2%} of the voxels differ"


def _shipped(package: object, endings: tuple[str, ...]) -> list[Path]:
    root = Path(str(package.__file__)).parent  # type: ignore[attr-defined]
    return sorted(path for path in root.rglob("*") if path.name.endswith(endings))


def _stacks(folder: Path) -> Iterator[tuple[str, Path, float | None]]:
    """Every shipped DICOM image; a single one as a series of copies, packed as it was."""
    for number, path in enumerate(_shipped(pydicom, ("",)) + _shipped(nib, (".dcm",))):
        if not path.is_file() or not is_dicom_file(path):
            continue
        series = folder / f"shipped-{number}"
        series.mkdir()
        shutil.copy(path, series / "whole.dcm")
        data = pydicom.dcmread(path, force=True)
        if "PixelData" in data and not data.get("NumberOfFrames"):
            try:
                _stack(data, series)
            except Exception:  # what pydicom cannot write again stays as it is
                pass
            else:
                (series / "whole.dcm").unlink()
        yield path.name, series, _padding(data)


def _stack(data: pydicom.Dataset, series: Path) -> None:
    uid = generate_uid()
    if "ImagePositionPatient" not in data:  # no class of images with a place, perhaps
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = MRImageStorage
        data.Modality = "MR"
    axes = np.array(data.get("ImageOrientationPatient") or [1, 0, 0, 0, 1, 0], float)
    first = np.array(data.get("ImagePositionPatient") or [0, 0, 0], float)
    for index in range(STACKED):
        place = first + DISTANCE * index * np.cross(axes[:3], axes[3:])
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        data.SeriesInstanceUID, data.InstanceNumber = uid, index + 1
        data.ImageOrientationPatient = [f"{value:.9f}" for value in axes]
        data.ImagePositionPatient = [f"{value:.6f}" for value in place]
        data.PixelSpacing = data.get("PixelSpacing") or ["1.5", "1.2"]
        data.SliceThickness = data.SpacingBetweenSlices = DISTANCE
        data.save_as(series / f"{index}.dcm", enforce_file_format=True)


def _padding(data: pydicom.Dataset) -> float | None:
    """The value of padding after rescaling, which other readers take for the image's."""
    value = data.get("PixelPaddingValue")
    if value is None:
        return None
    slope, intercept = data.get("RescaleSlope") or 1, data.get("RescaleIntercept") or 0
    return float(value) * float(slope) + float(intercept)


def _written(folder: Path, chance: random.Random) -> Iterator[tuple[str, Path, None]]:
    """Series in 48 orientations, upright and oblique, one file a slice and all in one."""
    generator = np.random.default_rng(chance.randrange(2**32))
    packings = itertools.cycle(("plain", "RLE", "JPEG2000", "JPEGLS", "scaled"))
    upright = orientation_affines().items()
    for (name, affine), oblique, multi in itertools.product(upright, (0, 1), (0, 1)):
        array = generator.integers(0, 900, SHAPE).astype(np.int16)
        scan = Scan.of(array, (tilted() if oblique else np.eye(4)) @ affine, name)
        packing = next(packings)
        title = f"{name}{' oblique' * oblique}{' multi-frame' * multi} {packing}"
        series = folder / title.replace(" ", "-")
        series.mkdir()

        def change(data: pydicom.Dataset, packing: str = packing) -> None:
            _pack(data, packing, folder)

        if multi:
            data = multi_frame(scan)
            change(data)
            data.save_as(series / "a.dcm", enforce_file_format=True)
        else:
            write_dicom(series, scan, change=change)
        yield title, series, None


def _pack(data: pydicom.Dataset, packing: str, folder: Path) -> None:
    data.PixelRepresentation = 0
    if packing == "RLE":
        data.compress(RLELossless, generate_instance_uid=False)
    elif packing.startswith("JPEG"):
        compress(data, folder, packing)
    elif packing == "scaled" and "SharedFunctionalGroupsSequence" in data:
        data.SharedFunctionalGroupsSequence[0].update(rescale(0.5, -3))
    elif packing == "scaled":
        data.RescaleSlope, data.RescaleIntercept = 0.5, -3


def _nibabel(path: Path) -> list[Volume]:
    image = nib.load(path)
    return [Volume(np.squeeze(np.asanyarray(image.dataobj)), image.affine)]


def _itk(path: Path) -> list[Volume]:
    return _of_itk(lambda: sitk.ReadImage(str(path)))


def _itk_series(folder: Path) -> list[Volume]:
    def read() -> sitk.Image:
        files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
        return sitk.ReadImage(files if len(files) > 1 else files[0])

    return _of_itk(read)


def _of_itk(read: Callable[[], sitk.Image]) -> list[Volume]:
    try:
        with native_output_discarded():
            image = read()
    except (RuntimeError, IndexError):
        return []
    count = image.GetDimension()
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (count, count))[:3, :3]
    affine[:3, :3] *= image.GetSpacing()[:3]
    affine[:3, 3] = image.GetOrigin()[:3]
    array = sitk.GetArrayFromImage(image).T
    return [Volume(np.squeeze(array), np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine)]


def _dcm2niix(folder: Path) -> list[Volume]:
    output = folder.with_name(f"{folder.name}-converted")
    output.mkdir()
    options = ["-b", "n", "-z", "n", "-m", "n", "-p", "n", "-f", "%s", "-o", str(output)]
    command = ["dcm2niix", *options, str(folder)]
    subprocess.run(command, capture_output=True, timeout=60, check=False)
    return [volume for path in sorted(output.glob("*.nii")) for volume in _nibabel(path)]
