"""The compiled mixing layer and its gradient against torch's form, and the way around them."""

from __future__ import annotations

import logging
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import Tensor

from engine import reference
from factorizer_engine.factorization import Matricize, SWMatricize, mixing, trust
from factorizer_engine.factorization.backends import COMPILED
from factorizer_engine.factorization.compiled import backend
from factorizer_engine.factorization.mixing import mix_in_blocks, mix_rank_one

SETTINGS = 5, 1e-16
SMALL = SWMatricize((8, 4, 8, 4), head_dim=4, patch_size=4)


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(COMPILED.trust, "failed", False)
    monkeypatch.setattr(COMPILED.trust, "verdicts", {})
    monkeypatch.setattr(trust._log, "disabled", False)
    monkeypatch.setattr(backend, "_FEWEST_VALUES", 1)


def _data(reshape: Matricize, batch: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """A map, a gradient of what it becomes, and the start."""
    torch.manual_seed(0)
    channels = reshape.num_heads * reshape.head_dim
    x, gradient = torch.randn(2, batch, channels, *reshape.spatial_size)
    return x, gradient, torch.rand(reshape.output_size[-1]) + 0.1


def _run(mix, reshape, x: Tensor, gradient: Tensor, v0: Tensor) -> tuple[Tensor, Tensor]:
    leaf = x.clone().requires_grad_()
    mixed = mix(leaf, reshape, v0, *SETTINGS)
    return mixed.detach(), *torch.autograd.grad(mixed, leaf, gradient)


@pytest.mark.parametrize(
    "reshape",
    [
        *(
            SWMatricize((2 * head, 2 * patch, patch, 3 * patch), head_dim=head, patch_size=patch)
            for head, patch in ((4, 4), (8, 4), (8, 8), (16, 2))
        ),
        SWMatricize((16, 8, 12), head_dim=4, patch_size=4, shifts=(None, 1, (-2, 7))),
        Matricize((16, 4, 4, 4), head_dim=8, grid_size=1),
        Matricize((8, 8, 4, 6), head_dim=4, patch_size=(4, 4, 3)),
    ],
    ids=str,
)
def test_the_layer_and_its_gradient_are_those_of_torch(reshape, monkeypatch):
    x, gradient, v0 = _data(reshape)
    assert COMPILED.mixes(x, reshape, v0)
    expected = _run(mix_in_blocks, reshape, x.double(), gradient.double(), v0.double())
    monkeypatch.setattr(mixing, "mix_in_blocks", None)
    found = _run(mix_rank_one, reshape, x, gradient, v0)
    for ours, theirs in zip(found, expected, strict=True):
        assert reference.relative(ours.double(), theirs) < 1e-5
    with torch.inference_mode():
        assert torch.equal(mix_rank_one(x, reshape, v0, *SETTINGS), found[0])


def test_the_result_does_not_depend_on_the_threads():
    reshape = SWMatricize((8, 16, 8, 4), head_dim=4, patch_size=4)
    x, gradient, v0 = _data(reshape)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(_run(mix_rank_one, reshape, x, gradient, v0))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(*pair) for pair in zip(*results, strict=True))


class _Layer(torch.nn.Module):
    """A weight of its own in front of the mixing of `SMALL`."""

    def __init__(self, v0: Tensor) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(1.5))
        self.v0 = v0

    def forward(self, x: Tensor) -> Tensor:
        return mix_rank_one(self.scale * x, SMALL, self.v0, *SETTINGS)


