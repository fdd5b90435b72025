"""Linear maps and convolutions with gradients by oneDNN against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from engine import reference
from factorizer_engine.networks import gradients, layers
from factorizer_engine.networks.gradients import differentiable_convolution, differentiable_linear
from factorizer_engine.networks.layers import MLP, LayerNorm, Linear


def _assert_same(function, plain, inputs, tolerance: float) -> None:
    """The same values and gradients, the plain form in double precision."""
    leaves = [t.clone().requires_grad_() for t in inputs]
    exact = [t.double().requires_grad_() for t in inputs]
    found, expected = function(*leaves), plain(*exact)
    upstream = torch.randn(found.shape)
    pairs = [(found, expected)]
    pairs += zip(
        torch.autograd.grad(found, leaves, upstream),
        torch.autograd.grad(expected, exact, upstream.double()),
        strict=True,
    )
    for ours, theirs in pairs:
        assert ours.dtype == torch.float32 and ours.shape == theirs.shape
        assert reference.relative(ours.double(), theirs) < tolerance


@pytest.mark.parametrize("shape", [(40, 6), (2, 5, 3, 6), (1, 6)])
@pytest.mark.parametrize("biased", [True, False])
def test_a_linear_map(shape, biased):
    torch.manual_seed(0)
    inputs = [torch.randn(shape), torch.randn(10, 6), *[torch.randn(10)] * biased]
    _assert_same(
        lambda x, w, b=None: differentiable_linear(x, w, b),
        lambda x, w, b=None: x @ w.t() + (0 if b is None else b),
        inputs,
        1e-6,
    )


def test_a_linear_map_of_strided_tokens_and_of_no_tokens():
    weight = torch.randn(10, 6)
    _assert_same(
        lambda x, w: differentiable_linear(x.t(), w.t(), None),
        lambda x, w: x.t() @ w,
        [torch.randn(6, 40), weight.t().contiguous()],
        1e-6,
    )
    assert differentiable_linear(torch.empty(0, 6), weight, None).shape == (0, 10)


def test_a_linear_map_has_one_gradient_and_double_precision_has_more():
    x, weight = torch.randn(4, 6, requires_grad=True), torch.randn(10, 6)
    (first,) = torch.autograd.grad(
        differentiable_linear(x, weight, None).square().sum(), x, create_graph=True
    )
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()
    exact = x.detach().double().requires_grad_(), weight.double().requires_grad_()
    assert torch.autograd.gradgradcheck(lambda *t: differentiable_linear(*t, None), exact)


@pytest.mark.parametrize("size", [(8, 5, 6), (2, 3, 4), (7, 5, 6), (6, 5)])
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_a_convolution(size, batch, kernel):
    torch.manual_seed(0)
    convolve = (F.conv2d, F.conv3d)[len(size) - 2]
    inputs = [torch.randn(batch, 3, *size), torch.randn(4, 3, *[kernel] * len(size))]
    _assert_same(
        differentiable_convolution,
        lambda x, w: convolve(x, w, padding="same"),
        inputs,
        1e-5,
    )


def test_under_autocast_torchs_own_form_serves(monkeypatch):
    monkeypatch.setattr(gradients._Linear, "apply", None)
    with torch.autocast("cpu"):
        found = differentiable_linear(torch.randn(4, 6), torch.randn(10, 6), None)
    assert found.dtype == torch.bfloat16


def _normed_mlp(x: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
    gain, shift, up, up_bias, down, down_bias = weights
    normed = F.layer_norm(x, gain.shape, gain, shift)
    return x + F.gelu(normed @ up.squeeze(-1).t() + up_bias) @ down.squeeze(-1).t() + down_bias


def _mlp_and_weights(channels: int) -> tuple[MLP, LayerNorm, list[torch.Tensor]]:
    torch.manual_seed(0)
    mlp, norm = MLP(channels, ratio=1.5), LayerNorm(channels)
    weights = [*norm.parameters(), *mlp.parameters()]
    for weight in weights:
        torch.nn.init.normal_(weight)
    return mlp, norm, weights


def _normed_linear(x: torch.Tensor, gain, shift, weight) -> torch.Tensor:
    return F.layer_norm(x, gain.shape, gain, shift) @ weight.squeeze(-1).t()


@pytest.mark.parametrize("size", [(5,), (6, 5, 4), (16, 8, 16)])
@pytest.mark.parametrize("kind", ["mlp", "linear"])
def test_layers_behind_a_norm(kind, size, monkeypatch):
    monkeypatch.setattr(gradients, "part_values", lambda values: 300)
    mlp, norm, weights = _mlp_and_weights(6)
    function, plain_form = mlp.residual, _normed_mlp
    if kind == "linear":
        layer = Linear(6, 9, bias=False)
        weights = [*norm.parameters(), layer.linear.weight]
        function, plain_form = layer.of_normed, _normed_linear
    monkeypatch.setattr(LayerNorm, "forward", None)  # what takes the layers one by one
    x = torch.randn(2, 6, *size)
    exact = [t.detach().double().requires_grad_() for t in (x.movedim(1, -1), *weights)]
    leaf = x.clone().requires_grad_()
    found, plain = function(leaf, norm), plain_form(*exact)
    upstream = torch.randn(found.shape)
    ours = torch.autograd.grad(found, [leaf, *weights], upstream)
    theirs = torch.autograd.grad(plain, exact, upstream.double().movedim(1, -1))
    pairs = [(found, plain.movedim(-1, 1)), (ours[0], theirs[0].movedim(-1, 1))]
    for value, right in [*pairs, *zip(ours[1:], theirs[1:], strict=True)]:
        assert value.shape == right.shape
        assert reference.relative(value.double(), right) < 1e-6


def test_frozen_weights_get_no_gradient_and_the_map_the_same():
    mlp, norm, weights = _mlp_and_weights(4)
    layer = Linear(4, 4, bias=False)
    weights.append(layer.linear.weight)
    x = torch.randn(1, 4, 8, 8, requires_grad=True)

    def compute() -> torch.Tensor:
        return layer.of_normed(mlp.residual(x, norm), norm).sum()

    (with_weights, *_) = torch.autograd.grad(compute(), [x, *weights])
    for weight in weights:
        weight.requires_grad_(False)
    compute().backward()
    assert torch.equal(x.grad, with_weights)


def test_dropout_autocast_and_other_norms_take_the_layers_one_by_one(monkeypatch):
    monkeypatch.setattr(layers, "differentiable_mlp", None)
    monkeypatch.setattr(layers, "differentiable_normed_linear", None)
    x = torch.randn(1, 4, 8, 8, requires_grad=True)
    mlp, norm, _ = _mlp_and_weights(4)
    for function in (mlp.residual, Linear(4, 4, bias=False).of_normed):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            function(x, norm)
        function(x, torch.nn.GroupNorm(2, 4))
    mlp.double().residual(x.double(), norm.double())
    MLP(4, dropout=0.5).train().residual(x, LayerNorm(4))
    Linear(4, 4).of_normed(x, LayerNorm(4))
