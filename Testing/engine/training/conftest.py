"""A dataset and a configuration that train in seconds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from engine.training.blobs import make_case


@pytest.fixture
def dataset_dir(tmp_path: Path) -> Path:
    """Six cases in nnU-Net layout."""
    root = tmp_path / "blobs"
    for number in range(6):
        make_case(root, f"blob_{number}", number)
    description = {
        "channel_names": {"0": "A", "1": "B"},
        "labels": {"background": 0, "whole": [1, 2], "core": 2, "rim": 1},
    }
    (root / "dataset.json").write_text(json.dumps(description))
    return root


@pytest.fixture
def settings(dataset_dir: Path) -> dict:
    """A configuration that trains in seconds, as a dictionary."""
    return {
        "name": "blobs",
        "window": [16, 16, 16],
        "data": {
            "root": str(dataset_dir),
            "channels": ["A", "B"],
            "labels": {"rim": 1, "core": 2},
            "regions": {"core": [2], "whole": [1, 2]},
        },
        "split": {"held_out": ["blob_5"], "validation": ["blob_4"]},
        "network": {
            "arguments": {
                "encoder_depth": [1, 1],
                "encoder_width": [8, 16],
                "strides": [1, 2],
                "decoder_depth": [1],
                "head_dim": 4,
                "patch_size": 4,
                "shifts": [None, 2],
                "dropout": 0.1,
            }
        },
        "optimization": {"steps": 6, "batch_size": 2, "learning_rate": 1e-2, "ema_decay": 0.5},
        "run": {
            "output": str(dataset_dir.parent / "run"),
            "cache": str(dataset_dir.parent / "cache"),
            "device": "cpu",
            "threads": 1,
            "first_validation": 3,
            "validate_every": 100,
            "checkpoint_every": 2,
            "log_every": 1,
        },
    }


@pytest.fixture
def write_config(tmp_path: Path):
    """Writes a configuration and returns its path."""

    def write(values: dict, name: str = "config.yaml") -> Path:
        path = tmp_path / name
        path.write_text(yaml.safe_dump(values))
        return path

    return write