def _train(model: torch.nn.Module, x: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    mixed = model(x)
    return mixed.detach(), *torch.autograd.grad(mixed, list(model.parameters()), gradient)


def test_torch_compile_finds_the_same():
    x, gradient, v0 = _data(SMALL)
    expected = _train(_Layer(v0), x, gradient)
    torch._dynamo.reset()
    found = _train(torch.compile(_Layer(v0), backend="aot_eager"), x, gradient)
    for ours, theirs in zip(found, expected, strict=True):
        assert reference.relative(ours, theirs) < 1e-5


def test_distributed_training_finds_the_same(tmp_path):
    x, gradient, v0 = _data(SMALL)
    layer = _Layer(v0)
    expected = _train(layer, x, gradient)
    torch.distributed.init_process_group(
        "gloo", init_method=(tmp_path / "store").as_uri(), rank=0, world_size=1
    )
    try:
        mixed = torch.nn.parallel.DistributedDataParallel(layer)(x)
        mixed.backward(gradient)
    finally:
        torch.distributed.destroy_process_group()
    assert reference.relative(mixed.detach(), expected[0]) < 1e-5
    assert reference.relative(layer.scale.grad, expected[1]) < 1e-5


def test_half_precision_is_computed_in_float32():
    x, gradient, v0 = _data(SMALL)
    halves = x.bfloat16(), gradient.bfloat16()
    with torch.autocast("cpu"):
        found = _run(mix_rank_one, SMALL, *halves, v0)
    expected = _run(mix_in_blocks, SMALL, *(h.float() for h in halves), v0)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == torch.bfloat16
        assert reference.relative(ours.float(), theirs) < 0.01


def test_an_empty_window_has_no_gradient_and_what_is_not_a_number_stays_so():
    reshape = Matricize((8, 4, 4, 12), head_dim=8, patch_size=4)
    x, gradient, v0 = _data(reshape, batch=1)
    x[..., :4] = -1.0
    x[0, 0, 0, 0, 4] = torch.nan
    mixed, found = _run(mix_rank_one, reshape, x, gradient, v0)
    assert (found[..., :4] == 0).all() and mixed[..., :4].abs().max() < 1e-12
    assert mixed[..., 4:8].isnan().all() and found[..., 4:8].isnan().any()
    assert mixed[..., 8:].isfinite().all() and found[..., 8:].isfinite().all()


def test_a_second_gradient_is_refused():
    x, gradient, v0 = _data(SMALL)
    leaf = x.requires_grad_()
    mixed = mix_rank_one(leaf, SMALL, v0, *SETTINGS)
    (first,) = torch.autograd.grad(mixed, leaf, gradient.requires_grad_(), create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


def test_small_and_double_maps_and_other_heads_are_left_to_torch(monkeypatch):
    x, _, v0 = _data(SMALL)
    assert COMPILED.mixes(x, SMALL, v0)
    assert not COMPILED.mixes(x.double(), SMALL, v0.double())
    assert not COMPILED.mixes(x[:, :4], SMALL, v0)
    assert not COMPILED.mixes(x, SMALL, v0[1:])
    monkeypatch.setattr(backend, "_FEWEST_VALUES", x.numel() + 1)
    assert not COMPILED.mixes(x, SMALL, v0)


@pytest.mark.parametrize("name", ["mixing_kernel", "gradient_kernel"])
def test_a_kernel_that_fails_later_is_replaced_and_the_log_says_so_once(name, monkeypatch, caplog):
    data = _data(SMALL)
    expected = _run(mix_in_blocks, SMALL, *data)
    _run(mix_rank_one, SMALL, *data)  # compared, and found right

    def fail(*_):
        raise RuntimeError("illegal instruction")

    monkeypatch.setattr(backend.mixing_kernels(), name, lambda *_: fail)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            found = _run(mix_rank_one, SMALL, *data)
            assert all(
                reference.relative(*pair) < 1e-5 for pair in zip(found, expected, strict=True)
            )
    assert len(caplog.records) == 1 and "illegal instruction" in caplog.text


def test_a_gradient_that_differs_is_not_used(monkeypatch, caplog):
    kernels = backend.mixing_kernels()
    right = kernels.gradient_kernel

    def wrong(d, patch):
        def compute(*arguments):
            right(d, patch)(*arguments)
            arguments[-1][...] *= np.float32(1.01)

        return compute

    monkeypatch.setattr(kernels, "gradient_kernel", wrong)
    x, _, v0 = _data(SMALL)
    with caplog.at_level(logging.WARNING):
        assert not COMPILED.mixes(x, SMALL, v0)
    assert len(caplog.records) == 1 and "do not compute" in caplog.text


def test_looking_whether_kernels_are_right_imports_no_symbolic_mathematics():
    program = (
        "import sys, torch\n"
        "from factorizer_engine.factorization import Matricize\n"
        "from factorizer_engine.factorization.backends import COMPILED\n"
        "reshape = Matricize((8, 16, 16, 16), head_dim=4, patch_size=4)\n"
        "COMPILED.prepare_to_mix(reshape, torch.device('cpu'), torch.float32)\n"
        "print(bool(COMPILED.trust.verdicts), 'sympy' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.split() == ["True", "False"], done.stderr
