"""The mixing layer beside a plain copy of its input, which is as fast as memory allows."""

from __future__ import annotations

from collections import Counter
from typing import cast
from unittest import mock

import torch
from torch import Tensor, nn

from benchmarks.contestants import LEVELS, WIDTH, Window, patch_size
from benchmarks.measure import Row, Setting, ratio, stopwatch, take_turns
from factorizer_engine.factorization import NMF, Factors, SWMatricize
from factorizer_engine.factorization.backend import Backend
from factorizer_engine.networks.blocks import FactMixer, FactorizerBlock

COPY = "copy"
MIXING, MIXER = "mixing", "mixing with projections"
FACTORS, EXPANDED = "factors of both grids", "factors and expansion"
BLOCK, MIXED_BLOCK = "block", "block with its mixed map"
FORWARD, BACKWARD = "forward", "backward"
ALL_LEVELS = "all levels"


def measure_layers(window: Window, setting: Setting) -> list[Row]:
    """Forward and backward time of the mixing layer at every level of the network for `window`."""
    rows: list[Row] = []
    together: dict[str, list[float]] = {}
    count: Counter[str] = Counter()
    for level in range(LEVELS):
        channels, size = WIDTH * 2**level, [n // 2**level for n in window.size]
        times = _measure_level(channels, size, patch_size(window), setting)
        rows += _rows(window, " x ".join(map(str, (channels, *size))), times)
        count.update(times.keys())
        for name, seconds in times.items():
            known = together.get(name, [0.0] * len(seconds))
            together[name] = [a + b for a, b in zip(known, seconds, strict=True)]
    everywhere = {name: seconds for name, seconds in together.items() if count[name] == LEVELS}
    return [*rows, *_rows(window, ALL_LEVELS, everywhere)]


def section_title(window: Window) -> str:
    """The section of the table that `measure_layers` fills."""
    return f"Mixing layer, levels of {window.title}"


def _measure_level(
    channels: int, size: list[int], patch: int, setting: Setting
) -> dict[str, list[float]]:
    mixer = _mixer(channels, size, patch).to(setting.device)
    mixing = _mixer(channels, size, patch).to(setting.device)
    for name in ("in_proj", "out_proj"):
        setattr(mixing, name, nn.Identity())
    x = torch.randn(1, *size, channels, device=setting.device).movedim(-1, 1)
    return take_turns(
        {
            COPY: _copy(x, setting),
            f"{MIXING}, {FORWARD}": _forward(mixing, x, setting),
            f"{MIXING}, {BACKWARD}": _backward(mixing, x, setting),
            f"{MIXER}, {FORWARD}": _forward(mixer, x, setting),
            f"{MIXER}, {BACKWARD}": _backward(mixer, x, setting),
            **_by_factors(mixer, x, setting),
            **_block(channels, size, patch, x, setting),
        },
        setting.rounds,
        say=lambda text: setting.say(f"{channels} channels, {size[0]} voxels: {text}"),
    )


def _rows(window: Window, level: str, times: dict[str, list[float]]) -> list[Row]:
    return [
        Row(
            section_title(window),
            f"{level}: {name}",
            seconds,
            ratios=_ratios(name, times),
        )
        for name, seconds in times.items()
    ]


def _ratios(name: str, times: dict[str, list[float]]) -> dict[str, float]:
    others = {COPY} | ({MIXED_BLOCK} if name == BLOCK else set())
    return {other: ratio(times[name], times[other]) for other in sorted(others - {name})}


def _mixer(channels: int, size: list[int], patch: int) -> FactMixer:
    torch.manual_seed(0)
    return FactMixer(channels, size, _reshape(patch), nn.ReLU, NMF, rank=1)


def _reshape(patch: int):
    return SWMatricize, {"head_dim": 8, "patch_size": patch}


def _copy(x: Tensor, setting: Setting):
    target = torch.empty_like(x)
    return stopwatch(lambda _: target.copy_(x), setting.device)


def _forward(layer: nn.Module, x: Tensor, setting: Setting):
    def run(_: None) -> Tensor:
        with setting.computing():
            return layer(x)

    return stopwatch(run, setting.device)


def _by_factors(mixer: FactMixer, x: Tensor, setting: Setting):
    """What a block does without gradients where kernels serve: no mixed map, only its factors."""
    layer, norm = mixer.out_proj.linear, nn.LayerNorm(x.shape[1]).to(x.device)
    spare = x.clone(memory_format=torch.preserve_format)

    weight, bias = layer.weight.squeeze(-1), cast(Tensor, layer.bias)
    with setting.computing():
        kernels = mixer.kernels_for(x)
        # What kernels are given: the type in which linear maps are computed.
        projected = x.to(setting.precision)
    if kernels is None:
        return {}

    def find(_: None) -> Factors:
        with setting.computing():
            return mixer.factors(projected, kernels)

    def expand(_: None) -> Tensor:
        with setting.computing():
            factors = mixer.factors(projected, kernels)
            return kernels.expand(x, factors, weight, bias, norm, lambda y, _: y, spare)

    return {
        f"{FACTORS}, {FORWARD}": stopwatch(find, setting.device),
        f"{EXPANDED}, {FORWARD}": stopwatch(expand, setting.device),
    }


def _block(channels: int, size: list[int], patch: int, x: Tensor, setting: Setting):
    """A whole block without gradients, with and without its mixed map."""
    torch.manual_seed(0)
    block = FactorizerBlock(channels, size, reshape=_reshape(patch), rank=1).to(setting.device)
    timed = _forward(block, x, setting)

    def with_mixed_map() -> float:
        with mock.patch.object(Backend, "is_available", return_value=False):
            return timed()

    with setting.computing():
        if block.fact.kernels_for(x) is None:
            return {}
    return {BLOCK: timed, MIXED_BLOCK: with_mixed_map}


def _backward(layer: nn.Module, x: Tensor, setting: Setting):
    leaf = x.detach().requires_grad_()
    inputs = [leaf, *layer.parameters()]

    def forward() -> tuple[Tensor, Tensor]:
        with setting.computing(gradients=True):
            output = layer(leaf)
        return output, torch.ones_like(output)

    def run(prepared: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
        output, gradient = prepared
        return torch.autograd.grad(output, inputs, gradient)

    return stopwatch(run, setting.device, prepare=forward)
