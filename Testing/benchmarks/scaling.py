"""Time and memory against the number of voxels: factorisations beside self-attention.

`factorizer bench --part scaling` measures; `python -m benchmarks.scaling benchmark.json plot.svg`
draws what it wrote.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.footprint import resident_peak
from benchmarks.measure import Row, Setting, stopwatch, take_turns
from factorizer_engine.factorization import NMF, Matricize, SWMatricize
from factorizer_engine.networks.blocks import FactMixer
from factorizer_engine.networks.layers import Linear

SCALING = "Scaling with the number of voxels, 32 channels"
WIDTH, HEAD, PATCH = 32, 8, 8
EDGES = (16, 24, 32, 48, 64, 96, 128)
"""Voxels along each of three axes."""
GLOBAL, LOCAL, SHIFTED = "global factorisation", "local factorisation", "shifted windows"
ATTENTION, EXPLICIT = "self-attention (fused)", "self-attention (explicit)"
LONGEST = {ATTENTION: 32, EXPLICIT: 16}
"""Edges beyond which attention takes too long, or too much memory."""


class SelfAttention(nn.Module):
    """Every voxel attends to all voxels, with as many heads as the mixers have.

    Args:
        explicit: Form the matrix of weights, as it is written in papers.
    """

    def __init__(self, explicit: bool) -> None:
        super().__init__()
        self.in_proj, self.out_proj = Linear(WIDTH, 3 * WIDTH, bias=False), Linear(WIDTH, WIDTH)
        self.explicit = explicit

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, *S) to (B, C, *S)."""
        tokens = self.in_proj(x).flatten(2).unflatten(1, (3, WIDTH // HEAD, HEAD)).mT
        query, key, value = tokens.unbind(1)
        if self.explicit:
            weights = (query @ key.mT / math.sqrt(HEAD)).softmax(dim=-1)
            mixed = weights @ value
        else:
            mixed = F.scaled_dot_product_attention(query, key, value)
        return self.out_proj(mixed.mT.flatten(1, 2).unflatten(2, x.shape[2:]))


def build(name: str, edge: int) -> nn.Module:
    """One of the layers, with linear maps before and after."""
    if name in LONGEST:
        return SelfAttention(name == EXPLICIT).eval()
    reshape = {
        GLOBAL: (Matricize, {"head_dim": HEAD, "grid_size": 1}),
        LOCAL: (Matricize, {"head_dim": HEAD, "patch_size": PATCH}),
        SHIFTED: (SWMatricize, {"head_dim": HEAD, "patch_size": PATCH}),
    }[name]
    size = (edge,) * 3
    return FactMixer(WIDTH, size, reshape, factorize=NMF, rank=1, num_iters=5).eval()


def measure_scaling(setting: Setting, edges: Sequence[int] = EDGES) -> list[Row]:
    """Time and peak memory of every layer at every size that it can be asked for."""
    rows = []
    for edge in edges:
        names = [
            name
            for name in (GLOBAL, LOCAL, SHIFTED, ATTENTION, EXPLICIT)
            if edge <= LONGEST.get(name, edge)
        ]
        x = torch.randn(1, WIDTH, *(edge,) * 3, device=setting.device)
        layers = {name: build(name, edge).to(setting.device) for name in names}
        times = take_turns(
            {name: _timed(layer, x, setting) for name, layer in layers.items()},
            setting.rounds,
            say=partial(_say, setting, edge),
        )
        for name in names:
            _say(setting, edge, f"memory of {name}")
            memory = _memory(name, edge, setting)
            rows.append(Row(SCALING, f"{edge}: {name}", times[name], memory))
    return rows


def exponents(rows: Sequence[Mapping], value: str) -> dict[str, float]:
    """By layer, the power of the number of voxels with which it grows over its largest two sizes.

    Layers of which fewer than two sizes were measured are left out.

    Args:
        rows: Of the report.
        value: "seconds" or "memory".
    """
    found = {}
    for name, points in _curves(rows, value).items():
        if len(points) < 2:
            continue
        (before, low), (after, high) = points[-2:]
        found[name] = math.log(high / low) / math.log(after / before)
    return found


def draw(rows: Sequence[Mapping], path: Path) -> None:
    """Two plots with logarithmic axes, as SVG."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.fonttype"] = "none"  # letters as text: smaller, and can be searched
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for axis, value, title in zip(
        axes, ("seconds", "memory"), ("seconds (median)", "MB at most"), strict=True
    ):
        for name, points in _curves(rows, value).items():
            scale = 1.0 if value == "seconds" else 2**-20
            xs, ys = [x for x, _ in points], [y * scale for _, y in points]
            axis.loglog(xs, ys, marker="o", markersize=3, label=name)
        axis.set(xlabel="voxels", title=title)
        axis.grid(visible=True, which="major", linewidth=0.3)
    axes[0].legend(fontsize=7)
    figure.savefig(path, metadata={"Date": None})


def _curves(rows: Sequence[Mapping], value: str) -> dict[str, list[tuple[int, float]]]:
    curves: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        edge, _, name = row["name"].partition(": ")
        found = row[value]
        if value == "seconds":
            found = sorted(found)[len(found) // 2] if found else None
        if row["section"] == SCALING and found:
            curves.setdefault(name, []).append((int(edge) ** 3, found))
    return curves


def _say(setting: Setting, edge: int, text: str) -> None:
    setting.say(f"{edge} voxels along each axis: {text}")


def _timed(layer: nn.Module, x: Tensor, setting: Setting):
    def run(_: None) -> None:
        with setting.computing():
            layer(x)

    return stopwatch(run, setting.device)


def _memory(name: str, edge: int, setting: Setting) -> int | None:
    """Peak memory beyond the input, in a process of its own."""
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    context.set_forkserver_preload(["torch"])
    arguments = (name, edge, str(setting.device), setting.precision, setting.threads)
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_peak, *arguments).result()


def _peak(name: str, edge: int, device: str, precision: torch.dtype, threads: int) -> int | None:
    torch.set_num_threads(threads)
    setting = Setting(torch.device(device), precision, 1, threads, say=lambda text: None)
    with setting.computing():  # what is compiled and cached at the first call is no part of it
        build(name, 16).to(device)(torch.randn(1, WIDTH, 16, 16, 16, device=device))
        layer = build(name, edge).to(device)
        x = torch.randn(1, WIDTH, *(edge,) * 3, device=device)
        if device.startswith("cuda"):
            torch.cuda.reset_peak_memory_stats(device)
            before = torch.cuda.memory_allocated(device)
            layer(x)
            return torch.cuda.max_memory_allocated(device) - before
        before_here = resident_peak()
        layer(x)
        after = resident_peak()
    return None if before_here is None or after is None else after - before_here


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    content = json.loads(source.read_text(encoding="utf-8"))["rows"]
    draw(content, target)
    for kind in ("seconds", "memory"):
        print(kind, {name: round(power, 2) for name, power in exponents(content, kind).items()})
