"""What one network takes, measured where nothing else runs: in a process of its own."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable
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
    arguments = (name, window, str(setting.device), setting.precision, setting.threads)
    with _fresh_process() as pool:
        return pool.submit(_measure, *arguments).result()


def growth_in_a_process(prepare: Callable[..., Callable[[], object]], *arguments) -> int | None:
    """How much memory, in bytes, what `prepare` gives takes where nothing else runs.

    Args:
        prepare: Called in the process with the arguments; a function at the top of a module.
    """
    with _fresh_process() as pool:
        return pool.submit(_growth, prepare, arguments).result()


def _fresh_process() -> ProcessPoolExecutor:
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    # Children are forked from a process that has imported these and computed nothing.
    context.set_forkserver_preload(["torch", "monai.networks.nets"])
    return ProcessPoolExecutor(1, mp_context=context)


def _growth(prepare: Callable[..., Callable[[], object]], arguments: tuple) -> int | None:
    from factorizer_engine.inference.allocator import keep_freed_memory

    keep_freed_memory()
    run = prepare(*arguments)
    before = resident_peak()
    run()
    after = resident_peak()
    return None if before is None or after is None else after - before


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
