"""The kernels for graphics cards against the definition.

They run on a GPU, or, in a process with TRITON_INTERPRET=1, in Triton's interpreter on the CPU:
`test_fused_fallback` starts such a process. Otherwise they are skipped.
"""

from __future__ import annotations

import importlib
import os
from itertools import product
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from engine import reference
from factorizer_engine.bundles.published.presets import PRESETS
from factorizer_engine.factorization import Factors, Matricize, SWMatricize, comparison
from factorizer_engine.factorization.backends import FUSED
from factorizer_engine.factorization.comparison import Kind, factors_agree, mixing_agrees
from factorizer_engine.factorization.fused import backend, launcher
from factorizer_engine.factorization.mixing import mix_rank_one
from factorizer_engine.factorization.rank_one import rank_one_factors
from factorizer_engine.networks import FactorizerBlock

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not INTERPRETED and not torch.cuda.is_available(), reason="needs a CUDA device"
    ),
]

LAYERS = {
    "three dimensions": (SWMatricize, (8, 4, 8, 4), {"head_dim": 8, "patch_size": 4}),
    "two dimensions": (SWMatricize, (12, 8, 4), {"head_dim": 4, "patch_size": 4}),
    "one dimension": (SWMatricize, (8, 12), {"head_dim": 4, "patch_size": 6}),
    "odd sizes": (SWMatricize, (6, 3, 9, 3), {"head_dim": 3, "patch_size": 3}),
    "shift per axis, either sign": (
        SWMatricize,
        (4, 4, 3, 8),
        {"head_dim": 2, "patch_size": (2, 3, 4), "shifts": (None, (1, 1, 1), (0, 2, -3))},
    ),
    "no unshifted grid": (
        SWMatricize,
        (4, 6, 8),
        {"head_dim": 4, "patch_size": (3, 4), "shifts": ((1, 3),)},
    ),
    "local": (Matricize, (8, 8, 4), {"head_dim": 4, "patch_size": 4}),
    "global": (Matricize, (8, 5, 7, 3), {"head_dim": 4, "grid_size": 1}),
    "heads beyond one group": (Matricize, (72, 4, 8), {"head_dim": 8, "patch_size": 4}),
    "head wider than a group": (Matricize, (48, 4, 4), {"head_dim": 48, "grid_size": 1}),
}
HALVES = [(torch.bfloat16, 8e-3), (torch.float16, 1e-3)]


@pytest.fixture(autouse=True, scope="module")
def _patched_once():
    """Triton's interpreter patches its language in every call within a kernel: half of its time."""
    if not INTERPRETED:
        yield
        return
    interpreter = importlib.import_module("triton.runtime.interpreter")
    patch, done = interpreter._patch_lang, {}

    def patch_once_a_launch(function):
        language = id(function.__globals__)
        if language not in done:
            done[language] = patch(function)
        return SimpleNamespace(restore=lambda: (done[language].restore(), done.clear()))

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # kernels in threads would take the patches from each other
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(interpreter, "_patch_lang", patch_once_a_launch)
        yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _trusted(monkeypatch):
    """What is compared here need not be compared before."""
    monkeypatch.setattr(FUSED.trust, "failed", False)
    monkeypatch.setattr(FUSED.trust, "covers", lambda *_: not FUSED.trust.failed)


@pytest.fixture(autouse=True)
def _no_other_form(monkeypatch):
    """A kernel that fails must not be replaced unseen."""

    def give_up(reason) -> None:
        raise AssertionError(f"A kernel failed: {reason}")

    monkeypatch.setattr(FUSED.trust, "give_up", give_up)


def _definition(x: Tensor, layer: Matricize, v0: Tensor, sweeps: int, eps: float) -> Tensor:
    u, v = rank_one_factors(layer(torch.relu(x)), v0, sweeps, eps)
    return layer.inverse_forward(u @ v.mT)


def _fused(x: Tensor, layer: Matricize, v0: Tensor, sweeps: int = 5, eps: float = 1e-16) -> Tensor:
    assert FUSED.mixes(x, layer, v0)
    return mix_rank_one(x, layer, v0, sweeps, eps)


