"""A dataset and a configuration that train in seconds."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from engine.training.blobs import make_dataset, quick_settings


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
