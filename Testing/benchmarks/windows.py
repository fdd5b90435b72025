"""One window through every network."""

from __future__ import annotations

from torch import Tensor, nn

from benchmarks.contestants import (
    CONTESTANTS,
    DYNUNET,
    OURS,
    STRAIGHTFORWARD,
    SWINUNETR,
    UNETR_BASE,
    Window,
    build,
)
from benchmarks.footprint import Footprint, find_footprint
from benchmarks.measure import Row, Setting, ratio, stopwatch, take_turns
from factorizer_engine.inference.allocator import release_freed_memory

YARDSTICKS = {STRAIGHTFORWARD: "straightforward", DYNUNET: "DynUNet"}
OUR_YARDSTICKS = {**YARDSTICKS, UNETR_BASE: "UNETR", SWINUNETR: "SwinUNETR (24)"}


def measure_window(window: Window, setting: Setting) -> list[Row]:
    """Time, memory, parameters and operations of every network for one window."""
    footprints = {}
    for name in CONTESTANTS:
        setting.say(f"{window.title}: memory of {name}")
        footprints[name] = find_footprint(name, window, setting)
    networks = {name: build(name, window, setting.device) for name in CONTESTANTS}
    x = window.input(setting.device)
    outputs: dict[str, Tensor] = {}
    times = take_turns(
        {name: _forward(name, network, x, setting, outputs) for name, network in networks.items()},
        setting.rounds,
        say=lambda text: setting.say(f"{window.title}: {text}"),
    )
    rows = [
        Row(
            window.title,
            name,
            times[name],
            *footprints[name],
            {
                title: ratio(times[name], times[other])
                for other, title in (OUR_YARDSTICKS if name == OURS else YARDSTICKS).items()
                if other != name
            },
            _difference(outputs) if name == OURS else None,
            _memory_note(footprints[name], footprints[DYNUNET]) if name == OURS else "",
        )
        for name in CONTESTANTS
    ]
    networks.clear()
    release_freed_memory()
    return rows


def _forward(
    name: str, network: nn.Module, x: Tensor, setting: Setting, outputs: dict[str, Tensor]
):
    def run(_: None) -> None:
        with setting.computing():
            outputs[name] = network(x)

    return stopwatch(run, setting.device)


def _difference(outputs: dict[str, Tensor]) -> float:
    """How far the fast form is from the definition with the same weights."""
    ours, reference = outputs[OURS].float(), outputs[STRAIGHTFORWARD].float()
    return ((ours - reference).abs().max() / reference.abs().max()).item()


def _memory_note(ours: Footprint, other: Footprint) -> str:
    if not ours.memory or not other.memory:
        return ""
    return f"memory {ours.memory / other.memory:.2f} x {YARDSTICKS[DYNUNET]}"
