"""Labelled cases as small files, to be sent to a machine that is lent for minutes.

    python -m device.pack /data/brats18 packed --megabytes 20 --without Brats18_TCIA02_370_1

Scans are cropped to what is not zero and rounded to 8 bits. What comes out are folders `part-1`,
`part-2`, ... in the layout of MSD and nnU-Net, each small enough for one transfer.
"""

from __future__ import annotations

import argparse
import gzip
import sys
from collections.abc import Sequence
from pathlib import Path

import nibabel
import numpy as np

from factorizer_engine.training.config import DataSection
from factorizer_engine.training.data.dataset import Case, open_dataset

_MARGIN = 2  # voxels around the brain
_BRIGHTEST = 99.9  # percentile that becomes 255; what is brighter is rare, and becomes 255, too


def pack(cases: Sequence[Case], output: Path, most_bytes: int) -> list[Path]:
    """Write cases into as few folders of at most `most_bytes` as their order allows.

    Args:
        cases: With all images on the label's grid.
        output: Folder of the parts.
        most_bytes: Of a part, unless a single case has more.

    Returns:
        The parts.
    """
    parts: list[Path] = []
    size = most_bytes
    for case in cases:
        files = _packed(case)
        bytes_of_case = sum(len(content) for content in files.values())
        if size + bytes_of_case > most_bytes:
            parts.append(output / f"part-{len(parts) + 1}")
            size = 0
        size += bytes_of_case
        for name, content in files.items():
            path = parts[-1] / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return parts


def _packed(case: Case) -> dict[str, bytes]:
    """The files of a case."""
    label = nibabel.load(case.label)
    images = {n: nibabel.load(path) for n, path in enumerate(case.images) if path is not None}
    arrays = {n: np.asarray(image.dataobj, np.float32) for n, image in images.items()}
    if any(array.shape != label.shape for array in arrays.values()):
        raise SystemExit(f"The images of {case.name} are not all on the label's grid.")
    box = _box(np.any([array != 0 for array in arrays.values()], axis=0))
    affine = label.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [side.start for side in box]

    def file(array: np.ndarray) -> bytes:
        return gzip.compress(nibabel.Nifti1Image(array[box], affine).to_bytes(), 9)

    files = {
        f"imagesTr/{case.name}_{n:04d}.nii.gz": file(_in_8_bits(array))
        for n, array in arrays.items()
    }
    files[f"labelsTr/{case.name}.nii.gz"] = file(np.asarray(label.dataobj, np.uint8))
    return files


def _box(occupied: np.ndarray) -> tuple[slice, ...]:
    """The smallest box around what is occupied, and a margin."""
    box = []
    for axis in range(occupied.ndim):
        others = tuple(a for a in range(occupied.ndim) if a != axis)
        (found,) = np.nonzero(occupied.any(axis=others))
        box.append(slice(max(0, found[0] - _MARGIN), found[-1] + 1 + _MARGIN))
    return tuple(box)


def _in_8_bits(array: np.ndarray) -> np.ndarray:
    """Zero stays zero; everything else becomes 1 to 255, evenly from the darkest on."""
    inside = array != 0
    low, high = array[inside].min(), np.percentile(array[inside], _BRIGHTEST)
    scaled = 1 + 254 * np.clip((array - low) / max(high - low, 1e-6), 0, 1)
    return np.where(inside, np.rint(scaled), 0).astype(np.uint8)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m device.pack", description=__doc__.splitlines()[0]
    )
    parser.add_argument("data", type=Path, help="dataset of four sequences, as BraTS")
    parser.add_argument("output", type=Path, help="folder of the parts")
    parser.add_argument("--megabytes", type=float, default=20, help="of a part, at most")
    parser.add_argument("--only", nargs="+", help="names of the cases to take")
    parser.add_argument("--without", nargs="+", default=[], help="names of cases to leave out")
    options = parser.parse_args(arguments)
    channels, regions = ("FLAIR", "T1", "T1ce", "T2"), {"any": (1,)}
    found = open_dataset(DataSection(root=str(options.data), channels=channels, regions=regions))
    names = options.only or [case.name for case in found.cases]
    cases = found.only([name for name in names if name not in options.without]).cases
    for part in pack(cases, options.output, int(options.megabytes * 1e6)):
        size = sum(path.stat().st_size for path in part.rglob("*.gz"))
        print(f"{part}: {size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
