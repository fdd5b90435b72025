"""Reads the tensors of a weights file: safetensors, or any of the usual torch checkpoints."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from factorizer_engine.bundles.reading.unpickling import read_pickled_checkpoint
from factorizer_engine.protocol.errors import BadModelError

Kind = Literal["safetensors", "state dict", "Ignite", "Lightning"]
_STEM = "stem.weight"
_WRAPPERS = ("module.", "_orig_mod.", "net.", "network.", "model.")
"""Prefixes that DataParallel, torch.compile and training frameworks put before every key."""


@dataclass(frozen=True)
class Checkpoint:
    """Tensors and settings of one weights file.

    Attributes:
        path: The file.
        kind: What wrote it.
        state: The network's state dict, without wrapper prefixes.
        hyper_parameters: Lightning's settings (containers, numbers and inert records), or None.
    """

    path: Path
    kind: Kind
    state: dict[str, Tensor]
    hyper_parameters: Any = None


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a weights file without running anything in it.

    Raises:
        BadModelError: If the file is missing, damaged, hostile, or holds no network.
    """
    path = Path(path)
    if not path.is_file() or path.stat().st_size == 0:
        raise BadModelError(f"The weights {path.name} are missing or empty.")
    if path.suffix == ".safetensors":
        return Checkpoint(path, "safetensors", strip_prefixes(_read_safetensors(path)))
    content = _read_torch(path)
    kind, state = _find_state(content, path.name)
    for tensor in state.values():
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise BadModelError(f"The weights {path.name} claim more numbers than they hold.")
    settings = content.get("hyper_parameters") if kind == "Lightning" else None
    return Checkpoint(path, kind, strip_prefixes(state), settings)


def strip_prefixes(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict without wrappers' prefixes, and without what lies outside the network."""
    for key in state:
        if key.endswith(_STEM) and (key == _STEM or key[: -len(_STEM)].endswith(".")):
            prefix = key[: -len(_STEM)]
            return {k[len(prefix) :]: t for k, t in state.items() if k.startswith(prefix)}
    stripped = dict(state)
    while stripped and (wrapper := _shared_wrapper(stripped)):
        stripped = {key[len(wrapper) :]: tensor for key, tensor in stripped.items()}
    return stripped


def _shared_wrapper(state: Mapping[str, Tensor]) -> str | None:
    return next((w for w in _WRAPPERS if all(key.startswith(w) for key in state)), None)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise BadModelError(
            f"The weights {path.name} are damaged; install the model again.", details=str(error)
        ) from error


def _read_torch(path: Path) -> Any:
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if any(e.compress_type != zipfile.ZIP_STORED for e in archive.infolist()):
                    # torch.save never compresses; an archive that does may unpack to any size.
                    raise BadModelError(f"The weights {path.name} are not a torch checkpoint.")
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, AttributeError, ImportError):
        return read_pickled_checkpoint(path)
    except (RuntimeError, EOFError, LookupError, ValueError, TypeError, OSError) as error:
        raise BadModelError(
            f"The weights {path.name} are damaged or not a torch checkpoint; download them again.",
            details=repr(error),
        ) from error


def _find_state(content: Any, source: str) -> tuple[Kind, dict[str, Tensor]]:
    if isinstance(content, Mapping):
        is_lightning = "pytorch-lightning_version" in content
        candidates: list[tuple[Kind, Any]] = [
            ("Lightning" if is_lightning else "state dict", content.get("state_dict")),
            ("Ignite", content.get("model")),
            ("state dict", content.get("model_state_dict")),
            ("state dict", content),
        ]
        for kind, candidate in candidates:
            if isinstance(candidate, Mapping):
                state = {str(k): t for k, t in candidate.items() if isinstance(t, Tensor)}
                if state:
                    return kind, state
    raise BadModelError(f"The file {source} holds no weights of a network.")
