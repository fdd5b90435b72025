"""A small model and what it found, for all tests of components."""

from __future__ import annotations

import pytest

from engine import tiny
from factorizer_engine.inference.result import SegmentationResult
from factorizer_engine.inference.segmenter import Segmenter


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory) -> Segmenter:
    return Segmenter(tiny.bundle(tmp_path_factory.mktemp("bundle")), device="cpu")


@pytest.fixture(scope="module")
def result(segmenter) -> SegmentationResult:
    return segmenter.segment(tiny.scans())
