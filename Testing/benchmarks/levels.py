"""The network's levels beside their arithmetic: what is left to be gained."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import cast

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.contestants import LEVELS, OURS, WIDTH, Window, build
from benchmarks.measure import Row, Setting, stopwatch, take_turns
from factorizer_engine.networks import Factorizer
from factorizer_engine.networks.layers import linear

PRODUCT = "matrix product, 2048 x 1024 by 1024 x 1024"
LIMIT = "arithmetic limit"
ALL_LEVELS = "all levels"
_COUNTED = torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.convolution
_ROWS, _COLUMNS = 2048, 1024


def section_title(window: Window) -> str:
    """The section of the table that `measure_levels` fills."""
    return f"Levels of {OURS}, {window.title}, beside their arithmetic"


def measure_levels(window: Window, setting: Setting) -> list[Row]:
    """Time of every level's two stages, and how many times what their arithmetic alone would take.

    The limit is the time of the linear maps and convolutions by which a level is defined, at the
    rate of a large matrix product in the same turns. The stem belongs to the finest level, and so
    does the head; what mixing multiplies is not counted.
    """
    network = cast(Factorizer, build(OURS, window, setting.device))
    levels = {_title(window, level): _level(network, window, level) for level in range(LEVELS)}
    inputs = {name: [x.to(setting.device) for x in given] for name, (_, given) in levels.items()}
    left, right = (torch.randn(n, _COLUMNS, device=setting.device) for n in (_ROWS, _COLUMNS))
    times = take_turns(
        {
            PRODUCT: _timed(linear, [left, right], setting),
            **{name: _timed(run, inputs[name], setting) for name, (run, _) in levels.items()},
        },
        setting.rounds,
        say=lambda text: setting.say(f"{window.title}: {text}"),
    )
    operations = {name: _operations(run, inputs[name]) for name, (run, _) in levels.items()}
    times[ALL_LEVELS] = [sum(turn) for turn in zip(*(times[name] for name in levels), strict=True)]
    operations[ALL_LEVELS] = sum(operations.values())
    product = 2 * _ROWS * _COLUMNS**2
    section = section_title(window)
    rows = [Row(section, PRODUCT, times[PRODUCT], operations=product)]
    for name, count in operations.items():
        over = [t * product / (count * p) for t, p in zip(times[name], times[PRODUCT], strict=True)]
        rows.append(Row(section, name, times[name], operations=count, ratios={LIMIT: median(over)}))
    return rows


def _title(window: Window, level: int) -> str:
    return " x ".join(map(str, (WIDTH * 2**level, *(n // 2**level for n in window.size))))


def _level(
    network: Factorizer, window: Window, level: int
) -> tuple[Callable[..., Tensor], list[Tensor]]:
    """A level's stages as one function, and maps for it."""
    encoder = network.encoder.blocks[level]
    decoder = network.decoder.blocks[LEVELS - 2 - level] if level < LEVELS - 1 else None

    def run(x: Tensor, below: Tensor | None = None) -> Tensor:
        x = encoder(x if level else network.stem(x))
        if decoder is not None:
            x = decoder(below, x)
        return x if level else network.head(x)

    def noise(number: int) -> Tensor:
        size = (n // 2**number for n in window.size)
        return torch.randn(1, *size, WIDTH * 2**number).movedim(-1, 1)

    given = [noise(level - 1) if level else window.input("cpu")]
    return run, [*given, noise(level + 1)] if decoder is not None else given


def _timed(run: Callable[..., Tensor], inputs: list[Tensor], setting: Setting):
    def compute(_: None) -> Tensor:
        with setting.computing():
            return run(*inputs)

    return stopwatch(compute, setting.device)


def _operations(run: Callable[..., Tensor], inputs: list[Tensor]) -> int:
    """Of linear maps and convolutions, a multiply-add counted as two; nothing is computed."""
    with (
        FakeTensorMode(allow_non_fake_inputs=True) as fake,
        FlopCounterMode(display=False) as flops,
        torch.enable_grad(),
    ):
        run(*map(fake.from_tensor, inputs))
    counts = flops.get_flop_counts()["Global"]
    return sum(int(counts.get(operator, 0)) for operator in _COUNTED)
