"""The fused mixing layer without a GPU: its kernels interpreted, and the way around."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from factorizer_engine.factorization import SWMatricize, triton_mixing
from factorizer_engine.factorization.triton_layout import make_layout

FOLDER = Path(__file__).resolve().parent


@pytest.fixture
def layer() -> SWMatricize:
    return SWMatricize((8, 8, 4), head_dim=4, patch_size=4)


@pytest.fixture
def fails(monkeypatch):
    """Makes the kernels fail, forward or backward, as where they cannot be compiled."""

    def make(forward: Exception | None = None, backward: Exception | None = None) -> None:
        def raise_or(value, error):
            if error is not None:
                raise error
            return value

        def launcher(x, *_):
            return SimpleNamespace(
                forward=lambda: raise_or(2 * x, forward),
                backward=lambda *_: raise_or(None, backward),
            )

        monkeypatch.setattr(triton_mixing, "_failed", False)
        # Tools that configure logging in this process (import-linter does) may have silenced it.
        monkeypatch.setattr(triton_mixing._log, "disabled", False)
        monkeypatch.setattr(triton_mixing, "_triton", lambda: SimpleNamespace(Launcher=launcher))

    return make


def _plain(x, reshape, v0, sweeps, eps):
    return 3 * x * x


@pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="starts such a process")
def test_the_kernels_are_right_in_tritons_interpreter():
    pytest.importorskip("triton")
    program = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run(
        [*program, str(FOLDER / "test_triton_mixing.py")],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout and "skipped" not in done.stdout


def test_a_map_in_the_cpus_memory_is_left_to_the_plain_form(layer, monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert not triton_mixing.is_available(torch.zeros(1, 8, 8, 4), layer)


def test_without_triton_nothing_is_available_and_nothing_is_said(layer, monkeypatch, caplog):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setitem(sys.modules, "triton", None)
    for name in ("launcher", "kernels", "backward_kernels"):
        module = f"factorizer_engine.factorization.triton_{name}"
        monkeypatch.delitem(sys.modules, module, raising=False)
    triton_mixing._triton.cache_clear()
    assert not triton_mixing.is_available(torch.zeros(1, 8, 8, 4), layer)
    assert not caplog.records
    triton_mixing._triton.cache_clear()


def test_a_kernel_that_fails_is_reported_once_and_replaced(layer, fails, monkeypatch, caplog):
    fails(forward=RuntimeError("no compiler\nsecond line"))
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    x, v0 = torch.ones(1, 8, 8, 4), torch.ones(16)
    assert triton_mixing.is_available(x, layer)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            mixed = triton_mixing.mix_rank_one_fused(x, layer, v0, 5, 1e-16, _plain)
    assert torch.equal(mixed, 3 * x * x)
    assert not triton_mixing.is_available(x, layer)
    assert len(caplog.records) == 1
    assert "no compiler" in caplog.text and "second line" not in caplog.text


def test_a_kernel_that_fails_on_the_way_back_is_replaced(layer, fails):
    fails(backward=RuntimeError("no registers left"))
    x = torch.full((1, 8, 8, 4), 2.0, requires_grad=True)
    v0 = torch.ones(16, requires_grad=True)
    mixed = triton_mixing.mix_rank_one_fused(x, layer, v0, 5, 1e-16, _plain)
    mixed.sum().backward()
    assert torch.equal(x.grad, 6 * x)
    assert v0.grad is None


def test_a_start_of_another_size_is_left_to_the_plain_form_to_refuse(layer, fails):
    def refuse(*_):
        raise ValueError("another size")

    fails()
    with pytest.raises(ValueError, match="another size"):
        triton_mixing.mix_rank_one_fused(
            torch.ones(1, 8, 8, 4), layer, torch.ones(9), 5, 1e-16, refuse
        )
    assert not triton_mixing._failed


@pytest.mark.parametrize("way", ["forward", "backward"])
def test_running_out_of_memory_is_not_taken_for_a_failing_kernel(layer, fails, way):
    fails(**{way: torch.cuda.OutOfMemoryError("full")})
    x = torch.ones(1, 8, 8, 4, requires_grad=True)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        triton_mixing.mix_rank_one_fused(
            x, layer, torch.ones(16), 5, 1e-16, _plain
        ).sum().backward()
    assert not triton_mixing._failed


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
