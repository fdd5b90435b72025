"""How well raw studies are prepared: `python -m benchmarks.preparation PART DATA`.

The data are public and not part of the project; docs/evidence.md says which, and what came out.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from factorizer_engine.bundles.registry import resolve_model
from factorizer_engine.images.files import read_scan
from factorizer_engine.images.orientation import LPS_TO_RAS
from factorizer_engine.images.resampling import resample
from factorizer_engine.images.scan import Scan
from factorizer_engine.inference.segmenter import Segmenter
from factorizer_engine.preparation.brain import BrainNetworks, extract_brain
from factorizer_engine.preparation.cache import StepCache
from factorizer_engine.preparation.registration import register
from factorizer_engine.preparation.sheet import placed, write_sheet
from factorizer_engine.preparation.study import Decided, PreparedStudy, prepare_study
from factorizer_engine.preparation.versions import versions
from factorizer_engine.protocol.kept import kept_bytes
from factorizer_engine.protocol.preparation import PreparationOptions
from factorizer_engine.protocol.runs import RunOptions

LARGEST_DEGREES, LARGEST_MM = 10.0, 20.0
"""Of the added motions."""

STRIPPED = PreparationOptions(registration="off", bias_field="off")
"""The skull goes, and nothing else is done; the sequences of a case of lgg_raw share a grid."""

MOVED = ("T1W", "T2W")
"""Sequences of open_ms_raw whose transforms to the FLAIR its authors give."""


class OpenMs:
    """The raw study of open_ms, with its authors' transforms and brain mask.

    Args:
        folder: `open_ms_raw`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.fixed = self.scan("FLAIR")
        common = read_scan(folder / "patient01_brainmask_common.nii.gz")
        to_flair = _itk_matrix(folder / "patient01_study1_FLAIR_to_common_space.txt")
        self._brain = Scan.of(common.array > 0, to_flair @ common.affine, "Brain")

    def scan(self, name: str) -> Scan:
        """A sequence as it was scanned."""
        return read_scan(self._folder / f"patient01_study1_{name}.nii.gz")

    def to_moving(self, name: str) -> np.ndarray:
        """4x4 from the world of the FLAIR to that of another sequence, mm RAS."""
        if name == "FLAIR":
            return np.eye(4)
        return _itk_matrix(self._folder / f"patient01_study1_{name}_intrastudy_to_FLAIR.txt")

    def brain_points(self) -> np.ndarray:
        """Points in the brain, (N, 3), in the world of the FLAIR."""
        indices = np.argwhere(self._brain.array)[::200]
        return _applied(self._brain.affine, indices)

    def brain_on(self, name: str) -> Scan:
        """The authors' mask on the grid of a sequence."""
        scan = self.scan(name)
        brain = Scan.of(self._brain.array, self.to_moving(name) @ self._brain.affine)
        return resample(brain, scan.grid, "nearest")


def registration(folder: Path, motions: int) -> None:
    """Mean distance over the brain to the authors' transforms, also after added motions."""
    study = OpenMs(folder)
    points = study.brain_points()
    generator = np.random.default_rng(0)
    errors = []
    for number in range(2 + motions):
        name = MOVED[number % 2]
        scan = study.scan(name)
        there = _applied(study.to_moving(name), points)
        motion = np.eye(4) if number < 2 else _random_motion(generator, there.mean(axis=0))
        moved = Scan.of(scan.array, motion @ scan.affine, name)
        start = time.perf_counter()
        found = register(moved, study.fixed)
        seconds = time.perf_counter() - start
        apart = _applied(found.matrix @ motion, there) - points
        errors.append(float(np.linalg.norm(apart, axis=1).mean()))
        added = float(np.linalg.norm(_applied(motion, there) - there, axis=1).mean())
        print(
            f"{name} moved by {added:4.1f} mm: {errors[-1]:.2f} mm from the authors, "
            f"{seconds:.1f} s, overlap {found.overlap:.2f}, peak {found.peak:.2f}"
            f"{', called failed' if found.failed else ''}",
            flush=True,
        )
    print(
        f"as scanned {max(errors[:2]):.2f} mm; moved: median {np.median(errors[2:]):.2f} mm, "
        f"largest {max(errors[2:], default=0):.2f} mm of {motions}"
    )


def brain(folder: Path) -> None:
    """Dice of the brain mask on each sequence with the authors' mask."""
    study, networks = OpenMs(folder), BrainNetworks.load()
    for name in ("FLAIR", *MOVED):
        found = extract_brain(study.scan(name), networks).mask.array
        print(f"{name}: Dice {_dice(found, study.brain_on(name).array):.3f}", flush=True)


