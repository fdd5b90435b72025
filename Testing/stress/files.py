"""Broken scans and models, given to what reads them."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from engine import tiny
from engine.images.files.dicom_samples import multi_frame
from engine.images.files.samples import save_itk, save_nifti
from factorizer_engine.bundles.architecture import build_networks
from factorizer_engine.bundles.reading.loading import load_bundle
from factorizer_engine.images.files import read_scan
from factorizer_engine.images.scan import Scan
from stress.mutations import damaged_bytes, damaged_values
from stress.trial import Trial, attempt


def scan_trials(folder: Path, chance: random.Random) -> Iterator[Trial]:
    """Broken scans of every format, without end."""
    wholes = list(_write_scans(folder))
    while True:
        whole = chance.choice(wholes)
        broken = folder / f"broken{''.join(whole.suffixes)}"
        broken.write_bytes(damaged_bytes(whole.read_bytes(), chance))
        yield attempt(broken.name, lambda file=broken: _check_scan(read_scan(file)), broken)


def bundle_trials(folder: Path, chance: random.Random) -> Iterator[Trial]:
    """Models with one broken file, without end."""
    whole = tiny.bundle(folder).description.path
    (whole / "SHA256SUMS").unlink()
    files = [path.relative_to(whole) for path in whole.rglob("*.json")]
    files += [path.relative_to(whole) for path in whole.rglob("*.safetensors")]
    bundle = folder / "broken"
    while True:
        shutil.rmtree(bundle, ignore_errors=True)
        shutil.copytree(whole, bundle)
        broken = bundle / chance.choice(sorted(files))
        if broken.suffix == ".json" and chance.random() < 0.9:
            values = damaged_values(json.loads(broken.read_text()), chance)
            broken.write_text(json.dumps(values))
        else:
            broken.write_bytes(damaged_bytes(broken.read_bytes(), chance))
        yield attempt(broken.name, lambda: build_networks(load_bundle(bundle)), broken)


def _check_scan(scan: Scan) -> None:
    """What is read must have a place and finite voxels."""
    if not (np.isfinite(scan.affine).all() and np.isfinite(scan.array).all()):
        raise AssertionError("voxels or their place are not finite")
    if abs(np.linalg.det(scan.affine[:3, :3])) < np.finfo(float).tiny:
        raise AssertionError("voxels have no size")


def _write_scans(folder: Path) -> Iterator[Path]:
    affine = np.array([[-1.5, 0.1, 0, 10], [0.1, -1.2, 0, 9], [0, 0, 2.0, -8], [0, 0, 0, 1]])
    scan = Scan.of(np.arange(120).reshape(6, 5, 4).astype(np.int16), affine, "scan")
    for ending in (".nii", ".nii.gz", ".nrrd", ".mha"):
        path = folder / f"whole{ending}"
        (save_nifti if ".nii" in ending else save_itk)(scan, path)
        yield path
    upright = Scan.of(scan.array, np.diag([-1.5, -1.2, 2.0, 1.0]), "scan")
    path = folder / "whole.dcm"
    multi_frame(upright).save_as(path, enforce_file_format=True)
    yield path
