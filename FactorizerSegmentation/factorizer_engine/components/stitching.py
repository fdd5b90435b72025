"""Component maps of a whole volume, blended over windows as the prediction is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from factorizer_engine.components.capture import Capture, Captures
from factorizer_engine.components.definition import channel_of, mixers_of
from factorizer_engine.images.geometry import in_all_channels
from factorizer_engine.inference.windows import Blender, Box, WindowPlan
from factorizer_engine.networks import FactMixer, Factorizer
from factorizer_engine.protocol.components import Term
from factorizer_engine.protocol.progress import Monitor

SMOOTH, OWN_VOXELS = "trilinear", "nearest"


def stitch_components(
    network: Factorizer,
    volume: np.ndarray,
    plan: WindowPlan,
    terms: Sequence[Term],
    device: torch.device | str = "cpu",
    monitor: Monitor | None = None,
    captures: Captures | None = None,
    modes: Sequence[str] = (SMOOTH, OWN_VOXELS),
) -> list[np.ndarray]:
    """Where the components are active in a whole volume.

    Every window's maps (`component_map`) are averaged over its copies, brought from the block's
    grid to the window's voxels, and blended with the weights of the prediction.

    Args:
        network: In evaluation mode, on `device`.
        volume: float32, (C, X, Y, Z).
        plan: The windows of the prediction.
        terms: Whose maps to make.
        device: Where the network is.
        monitor: Told after every window, and asked whether to stop.
        captures: What was captured in windows of the plan, which are run again for the rest only.
        modes: How maps are brought to a window's voxels, as `torch.nn.functional.interpolate` has
            it: `SMOOTH`, linearly from one voxel of the block to the next, or `OWN_VOXELS`, with
            all voxels under one of the block the same, as far as one window shows them.

    Returns:
        By mode, nonnegative float32, (len(terms), X, Y, Z); zero where no window was run.
    """
    monitor = monitor or Monitor()
    blenders = [Blender(plan, len(terms)) for _ in modes]
    padded, mixers = plan.pad(torch.from_numpy(volume)), mixers_of(network)
    with torch.inference_mode():
        for done, window in enumerate(plan.windows, start=1):
            image = padded[in_all_channels(window)][None].to(device)
            means = _means_over_copies(
                network, mixers, image, window, plan, terms, monitor, captures
            )
            for blender, mode in zip(blenders, modes, strict=True):
                maps = [_enlarged(mean, plan.roi_size, mode) for mean in means]
                blender.add(window, torch.stack(maps))
            monitor.report("drawing components", done / len(plan.windows))
        return [blender.result(0.0) for blender in blenders]


def _means_over_copies(
    network: Factorizer,
    mixers: Mapping[str, FactMixer],
    image: Tensor,
    window: Box,
    plan: WindowPlan,
    terms: Sequence[Term],
    monitor: Monitor,
    captures: Captures | None,
) -> list[Tensor]:
    """By term, where it is active in a window (1, C, *roi_size), on the grid of its block."""
    blocks = {term.block for term in terms}
    grids = [mixers[term.block].reshape.spatial_size for term in terms]
    means = [torch.zeros(tuple(grid)) for grid in grids]
    for copy in plan.copies:
        monitor.check()
        found = dict(captures.found(network, window, copy) or {}) if captures else {}
        if missing := blocks - found.keys():
            found |= Capture(network, missing)(copy.of(image))
        for mean, term in zip(means, terms, strict=True):
            own = found[term.block][channel_of(term, mixers)].float()
            mean += own.flip([axis - 2 for axis in copy.flip]) / len(plan.copies)
    return means


def _enlarged(own: Tensor, size: Sequence[int], mode: str) -> Tensor:
    """A map on the grid of a block on that of its window."""
    if tuple(own.shape) == tuple(size):
        return own
    return F.interpolate(own[None, None], size=tuple(size), mode=mode)[0, 0]