def glioma(folder: Path) -> None:
    """Whole-tumour Dice of the bundled model on lgg_raw: raw, without the skull, prepared."""
    segmenter = Segmenter(resolve_model("glioma", "cpu"), "cpu")
    networks = BrainNetworks.load()
    rows = []
    for case in sorted(path for path in folder.iterdir() if path.is_dir()):
        scans = {name: read_scan(case / f"{name}.nii.gz") for name in ("FLAIR", "T1", "T1ce")}
        tumour = read_scan(case / "seg.nii.gz").array > 0
        stripped = prepare_study(scans, "FLAIR", STRIPPED, True, lambda: networks)
        prepared = prepare_study(
            scans,
            "FLAIR",
            PreparationOptions(),
            True,
            lambda: networks,
            decided=Decided(brain=stripped.brain),
        )
        contestants = (PreparedStudy(scans, "FLAIR"), stripped, prepared)
        dice = [_whole_tumour_dice(segmenter, study, tumour) for study in contestants]
        assert stripped.brain is not None
        rows.append([*dice, float(stripped.brain.array[tumour].mean())])
        _print_row(case.name, rows[-1])
    _print_row("mean", np.mean(rows, axis=0).tolist())


def _print_row(name: str, values: Sequence[float]) -> None:
    print(name, *(f"{value:.3f}" for value in values), flush=True)


def seconds(folder: Path) -> None:
    """Seconds by step for a study of some sequences, such as tcia_raw: at first, and once more."""
    scans = {path.name.split(".")[0]: read_scan(path) for path in sorted(folder.glob("*.nii.gz"))}
    options = PreparationOptions(bias_field="on")
    with tempfile.TemporaryDirectory() as kept:
        for turn in ("first", "again"):
            start = time.perf_counter()
            cache = StepCache(Path(kept))
            study = prepare_study(scans, "FLAIR", options, True, cache=cache)
            prepared = time.perf_counter()
            shown = {name: placed(scan, study.steps, name) for name, scan in scans.items()}
            page = Path(kept) / "sheet.html"
            write_sheet(page, shown, "FLAIR", study.brain, study.steps, versions())
            end = time.perf_counter()
            steps = {**study.timings, "sheet": end - prepared}
            print(turn, json.dumps({name: round(value, 1) for name, value in steps.items()}))
            taken = kept_bytes(Path(kept))
            print(f"{len(scans)} sequences in {end - start:.1f} s; {taken} bytes are kept")


def _whole_tumour_dice(segmenter: Segmenter, study: PreparedStudy, tumour: np.ndarray) -> float:
    """All that the model paints against the manual mask."""
    options = RunOptions(upside_down=study.upside_down)
    return _dice(segmenter.segment(study.scans, "FLAIR", options).labelmap.array > 0, tumour)


def _dice(found: np.ndarray, expected: np.ndarray) -> float:
    return float(2 * (found & expected).sum() / max(found.sum() + expected.sum(), 1))


def _random_motion(generator: np.random.Generator, centre: np.ndarray) -> np.ndarray:
    """A rotation about `centre` and a shift, in random directions."""
    axis, shift = (_direction(generator) for _ in range(2))
    motion = np.eye(4)
    angle = np.radians(generator.uniform(0, LARGEST_DEGREES))
    motion[:3, :3] = Rotation.from_rotvec(angle * axis).as_matrix()
    shift = generator.uniform(0, LARGEST_MM) * shift
    motion[:3, 3] = shift + centre - motion[:3, :3] @ centre
    return motion


def _direction(generator: np.random.Generator) -> np.ndarray:
    vector = generator.normal(size=3)
    return vector / np.linalg.norm(vector)


def _applied(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def _itk_matrix(path: Path) -> np.ndarray:
    """4x4 in RAS of an affine transform as ITK writes it; it maps fixed points to moving ones."""
    import SimpleITK as sitk

    transform = sitk.ReadTransform(str(path))
    parameters, centre = np.array(transform.GetParameters()), transform.GetFixedParameters()
    linear, shift = parameters[:9].reshape(3, 3), parameters[9:]
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = shift + np.array(centre) - linear @ np.array(centre)
    return LPS_TO_RAS @ matrix @ LPS_TO_RAS


def main() -> None:
    """Measure one part."""
    parser = argparse.ArgumentParser(prog="benchmarks.preparation")
    parser.add_argument("part", choices=("registration", "brain", "glioma", "seconds"))
    parser.add_argument("data", type=Path, help="open_ms_raw, lgg_raw, or a folder of sequences")
    parser.add_argument("--motions", type=int, default=50)
    options = parser.parse_args()
    if options.part == "registration":
        registration(options.data, options.motions)
    else:
        {"brain": brain, "glioma": glioma, "seconds": seconds}[options.part](options.data)


if __name__ == "__main__":
    main()
