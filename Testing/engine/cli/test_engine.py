"""The real engine process with a tiny model: results, warmth, progress, refusals."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from factorizer_engine.protocol.errors import (
    BadInputError,
    BadModelError,
    CancelledError,
    EngineError,
)
from factorizer_engine.protocol.runs import ModelChoice
from factorizer_engine.protocol.tasks.components import ComponentsParams
from factorizer_engine.protocol.tasks.models import ModelsParams
from factorizer_engine.protocol.tasks.segment import SegmentParams
from factorizer_engine.protocol.tasks.task import Nothing
from factorizer_engine.protocol.volumes import ScanFile
from factorizer_engine.protocol.wire import PROTOCOL_VERSION
from factorizer_engine.service.client import EngineClient


@pytest.fixture
def params(tmp_path, scans) -> SegmentParams:
    """A run of the tiny model on good scans."""
    files = {}
    for name, path in scans.items():
        image = nib.load(path)
        array = np.asarray(image.dataobj)
        files[name] = ScanFile.save(array, image.affine, tmp_path / f"{name}.npy", name)
    output = tmp_path / "result"
    return SegmentParams("tiny", files, str(output), device="cpu")


def explain(params: SegmentParams, count: int) -> ComponentsParams:
    return ComponentsParams(**{f.name: getattr(params, f.name) for f in dataclasses.fields(params)},
                            count=count)  # fmt: skip


def with_scan(params: SegmentParams, name: str, array: np.ndarray, affine=None) -> SegmentParams:
    old = params.channels[name]
    path = Path(old.path).with_suffix(".other.npy")
    new = ScanFile.save(array, old.matrix if affine is None else affine, path, name)
    return dataclasses.replace(params, channels={**params.channels, name: new})


def test_hello_tells_versions_devices_and_memory(engine):
    hello = engine.request("hello", Nothing())
    assert hello.protocol == PROTOCOL_VERSION
    assert hello.versions["torch"]
    cpu = next(device for device in hello.devices if device.name == "cpu")
    assert 0 < cpu.memory_free <= cpu.memory_total


def test_the_installed_model_is_listed_with_its_channels(engine):
    (tiny,) = [m for m in engine.request("models", ModelsParams()).models if m.name == "tiny"]
    assert [channel.name for channel in tiny.channels] == ["FLAIR", "T1"]
    assert [(label.value, label.name) for label in tiny.labels] == [
        (1, "Core"),
        (2, "Oedema"),
        (4, "Enhancing"),
    ]


@pytest.mark.parametrize("name", ["tiny", "test-lesion"])
def test_a_model_is_found_by_its_name_and_by_its_family(engine, name):
    assert engine.request("load_model", ModelChoice(name, "cpu")).model.name == "tiny"


def test_a_result_lies_on_the_grid_of_the_reference(engine, params):
    result = engine.request("segment", params)
    labelmap = result.labelmap.load()
    flair = params.channels["FLAIR"]
    assert labelmap.shape == flair.load().shape
    assert labelmap.dtype == np.uint8
    np.testing.assert_allclose(result.labelmap.matrix, flair.matrix)
    assert set(np.unique(labelmap)) <= {0, 1, 2, 4}
    assert [item.region for item in result.probabilities] == ["ET", "TC", "WT"]
    for item in result.probabilities:
        probability = item.scan.load()
        assert probability.shape == labelmap.shape
        assert 0 <= probability.min() and probability.max() <= 1
    assert result.model.name == "tiny"
    assert result.device == "cpu"
    volume = np.count_nonzero(labelmap) / 1000
    assert sum(lesion.volume_ml for lesion in result.lesions) == pytest.approx(volume, abs=1e-6)


def test_another_channel_can_be_the_reference(engine, params):
    smaller = params.channels["T1"].load()[2:-2]
    affine = params.channels["T1"].matrix.copy()
    affine[:3, 3] += 2 * affine[:3, 0]
    moved = dataclasses.replace(with_scan(params, "T1", smaller, affine), reference="T1")
    labelmap = engine.request("segment", moved).labelmap
    assert labelmap.load().shape == smaller.shape
    np.testing.assert_allclose(labelmap.matrix, affine)


def test_probabilities_are_only_written_when_asked_for(engine, params):
    result = engine.request("segment", dataclasses.replace(params, probabilities=False))
    assert result.probabilities == ()
    assert not list(Path(params.output_dir).glob("prob*"))


def test_a_second_run_finds_the_model_warm_and_gives_the_same(engine, params):
    first = engine.request("segment", params).labelmap.load()
    stages = []
    second = engine.request("segment", params, lambda progress: stages.append(progress.stage))
    np.testing.assert_array_equal(second.labelmap.load(), first)
    assert engine.pid is not None


def test_progress_of_a_run_never_goes_back_and_ends_at_one(engine, params):
    seen = []
    engine.request("segment", params, seen.append)
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions)
    assert fractions[0] < 0.1 and fractions[-1] == 1.0
    assert len({progress.stage for progress in seen}) >= 3


def test_components_are_ranked_nonnegative_and_on_the_grid(engine, params):
    result = engine.request("components", explain(params, 3))
    assert 1 <= len(result.components) <= 3
    for component in result.components:
        low, high = component.window
        assert 0 <= low < high
        heatmap = component.heatmap.load()
        assert heatmap.shape == params.channels["FLAIR"].load().shape
        assert heatmap.dtype == np.float32
        assert heatmap.min() >= 0
        assert set(component.contributions) <= {"ET", "TC", "WT"}


def test_components_of_the_last_run_do_not_segment_again(engine, params):
    engine.request("segment", params)
    after_run, alone = [], []
    engine.request("components", explain(params, 1), lambda p: after_run.append(p.stage))
    other = with_scan(params, "T1", params.channels["T1"].load() + 1)
    engine.request("components", explain(other, 1), lambda p: alone.append(p.stage))
    assert set(after_run) < set(alone)


def test_a_run_can_be_cancelled_and_the_next_one_succeeds(engine, params):
    pid = engine.request("hello", Nothing()).pid
    with pytest.raises(CancelledError):
        engine.request("segment", params, lambda progress: engine.cancel())
    assert engine.request("segment", params).labelmap.load().any() in (True, False)
    assert engine.pid == pid


def _spoil(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[SegmentParams], SegmentParams]:
    return lambda params: with_scan(
        params, "T1", change(params.channels["T1"].load().astype(np.float32))
    )


def _put(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        array[4, 4, 4] = value
        return array

    return change


def _move_away(params: SegmentParams) -> SegmentParams:
    affine = params.channels["T1"].matrix
    affine[:3, 3] += 500
    return with_scan(params, "T1", params.channels["T1"].load(), affine)


def _flatten(params: SegmentParams) -> SegmentParams:
    affine = params.channels["T1"].matrix
    affine[:3, 2] = 0
    return with_scan(params, "T1", params.channels["T1"].load(), affine)


def _leave_out(params: SegmentParams) -> SegmentParams:
    return dataclasses.replace(params, channels={"T1": params.channels["T1"]})


def _add(params: SegmentParams) -> SegmentParams:
    return dataclasses.replace(params, channels={**params.channels, "T2": params.channels["T1"]})


def _claim_huge(params: SegmentParams) -> SegmentParams:
    file = params.channels["T1"]
    path = Path(file.path).with_name("huge.npy")
    with path.open("wb") as stream:
        header = {"descr": "<f4", "fortran_order": False, "shape": (1024, 1024, 1024)}
        np.lib.format.write_array_header_1_0(stream, header)
        stream.truncate(stream.tell() + 4 * 1024**3)  # sparse: takes no space
    huge = dataclasses.replace(file, path=str(path))
    return dataclasses.replace(params, channels={**params.channels, "T1": huge})


def _truncate(params: SegmentParams) -> SegmentParams:
    path = Path(params.channels["T1"].path)
    path.write_bytes(path.read_bytes()[:200])
    return params


def _block_output(params: SegmentParams) -> SegmentParams:
    obstacle = Path(params.output_dir).with_name("a-file")
    obstacle.write_text("precious")
    return dataclasses.replace(params, output_dir=str(obstacle / "out"))


REFUSED = {
    "a missing channel": (_leave_out, BadInputError),
    "a channel too many": (_add, BadInputError),
    "a channel elsewhere": (_move_away, BadInputError),
    "a 4D volume": (_spoil(lambda array: np.stack([array] * 2, axis=-1)), BadInputError),
    "one slice": (_spoil(lambda array: array[:, :, :1]), BadInputError),
    "a NaN": (_spoil(_put(np.nan)), BadInputError),
    "an infinity": (_spoil(_put(np.inf)), BadInputError),
    "a constant image": (_spoil(np.zeros_like), BadInputError),
    "complex voxels": (_spoil(lambda array: array + 1j), BadInputError),
    "a voxel size of zero": (_flatten, BadInputError),
    "a huge volume": (_claim_huge, BadInputError),
    "a truncated file": (_truncate, BadInputError),
    "an unwritable folder": (_block_output, BadInputError),
    "an unknown device": (lambda p: dataclasses.replace(p, device="quantum"), BadInputError),
    "a missing device": (lambda p: dataclasses.replace(p, device="cuda:63"), BadInputError),
    "an unknown reference": (lambda p: dataclasses.replace(p, reference="DWI"), BadInputError),
    "an unknown model": (lambda p: dataclasses.replace(p, model="nothing"), BadModelError),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_refused_with_one_sentence(engine, params, name):
    spoil, error_type = REFUSED[name]
    with pytest.raises(EngineError) as caught:
        engine.request("segment", spoil(params))
    assert type(caught.value) is error_type
    sentence = str(caught.value)
    assert sentence.endswith(".") and "\n" not in sentence and "Traceback" not in sentence
    assert engine.request("hello", Nothing()).pid == engine.pid


@pytest.mark.skipif(sys.platform == "win32", reason="needs ulimit")
def test_a_disk_that_fills_up_is_bad_input_and_the_engine_lives_on(environment, params):
    command = ["bash", "-c", 'ulimit -f 4; exec "$@"', "limited", sys.executable]
    variables = {**environment, "PYTHONDONTWRITEBYTECODE": "1"}  # or .pyc files are cut off
    with EngineClient([*command, "-m", "factorizer_engine.service.worker"], variables) as limited:
        with pytest.raises(BadInputError, match="no space left"):
            limited.request("segment", params)
        assert limited.request("hello", Nothing()).pid == limited.pid
