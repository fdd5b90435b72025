"""The mixing layer beside a plain copy of its input, which is as fast as memory allows."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.contestants import LEVELS, WIDTH, Window, patch_size
from benchmarks.measure import Row, Setting, ratio, stopwatch, take_turns
from factorizer_engine.factorization import NMF, SWMatricize
from factorizer_engine.networks.blocks import FactMixer

COPY = "copy"
MIXING, MIXER = "mixing", "mixing with projections"
FORWARD, BACKWARD = "forward", "backward"

TURNS = 3
"""Turns per round of the setting, because a layer takes milliseconds."""


def measure_layers(window: Window, setting: Setting) -> list[Row]:
    """Forward and backward time of the mixing layer at every level of the network for `window`."""
    return [row for level in range(LEVELS) for row in _measure_level(window, level, setting)]


def section_title(window: Window) -> str:
    """The section of the table that `measure_layers` fills."""
    return f"Mixing layer, levels of {window.title}"


def _measure_level(window: Window, level: int, setting: Setting) -> list[Row]:
    channels, size = WIDTH * 2**level, [n // 2**level for n in window.size]
    title = f"{channels} x {' x '.join(map(str, size))}"
    mixer = _mixer(channels, size, patch_size(window)).to(setting.device)
    mixing = _mixer(channels, size, patch_size(window)).to(setting.device)
    mixing.in_proj, mixing.out_proj = nn.Identity(), nn.Identity()
    x = torch.randn(1, *size, channels, device=setting.device).movedim(-1, 1)
    times = take_turns(
        {
            COPY: _copy(x, setting),
            f"{MIXING}, {FORWARD}": _forward(mixing, x, setting),
            f"{MIXING}, {BACKWARD}": _backward(mixing, x, setting),
            f"{MIXER}, {FORWARD}": _forward(mixer, x, setting),
            f"{MIXER}, {BACKWARD}": _backward(mixer, x, setting),
        },
        TURNS * setting.rounds,
        say=lambda text: setting.say(f"{title}: {text}"),
    )
    return [
        Row(
            section_title(window),
            f"{title}: {name}",
            seconds,
            ratios={COPY: ratio(seconds, times[COPY])} if name != COPY else {},
        )
        for name, seconds in times.items()
    ]


def _mixer(channels: int, size: list[int], patch: int) -> FactMixer:
    torch.manual_seed(0)
    reshape = (SWMatricize, {"head_dim": 8, "patch_size": patch})
    return FactMixer(channels, size, reshape, nn.ReLU, NMF, rank=1)


def _copy(x: Tensor, setting: Setting):
    target = torch.empty_like(x)
    return stopwatch(lambda _: target.copy_(x), setting.device)


def _forward(layer: nn.Module, x: Tensor, setting: Setting):
    def run(_: None) -> Tensor:
        with setting.computing():
            return layer(x)

    return stopwatch(run, setting.device)


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
