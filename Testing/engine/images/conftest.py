"""Small scans and DICOM series made on the spot."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest

from engine.dicom_writing import write_dicom
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.errors import BadInputError


@pytest.fixture
def oblique_scan() -> Scan:
    """An int16 scan on a rotated, anisotropic grid."""
    angle = np.deg2rad(25)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    affine = turn @ np.diag([-0.9, -0.8, 2.5, 1.0])
    affine[:3, 3] = [40.0, 31.5, -22.25]
    array = np.random.default_rng(3).integers(-500, 900, (10, 12, 9), dtype=np.int16)
    return Scan.of(array, affine, "oblique")


@pytest.fixture(name="write_dicom")
def dicom_writer() -> Callable[..., str]:
    return write_dicom


@pytest.fixture
def refused() -> Callable[..., str]:
    """Calls a function that must refuse its input in one sentence; returns the sentence."""

    def call(function, *arguments, **options) -> str:
        with pytest.raises(BadInputError) as caught:
            function(*arguments, **options)
        text = str(caught.value)
        assert text.endswith(".") and "\n" not in text and "Error" not in text
        assert not re.search(r"\. [A-Z]", text)
        return text

    return call