def _setup(name: str, batch: int = 1) -> tuple[Tensor, Matricize, Tensor]:
    """A map with a zero window at its beginning, the layer, and a starting factor."""
    torch.manual_seed(0)
    layer_class, size, arguments = LAYERS[name]
    layer = layer_class(size, **arguments)
    x = torch.randn(batch, *size)
    if len(layer.grid_size) > 1 and layer.grid_size[0] * layer.grid_size[1] > 1:
        x[(..., *(slice(p) for p in layer.patch_size))] = 0
    return x.to(DEVICE), layer, (torch.rand(layer.output_size[3]) + 0.1).to(DEVICE)


def _with_gradient(mix, x: Tensor) -> tuple[Tensor, Tensor]:
    """The output and the gradient of a loss that weights every voxel differently."""
    x = x.clone().requires_grad_(True)
    output = mix(x)
    weight = torch.linspace(-1, 2, output.numel(), device=output.device)
    loss = (output * weight.view_as(output).to(output.dtype)).sum()
    return output.detach(), *torch.autograd.grad(loss, x)


def _block(channels: int, size: tuple[int, ...], reshape) -> FactorizerBlock:
    torch.manual_seed(0)
    block = FactorizerBlock(channels, size, reshape=reshape, rank=1).eval()
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return block.to(DEVICE)


def _assert_block_is_right(
    block: FactorizerBlock, x: Tensor, tolerance: float = 1e-5, dtype: torch.dtype | None = None
) -> None:
    """Compare with float64, in which no kernels compute."""
    x = x.to(DEVICE)
    with torch.no_grad(), torch.autocast(DEVICE, dtype, enabled=dtype is not None):
        assert block.fact.kernels_for(x) is FUSED
        found = block(x)
    with torch.no_grad():
        expected = block.double()(x.double())
    assert found.movedim(1, -1).is_contiguous()
    assert reference.relative(found, expected) < tolerance


@pytest.mark.parametrize(
    ("head_dim", "patch"),
    [(4, 8), (8, 4), (16, 2)] if INTERPRETED else list(product((4, 8, 16), (2, 4, 8))),
)
def test_a_block_without_its_mixed_map_equals_the_definition(head_dim, patch):
    size = (patch, patch, 2 * patch)
    reshape = SWMatricize, {"head_dim": head_dim, "patch_size": patch}
    block = _block(3 * head_dim, size, reshape)
    _assert_block_is_right(block, torch.randn(2 if patch == 2 else 1, 3 * head_dim, *size))


@pytest.mark.parametrize("name", list(PRESETS)[:1] if INTERPRETED else PRESETS)
def test_a_published_setting_equals_the_definition(name):
    preset = PRESETS[name]
    head_dim, patch = preset.fingerprint["head_dim"], preset.fingerprint["patch_size"]
    reshape = {"head_dim": head_dim, "patch_size": patch, "shifts": preset.network["shifts"]}
    size = (patch, patch, 2 * patch)
    block = _block(32, size, (SWMatricize, reshape))
    _assert_block_is_right(block, torch.randn(1, 32, *size))


@pytest.mark.parametrize(
    ("size", "reshape"),
    [
        ((8, 12), (SWMatricize, {"head_dim": 4, "patch_size": 4, "shifts": (None, 1, (-2, 7))})),
        ((24,), (SWMatricize, {"head_dim": 4, "patch_size": 8})),
        ((8, 4, 6), (Matricize, {"head_dim": 4, "patch_size": (4, 4, 3)})),
        ((6, 4, 5), (Matricize, {"head_dim": 8, "grid_size": 1})),
        ((9, 6), (SWMatricize, {"head_dim": 3, "patch_size": 3})),
    ],
)
def test_blocks_with_other_axes_shifts_and_windows_equal_the_definition(size, reshape):
    channels = 4 * reshape[1]["head_dim"]
    _assert_block_is_right(_block(channels, size, reshape), torch.randn(2, channels, *size))


