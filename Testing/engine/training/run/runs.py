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

REFERENCES = (
    {
        "type": "segresnet",
        "arguments": {"init_filters": 8, "blocks_down": [1, 1], "blocks_up": [1]},
    },
    {
        "type": "dynunet",
        "arguments": {
            "kernel_size": [3, 3, 3],
            "strides": [1, 2, 2],
            "upsample_kernel_size": [2, 2],
            "filters": [8, 16, 32],
        },
    },
)
"""Small networks of other families, as a configuration describes them."""


def configured(settings, write_config, output=None):
    return load_config(write_config(settings), output=output)


def same_weights(first: Path, second: Path) -> bool:
    a, b = (load_checkpoint(folder / "last.pt") for folder in (first, second))
    return a["step"] == b["step"] and all(
        torch.equal(a[part][key], b[part][key])
        for part in ("network", "average")
        for key in a[part]
    )
