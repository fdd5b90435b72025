"""One run of the benchmark: all parts, in one process, under one setting."""

from __future__ import annotations

import os
import platform
from argparse import Namespace
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import monai
import torch
from rich.console import Console

from benchmarks.cases import measure_case
from benchmarks.contestants import Window
from benchmarks.earlier import measure_earlier
from benchmarks.engine import measure_engine
from benchmarks.goals import find_goals
from benchmarks.interaction import measure_interaction
from benchmarks.layers import measure_layers
from benchmarks.levels import measure_levels
from benchmarks.load import measure_load
from benchmarks.measure import Row, Setting
from benchmarks.profile import profile_window
from benchmarks.report import Report
from benchmarks.scaling import measure_scaling
from benchmarks.start import measure_start
from benchmarks.studies import measure_studies
from benchmarks.training import measure_training
from benchmarks.windows import measure_window
from factorizer_engine import __version__
from factorizer_engine.bundles.registry import resolve_model
from factorizer_engine.inference.allocator import keep_freed_memory
from factorizer_engine.inference.device import resolve_device, resolve_precision
from factorizer_engine.inference.segmenter import Segmenter
from factorizer_engine.protocol.errors import BadInputError


def run(options: Namespace) -> Report:
    """Measure what the options ask for.

    Raises:
        BadInputError: If a window, the device or the precision cannot be used.
        BadModelError: If the model cannot be used.
    """
    device = resolve_device(options.device)
    precision = resolve_precision(options.precision, device)
    windows = [_window(text) for text in options.window]
    keep_freed_memory()  # the engine's own setting, for all contestants alike
    torch.set_num_threads(options.threads)
    load_before = _load()
    with Console(stderr=True).status("starting") as status:
        setting = Setting(device, precision, options.rounds, options.threads, status.update)
        rows = list(_measure(options, windows, setting))
    environment = {
        "Date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "Device": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "Threads": f"{options.threads} of {os.cpu_count()} cores",
        "Precision": options.precision,
        "Rounds": f"{options.rounds} after a warm-up, contestants in turn",
        "Load before and after": f"{load_before} and {_load()}",
        "Versions": f"engine {__version__}, torch {torch.__version__}, MONAI {monai.__version__}, "
        f"Python {platform.python_version()}, {platform.system()}",
        "Memory of freed tensors": "kept for reuse, for all networks alike",
    }
    if device.type == "cpu" and not torch.cuda.is_available():
        environment["GPU"] = "none here, so none was measured"
    goals = find_goals(rows, is_gpu=device.type != "cpu")
    return Report(options.command, environment, rows, goals)


def _measure(options: Namespace, windows: list[Window], setting: Setting) -> Iterator[Row]:
    if "windows" in options.part:
        for window in windows:
            yield from measure_window(window, setting)
    if "layers" in options.part:
        yield from measure_layers(windows[-1], setting)
    if "levels" in options.part:
        yield from measure_levels(windows[-1], setting)
    if "training" in options.part:
        yield from measure_training(setting)
    if "case" in options.part:
        bundle = resolve_model(options.model, setting.device.type)
        segmenter = Segmenter(bundle, str(setting.device), options.precision)
        yield from measure_case(segmenter, options.case, setting)
    if "engine" in options.part:
        bundle = resolve_model(options.model, setting.device.type)
        yield from measure_engine(bundle, options.case, setting)
    if "start" in options.part:
        bundle = resolve_model(options.model, setting.device.type)
        yield from measure_start(bundle, options.case, setting)
    if "load" in options.part:
        yield from measure_load(windows[0], setting)
    if "studies" in options.part:
        bundle = resolve_model(options.model, setting.device.type)
        yield from measure_studies(bundle, options.case, setting)
    if "interaction" in options.part:
        bundle = resolve_model(options.model, setting.device.type)
        yield from measure_interaction(bundle, options.case, setting)
    if "earlier" in options.part:
        bundle = resolve_model(options.model, setting.device.type)
        yield from measure_earlier(bundle, options.case, setting)
    if "scaling" in options.part:
        yield from measure_scaling(setting)
    if "profile" in options.part:
        yield from profile_window(windows[-1], setting)


def _window(text: str) -> Window:
    try:
        return Window.parse(text)
    except ValueError as error:
        raise BadInputError(f"'{text}' is not a window: {error}.") from error


def _processor() -> str:
    """The processor's name, where the system tells."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _load() -> str:
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
