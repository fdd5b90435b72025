"""A tiny installed model, scan files that suit it, and the engine process that uses them."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from engine import tiny
from factorizer_engine.service.client import EngineClient

MODULE_DIR = Path(__file__).resolve().parents[2] / "FactorizerSegmentation"
SHAPE = (20, 18, 16)
AFFINE = np.array(
    [[-1.0, 0.0, 0.0, 10.0], [0.0, -1.0, 0.0, 9.0], [0.0, 0.0, 1.0, -8.0], [0.0, 0.0, 0.0, 1.0]]
)


@pytest.fixture(scope="session")
def models_folder(tmp_path_factory) -> Path:
    """A user's models folder with the tiny model; not to be changed."""
    folder = tmp_path_factory.mktemp("models")
    tiny.bundle(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_bundle(models_folder) -> Path:
    return models_folder / "tiny"


def make_array(seed: int) -> np.ndarray:
    """A bright ball in noise, int16, with an empty margin."""
    grid = np.indices(SHAPE) - np.reshape(SHAPE, (3, 1, 1, 1)) / 2
    ball = np.linalg.norm(grid, axis=0) < 4 + seed
    noise = np.random.default_rng(seed).normal(100, 10, SHAPE)
    array = noise + 100 * ball
    array[:2] = 0
    return array.astype(np.int16)


def save_scan(path: Path, array: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


@pytest.fixture
def scans(tmp_path) -> dict[str, Path]:
    """One good scan file per channel of the tiny model."""
    folder = tmp_path / "scans"
    folder.mkdir()
    return {
        name: save_scan(folder / f"case_{name}.nii.gz", make_array(seed))
        for seed, name in enumerate(("FLAIR", "T1"))
    }


@pytest.fixture(scope="session")
def environment(models_folder, tmp_path_factory) -> dict[str, str]:
    """Variables with which a process finds the engine and the tiny model."""
    return {
        "PYTHONPATH": str(MODULE_DIR),
        "FACTORIZER_MODELS": str(models_folder),
        "FACTORIZER_CACHE": str(tmp_path_factory.mktemp("cache")),
        "OMP_NUM_THREADS": "1",
    }


@pytest.fixture(scope="session")
def engine(environment) -> EngineClient:
    """One engine process for all tests that do not harm it."""
    with EngineClient(environment=environment) as client:
        yield client


@pytest.fixture
def loaded_by_slicer():
    """Gives a segmentation node and the storage node that read it: `loaded_by_slicer(path)`."""
    slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")
    scene = slicer.vtkMRMLScene()  # which has to outlive its nodes

    def load(path):
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        storage = slicer.vtkMRMLSegmentationStorageNode()
        scene.AddNode(storage)
        storage.SetFileName(str(path))
        assert storage.ReadData(node) == 1
        return node, storage

    return load
