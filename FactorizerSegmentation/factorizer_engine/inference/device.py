"""Which device computes, what it has left, and plain words when that is not enough."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psutil
import torch
from torch import nn

from factorizer_engine.images.memory import available_memory
from factorizer_engine.images.store import IN_MEMORY, Store, free_on_disk
from factorizer_engine.networks import Factorizer
from factorizer_engine.protocol.devices import Device, check_device_name
from factorizer_engine.protocol.errors import BadInputError, EngineMemoryError
from factorizer_engine.protocol.failures import as_engine_error

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

_FIRST_BFLOAT16 = (8, 0)
"""The first generation of NVIDIA's cards that computes in it."""

_working = set[str]()

HEADROOM = 0.9
"""Part of the free memory that a case may be expected to take."""

_FACTORIZER_MAPS, _OTHER_MAPS, _WORKSPACE = 10, 24, 150 * 10**6
"""The bound of `window_bytes`: feature maps of the finest level, and bytes beside them.

Measured growth of the resident memory in one forward pass on a CPU, in maps: 8 to 9 for Factorizers
(64^3, 96^3 and 128^3 windows, 16 and 32 channels, two and four shifted grids; 13 for the smallest,
where the workspace counts), 10 for MONAI's DynUNet and SegResNet, 16 for UNETR, 23 for SwinUNETR.
"""


def resolve_device(name: str = "auto") -> torch.device:
    """The device called `name`: "auto", "cpu", "cuda", "cuda:1" or "mps".

    "auto" is the first usable of CUDA, MPS and the CPU.

    Raises:
        BadInputError: If there is no such device here, or it does not work.
    """
    check_device_name(name)
    if name == "auto":
        return next(torch.device(kind) for kind in ("cuda", "mps", "cpu") if _usable(kind))
    device = torch.device(name)
    if not _usable(str(device)):
        raise BadInputError(
            f"The device '{name}' is not usable where this is computed; choose 'auto' or 'cpu'.",
            repr(_trouble(str(device))),
        )
    return device


def resolve_precision(name: str, device: torch.device) -> torch.dtype:
    """The type in which `device` computes for `name`: "float32", "bfloat16" or "float16".

    Raises:
        BadInputError: If the precision is unknown, or the device cannot compute in it.
    """
    if name not in PRECISIONS:
        raise BadInputError(f"The precision '{name}' is not one of {', '.join(PRECISIONS)}.")
    if name == "bfloat16" and device.type == "cuda" and not _has_bfloat16(device):
        raise BadInputError(
            "This graphics card cannot compute in bfloat16; choose float16 or float32."
        )
    return PRECISIONS[name]


def has_lost_one() -> bool:
    """Whether a device that has worked in this process does not work in it any more.

    That is so for graphics cards after a kernel has failed on them, the driver has ended one that
    took too long, or the computer has slept: another process can use them, this one never again.
    """
    troubles = filter(None, map(_trouble, _working - {"cpu"}))
    return any(not isinstance(as_engine_error(trouble), EngineMemoryError) for trouble in troubles)


def list_devices() -> list[Device]:
    """All usable devices; the first is the one that "auto" chooses."""
    devices = []
    for index in range(torch.cuda.device_count()):
        if _usable(f"cuda:{index}"):
            free, total = torch.cuda.mem_get_info(index)
            title = torch.cuda.get_device_name(index)
            devices.append(Device(f"cuda:{index}", title, total, free))
    if _usable("mps"):
        total = torch.mps.recommended_max_memory()
        devices.append(Device("mps", "Apple GPU", total, free_memory(torch.device("mps"))))
    title = f"Processor ({platform.machine()}, {os.cpu_count()} cores)"
    devices.append(Device("cpu", title, psutil.virtual_memory().total, available_memory()))
    return devices


def free_memory(device: torch.device) -> int:
    """Bytes that can still be allocated on `device`.

    Blocks that torch keeps for reuse on a CUDA device count as free.
    """
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    return available_memory()


def window_bytes(network: nn.Module, roi_size: Sequence[int]) -> int:
    """Upper bound of the memory for the feature maps of one window in float32.

    The finest level dominates; its width is that of the network's first convolution. The bound was
    measured on a CPU; on a graphics card it is taken to be the same.
    """
    weights = next((p for p in network.parameters() if p.ndim == len(roi_size) + 2), None)
    width = 32 if weights is None else weights.shape[0]
    maps = _FACTORIZER_MAPS if isinstance(network, Factorizer) else _OTHER_MAPS
    return 4 * width * maps * math.prod(roi_size) + _WORKSPACE


