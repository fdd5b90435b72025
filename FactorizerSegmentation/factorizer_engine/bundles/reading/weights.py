"""Reads the tensors of a weights file: safetensors, or any of the usual torch checkpoints."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from factorizer_engine.bundles.eight_bits import from_eight_bits
from factorizer_engine.bundles.reading.unpickling import read_pickled_checkpoint, record_name
from factorizer_engine.protocol.errors import BadModelError

Kind = Literal["safetensors", "state dict", "Ignite", "Lightning"]
_STEM = "stem.weight"
_WRAPPERS = ("module.", "_orig_mod.", "net.", "network.", "model.")
"""Prefixes that DataParallel, torch.compile and training frameworks put before every key."""
_USUAL_PLACES = tuple(
    "state_dict model model_state_dict network_weights net network model_state network_state_dict "
    "net_state_dict weights params module model_weights state_dict_ema model_ema ema_state_dict "
    "params_ema ema".split()
)
"""Names under which checkpoints keep the weights; what was trained before its running average."""
_OTHER_PLACES = re.compile(r"optim|sched|scaler|loss|metric|criterion|rng|random|callback|hyper")
_OF_TRAINING = re.compile(
    r"n_averaged$|(\w+_)?(loss|criterion|metric|metrics)(_\w+)?\.|(.*\.)?total_(ops|params)$"
)
"""Of losses, averages and counts of operations: keys that do not make it another network."""


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
        state = from_eight_bits(_read_safetensors(path))
        return Checkpoint(path, "safetensors", strip_prefixes(state))
    content = _read_torch(path)
    kind, state = _find_state(content, path.name)
    for key, tensor in state.items():
        if tensor.layout != torch.strided or tensor.is_meta:
            raise BadModelError(
                f"The weights {path.name} hold {key} in a form that is no plain table of numbers "
                "(sparse or without values); save them as they are trained."
            )
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


def part_of_network(
    state: Mapping[str, Tensor], wanted: Collection[str], source: str
) -> dict[str, Tensor]:
    """The tensors of a network out of those of the training around it.

    Around it are losses and counters of averages, or the whole module of a training framework, in
    which the network is one part. A state dict in which not every key is found stays as it is.

    Args:
        state: What a weights file holds.
        wanted: Keys of the network.
        source: What to call the file in messages.

    Raises:
        BadModelError: If several of its parts could be the network.
    """
    if not wanted:
        return dict(state)
    probe = next(iter(wanted))
    prefixes = [key[: -len(probe)] for key in state if key.endswith(probe)]
    prefixes = [p for p in prefixes if p[-1:] in ("", ".") and all(p + k in state for k in wanted)]
    prefixes = [p for p in prefixes if p in ("", *_WRAPPERS)] or prefixes
    if len(prefixes) > 1:
        names = " and ".join(f"'{prefix.rstrip('.')}'" for prefix in prefixes if prefix)
        raise BadModelError(
            f"The weights {source} hold the network several times, {names}; keep one of them."
        )
    if not prefixes:
        return dict(state)
    part = {k.removeprefix(prefixes[0]): t for k, t in state.items() if k.startswith(prefixes[0])}
    return {k: t for k, t in part.items() if k in wanted or not _OF_TRAINING.match(k)}


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
    except (BadModelError, MemoryError):
        raise
    except Exception as error:  # torch and zipfile fail in many ways on broken data
        raise BadModelError(
            f"The weights {path.name} are damaged or not a torch checkpoint; download them again.",
            details=repr(error),
        ) from error


def _find_state(content: Any, source: str) -> tuple[Kind, dict[str, Tensor]]:
    """What wrote the weights of a checkpoint, and the weights.

    A checkpoint keeps them under a usual name, is them, or has no other place that could be theirs.
    """
    if not isinstance(content, Mapping):
        content = {"": content}
    for name in _USUAL_PLACES:
        if state := _tensors(content.get(name)):
            return _kind(name, content), state
    if (state := _tensors(content)) and any("." in key for key in state):
        return "state dict", state
    others = {str(k): v for k, v in content.items() if not _OTHER_PLACES.search(str(k))}
    places = {name: found for name, value in others.items() if (found := _tensors(value))}
    if len(places) > 1:
        names = " and ".join(f"'{name}'" for name in places)
        raise BadModelError(
            f"The file {source} holds the weights of several networks, {names}; "
            "save the state dict of one of them alone."
        )
    if places:
        return "state dict", next(iter(places.values()))
    if state:
        return "state dict", state
    if any(record_name(value) for value in others.values()):
        raise BadModelError(
            f"The file {source} holds a network as a program object, which is never run here; "
            "save its state dict (torch.save(network.state_dict(), ...)) instead."
        )
    raise BadModelError(f"The file {source} holds no weights of a network.")


def _tensors(value: Any, depth: int = 2) -> dict[str, Tensor]:
    """The tensors of a state dict, which may lie under a usual name once more."""
    if not isinstance(value, Mapping):
        return {}
    if depth:
        for name in _USUAL_PLACES:
            if isinstance(value.get(name), Mapping) and (found := _tensors(value[name], depth - 1)):
                return found
    return {str(key): tensor for key, tensor in value.items() if isinstance(tensor, Tensor)}


def _kind(place: str, content: Mapping[str, Any]) -> Kind:
    if place == "state_dict" and "pytorch-lightning_version" in content:
        return "Lightning"
    return "Ignite" if place == "model" else "state dict"
