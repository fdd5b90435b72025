"""A whole case: where the time goes, and MONAI's sliding window with the same network."""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch
from monai.inferers import sliding_window_inference
from torch import Tensor, nn

from benchmarks.contestants import straighten
from benchmarks.measure import Row, Setting, ratio, synchronize, take_turns
from factorizer_engine.components.capture import Captures
from factorizer_engine.images.files import read_scans, write_nifti, write_seg_nrrd
from factorizer_engine.inference.result import SegmentationResult
from factorizer_engine.inference.segmenter import Segmenter
from factorizer_engine.inference.timings import timed
from factorizer_engine.lesions.tables import write_lesions_csv
from factorizer_engine.networks import Factorizer, finest
from factorizer_engine.protocol.matching import match_channels

TOTAL, NETWORK, REST = "whole case", "network", "outside the network"
WINDOWS, MONAI_WINDOWS = "all windows, blended", "all windows, by MONAI's sliding window"
CAPTURED = "all windows, with all components captured"
DIFFERING = "voxels that the straightforward form labels otherwise"
STAGES = ("reading", "pre-processing", NETWORK, "blending", "post-processing", "writing")

Stages = dict[str, float]


def section_title(folder: Path) -> str:
    """The section of the table that `measure_case` fills."""
    return f"Whole case, {folder.name}"


def measure_case(segmenter: Segmenter, folder: Path, setting: Setting) -> list[Row]:
    """Time of each stage from files to files, and of MONAI's sliding window on the same volume."""
    clock = NetworkClock(segmenter.networks, setting.device)
    paths = match_channels(sorted(folder.iterdir()), segmenter.bundle.description.channels)
    last: dict[str, SegmentationResult] = {}
    samples = take_turns(
        {
            "engine": partial(_run_engine, segmenter, paths, clock, last),
            "captured": partial(_run_captured, segmenter, paths),
            "MONAI": partial(_run_monai, segmenter, clock, last),
        },
        setting.rounds,
        say=lambda text: setting.say(f"{folder.name}: {text}"),
    )
    ours = {stage: [turn[stage] for turn in samples["engine"]] for stage in samples["engine"][0]}
    monai = [turn[WINDOWS] for turn in samples["MONAI"]]
    captured = [turn[WINDOWS] for turn in samples["captured"]]
    section = section_title(folder)
    rows = [
        Row(section, stage, seconds, ratios=_part_of_total(stage, ours))
        for stage, seconds in ours.items()
        if stage not in (WINDOWS, "calls")
    ]
    return [
        *rows,
        Row(
            section,
            WINDOWS,
            ours[WINDOWS],
            ratios={"MONAI": ratio(ours[WINDOWS], monai)},
            note=f"{ours['calls'][0]:.0f} calls of the network",
        ),
        Row(section, CAPTURED, captured, ratios={WINDOWS: ratio(captured, ours[WINDOWS])}),
        Row(section, MONAI_WINDOWS, monai, note=f"{samples['MONAI'][0]['calls']:.0f} calls"),
        *_compare_forms(segmenter, paths, last["result"], section, setting),
    ]


def _compare_forms(
    segmenter: Segmenter,
    paths: Mapping[str, Path],
    fast: SegmentationResult,
    section: str,
    setting: Setting,
) -> Iterator[Row]:
    """How much of the segmentation changes when the networks compute by their definition."""
    factorizers = [network for network in segmenter.networks if isinstance(network, Factorizer)]
    if len(factorizers) < len(segmenter.networks):
        return
    setting.say(f"{section}: by the straightforward form")
    by_definition = copy.copy(segmenter)
    by_definition.networks = [straighten(copy.deepcopy(network)) for network in factorizers]
    straight = by_definition.segment(read_scans(paths)).labelmap.array
    differing = int((straight != fast.labelmap.array).sum())
    segmented = int(((straight != 0) | (fast.labelmap.array != 0)).sum())
    yield Row(
        section,
        DIFFERING,
        difference=differing / max(segmented, 1),
        note=f"{differing} of {segmented} segmented voxels",
    )


def _part_of_total(stage: str, ours: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {} if stage == TOTAL else {TOTAL: ratio(ours[stage], ours[TOTAL])}


class NetworkClock:
    """Adds up the time that is spent inside networks.

    Attributes:
        seconds: Time since the last `reset`.
        calls: Calls since then.
    """

    def __init__(self, networks: Sequence[nn.Module], device: torch.device) -> None:
        self._device = device
        self._start = 0.0
        self.reset()
        for network in networks:
            network.register_forward_pre_hook(self._begin)
            network.register_forward_hook(self._end)

    def reset(self) -> None:
        """Start again from zero."""
        self.seconds, self.calls = 0.0, 0

    def _begin(self, *_: object) -> None:
        synchronize(self._device)
        self._start = time.perf_counter()

    def _end(self, *_: object) -> None:
        synchronize(self._device)
        self.seconds += time.perf_counter() - self._start
        self.calls += 1


def _run_engine(
    segmenter: Segmenter,
    paths: Mapping[str, Path],
    clock: NetworkClock,
    last: dict[str, SegmentationResult],
) -> Stages:
    clock.reset()
    stages: Stages = {}
    with timed(stages, TOTAL):
        with timed(stages, "reading"):
            scans = read_scans(paths)
        result = segmenter.segment(scans)
        with timed(stages, "writing"):
            _write(result)
    last["result"] = result
    spent = result.timings
    stages["pre-processing"] = spent["preparing"]
    stages[NETWORK] = clock.seconds
    stages["blending"] = spent["segmenting"] - clock.seconds
    stages["post-processing"] = spent["restoring"] + spent["painting"] + spent["measuring"]
    stages[REST] = stages[TOTAL] - clock.seconds
    order = (*STAGES, REST, TOTAL)
    return {
        **{stage: stages[stage] for stage in order},
        WINDOWS: spent["segmenting"],
        "calls": clock.calls,
    }


def _run_captured(segmenter: Segmenter, paths: Mapping[str, Path]) -> Stages:
    """As the engine process does, which keeps where components are active."""
    result = segmenter.segment(
        read_scans(paths), watch=lambda plan: Captures.of(segmenter.networks, plan)
    )
    return {WINDOWS: result.timings["segmenting"]}


def _run_monai(
    segmenter: Segmenter, clock: NetworkClock, last: dict[str, SegmentationResult]
) -> Stages:
    clock.reset()
    settings = segmenter.bundle.inference
    stages: Stages = {}
    half = segmenter.dtype != torch.float32
    with (
        timed(stages, WINDOWS),
        torch.inference_mode(),
        torch.autocast(segmenter.device.type, segmenter.dtype, enabled=half),
    ):
        volume = torch.from_numpy(last["result"].prepared.array)[None].to(segmenter.device)
        network = segmenter.networks[0]
        logits = sliding_window_inference(
            volume,
            tuple(settings.roi_size),
            1,
            lambda window: finest(network(window)),
            overlap=settings.overlap,
            mode=settings.blending,
        )
        assert isinstance(logits, Tensor)
        logits.cpu()
    stages["calls"] = clock.calls
    return stages


def _write(result: SegmentationResult) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_nifti(result.labelmap, Path(folder) / "segmentation.nii.gz")
        if find_spec("SimpleITK"):  # which is too large to be sent to some machines
            labels = result.model.labels
            write_seg_nrrd(result.labelmap, labels, Path(folder) / "segmentation.seg.nrrd", "case")
        write_lesions_csv(result.lesions, result.model.labels, Path(folder) / "lesions.csv")
