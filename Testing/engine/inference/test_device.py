"""Choosing a device, and running out of memory in plain words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from engine import tiny
from factorizer_engine.bundles.architecture import build_network
from factorizer_engine.images import store
from factorizer_engine.inference import allocator
from factorizer_engine.inference import device as devices
from factorizer_engine.inference.device import (
    list_devices,
    memory_errors,
    resolve_device,
    resolve_precision,
    store_for_case,
    window_bytes,
    windows_at_once,
)
from factorizer_engine.protocol.errors import BadInputError, EngineMemoryError

REPOSITORY = Path(__file__).resolve().parents[3]
CPU = torch.device("cpu")


def test_auto_is_the_first_device_of_the_list():
    first = list_devices()[0]
    assert resolve_device("auto").type == torch.device(first.name).type


@pytest.mark.parametrize(("share", "releases"), [(0.2, False), (0.3, True)])
def test_freed_memory_is_kept_while_it_is_little_beside_what_is_free(monkeypatch, share, releases):
    released = []
    held = allocator.psutil.Process().memory_info().rss
    monkeypatch.setattr(allocator, "available_memory", lambda: held / share)
    monkeypatch.setattr(allocator, "release_freed_memory", lambda: released.append(True))
    allocator.release_if_large()
    assert bool(released) == releases


def test_the_processor_is_always_listed_with_its_memory():
    cpu = list_devices()[-1]
    assert cpu.name == "cpu"
    assert 0 < cpu.memory_free <= cpu.memory_total


@pytest.mark.parametrize("name", ["gpu", "tpu", "", "cuda:x", "cpu:3", "xpu"])
def test_an_unknown_device_is_refused_in_one_sentence(name):
    with pytest.raises(BadInputError, match=r"not a known device; choose .*\.$"):
        resolve_device(name)


@pytest.mark.parametrize("name", ["cuda", "cuda:1", "mps"])
def test_a_device_that_is_not_there_is_refused_in_one_sentence(name, monkeypatch):
    monkeypatch.setattr(devices, "_usable", lambda name: name == "cpu")
    with pytest.raises(BadInputError, match=f"'{name}' is not usable where this is computed"):
        resolve_device(name)
    assert resolve_device("auto") == CPU


def test_a_usable_graphics_card_comes_before_the_processor(monkeypatch):
    monkeypatch.setattr(devices, "_usable", lambda name: name in ("cuda", "cpu"))
    assert resolve_device("auto").type == "cuda"


def test_a_device_that_does_not_work_says_why_and_is_tried_again(monkeypatch):
    answers = iter([RuntimeError("CUDA error: out of memory")] * 2)

    def ones(count, device):
        for error in answers:
            raise error
        return torch.zeros(count) + 1

    monkeypatch.setattr(devices, "_working", set())
    monkeypatch.setattr(devices.torch, "ones", ones)
    with pytest.raises(BadInputError, match="not usable") as refused:
        resolve_device("cuda")
    assert "out of memory" in refused.value.details
    assert resolve_device("cuda").type == "cuda", "now that there is room"


@pytest.mark.parametrize(
    ("trouble", "lost"),
    [
        (None, False),
        (RuntimeError("CUDA error: out of memory"), False),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), True),
        (RuntimeError("CUDA error: the launch timed out and was terminated"), True),
    ],
)
def test_a_device_is_lost_when_it_has_worked_and_does_not_any_more(trouble, lost, monkeypatch):
    monkeypatch.setattr(devices, "_trouble", lambda name: trouble)
    monkeypatch.setattr(devices, "_working", {"cpu"})
    assert not devices.has_lost_one()
    monkeypatch.setattr(devices, "_working", {"cpu", "cuda"})
    assert devices.has_lost_one() == lost


@pytest.mark.parametrize(("generation", "has_it"), [((7, 5), False), ((8, 6), True)])
def test_bfloat16_is_refused_by_cards_that_only_imitate_it(generation, has_it, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: generation)
    cuda = torch.device("cuda")
    if has_it:
        assert resolve_precision("bfloat16", cuda) == torch.bfloat16
    else:
        with pytest.raises(BadInputError, match="cannot compute in bfloat16; choose float16"):
            resolve_precision("bfloat16", cuda)
    assert resolve_precision("float16", cuda) == torch.float16


def test_an_unknown_precision_is_refused():
    with pytest.raises(BadInputError, match="float64"):
        resolve_precision("float64", CPU)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ..."),
        MemoryError(),
    ],
)
def test_every_way_to_run_out_of_memory_becomes_one_error_with_advice(error):
    with pytest.raises(EngineMemoryError, match=r"Memory ran out on 'cpu'; .*smaller model\.$"):
        with memory_errors(CPU):
            raise error


def test_an_allocation_that_really_fails_is_reported():
    with pytest.raises(EngineMemoryError), memory_errors(CPU):
        torch.empty(2**60, dtype=torch.uint8)


def test_other_errors_pass_unchanged():
    with pytest.raises(RuntimeError, match="shapes"), memory_errors(CPU):
        raise RuntimeError("shapes do not match")


def test_a_case_larger_than_the_memory_is_kept_on_the_disk(monkeypatch):
    monkeypatch.setattr(devices, "available_memory", lambda: 2 * 10**9)
    assert store_for_case(4, 3, reference_voxels=512**3, model_voxels=256**3, window=0).on_disk


def test_a_case_for_which_the_disk_does_not_help_is_refused_at_once(monkeypatch):
    monkeypatch.setattr(devices, "available_memory", lambda: 10**9)
    with pytest.raises(EngineMemoryError, match=r"at least .* GB of memory but 1\.0 GB are free"):
        store_for_case(4, 3, reference_voxels=512**3, model_voxels=256**3, window=0)


def test_a_case_for_which_the_disk_is_too_full_is_refused_at_once(monkeypatch):
    monkeypatch.setattr(devices, "available_memory", lambda: 2 * 10**9)
    full = SimpleNamespace(free=10**9)
    monkeypatch.setattr(store.shutil, "disk_usage", lambda path: full)
    with pytest.raises(EngineMemoryError, match=r"has only 1\.0 GB for it"):
        store_for_case(4, 3, reference_voxels=512**3, model_voxels=256**3, window=0)


def test_a_clinical_study_is_accepted_with_three_gigabytes(monkeypatch):
    monkeypatch.setattr(devices, "available_memory", lambda: 3 * 10**9)
    voxels = 240 * 240 * 155
    network = tiny.network(encoder_width=[16, 16, 16])
    window = window_bytes(network, (64, 64, 64))
    assert not store_for_case(4, 3, voxels, voxels // 8, window).on_disk


MEASUREMENT = """
import json, re, sys
from pathlib import Path
from factorizer_engine.inference.allocator import keep_freed_memory
from engine import tiny
from factorizer_engine.bundles.architecture import build_network
import torch

