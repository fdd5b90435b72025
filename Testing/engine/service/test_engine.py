"""The real engine process with a tiny model: results, warmth, progress, refusals."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from engine import tiny
from factorizer_engine.bundles.architecture import build_network
from factorizer_engine.bundles.settings import NetworkSpec
from factorizer_engine.protocol.components import step_of
from factorizer_engine.protocol.errors import (
    BadInputError,
    BadModelError,
    CancelledError,
    EngineError,
)
from factorizer_engine.protocol.runs import ModelChoice, Study
from factorizer_engine.protocol.tasks.components import COMPONENTS, ComponentsParams
from factorizer_engine.protocol.tasks.hello import HELLO
from factorizer_engine.protocol.tasks.load_model import LOAD_MODEL
from factorizer_engine.protocol.tasks.models import MODELS, ModelsParams
from factorizer_engine.protocol.tasks.segment import SEGMENT, SegmentParams
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
    return SegmentParams(ModelChoice("tiny", "cpu"), Study(files), str(output))


def explain(params: SegmentParams, count: int) -> ComponentsParams:
    return ComponentsParams(
        params.choice, params.study, params.output_dir, params.options, count=count
    )


def with_scan(params: SegmentParams, name: str, array: np.ndarray, affine=None) -> SegmentParams:
    old = params.study.channels[name]
    path = Path(old.path).with_suffix(".other.npy")
    new = ScanFile.save(array, old.matrix if affine is None else affine, path, name)
    return with_channels(params, {**params.study.channels, name: new})


def with_channels(params: SegmentParams, channels: dict[str, ScanFile]) -> SegmentParams:
    return replace(params, study=replace(params.study, channels=channels))


def test_hello_tells_versions_devices_and_memory(engine):
    hello = engine.request(HELLO, Nothing())
    assert engine.greeting.protocol == PROTOCOL_VERSION
    assert engine.greeting.engine == hello.engine
    assert hello.versions["torch"]
    cpu = next(device for device in hello.devices if device.name == "cpu")
    assert 0 < cpu.memory_free <= cpu.memory_total


def test_the_installed_model_is_listed_with_its_channels(engine):
    (tiny,) = [m for m in engine.request(MODELS, ModelsParams()).models if m.name == "tiny"]
    assert [channel.name for channel in tiny.channels] == ["FLAIR", "T1"]
    assert [(label.value, label.name) for label in tiny.labels] == [
        (1, "Core"),
        (2, "Oedema"),
        (4, "Enhancing"),
    ]


@pytest.mark.parametrize("name", ["tiny", "test-lesion"])
def test_a_model_is_found_by_its_name_and_by_its_family(engine, name):
    assert engine.request(LOAD_MODEL, ModelChoice(name, "cpu")).model.name == "tiny"


def test_of_an_ensemble_fewer_networks_are_taken_if_that_is_wanted(engine, params, tmp_path):
    folder = tiny.bundle(tmp_path / "pair", [tiny.network(0), tiny.network(1)])
    alone = tiny.bundle(tmp_path / "alone", [tiny.network(0)])

    def probability(path, members=None):
        choice = ModelChoice(str(path), "cpu", members=members)
        return engine.request(SEGMENT, replace(params, choice=choice)).probabilities[0].load()

    both = probability(folder.description.path)
    first = probability(folder.description.path, members=1)
    np.testing.assert_array_equal(first, probability(alone.description.path))
    assert not np.array_equal(first, both)


def test_a_run_of_no_network_is_refused():
    with pytest.raises(BadInputError, match="At least one network"):
        ModelChoice("tiny", members=0)


def test_a_result_lies_on_the_grid_of_the_reference(engine, params):
    result = engine.request(SEGMENT, params)
    labelmap = result.labelmap.load()
    flair = params.study.channels["FLAIR"]
    assert labelmap.shape == flair.load().shape
    assert labelmap.dtype == np.uint8
    np.testing.assert_allclose(result.labelmap.matrix, flair.matrix)
    assert set(np.unique(labelmap)) <= {0, 1, 2, 4}
    assert [region.name for region in result.model.regions] == ["ET", "TC", "WT"]
    assert len(result.probabilities) == 3
    for item in result.probabilities:
        probability = item.load()
        assert probability.shape == labelmap.shape
        assert 0 <= probability.min() and probability.max() <= 1
    assert result.model.name == "tiny"
    assert result.device == "cpu"
    volume = np.count_nonzero(labelmap) / 1000
    assert sum(lesion.volume_ml for lesion in result.lesions) == pytest.approx(volume, abs=1e-6)


def test_probabilities_can_come_with_eight_bits(engine, params):
    exact = [item.load() for item in engine.request(SEGMENT, params).probabilities]
    small = engine.request(SEGMENT, replace(params, compact=True))
    assert small.threshold == 0.5
    for floats, levels in zip(exact, small.probabilities, strict=True):
        assert levels.load().dtype == np.uint8
        np.testing.assert_allclose(levels.load() / 255, floats, atol=0.5 / 255 + 1e-6)


def test_another_channel_can_be_the_reference(engine, params):
    smaller = params.study.channels["T1"].load()[2:-2]
    affine = params.study.channels["T1"].matrix.copy()
    affine[:3, 3] += 2 * affine[:3, 0]
    moved = with_scan(params, "T1", smaller, affine)
    moved = replace(moved, study=replace(moved.study, reference="T1"))
    labelmap = engine.request(SEGMENT, moved).labelmap
    assert labelmap.load().shape == smaller.shape
    np.testing.assert_allclose(labelmap.matrix, affine)


def test_probabilities_are_only_written_when_asked_for(engine, params):
    result = engine.request(SEGMENT, replace(params, probabilities=False))
    assert result.probabilities == ()
    assert not list(Path(params.output_dir).glob("prob*"))


def test_a_second_run_finds_the_model_warm_and_gives_the_same(engine, params):
    first = engine.request(SEGMENT, params).labelmap.load()
    stages = []
    second = engine.request(SEGMENT, params, lambda progress: stages.append(progress.stage))
    np.testing.assert_array_equal(second.labelmap.load(), first)
    assert engine.pid is not None


def test_progress_of_a_run_never_goes_back_and_ends_at_one(engine, params):
    seen = []
    engine.request(SEGMENT, params, seen.append)
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions)
    assert fractions[0] < 0.1 and fractions[-1] == 1.0
    assert len({progress.stage for progress in seen}) >= 3


def test_components_are_ranked_nonnegative_and_on_the_grid(engine, params):
    result = engine.request(COMPONENTS, explain(params, 3))
    assert 1 <= len(result.components) <= 3
    for component, file in zip(result.components, result.heatmaps, strict=True):
        low, high = component.window
        assert 0 <= low < high
        heatmap = file.load()
        assert heatmap.shape == params.study.channels["FLAIR"].load().shape
        assert heatmap.dtype == np.float32
        assert heatmap.min() >= 0
        assert set(component.contributions) <= {"ET", "TC", "WT"}


def test_maps_of_components_can_come_in_steps_of_their_windows(engine, params, tmp_path):
    whole = engine.request(COMPONENTS, explain(params, 2))
    other = replace(explain(params, 2), output_dir=str(tmp_path / "compact"), compact=True)
    compact = engine.request(COMPONENTS, other)
    assert compact.components == whole.components
    kinds = {"heatmaps": "window", "own_heatmaps": "window"}
    for kind, window in {**kinds, "evidence": "evidence_window"}.items():
        for component, file, full in zip(
            whole.components, getattr(compact, kind), getattr(whole, kind), strict=True
        ):
            steps, step = file.load(), step_of(getattr(component, window))
            assert steps.dtype == np.int16
            np.testing.assert_allclose(steps * step, full.load(), rtol=0, atol=0.501 * step)


def test_components_of_the_last_run_do_not_segment_again(engine, params):
    engine.request(SEGMENT, params)
    after_run, alone = [], []
    engine.request(COMPONENTS, explain(params, 1), lambda p: after_run.append(p.stage))
    other = with_scan(params, "T1", params.study.channels["T1"].load() + 1)
    engine.request(COMPONENTS, explain(other, 1), lambda p: alone.append(p.stage))
    assert set(after_run) < set(alone)


def test_a_model_without_components_is_refused_before_anything_is_segmented(
    engine, params, tmp_path
):
    sizes = {"in_channels": 2, "out_channels": 3, "spatial_dims": 3, "init_filters": 8}
    spec = NetworkSpec("SegResNet", {**sizes, "norm": ["GROUP", {"num_groups": 4}]})
    plain = tiny.bundle(tmp_path / "plain", [build_network(spec)], network=spec)
    choice, stages = ModelChoice(str(plain.description.path), "cpu"), []
    with pytest.raises(BadModelError, match="no factorisation components"):
        engine.request(
            COMPONENTS,
            explain(replace(params, choice=choice), 1),
            lambda progress: stages.append(progress.stage),
        )
    assert "segmenting" not in stages


def test_the_same_scans_in_other_files_are_known(engine, params, tmp_path):
    engine.request(SEGMENT, params)
    stages = []
    channels = params.study.channels
    moved = {n: with_path(file, tmp_path / f"moved_{n}.npy") for n, file in channels.items()}
    again = explain(with_channels(params, moved), 1)
    engine.request(COMPONENTS, again, lambda progress: stages.append(progress.stage))
    assert "segmenting" not in stages


def with_path(file: ScanFile, path: Path) -> ScanFile:
    """A copy of the file."""
    path.write_bytes(Path(file.path).read_bytes())
    return replace(file, path=str(path))


def test_a_run_can_be_cancelled_and_the_next_one_succeeds(engine, params):
    engine.request(HELLO, Nothing())
    pid = engine.greeting.pid
    with pytest.raises(CancelledError):
        engine.request(SEGMENT, params, lambda progress: engine.cancel())
    assert engine.request(SEGMENT, params).labelmap.load().any() in (True, False)
    assert engine.pid == pid


def _spoil(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[SegmentParams], SegmentParams]:
    return lambda params: with_scan(
        params, "T1", change(params.study.channels["T1"].load().astype(np.float32))
    )


def _put(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        array[4, 4, 4] = value
        return array

    return change


def _move_away(params: SegmentParams) -> SegmentParams:
    affine = params.study.channels["T1"].matrix
    affine[:3, 3] += 500
    return with_scan(params, "T1", params.study.channels["T1"].load(), affine)


def _flatten(params: SegmentParams) -> SegmentParams:
    affine = params.study.channels["T1"].matrix
    affine[:3, 2] = 0
    return with_scan(params, "T1", params.study.channels["T1"].load(), affine)


def _leave_out(params: SegmentParams) -> SegmentParams:
    return with_channels(params, {"T1": params.study.channels["T1"]})


def _add(params: SegmentParams) -> SegmentParams:
    return with_channels(params, {**params.study.channels, "T2": params.study.channels["T1"]})


def _claim_huge(params: SegmentParams) -> SegmentParams:
    file = params.study.channels["T1"]
    path = Path(file.path).with_name("huge.npy")
    with path.open("wb") as stream:
        header = {"descr": "<f4", "fortran_order": False, "shape": (1024, 1024, 1024)}
        np.lib.format.write_array_header_1_0(stream, header)
        stream.truncate(stream.tell() + 4 * 1024**3)  # sparse: takes no space
    huge = replace(file, path=str(path))
    return with_channels(params, {**params.study.channels, "T1": huge})


def _truncate(params: SegmentParams) -> SegmentParams:
    path = Path(params.study.channels["T1"].path)
    path.write_bytes(path.read_bytes()[:200])
    return params


def _block_output(params: SegmentParams) -> SegmentParams:
    obstacle = Path(params.output_dir).with_name("a-file")
    obstacle.write_text("precious")
    return replace(params, output_dir=str(obstacle / "out"))


def _on(device: str) -> Callable[[SegmentParams], SegmentParams]:
    return lambda params: replace(params, choice=replace(params.choice, device=device))


def _refer_to_dwi(params: SegmentParams) -> SegmentParams:
    return replace(params, study=replace(params.study, reference="DWI"))


def _with_no_model(params: SegmentParams) -> SegmentParams:
    return replace(params, choice=replace(params.choice, model="nothing"))


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
    "an unknown device": (_on("quantum"), BadInputError),
    "a missing device": (_on("cuda:63"), BadInputError),
    "an unknown reference": (_refer_to_dwi, BadInputError),
    "an unknown model": (_with_no_model, BadModelError),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_refused_with_one_sentence(engine, params, name):
    spoil, error_type = REFUSED[name]
    with pytest.raises(EngineError) as caught:
        engine.request(SEGMENT, spoil(params))
    assert type(caught.value) is error_type
    sentence = str(caught.value)
    assert sentence.endswith(".") and "\n" not in sentence and "Traceback" not in sentence
    assert engine.request(HELLO, Nothing()).versions


@pytest.mark.skipif(sys.platform == "win32", reason="needs ulimit")
def test_a_disk_that_fills_up_is_bad_input_and_the_engine_lives_on(environment, params):
    command = ["bash", "-c", 'ulimit -f 4; exec "$@"', "limited", sys.executable]
    variables = {**environment, "PYTHONDONTWRITEBYTECODE": "1"}  # or .pyc files are cut off
    with EngineClient([*command, "-m", "factorizer_engine.service.worker"], variables) as limited:
        with pytest.raises(BadInputError, match="no space left"):
            limited.request(SEGMENT, params)
        pid = limited.pid
        assert limited.request(HELLO, Nothing()).versions and limited.pid == pid
