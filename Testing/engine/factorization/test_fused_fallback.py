"""The kernels for graphics cards without one: interpreted, and the ways around them."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from engine import reference
from factorizer_engine.factorization import SWMatricize, mixing, trust
from factorizer_engine.factorization.backends import COMPILED, FUSED
from factorizer_engine.factorization.fused import launcher
from factorizer_engine.factorization.fused.layout import make_layout
from factorizer_engine.factorization.mixing import mix_in_blocks, mix_rank_one
from factorizer_engine.networks import FactorizerBlock

FOLDER = Path(__file__).resolve().parent
KERNELS = "factorizer_engine.factorization.fused.kernels"
RESHAPE = SWMatricize((8, 8, 4), head_dim=4, patch_size=4)
SETTINGS = 5, 1e-16


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(FUSED.trust, "failed", False)
    monkeypatch.setattr(FUSED.trust, "verdicts", {})
    monkeypatch.setattr(COMPILED.trust, "failed", True)
    # Tools that configure logging in this process (import-linter does) may have silenced it.
    monkeypatch.setattr(trust._log, "disabled", False)
    monkeypatch.setenv("TRITON_INTERPRET", "1")


@pytest.fixture
def trusted(monkeypatch):
    """Kernels that have been compared, and found right."""
    monkeypatch.setattr(FUSED.trust, "covers", lambda *_: not FUSED.trust.failed)


@pytest.fixture
def data() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(1, 8, 8, 4), torch.rand(16) + 0.1


def _fail(error: Exception):
    def fail(*_arguments, **_more):
        raise error

    return fail


def _assert_torch_serves(x, v0, caplog, said: str) -> None:
    expected = mix_in_blocks(x, RESHAPE, v0, *SETTINGS)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            found = mix_rank_one(x, RESHAPE, v0, *SETTINGS)
            assert reference.relative(found, expected) < 1e-6
    assert len(caplog.records) == 1 and said in caplog.text
    assert FUSED.trust.failed


def test_the_kernels_are_right_in_tritons_interpreter():
    pytest.importorskip("triton")
    program = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run(
        [*program, "--noconftest", str(FOLDER / "test_fused.py")],  # as on a bare machine
        env=os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\d\d passed", done.stdout), "but for one that needs more than kernels"


def test_a_map_in_the_cpus_memory_is_left_to_others(data, monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET")
    x, v0 = data
    assert not FUSED.mixes(x, RESHAPE, v0)
    assert not FUSED.is_waiting(RESHAPE, x.device, x.dtype)
    with torch.no_grad():
        assert not FUSED.is_available(x, RESHAPE)
    assert not FUSED.trust.verdicts and not FUSED.trust.failed


def test_without_triton_torch_serves_and_the_log_says_so_once(data, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "triton", None)
    for name in ("kernels", "gradient_kernels", "statistics", "indexing"):
        module = f"factorizer_engine.factorization.fused.{name}"
        monkeypatch.delitem(sys.modules, module, raising=False)
    _assert_torch_serves(*data, caplog, "triton")


def test_a_block_whose_kernels_cannot_be_compiled_is_computed_by_torch(monkeypatch, caplog):
    monkeypatch.setattr(launcher, "_kernels", _fail(RuntimeError("no compiler\nsecond line")))
    reshape = SWMatricize, {"head_dim": 4, "patch_size": 4}
    block, x = FactorizerBlock(8, (8, 4), reshape=reshape, rank=1), torch.randn(1, 8, 8, 4)
    with torch.no_grad(), caplog.at_level(logging.WARNING):
        found = [block(x) for _ in range(2)]
        expected = block.double()(x.double())
    assert all(reference.relative(one, expected) < 1e-5 for one in found)
    assert len(caplog.records) == 1
    assert "no compiler" in caplog.text and "second line" not in caplog.text


def test_kernels_that_differ_are_not_used(data, monkeypatch, caplog):
    differing = {"mix": lambda maps, *_: 2 * maps, "mixing_gradient": lambda maps, *_: maps}
    for name, kernel in differing.items():
        monkeypatch.setattr(FUSED, name, kernel)
    _assert_torch_serves(*data, caplog, "do not compute")


def test_a_kernel_that_fails_later_is_reported_once_and_replaced(
    data, trusted, monkeypatch, caplog
):
    monkeypatch.setattr(launcher, "_kernels", _fail(RuntimeError("no driver")))
    _assert_torch_serves(*data, caplog, "no driver")


def test_a_gradient_that_fails_is_replaced(data, trusted, monkeypatch, caplog):
    x, v0 = data
    expected = mix_in_blocks(x, RESHAPE, v0, *SETTINGS)
    monkeypatch.setattr(FUSED, "mix", lambda *_: expected.movedim(1, -1).contiguous())
    monkeypatch.setattr(launcher, "_gradient_kernels", _fail(RuntimeError("no registers left")))

    def gradient(mix) -> torch.Tensor:
        leaf = x.clone().requires_grad_()
        return torch.autograd.grad(mix(leaf, RESHAPE, v0, *SETTINGS).square().sum(), leaf)[0]

    with caplog.at_level(logging.WARNING):
        found = gradient(mix_rank_one)
    assert reference.relative(found, gradient(mix_in_blocks)) < 1e-6
    assert "no registers left" in caplog.text


def test_a_start_of_another_size_is_refused_by_torch(data, trusted, monkeypatch):
    x, v0 = data
    assert FUSED.mixes(x, RESHAPE, v0)
    monkeypatch.setattr(mixing, "mix_in_blocks", _fail(ValueError("another size")))
    with pytest.raises(ValueError, match="another size"):
        mix_rank_one(x, RESHAPE, v0[1:], *SETTINGS)
    assert not FUSED.trust.failed


@pytest.mark.parametrize("way", ["mix", "mixing_gradient"])
@pytest.mark.parametrize(
    "error",
    [torch.cuda.OutOfMemoryError("full"), RuntimeError("Triton Error [CUDA]: out of memory")],
    ids=["torch", "triton"],
)
def test_running_out_of_memory_is_not_taken_for_a_failing_kernel(
    data, trusted, way, error, monkeypatch
):
    x, v0 = data
    if way == "mixing_gradient":
        monkeypatch.setattr(FUSED, "mix", lambda maps, *_: maps.clone())
    name = "_kernels" if way == "mix" else "_gradient_kernels"
    monkeypatch.setattr(launcher, name, _fail(error))
    with pytest.raises(type(error), match=str(error).partition(" [")[0]):
        mix_rank_one(x.requires_grad_(), RESHAPE, v0, *SETTINGS).sum().backward()
    assert not FUSED.trust.failed


@pytest.mark.parametrize(
    ("size", "patch", "shifts"),
    [
        ((16, 8, 24), (8, 8, 8), ((0, 0, 0), (4, 4, 4))),
        ((9, 15), (3, 5), ((0, 0), (1, -2), (2, 7))),
        ((30,), (15,), ((4,),)),
        ((20, 12, 10), (20, 12, 10), ((0, 0, 0),)),
    ],
)
def test_cells_fill_the_map_and_no_window_cuts_them(size, patch, shifts):
    layout = make_layout(size, patch, shifts, torch.device("cpu"))
    segments = iter(layout.segments.tolist())
    axes = [[next(segments) for _ in range(n)] for n in layout.cells]
    assert next(segments, None) is None
    for axis, n, p, longest, steps in zip(
        axes, layout.size, layout.patch, layout.cell, layout.shifts.T.tolist(), strict=True
    ):
        assert np.array_equal(np.concatenate([np.arange(s, s + m) for s, m in axis]), np.arange(n))
        assert max(m for _, m in axis) <= longest
        for step in steps:
            windows = (np.arange(n) + step) % n // p
            assert all(len(set(windows[s : s + m])) == 1 for s, m in axis)
    assert layout.cell_voxels <= 64