@pytest.mark.parametrize("given_as_half", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), HALVES)
def test_a_block_under_autocast_is_as_accurate_as_its_rounding(dtype, tolerance, given_as_half):
    block = _block(16, (4, 8), (SWMatricize, {"head_dim": 8, "patch_size": 4}))
    x = torch.randn(1, 16, 4, 8)
    _assert_block_is_right(block, x.to(dtype) if given_as_half else x, tolerance, dtype)


def test_a_block_in_parts_is_the_same(monkeypatch):
    block = _block(8, (4, 8, 4), (SWMatricize, {"head_dim": 4, "patch_size": 4}))
    x = torch.randn(2, 8, 4, 8, 4, device=DEVICE)
    with torch.no_grad():
        whole = block(x)
        monkeypatch.setattr(backend, "DEVICE_PART", 25 * 4 * 8)
        assert torch.equal(block(x), whole)


def test_rows_of_any_layout_are_normalised():
    torch.manual_seed(0)
    x, norm = torch.randn(12, 5, device=DEVICE).t(), torch.nn.LayerNorm(12).to(DEVICE)
    with torch.no_grad():
        torch.testing.assert_close(FUSED.layer_norm(x, norm), norm(x))


def test_what_is_not_a_number_stays_so_in_a_block():
    block = _block(8, (4, 4, 8), (Matricize, {"head_dim": 8, "patch_size": 4}))
    x = torch.randn(1, 8, 4, 4, 8, device=DEVICE)
    x[0, 0, 0, 0, 0] = torch.nan
    with torch.no_grad():
        found = block(x)
    assert found[..., :4].isnan().all() and found[..., 4:].isfinite().all()


def test_components_are_drawn_from_the_same_factors():
    activity = pytest.importorskip("factorizer_engine.components.definition").activity
    x, layer, v0 = _setup("three dimensions", batch=2)
    with torch.no_grad():
        factors = FUSED.find_factors(x, layer, v0, 5, 1e-16)
    assert isinstance(factors, Factors)
    expected = activity(layer, rank_one_factors(layer(x.relu()), v0, 5, 1e-16))
    assert reference.relative(activity(layer, factors), expected) < 1e-5


@pytest.mark.parametrize("name", LAYERS)
def test_output_and_gradient_of_the_layer_equal_the_definition(name):
    x, layer, v0 = _setup(name, batch=2 if name in ("three dimensions", "one dimension") else 1)
    found = _with_gradient(lambda x: _fused(x, layer, v0), x)
    expected = _with_gradient(lambda x: _definition(x, layer, v0, 5, 1e-16), x.double())
    assert reference.relative(found[0], expected[0]) < 1e-5
    assert reference.relative(found[1], expected[1]) < 1e-5


def test_pieces_of_lines_and_groups_of_heads_give_the_same(monkeypatch):
    monkeypatch.setattr(launcher, "_PROGRAM_VALUES", 8)
    test_output_and_gradient_of_the_layer_equal_the_definition("two dimensions")
    block = _block(12, (4, 4), (SWMatricize, {"head_dim": 4, "patch_size": 4}))
    _assert_block_is_right(block, torch.randn(1, 12, 4, 4))


@pytest.mark.skipif(not INTERPRETED, reason="is what a GPU does anyway, where it can")
def test_float32_split_in_two_parts_for_tensor_cores_is_as_exact(monkeypatch):
    monkeypatch.setattr(launcher, "_has_tensor_cores", lambda _: True)
    test_output_and_gradient_of_the_layer_equal_the_definition("two dimensions")


@pytest.mark.parametrize("eps", [1e-16, 1e-2])
@pytest.mark.parametrize("sweeps", [1, 2])
def test_other_sweeps_and_guards_equal_the_definition(sweeps, eps):
    x, layer, v0 = _setup("two dimensions", batch=2)
    found = _with_gradient(lambda x: _fused(x, layer, v0, sweeps, eps), x)
    expected = _with_gradient(lambda x: _definition(x, layer, v0, sweeps, eps), x.double())
    for one, other in zip(found, expected, strict=True):
        assert reference.relative(one, other) < 1e-5


