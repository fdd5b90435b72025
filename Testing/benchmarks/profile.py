"""Where the time of one window goes, operator by operator."""

from __future__ import annotations

from torch.profiler import ProfilerActivity, profile

from benchmarks.contestants import OURS, Window, build
from benchmarks.measure import Row, Setting, synchronize

SHOWN = 12
"""Operators that are listed, those that take longest."""
OTHERS = "all others"


def section_title(window: Window) -> str:
    """The section of the table that `profile_window` fills."""
    return f"Operators of {OURS}, {window.title}, as torch's profiler sees them"


def profile_window(window: Window, setting: Setting) -> list[Row]:
    """Time inside each operator, without the operators that it calls, in one forward pass."""
    setting.say(f"{window.title}: profile")
    network, x = build(OURS, window, setting.device), window.input(setting.device)
    on_gpu = setting.device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with setting.computing():
        network(x)
        synchronize(setting.device)
        with profile(activities=activities) as profiler:
            network(x)
            synchronize(setting.device)
    spent = {}
    for event in profiler.key_averages():
        microseconds = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        if microseconds > 0:
            spent[event.key] = (microseconds / 1e6, event.count)
    total = sum(seconds for seconds, _ in spent.values())
    ranked = sorted(spent.items(), key=lambda item: -item[1][0])
    rows = [_row(window, name, *numbers, total) for name, numbers in ranked[:SHOWN]]
    if len(ranked) > SHOWN:
        rest = [numbers for _, numbers in ranked[SHOWN:]]
        seconds, calls = (sum(column) for column in zip(*rest, strict=True))
        rows.append(_row(window, OTHERS, seconds, calls, total))
    return rows


def _row(window: Window, name: str, seconds: float, calls: int, total: float) -> Row:
    shares = {"all": seconds / total}
    return Row(section_title(window), name, [seconds], ratios=shares, note=f"{calls} calls")