def store_for_case(
    channels: int, regions: int, reference_voxels: int, model_voxels: int, window: int
) -> Store:
    """Where the volumes of a case are kept: in memory if they fit, else on the disk.

    What is computed of one volume, or in memory of one in each thread, stays in memory in any case;
    it was measured to take no more than twelve bytes a voxel of the reference.

    Args:
        channels: Scans of the case.
        regions: Outputs of the network.
        reference_voxels: Voxels of the reference scan.
        model_voxels: Voxels of the prepared volume, before it is cropped.
        window: Bytes that the network takes for a window on the host; 0 if it runs elsewhere.

    Raises:
        EngineMemoryError: If neither memory nor disk suffice.
    """
    threads = torch.get_num_threads()
    for_each = 8 * reference_voxels
    preparing = 4 * channels * (reference_voxels + model_voxels) + for_each * min(channels, threads)
    predicting = 4 * (channels + regions + 1) * model_voxels + window
    restoring = 4 * regions * (model_voxels + reference_voxels) + for_each * min(regions, threads)
    needed = max(preparing, predicting, restoring)
    free = available_memory()
    if needed <= HEADROOM * free:
        return IN_MEMORY
    least = max(12 * reference_voxels, 2 * channels * model_voxels + window)
    if least > HEADROOM * free:
        raise EngineMemoryError(
            f"The case needs at least {least / 1e9:.1f} GB of memory but {free / 1e9:.1f} GB are "
            "free; close other programs, or crop the scans to the region of interest."
        )
    files = 4 * ((channels + regions) * (reference_voxels + model_voxels) + model_voxels)
    space = free_on_disk()
    if files > HEADROOM * space:
        raise EngineMemoryError(
            f"The case needs about {needed / 1e9:.1f} GB of memory but {free / 1e9:.1f} GB are "
            f"free, and the disk for temporary files has only {space / 1e9:.1f} GB for it; close "
            "other programs, or free some space."
        )
    return Store(on_disk=True)


def windows_at_once(network: nn.Module, roi_size: Sequence[int], device: torch.device) -> int:
    """How many windows to give to the network together: as many as fit, at most 8; 1 on a CPU.

    Raises:
        EngineMemoryError: If not even one fits.
    """
    free, needed = free_memory(device), window_bytes(network, roi_size)
    if needed > free:
        raise EngineMemoryError(
            f"The model needs about {needed / 1e9:.1f} GB of memory but {free / 1e9:.1f} GB are "
            f"free on '{device}'; {_advice(device)}."
        )
    if device.type == "cpu":
        return 1
    return max(1, min(8, int(0.5 * free) // needed))


@contextmanager
def memory_errors(device: torch.device) -> Iterator[None]:
    """Turn torch's ways of running out of memory on `device` or the host into one.

    Raises:
        EngineMemoryError: In place of any of them.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        known = as_engine_error(error)
        if not isinstance(known, EngineMemoryError):
            raise
        if device.type == "cuda":
            torch.cuda.empty_cache()
        raise EngineMemoryError(
            f"Memory ran out on '{device}'; {_advice(device)}.", known.details
        ) from error


def _advice(device: torch.device) -> str:
    if device.type == "cpu":
        return "close other programs or choose a smaller model"
    return "close other programs that use it, choose a lower precision, or choose the device 'cpu'"


def _has_bfloat16(device: torch.device) -> bool:
    """Whether a graphics card computes in bfloat16 itself; torch counts those that imitate it."""
    return (
        torch.version.hip is not None or torch.cuda.get_device_capability(device) >= _FIRST_BFLOAT16
    )


def _usable(name: str) -> bool:
    """Whether a computation on the device works; drivers and builds do not always match.

    A device that works is not tried again. One that does not may, once others leave it memory.
    """
    if name not in _working and _trouble(name) is None:
        _working.add(name)
    return name in _working


def _trouble(name: str) -> Exception | None:
    """What torch says against computing on the device, if it does."""
    try:
        right = bool((torch.ones(2, device=name) + 1).sum().item() == 4)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        return error
    return None if right else RuntimeError("It computes wrong sums.")
