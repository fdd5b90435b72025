"""What one network takes, measured where nothing else runs: in a process of its own."""

from __future__ import annotations

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import torch

from benchmarks.contestants import Window, build
from benchmarks.measure import Setting


class Footprint(NamedTuple):
    """Peak memory in bytes (None where the system does not tell), parameters, operations."""

    memory: int | None
    parameters: int
    operations: int


def find_footprint(name: str, window: Window, setting: Setting) -> Footprint:
    """What a network takes for one window.

    Memory is that of weights, input and feature maps at its peak: on the CPU the growth of the
    process's resident memory, on a GPU the peak of what torch allocated. Operations are those of
    matrix products and convolutions, a multiply-add counted as two.
    """
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    # Children are forked from a process that has imported these and computed nothing.
    context.set_forkserver_preload(["torch", "monai.networks.nets"])
    arguments = (name, window, str(setting.device), setting.precision, setting.threads)
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_measure, *arguments).result()


def _measure(
    name: str, window: Window, device: str, precision: torch.dtype, threads: int
) -> Footprint:
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.utils.flop_counter import FlopCounterMode

    from factorizer_engine.inference.allocator import keep_freed_memory

    keep_freed_memory()
    torch.set_num_threads(threads)
    setting = Setting(torch.device(device), precision, 1, threads, say=lambda text: None)
    memory: int | None
    before = resident_peak()
    network, x = build(name, window, device), window.input(device)
    with setting.computing():
        network(x)
    after = resident_peak()
    if setting.device.type == "cuda":
        memory = torch.cuda.max_memory_allocated(device)
    else:
        memory = None if before is None or after is None else after - before
    # Fake tensors have shapes but no values, so that counting computes nothing. With gradients
    # enabled the engine takes operators that the counter knows; their number is the same.
    with (
        FakeTensorMode(allow_non_fake_inputs=True) as fake,
        FlopCounterMode(display=False) as flops,
        torch.enable_grad(),
    ):
        network(fake.from_tensor(x))
    return Footprint(memory, sum(p.numel() for p in network.parameters()), flops.get_total_flops())


def resident_peak() -> int | None:
    """The largest resident memory of this process so far, in bytes."""
    if sys.platform == "win32":
        return None
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
