"""What a run or an evaluation was computed on, for its records."""

from __future__ import annotations

import os
import platform
import sys
from typing import Any

import torch


def device_name(device: torch.device) -> str:
    """Such as "NVIDIA H100" or "CPU, 8 cores, x86_64"."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type.upper()}, {os.cpu_count()} cores, {platform.machine()}"


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Kind and name of the device, threads, and the most memory taken so far.

    `peak_memory_gb` is that of the device on CUDA, else of this process; None where unknown.
    """
    peak = peak_memory(device)
    return {
        "kind": device.type,
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "peak_memory_gb": None if peak is None else round(peak / 1e9, 2),
    }


def peak_memory(device: torch.device) -> int | None:
    """The most bytes taken so far, on the CUDA device or else by this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
