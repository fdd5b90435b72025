"""torch.compile as an option: announced, the same numbers, and no harm where it fails."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine import tiny
from factorizer_engine.inference.compiling import CompiledNetwork
from factorizer_engine.inference.segmenter import Segmenter
from factorizer_engine.protocol.errors import EngineMemoryError
from factorizer_engine.protocol.progress import Monitor


@pytest.fixture
def compiler(monkeypatch):
    """Stands in for torch.compile, which takes long; keeps the shapes that it would compile for."""
    shapes = []

    def compile(network, dynamic):
        def run(batch):
            shapes.append(tuple(batch.shape))
            return network(batch)

        return run

    monkeypatch.setattr(torch, "compile", compile)
    return shapes


def fail_to_compile(error: Exception):
    def compile(network, dynamic):
        def run(batch):
            raise error

        return run

    return compile


def test_a_compiled_model_finds_the_same_and_says_once_that_it_takes_long(tmp_path, compiler):
    bundle = tiny.bundle(tmp_path)
    expected = Segmenter(bundle, "cpu").segment(tiny.scans())
    segmenter = Segmenter(bundle, "cpu", compiled=True)
    for announced in (True, False):
        stages = []
        monitor = Monitor(lambda progress, stages=stages: stages.append(progress.stage))
        found = segmenter.segment(tiny.scans(), monitor=monitor)
        np.testing.assert_array_equal(found.probabilities, expected.probabilities)
        assert any("compiling" in stage for stage in stages) == announced
    assert len(compiler) > 1


def test_nothing_is_compiled_unless_asked_for(tmp_path, compiler):
    Segmenter(tiny.bundle(tmp_path), "cpu").segment(tiny.scans())
    assert compiler == []


def test_batches_of_any_size_are_brought_to_the_one_that_was_compiled(compiler):
    network = tiny.network()
    compiled = CompiledNetwork(network)
    with torch.inference_mode():
        for size in (3, 1, 7):
            batch = torch.randn(size, 2, *tiny.WINDOW)
            torch.testing.assert_close(compiled(batch), network(batch))
    assert set(compiler) == {(3, 2, *tiny.WINDOW)}


def test_of_deep_supervision_the_finest_output_counts(compiler):
    deep = tiny.network(num_deep_supr=2)
    batch = torch.randn(1, 2, *tiny.WINDOW)
    with torch.inference_mode():
        torch.testing.assert_close(CompiledNetwork(deep)(batch), deep(batch)[0])


def test_a_model_that_cannot_be_compiled_runs_as_it_is(monkeypatch, caplog):
    error = RuntimeError("InvalidCxxCompiler: No working C++ compiler found\nand more")
    monkeypatch.setattr(torch, "compile", fail_to_compile(error))
    network = tiny.network()
    compiled = CompiledNetwork(network)
    batch = torch.randn(2, 2, *tiny.WINDOW)
    with torch.inference_mode():
        for _ in range(2):
            torch.testing.assert_close(compiled(batch), network(batch))
    (record,) = caplog.records
    assert "runs without being compiled" in record.getMessage()
    assert "\n" not in record.getMessage()


def test_memory_that_runs_out_while_compiling_is_still_told(monkeypatch, tmp_path):
    monkeypatch.setattr(torch, "compile", fail_to_compile(torch.OutOfMemoryError("CUDA out of")))
    segmenter = Segmenter(tiny.bundle(tmp_path), "cpu", compiled=True)
    with pytest.raises(EngineMemoryError):
        segmenter.segment(tiny.scans())