@pytest.mark.parametrize(("dtype", "tolerance"), HALVES)
@pytest.mark.parametrize("name", ["three dimensions", "one dimension"])
def test_half_precision_is_as_accurate_as_its_rounding(name, dtype, tolerance):
    x, layer, v0 = _setup(name)
    x = x.to(dtype)
    found = _with_gradient(lambda x: _fused(x, layer, v0), x)
    expected = _with_gradient(lambda x: _definition(x, layer, v0, 5, 1e-16), x.double())
    assert found[0].dtype == found[1].dtype == dtype
    assert reference.relative(found[0], expected[0]) < tolerance
    assert reference.relative(found[1], expected[1]) < tolerance


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_zeros_stay_zeros_and_get_no_gradient(dtype):
    x, layer, v0 = _setup("two dimensions")
    output, gradient = _with_gradient(
        lambda x: _fused(x, layer, v0), torch.zeros_like(x, dtype=dtype)
    )
    assert output.isfinite().all() and output.float().abs().max() < 1e-12
    assert (gradient == 0).all()


@pytest.mark.parametrize("exponent", [-12, -8, -5, -4, -3])
def test_a_single_positive_voxel_has_the_gradient_of_the_definition(exponent):
    x, layer, v0 = _setup("local")
    v0[0] = 1e-3
    x = torch.zeros_like(x)
    x[0, 3, 0, 0] = 10.0**exponent
    found = _with_gradient(lambda x: _fused(x, layer, v0), x)
    expected = _with_gradient(lambda x: _definition(x, layer, v0, 5, 1e-16), x.double())
    assert reference.relative(found[1], expected[1]) < 1e-5


def test_nan_is_not_hidden():
    x, layer, v0 = _setup("local")
    x[0, 5, 7, 3] = torch.nan
    mixed = _fused(x, layer, v0)
    assert mixed[0, 4:, 4:].isnan().all()
    assert mixed[0, :, :4].isfinite().all() and mixed[0, :4].isfinite().all()


def test_memory_layout_does_not_matter_and_results_repeat_exactly():
    x, layer, v0 = _setup("two dimensions")
    strided = x.contiguous(memory_format=torch.channels_last)
    results = [_with_gradient(lambda x: _fused(x, layer, v0), m) for m in (x, x, strided)]
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))
    assert results[0][0].movedim(1, -1).is_contiguous()


def test_autocast_and_inference_change_nothing():
    x, layer, v0 = _setup("two dimensions")
    expected = _fused(x, layer, v0)
    with torch.autocast(DEVICE, dtype=torch.bfloat16), torch.inference_mode():
        assert torch.equal(_fused(x, layer, v0), expected)


def test_what_the_kernels_cannot_compute_is_left_to_other_forms():
    x, layer, v0 = _setup("two dimensions")
    wide = Matricize((256, 4), head_dim=256, patch_size=4)
    assert FUSED.mixes(x, layer, v0)
    assert not FUSED.mixes(x.double(), layer, v0)
    assert not FUSED.mixes(x[..., :-1], layer, v0)
    assert not FUSED.mixes(x[:0], layer, v0)
    assert not FUSED.mixes(x, layer, v0[1:])
    assert not FUSED.mixes(torch.zeros(1, 256, 4, device=DEVICE), wide, v0[:4])
    assert not FUSED.is_available(x, layer), "with gradients"
    with torch.no_grad():
        assert FUSED.is_available(x, layer)
        assert not FUSED.is_available(x.double(), layer)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("agrees", [factors_agree, mixing_agrees])
def test_kernels_agree_when_they_are_compared_and_not_when_they_differ(agrees, dtype, monkeypatch):
    if INTERPRETED:
        monkeypatch.setattr(comparison, "_FEWEST_CHANNELS", 1)
    kind = Kind(4, (2,) if INTERPRETED else (4, 4, 4), torch.device(DEVICE), dtype)
    assert agrees(FUSED, kind)
    right = launcher.Launcher.find

    def wrong(self, factors: Factors) -> None:
        right(self, factors)
        factors.v.mul_(1.1)

    monkeypatch.setattr(launcher.Launcher, "find", wrong)
    assert not agrees(FUSED, kind)
