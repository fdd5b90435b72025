"""A tiny installed model, scan files that suit it, and the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from engine import tiny
from factorizer_engine.cli import main, session
from factorizer_engine.service.client import EngineClient

MODULE_DIR = Path(__file__).resolve().parents[3] / "FactorizerSegmentation"
SHAPE = (20, 18, 16)
AFFINE = np.array(
    [[-1.0, 0.0, 0.0, 10.0], [0.0, -1.0, 0.0, 9.0], [0.0, 0.0, 1.0, -8.0], [0.0, 0.0, 0.0, 1.0]]
)


@dataclass(frozen=True)
class Outcome:
    """How a run of the command line ended."""

    code: int
    output: str
    errors: str

    @property
    def sentence(self) -> str:
        """The one line on standard error, without the program's name."""
        (line,) = self.errors.strip().splitlines()
        assert line.startswith("factorizer: ")
        return line.removeprefix("factorizer: ")


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
def environment(models_folder) -> dict[str, str]:
    """Variables with which a process finds the engine and the tiny model."""
    return {
        "PYTHONPATH": str(MODULE_DIR),
        "FACTORIZER_MODELS": str(models_folder),
        "OMP_NUM_THREADS": "1",
    }


@pytest.fixture(scope="session")
def run_cli(environment) -> Callable[..., Outcome]:
    """Runs `factorizer` with some arguments in a process of its own."""

    def run(*arguments: object, **variables: str) -> Outcome:
        done = subprocess.run(
            [sys.executable, "-m", "factorizer_engine.cli", *map(str, arguments)],
            env={**os.environ, **environment, **variables},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=300,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def engine(environment) -> EngineClient:
    """One engine process for all tests that do not harm it."""
    with EngineClient(environment=environment) as client:
        yield client


@pytest.fixture
def cli(engine, environment, monkeypatch, capfd) -> Callable[..., Outcome]:
    """Runs `factorizer` within this process and with the shared engine, which is quicker."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(session, "EngineClient", lambda **_options: nullcontext(engine))

    def run(*arguments: object) -> Outcome:
        capfd.readouterr()
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return Outcome(caught.value.code, captured.out, captured.err)

    return run
