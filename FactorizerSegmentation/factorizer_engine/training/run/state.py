"""Checkpoints: a crash never leaves half a file, and reading one executes nothing."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.files import written_atomically


def save_checkpoint(content: dict[str, Any], path: Path) -> None:
    """Write a checkpoint and force it to disk before it takes the place of the one before.

    Raises:
        BadInputError: If the disk is full or the folder cannot be written.
    """
    # A file object, because torch writes a path's name into the file.
    with written_atomically(path, durable=True) as temporary, temporary.open("wb") as file:
        torch.save(content, file)


def remove_unfinished(folder: Path) -> None:
    """Delete what a killed process left of a checkpoint that it was writing."""
    for path in folder.glob(".*.pt"):
        path.unlink(missing_ok=True)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU.

    Raises:
        BadInputError: If it does not exist or is damaged.
    """
    if not path.is_file():
        raise BadInputError(f"There is no checkpoint {path}.")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise BadInputError(f"The checkpoint {path} is damaged.", str(error)) from error


def seed_everything(seed: int) -> None:
    """Set all global random generators of this process."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def random_states() -> dict[str, Any]:
    """States of all global random generators of this process, as plain data."""
    state: Any = np.random.get_state()
    name, keys, *rest = state
    version, internal, gauss = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [name, torch.from_numpy(keys.astype(np.int64)), *rest],
        "python": [version, list(internal), gauss],
    }


def restore_random_states(states: dict[str, Any]) -> None:
    torch.set_rng_state(states["torch"])
    if states["cuda"]:
        torch.cuda.set_rng_state_all(states["cuda"])
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
