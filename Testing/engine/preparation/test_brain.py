"""Brain extraction: its way of working, with networks that are made up, and its safety."""

from __future__ import annotations

import hashlib
import sys

import numpy as np
import pytest
import torch
from torch import nn

from engine.preparation.heads import T1, head, tissues
from factorizer_engine.images.resampling import resample
from factorizer_engine.preparation import brain
from factorizer_engine.preparation.brain import BrainNetworks, extract_brain
from factorizer_engine.preparation.heads import is_stripped
from factorizer_engine.protocol.errors import BadInputError, BadModelError


class Between(nn.Module):
    """Calls brain what has the brightness of the made-up brain and its tumour."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        scaled = (image - image.min()) / (image.max() - image.min())
        middle = (scaled > 0.3) & (scaled < 0.65)
        return torch.cat([~middle, middle], dim=1).float()


class KnowsUp(Between):
    """Is sure only where the nose, which makes the lower half brighter, is below."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        lower, upper = image.chunk(2, dim=-1)
        sure = super().forward(image)
        return sure if lower.mean() > upper.mean() else 0.3 + 0.4 * sure


class Nothing(nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(image).repeat(1, 2, 1, 1, 1)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(brain, "COARSE", 48)
    monkeypatch.setattr(brain, "FINE", 64)


@pytest.mark.parametrize("axes", ["RAS", "LPS", "SPL"])
def test_the_mask_lies_on_the_scan_however_its_axes_run(axes):
    scan = head(T1)
    turned = resample(scan, scan.grid.oriented(axes))
    mask = extract_brain(turned, BrainNetworks(Between(), Between())).mask
    found = resample(mask, scan.grid, "nearest").array
    assert mask.array.dtype == bool and mask.shape == turned.shape
    assert overlap(found, tissues()["brain"]) > 0.93
    assert found[tissues()["fluid"]].mean() > 0.95  # holes are filled


def overlap(found: np.ndarray, expected: np.ndarray) -> float:
    """Dice coefficient."""
    return 2 * (found & expected).sum() / (found.sum() + expected.sum())


@pytest.mark.parametrize("axes", ["RAS", "LPS", "SPL"])
@pytest.mark.parametrize("upside_down", [False, True])
def test_a_head_is_outlined_the_right_way_up(axes, upside_down):
    turn = slice(None, None, -1 if upside_down else 1)
    scan = head(T1)
    scan = scan.with_array(scan.array[:, :, turn])
    given = resample(scan, scan.grid.oriented(axes))
    brain = extract_brain(given, BrainNetworks(KnowsUp(), KnowsUp()))
    assert brain.upside_down == upside_down
    found = resample(brain.mask, scan.grid, "nearest").array
    assert overlap(found, tissues()["brain"][:, :, turn]) > 0.93


def test_a_field_of_view_without_a_brain_is_refused():
    with pytest.raises(BadInputError, match="No brain was found in head; choose"):
        extract_brain(head(T1), BrainNetworks(Nothing(), Nothing()))


def test_a_piece_too_small_for_a_brain_is_refused():
    with pytest.raises(BadInputError, match="No brain was found"):
        extract_brain(head(T1), BrainNetworks(Between(), Nothing()))


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package of that name, which must not be imported, with networks of our own."""
    (tmp_path / "deepbet").mkdir()
    (tmp_path / "deepbet" / "__init__.py").write_text("raise RuntimeError('was imported')")
    models = tmp_path / "data" / "models"
    models.mkdir(parents=True)
    for name in brain.FILES:
        torch.jit.script(Nothing()).save(str(models / name))
    digests = {n: hashlib.sha256((models / n).read_bytes()).hexdigest() for n in brain.FILES}
    monkeypatch.setattr(brain, "FILES", digests)
    monkeypatch.syspath_prepend(tmp_path)
    return models


def test_networks_are_loaded_without_importing_their_package(package):
    networks = BrainNetworks.load()
    assert networks.fine(torch.zeros(1, 1, 4, 4, 4)).shape == (1, 2, 4, 4, 4)
    assert "deepbet" not in sys.modules


def test_a_file_that_was_changed_is_not_loaded(package, monkeypatch):
    with (package / "model.pt").open("ab") as file:
        file.write(b"0")
    monkeypatch.setattr(torch.jit, "load", lambda path, **_: pytest.fail(f"loaded {path}"))
    monkeypatch.setattr(brain, "FILES", {"model.pt": brain.FILES["model.pt"]})
    with pytest.raises(BadModelError, match="model.pt is missing, damaged or of another version"):
        BrainNetworks.load()


def test_a_missing_package_is_told_with_how_to_install_it(monkeypatch):
    monkeypatch.setattr(brain, "find_spec", lambda _: None)
    with pytest.raises(BadModelError, match="pip install --no-deps deepbet"):
        BrainNetworks.load()


def test_scans_with_a_skull_are_told_from_stripped_ones():
    whole = head(T1)
    black = whole.with_array(np.where(whole.array > 60, whole.array, 0))
    inside = whole.with_array(np.where(tissues()["brain"], whole.array + 1, 0))
    assert not is_stripped(whole)
    assert not is_stripped(black)
    assert is_stripped(inside)