def peak():
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

keep_freed_memory()
torch.set_num_threads(1)
network = build_network(tiny.NetworkSpec("Factorizer", json.loads(sys.argv[1]))).eval()
window = torch.randn(1, 2, *network.spatial_size)
before = peak()
with torch.inference_mode():
    network(window)
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's own account")
def test_a_window_takes_less_memory_than_the_bound_but_not_much_less():
    arguments = tiny.arguments(spatial_size=[64, 64, 64], encoder_width=[32, 32, 32])
    folders = (REPOSITORY / "FactorizerSegmentation", REPOSITORY / "Testing")
    done = subprocess.run(
        [sys.executable, "-c", MEASUREMENT, json.dumps(arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))},
        capture_output=True,
        text=True,
        check=True,
    )
    bound = window_bytes(build_network(tiny.NetworkSpec("Factorizer", arguments)), (64, 64, 64))
    assert bound / 4 < int(done.stdout) < bound


def test_a_window_that_does_not_fit_is_refused(monkeypatch):
    monkeypatch.setattr(devices, "free_memory", lambda device: 10**6)
    with pytest.raises(EngineMemoryError, match="are free on 'cpu'"):
        windows_at_once(tiny.network(), (128, 128, 128), CPU)


def test_a_graphics_card_takes_as_many_windows_as_fit(monkeypatch):
    network = tiny.network()
    needed = window_bytes(network, tiny.WINDOW)
    cuda = torch.device("cuda")
    for free, windows in ((1.5, 1), (6.5, 3), (1000, 8)):
        monkeypatch.setattr(devices, "free_memory", lambda device, free=free: free * needed)
        assert windows_at_once(network, tiny.WINDOW, cuda) == windows
