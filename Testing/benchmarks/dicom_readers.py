"""Which library reads which kinds of DICOM series: `python -m benchmarks.dicom_readers`.

Every kind is written with pydicom from the shipped FLAIR and read by our reader, SimpleITK (GDCM),
highdicom and, where it is installed, dicom2nifti. *Right* is a reader that gives every volume of
the series, each with its values where they lie; *refused* one that gives nothing; *wrong* any
other.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import highdicom as hd
import nibabel as nib
import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.uid import RLELossless, generate_uid

from engine.dicom_writing import write_dicom
from engine.images.files.dicom_samples import compress, mosaic, multi_frame, rescale
from engine.images.files.test_dicom_parts import save_frames, setting
from factorizer_engine.images.files import read_scan
from factorizer_engine.images.files.dicom import list_series
from factorizer_engine.images.orientation import LPS_TO_RAS
from factorizer_engine.images.resampling import resample
from factorizer_engine.images.scan import Scan

FLAIR = (
    Path(__file__).parents[2]
    / "FactorizerSegmentation/Resources/SampleData/BrainTumour/FLAIR.nii.gz"
)

Written = list[Scan]
"""The volumes that a reader should find."""


def sample() -> Scan:
    """The shipped FLAIR, coarser and turned by 20 degrees, int16."""
    scan = read_scan(FLAIR)
    angle = np.radians(20)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    coarse = scan.affine @ np.diag([4.0, 4.0, 6.0, 1.0])
    return Scan.of(scan.array[::4, ::4, ::6].astype(np.int16), turn @ coarse, "FLAIR")


def classic(folder: Path) -> Written:
    """One file a slice."""
    write_dicom(folder, sample())
    return [sample()]


def own_slopes(folder: Path) -> Written:
    """As Philips writes them: other slopes in every file."""
    scan = sample()

    def change(data: pydicom.Dataset) -> None:
        data.RescaleSlope, data.RescaleIntercept = 0.5 * data.InstanceNumber, 10
        data.RescaleType = "normalized"

    write_dicom(folder, scan, change=change)
    slopes = 0.5 * np.arange(1, scan.shape[2] + 1)
    return [scan.with_array(scan.array * slopes + 10)]


def packed(how: str) -> Callable[[Path], Written]:
    """Compressed slices."""

    def write(folder: Path) -> Written:
        def change(data: pydicom.Dataset) -> None:
            data.PixelRepresentation = 0
            if how == "RLE":
                data.compress(RLELossless, generate_instance_uid=False)
            else:
                with tempfile.TemporaryDirectory() as other:
                    compress(data, Path(other), how)

        write_dicom(folder, sample(), change=change)
        return [sample()]

    return write


def tilted(folder: Path) -> Written:
    """A gantry that was tilted by 15 degrees."""
    scan = sample()
    along = (LPS_TO_RAS @ scan.affine)[:3, 1] / scan.spacing[1]
    step = np.tan(np.radians(15)) * scan.spacing[2]
    write_dicom(folder, scan, positions=lambda p: [o + along * step * i for i, o in enumerate(p)])
    affine = scan.affine.copy()
    affine[:3, 2] += step * scan.affine[:3, 1] / scan.spacing[1]
    return [Scan.of(scan.array, affine)]


def lacking(folder: Path) -> Written:
    """Two slices are missing; nothing right can be read."""
    write_dicom(folder, sample(), skip=(5, 6))
    return []


def copied(folder: Path) -> Written:
    """All files twice."""
    write_dicom(folder, sample())
    for path in list(folder.iterdir()):
        (folder / f"copy_{path.name}").write_bytes(path.read_bytes())
    return [sample()]


def parted(*changes: Callable[[pydicom.Dataset], object]) -> Callable[[Path], Written]:
    """Several volumes in one series."""

    def write(folder: Path) -> Written:
        scans = [
            sample().with_array(sample().array + np.int16(7 * number))
            for number in range(len(changes))
        ]
        write_together(folder, scans, changes)
        return scans

    return write


def write_together(
    folder: Path, scans: Sequence[Scan], changes: Sequence[Callable[[pydicom.Dataset], object]]
) -> None:
    """Write volumes into one series and one folder."""
    uid = generate_uid()
    for number, (scan, change) in enumerate(zip(scans, changes, strict=True)):
        write_dicom(folder / str(number), scan, uid=uid, change=change)
    for path in list(folder.glob("*/*")):
        path.rename(folder / f"{path.parent.name}_{path.name}")
    for part in folder.glob("*/"):
        part.rmdir()


def planes(folder: Path) -> Written:
    """Axial and coronal slices in one series."""
    scans = []
    for order in ((0, 1, 2), (0, 2, 1)):
        turn = np.eye(4)
        turn[:3, :3] = np.eye(3)[:, list(order)]
        scans.append(Scan.of(sample().array, turn @ np.diag([4.0, 4.0, 6.0, 1.0])))
    write_together(folder, scans, 2 * [lambda data: None])
    return scans


def enhanced(folder: Path) -> Written:
    """One multi-frame file, every frame with a slope of its own."""
    scan = sample()
    data = multi_frame(scan)
    count = scan.shape[2]
    for number, frame in enumerate(data.PerFrameFunctionalGroupsSequence):
        frame.update(rescale(1.0 + count - 1 - number, 0.0))
    folder.mkdir()
    data.save_as(folder / "enhanced.dcm", enforce_file_format=True)
    return [scan.with_array(scan.array * np.arange(1.0, count + 1))]


def enhanced_weightings(folder: Path) -> Written:
    """One multi-frame file with b = 0 and b = 1000."""
    folder.mkdir()
    save_frames(folder, sample(), "MRDiffusionSequence", "DiffusionBValue", (0.0, 1000.0))
    return [sample()]


def mosaics(folder: Path) -> Written:
    """All slices of a volume in one image, b = 0 and b = 1000, as Siemens writes them."""
    folder.mkdir()
    scans, uid = [], generate_uid()
    for b_value in (0, 1000):
        scans.append(sample().with_array(sample().array + np.int16(b_value)))
        data = mosaic(scans[-1], uid)
        data.DiffusionBValue = float(b_value)
        data.save_as(folder / f"{b_value}.dcm", enforce_file_format=True)
    return scans


def coloured(folder: Path) -> Written:
    """Three values a pixel; no scan of a model."""

    def change(data: pydicom.Dataset) -> None:
        data.SamplesPerPixel, data.PlanarConfiguration = 3, 0
        data.PhotometricInterpretation = "RGB"
        data.PixelData = np.repeat(np.frombuffer(data.PixelData, "<i2"), 3).tobytes()

    write_dicom(folder, sample(), change=change)
    return []


KINDS: dict[str, Callable[[Path], Written]] = {
    "one file a slice": classic,
    "a slope for every slice": own_slopes,
    "RLE": packed("RLE"),
    "JPEG 2000": packed("JPEG2000"),
    "JPEG-LS": packed("JPEGLS"),
    "tilted gantry": tilted,
    "two slices missing": lacking,
    "every file twice": copied,
    "b = 0 and 1000 (standard)": parted(
        *(setting(DiffusionBValue=float(b), AcquisitionNumber=1) for b in (0, 1000))
    ),
    "two echoes": parted(
        *(setting(EchoTime=time, EchoNumbers=n) for n, time in ((1, 20), (2, 80)))
    ),
    "magnitude and phase": parted(
        *(setting(ImageType=["ORIGINAL", "PRIMARY", kind]) for kind in "MP")
    ),
    "two acquisitions": parted(*(setting(AcquisitionNumber=number) for number in (1, 2))),
    "two planes": planes,
    "enhanced, a slope for every frame": enhanced,
    "enhanced, b = 0 and 1000": enhanced_weightings,
    "mosaics, b = 0 and 1000": mosaics,
    "colour": coloured,
}


def complete(folder: Path) -> None:
    """Give files what scanners write and some readers ask for."""
    for path in folder.iterdir():
        data = pydicom.dcmread(path)
        data.StudyInstanceUID, data.FrameOfReferenceUID = "1.2.3.4", "1.2.3.4.5"
        data.PatientID, data.Manufacturer = "1", data.get("Manufacturer", "Maker")
        if "InstanceNumber" not in data:
            data.InstanceNumber = data.SeriesNumber = 1
        data.save_as(path)


def with_own_reader(folder: Path) -> Iterator[Scan]:
    """Every series and part of this project's reader."""
    for series in list_series(folder):
        yield read_scan(folder, series=series.key)


