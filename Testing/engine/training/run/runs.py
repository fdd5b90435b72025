"""Configurations on disk, and whether two runs came to the same."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from factorizer_engine.training.config import load_config
from factorizer_engine.training.run.state import load_checkpoint

ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(Path(__file__).parents[4] / "FactorizerSegmentation"),
    "OMP_NUM_THREADS": "1",
}
"""For processes that train with the code of this repository."""


def configured(settings, write_config, output=None):
    return load_config(write_config(settings), output=output)


def same_weights(first: Path, second: Path) -> bool:
    a, b = (load_checkpoint(folder / "last.pt") for folder in (first, second))
    return a["step"] == b["step"] and all(
        torch.equal(a[part][key], b[part][key])
        for part in ("network", "average")
        for key in a[part]
    )
