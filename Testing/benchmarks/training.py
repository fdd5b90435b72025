"""A training step beside the same step in torch's own operations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.footprint import growth_in_a_process
from benchmarks.measure import Row, Setting, ratio, stopwatch, take_turns
from factorizer_engine.factorization import SWMatricize
from factorizer_engine.factorization.backends import COMPILED, FUSED
from factorizer_engine.networks import Factorizer, layers
from factorizer_engine.training.run.losses import RegionLoss
from factorizer_engine.training.run.optimizers import MuonAdamW

SECTION = "Training step, glioma-fast, 64³ x 4 channels"
STEP, TORCHS_STEP = "forward, backward, optimiser", "the same in torch's operations"
_SIZE = (64, 64, 64)
_WIDTHS = (16, 32, 64, 128, 256)


def measure_training(setting: Setting, widths: tuple[int, ...] = _WIDTHS) -> list[Row]:
    """Forward, backward and optimiser on one window, batch 1; by default of glioma-fast's network.

    Args:
        setting: What it is measured on.
        widths: Channels of the network's levels.
    """
    times = take_turns(
        {
            STEP: stopwatch(_step(setting, widths), setting.device),
            TORCHS_STEP: stopwatch(_in_torchs_form(_step(setting, widths)), setting.device),
        },
        setting.rounds,
        say=lambda text: setting.say(f"{SECTION}: {text}"),
    )
    over = {TORCHS_STEP: ratio(times[STEP], times[TORCHS_STEP])}
    setting.say(f"{SECTION}: memory")
    ours, torchs = (_memory(setting, widths, torchs=torchs) for torchs in (False, True))
    note = f"memory {ours / torchs:.2f} x {TORCHS_STEP}" if ours and torchs else ""
    return [
        Row(SECTION, STEP, times[STEP], memory=ours, ratios=over, note=note),
        Row(SECTION, TORCHS_STEP, times[TORCHS_STEP], memory=torchs),
    ]


def _memory(setting: Setting, widths: tuple[int, ...], torchs: bool) -> int | None:
    """Growth of a process's memory in two steps, with what they load; None on a graphics card."""
    if setting.device.type != "cpu":
        return None
    alone = Setting(setting.device, setting.precision, 1, setting.threads, say=_say_nothing)
    return growth_in_a_process(_steps, alone, widths, torchs)


def _steps(setting: Setting, widths: tuple[int, ...], torchs: bool) -> Callable[[], None]:
    torch.set_num_threads(setting.threads)
    run = _step(setting, widths)
    run = _in_torchs_form(run) if torchs else run

    def twice() -> None:
        run(None)
        run(None)

    return twice


def _say_nothing(text: str) -> None:
    """A function with a name, which goes to another process."""


def _step(setting: Setting, widths: tuple[int, ...]) -> Callable[[None], None]:
    torch.manual_seed(0)
    reshape = (SWMatricize, {"head_dim": 8, "patch_size": 4, "shifts": (None, 2)})
    network = Factorizer(4, 3, _SIZE, encoder_width=widths, reshape=reshape).to(setting.device)
    optimizer = MuonAdamW(network.parameters(), lr=1e-3, weight_decay=1e-2)
    x = torch.randn(1, 4, *_SIZE, device=setting.device)
    target = (torch.rand(1, 3, *_SIZE, device=setting.device) > 0.7).float()
    loss = RegionLoss()

    def run(_: None) -> None:
        with setting.computing(gradients=True):
            outputs = network(x)
        network.zero_grad(set_to_none=True)
        loss(outputs, target).backward()
        optimizer.step()

    return run


def _in_torchs_form(run: Callable[[None], None]) -> Callable[[None], None]:
    def patched(_: None) -> None:
        with _torchs_form():
            run(None)

    return patched


@contextmanager
def _torchs_form() -> Iterator[None]:
    """Neither compiled kernels nor oneDNN where torch would not take it."""

    def convolution(x: Tensor, weight: nn.Parameter) -> Tensor:
        return F.conv3d(x, weight, padding="same")

    with (
        patch.object(COMPILED.trust, "failed", True),
        patch.object(FUSED.trust, "failed", True),
        patch.object(layers, "differentiable_linear", F.linear),
        patch.object(layers, "serves", lambda tensor: False),
        patch.object(layers, "differentiable_convolution", convolution),
    ):
        yield