def with_simpleitk(folder: Path) -> Iterator[Scan]:
    """As its documentation shows, by GDCM's series."""
    reader = sitk.ImageSeriesReader()
    for uid in reader.GetGDCMSeriesIDs(str(folder)):
        names = reader.GetGDCMSeriesFileNames(str(folder), uid)
        reader.SetFileNames(names)
        image = sitk.ReadImage(names[0]) if len(names) == 1 else reader.Execute()
        affine = np.eye(4)
        affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
        affine[:3, 3] = image.GetOrigin()
        yield Scan.of(sitk.GetArrayFromImage(image).T, LPS_TO_RAS @ affine)


def with_highdicom(folder: Path) -> Iterator[Scan]:
    """Volumes of a series, or of one multi-frame file."""
    paths = sorted(folder.iterdir())
    if len(paths) == 1:
        found = hd.imread(paths[0]).get_volume()
    else:
        found = hd.get_volume_from_series([pydicom.dcmread(path) for path in paths])
    yield Scan.of(found.array, LPS_TO_RAS @ found.affine)


def with_dicom2nifti(folder: Path) -> Iterator[Scan]:
    """NIfTI files; several volumes of one may lie along a fourth axis."""
    import dicom2nifti  # type: ignore[import-not-found]  # it need not be installed

    with tempfile.TemporaryDirectory() as output:
        dicom2nifti.convert_directory(folder, output, compression=False, reorient=False)
        for path in Path(output).iterdir():
            image = nib.Nifti1Image.from_filename(path)
            array = np.asarray(image.dataobj)
            for volume in np.moveaxis(array, 3, 0) if array.ndim == 4 else [array]:
                yield Scan.of(volume, image.affine)


