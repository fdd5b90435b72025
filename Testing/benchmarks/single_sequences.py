"""One lesion in one sequence: the data of the interactive model for any lesion, made from others.

Every case is one sequence of a patient with one outline, in nnU-Net layout with one channel.
`training` holds gliomas: whole tumour in FLAIR and T1, tumour core in FLAIR and T1ce, enhancing
tumour and what it encloses in T1ce.
`training-near` holds these, and each of them again with voxels that are said to be 1.5 times as
large: a network of 1.5 mm learns from it what lesions look like with voxels of 1 mm.
`unseen` holds the five gliomas that no model has seen, with T2, too, which is not in `training`;
six lesions of multiple sclerosis, one by one and all together; a stroke; and, as a structure that
is no lesion, hippocampi. Run, in Testing:

    PYTHONPATH=../FactorizerSegmentation:. python -m benchmarks.single_sequences DATA OUTPUT

DATA holds `brats18`, `brats13`, `brats_ped`, `open_ms_mni`, `isles22` and `msd_hippocampus`.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import cc3d
import numpy as np

from factorizer_engine.images.files import read_scan, write_nifti
from factorizer_engine.images.scan import Scan

_UNSEEN = ("CBICA_AVG", "CBICA_AME", "TCIA01_378", "CBICA_AQT", "TCIA02_370")
"""The gliomas held out by `glioma-fast-split.json`, and the demo case."""

_GLIOMA: dict[str, tuple[int, dict[str, tuple[int, ...]]]] = {
    "FLAIR": (0, {"WT": (1, 2, 4), "TC": (1, 4)}),
    "T1": (1, {"WT": (1, 2, 4)}),
    "T1ce": (2, {"TC": (1, 4), "ET": (4,), "necrosis": (1,)}),
    "T2": (3, {"WT": (1, 2, 4)}),
}
_FEWEST_VOXELS = 30
"""Of an outline that is worth training on, at 1 mm."""

_NEARER = 1.5
_UNSEEN_SEQUENCE = "T2"
_MS = {"FLAIR": 0, "T1": 1, "T2": 3}
_MS_LESIONS = 6
_HIPPOCAMPI = 5


def main(data: Path, output: Path) -> None:
    """Write all of it."""
    for part in ("training", "unseen"):
        for name in ("imagesTr", "labelsTr"):
            (output / part / name).mkdir(parents=True, exist_ok=True)
        described = json.dumps({"channel_names": {"0": "scan"}, "labels": {"lesion": 1}})
        (output / part / "dataset.json").write_text(described, encoding="utf-8")
    _gliomas(data / "brats18", output)
    for other in ("brats13", "brats_ped"):
        _gliomas_by_folder(data / other, output / "training")
    _multiple_sclerosis(data / "open_ms_mni", output / "unseen")
    _stroke(data / "isles22", output / "unseen")
    _hippocampi(data / "msd_hippocampus", output / "unseen")
    _nearer(output / "training", output / "training-near")


def _gliomas(root: Path, output: Path) -> None:
    for path in sorted((root / "labelsTr").iterdir()):
        patient = path.name.removesuffix(".nii.gz")
        is_unseen = any(name in patient for name in _UNSEEN)
        part = output / ("unseen" if is_unseen else "training")
        label = read_scan(path)
        for sequence, (number, _) in _GLIOMA.items():
            if sequence != _UNSEEN_SEQUENCE or is_unseen:
                image = root / "imagesTr" / f"{patient}_{number:04d}.nii.gz"
                _outlines(part, patient, sequence, image, label)


def _gliomas_by_folder(root: Path, output: Path) -> None:
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        label = read_scan(folder / "seg.nii.gz")
        for sequence in _GLIOMA:
            image = folder / f"{sequence}.nii.gz"
            if sequence != _UNSEEN_SEQUENCE and image.is_file():
                _outlines(output, folder.name, sequence, image, label)


def _outlines(output: Path, patient: str, sequence: str, image: Path, label: Scan) -> None:
    for region, values in _GLIOMA[sequence][1].items():
        mask = np.isin(label.array, values)
        if mask.sum() >= _FEWEST_VOXELS:
            _write(output, f"{patient}-{sequence}-{region}", image, label, mask)


def _multiple_sclerosis(root: Path, output: Path) -> None:
    label = read_scan(root / "labelsTr" / "patient07.nii.gz")
    lesions = label.array > 0
    pieces = cc3d.connected_components(np.ascontiguousarray(lesions), connectivity=26)
    sizes = np.bincount(pieces.ravel())[1:]
    for sequence, number in _MS.items():
        image = root / "imagesTr" / f"patient07_{number:04d}.nii.gz"
        _write(output, f"ms-{sequence}-all", image, label, lesions)
        for place, piece in enumerate(np.argsort(-sizes)[:_MS_LESIONS], 1):
            _write(output, f"ms-{sequence}-{place}", image, label, pieces == piece + 1)


def _stroke(root: Path, output: Path) -> None:
    label_file = next((root / "derivatives").rglob("*_msk.nii.gz"))
    label = read_scan(label_file)
    for sequence in ("dwi", "adc"):
        image = next((root / "rawdata").rglob(f"*_{sequence}.nii.gz"))
        _write(output, f"stroke-{sequence.upper()}", image, label, label.array > 0)


def _hippocampi(root: Path, output: Path) -> None:
    for path in sorted((root / "labelsTr").glob("*.nii.gz"))[:_HIPPOCAMPI]:
        label = read_scan(path)
        image = root / "imagesTr" / path.name
        _write(output, path.name.removesuffix(".nii.gz"), image, label, label.array > 0)


def _nearer(training: Path, output: Path) -> None:
    shutil.copytree(training, output, dirs_exist_ok=True)
    for path in sorted((training / "labelsTr").iterdir()):
        name = path.name.removesuffix(".nii.gz")
        image = training / "imagesTr" / f"{name}_0000.nii.gz"
        near = output / "imagesTr" / f"{name}-near_0000.nii.gz"
        for source, target in ((image, near), (path, output / "labelsTr" / f"{name}-near.nii.gz")):
            scan = read_scan(source)
            larger = np.diag([_NEARER, _NEARER, _NEARER, 1.0]) @ scan.affine
            write_nifti(Scan.of(scan.array, larger), target)


def _write(output: Path, name: str, image: Path, label: Scan, mask: np.ndarray) -> None:
    shutil.copyfile(image, output / "imagesTr" / f"{name}_0000.nii.gz")
    outlined = label.with_array(mask.astype(np.uint8))
    write_nifti(outlined, output / "labelsTr" / f"{name}.nii.gz")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
