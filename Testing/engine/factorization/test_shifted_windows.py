"""Windows cut by slices against windows cut from a rolled map."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from factorizer_engine.factorization.shifted_windows import ShiftedWindows

GRIDS = [
    ((12,), (4,), (0,)),
    ((12,), (4,), (-3,)),
    ((8, 12), (4, 3), (2, 1)),
    ((6, 9, 4), (3, 3, 4), (-1, 5, 2)),
    ((8, 8, 8), (4, 4, 4), (2, 2, 2)),
    ((5, 4, 6), (5, 4, 6), (3, 0, -2)),
]


def _rolled_windows(maps: Tensor, patch: tuple[int, ...], shift: tuple[int, ...]) -> Tensor:
    """(*windows, B, *P, C) of a map (B, *S, C), by the definition."""
    dims = len(patch)
    rolled = torch.roll(maps, shift, dims=tuple(range(1, 1 + dims)))
    split = [n for s, p in zip(maps.shape[1:-1], patch, strict=True) for n in (s // p, p)]
    axes = range(1, 1 + 2 * dims)
    rolled = rolled.reshape(maps.shape[0], *split, maps.shape[-1])
    return rolled.permute(*axes[::2], 0, *axes[1::2], 1 + 2 * dims)


@pytest.mark.parametrize("windows", [1, 2, 5, 100])
@pytest.mark.parametrize(("size", "patch", "shift"), GRIDS)
def test_blocks_of_windows_are_those_of_the_rolled_map_and_go_back(size, patch, shift, windows):
    torch.manual_seed(0)
    maps = torch.randn(2, *size, 3)
    grid, expected = ShiftedWindows(patch, shift), _rolled_windows(maps, patch, shift)
    written, summed = torch.full_like(maps, torch.nan), maps.clone()
    count = 0
    for block in grid.blocks(size, windows):
        found = grid.cut(maps, block, torch.float64)
        assert found.dtype == torch.float64
        torch.testing.assert_close(
            found.float(), expected[block].reshape(-1, math.prod(patch), 3), rtol=0, atol=0
        )
        grid.put(written, block, found.float(), add=False)
        grid.put(summed, block, found.float(), add=True)
        count += len(found)
    assert count == 2 * math.prod(size) // math.prod(patch)
    assert torch.equal(written, maps)
    assert torch.equal(summed, 2 * maps)