READERS = {
    "own": with_own_reader,
    "SimpleITK": with_simpleitk,
    "highdicom": with_highdicom,
    "dicom2nifti": with_dicom2nifti,
}


def verdict(reader: Callable[[Path], Iterator[Scan]], folder: Path, written: Written) -> str:
    """Whether a reader gives what was written."""
    try:
        found = list(reader(folder))
    except Exception:  # every library has its own
        return "refused"
    if not found:
        return "refused"
    right = bool(written) and all(any(_alike(scan, own) for own in found) for scan in written)
    return "right" if right else "wrong"


def _alike(scan: Scan, other: Scan) -> bool:
    if scan.array.size != other.array.size or other.array.ndim != 3:
        return False
    placed = resample(Scan.of(other.array.astype(np.float32), other.affine), scan.grid, "nearest")
    return bool(np.allclose(placed.array, scan.array, atol=0.01))


def main() -> None:
    """Print the table."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    print(f"| series | {' | '.join(READERS)} |", f"|{'---|' * (1 + len(READERS))}", sep="\n")
    for kind, write in KINDS.items():
        with tempfile.TemporaryDirectory() as folder:
            study = Path(folder) / "study"
            written = write(study)
            complete(study)
            found = [verdict(read, study, written) for read in READERS.values()]
        print(f"| {kind} | {' | '.join(found)} |", flush=True)


if __name__ == "__main__":
    main()
