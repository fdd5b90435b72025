"""A dataset and a configuration that train in seconds."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from engine.training.blobs import make_dataset, quick_settings
from factorizer_engine.training.config import load_config
from factorizer_engine.training.run.run import train


@pytest.fixture
def dataset_dir(tmp_path: Path) -> Path:
    root = tmp_path / "blobs"
    make_dataset(root)
    return root


@pytest.fixture
def settings(dataset_dir: Path) -> dict:
    return quick_settings(dataset_dir)


@pytest.fixture
def write_config(tmp_path: Path):
    """Writes a configuration and returns its path."""

    def write(values: dict, name: str = "config.yaml") -> Path:
        path = tmp_path / name
        path.write_text(yaml.safe_dump(values))
        return path

    return write


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "blobs"
    make_dataset(root)
    settings = quick_settings(root)
    settings["optimization"] |= {"steps": 30, "batch_size": 2}
    settings["bundle"] = {"title": "Blobs", "version": "1.2.0", "licence": "CC0"}
    path = root.parent / "config.yaml"
    path.write_text(yaml.safe_dump(settings))
    return train(load_config(path))


@pytest.fixture
def run(finished_run, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(finished_run, tmp_path / "run")
