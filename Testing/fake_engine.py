"""An engine process whose work is made up, to test the process, its drivers and the panels.

Run as a program by the tests. It is the real worker with jobs that need no torch; the environment
variable FAKE_ENGINE, or else the name of the model in `load_model`, says what the jobs do:

    answer      report progress, then give a result (as under any name that is not listed)
    spill       the same, with results for the whole scan though only a box was asked for
    plain       the same, as a network without components: it cannot be explained
    gate        report progress, and give the result when the file named by FAKE_GATE exists
    chatter     write to standard output in several ways, and read standard input
    rewind      report progress that goes back
    refuse      end with an error that is the user's to solve
    fail        end with a defect
    exhaust     run out of memory
    exit        try to leave the process
    obey        work until told to cancel
    fumble      the same, and then fail in another way
    ignore      the same, and then give a result nevertheless
    hang        work on and ignore everything
    end         end the process
    crash       end it by a signal

FAKE_ENGINE knows these too, which are not about jobs:

    babble      answer among lines that are no protocol, with every byte sent alone
    incomplete  end as a Python without a package does
    newer       say that it speaks a later protocol

With FAKE_ENGINE the process outlives its input if it is at work then, so that tests see whether it
is killed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

import fake_components
import fake_reports
from babble import Babble
from factorizer_engine.protocol.checks import SEVERITIES, Finding
from factorizer_engine.protocol.description import section_of
from factorizer_engine.protocol.devices import Device
from factorizer_engine.protocol.errors import BadInputError, BadModelError, CancelledError
from factorizer_engine.protocol.lesions import Lesion, LesionPart, Ruler
from factorizer_engine.protocol.locations import user_models_dirs
from factorizer_engine.protocol.models import Label, ModelDescription, Region
from factorizer_engine.protocol.preparation import Step
from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.protocol.runs import ModelChoice
from factorizer_engine.protocol.tasks.check import CHECK, CheckParams, CheckResult
from factorizer_engine.protocol.tasks.components import (
    COMPONENTS,
    ComponentsParams,
    ComponentsResult,
)
from factorizer_engine.protocol.tasks.export_dicom import EXPORT_DICOM
from factorizer_engine.protocol.tasks.follow_up import FOLLOW_UP
from factorizer_engine.protocol.tasks.hello import HELLO, HelloResult
from factorizer_engine.protocol.tasks.install_model import (
    INSTALL_MODEL,
    InstallModelParams,
    InstallModelResult,
)
from factorizer_engine.protocol.tasks.load_model import LOAD_MODEL, LoadModelResult
from factorizer_engine.protocol.tasks.measure import MEASURE
from factorizer_engine.protocol.tasks.models import MODELS, ModelsResult
from factorizer_engine.protocol.tasks.prepare import PREPARE, PrepareParams, PrepareResult
from factorizer_engine.protocol.tasks.remove_model import REMOVE_MODEL, RemoveModelParams
from factorizer_engine.protocol.tasks.report import REPORT
from factorizer_engine.protocol.tasks.segment import SEGMENT, SegmentParams, SegmentResult
from factorizer_engine.protocol.tasks.task import Nothing
from factorizer_engine.protocol.triples import triple
from factorizer_engine.protocol.volumes import ScanFile
from factorizer_engine.service import streams, worker
from factorizer_engine.service.jobs import measure

BEHAVIOUR = os.environ.get("FAKE_ENGINE", "")
LABELS = (Label(1, "Core", (200, 60, 50)), Label(4, "Enhancing", (240, 200, 60)))
REGIONS = (Region("ET", 4, "Enhancing", 1), Region("TC", 1, "Core"))
CORE, ENHANCING = (slice(0, 3), slice(2, 4), slice(1, 3)), (slice(4, 6), slice(2, 4), slice(1, 3))


def half(monitor: Monitor) -> None:
    monitor.report("half", 0.5)


def wait_at_the_gate(monitor: Monitor) -> None:
    half(monitor)
    while not Path(os.environ["FAKE_GATE"]).exists():
        time.sleep(0.02)


def chatter(monitor: Monitor) -> None:
    print("printed by Python")
    os.write(1, b"written by native code\n")
    subprocess.run([sys.executable, "-c", "print('printed by a child')"], check=True)
    assert sys.stdin.read() == ""


def rewind(monitor: Monitor) -> None:
    for stage, fraction in (("one", 0.2), ("two", 0.7), ("three", 0.5), ("four", 0.9)):
        monitor.report(stage, fraction)


def refuse(monitor: Monitor) -> None:
    raise BadInputError("FLAIR and T1 do not overlap.", "some background")


def fail(monitor: Monitor) -> None:
    raise KeyError("no such key")


def exhaust(monitor: Monitor) -> None:
    raise MemoryError


def leave(monitor: Monitor) -> None:
    sys.exit(3)


def obey(monitor: Monitor) -> None:
    while True:
        monitor.report("waiting", 0.5)
        time.sleep(0.01)


def fumble(monitor: Monitor) -> None:
    try:
        obey(monitor)
    except CancelledError:
        raise OSError("closed") from None


def ignore(monitor: Monitor) -> None:
    try:
        obey(monitor)
    except CancelledError:
        pass


def hang(monitor: Monitor) -> None:
    monitor.report("working", 0.1)
    time.sleep(600)


def end(monitor: Monitor) -> None:
    os._exit(3)


def crash(monitor: Monitor) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


BEHAVIOURS: dict[str, Callable[[Monitor], None]] = {
    "gate": wait_at_the_gate,
    "chatter": chatter,
    "rewind": rewind,
    "refuse": refuse,
    "fail": fail,
    "exhaust": exhaust,
    "exit": leave,
    "obey": obey,
    "fumble": fumble,
    "ignore": ignore,
    "hang": hang,
    "end": end,
    "crash": crash,
}


def behave(monitor: Monitor, name: str = "") -> None:
    BEHAVIOURS.get(BEHAVIOUR or name, half)(monitor)


def describe(name: str = "fake") -> ModelDescription:
    return ModelDescription(name, "1", "glioma", "Fake", "", (), REGIONS, LABELS)


def hello(params: object, monitor: Monitor) -> HelloResult:
    return HelloResult("fake", {}, (Device("cpu", "Processor (fake)", memory_free=3 * 10**9),))


def models(params: object, monitor: Monitor) -> ModelsResult:
    behave(monitor)
    return ModelsResult(())


def load_model(params: ModelChoice, monitor: Monitor) -> LoadModelResult:
    behave(monitor, params.model)
    return LoadModelResult(describe(params.model), "cpu")


def install_model(params: InstallModelParams, monitor: Monitor) -> InstallModelResult:
    """Put a description into the models folder, as far as the panel reads it."""
    behave(monitor)
    name = Path(params.source).stem
    configs = user_models_dirs()[0] / name / "configs"
    configs.mkdir(parents=True)
    section = section_of(describe(name))
    metadata = {"version": "1", "factorizer": section}
    (configs / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
    return InstallModelResult(describe(name), "ab" * 32 if "://" in params.source else "")


def remove_model(params: RemoveModelParams, monitor: Monitor) -> Nothing:
    behave(monitor)
    shutil.rmtree(user_models_dirs()[0] / params.name)
    return Nothing()


def prepare(params: PrepareParams, monitor: Monitor) -> PrepareResult:
    """The second channel moves by 3 mm to the right, what is beyond plane 1 is brain."""
    behave(monitor)
    folder, channels = Path(params.output_dir), dict(params.study.channels)
    second = list(channels)[1]
    steps = [Step("", "told", f"brain {params.brain is not None}, placed {params.placed}")]
    if second not in params.placed:
        matrix = np.eye(4)
        matrix[0, 3] = 3.0
        rows = tuple(tuple(row) for row in matrix.tolist())
        steps.append(Step(second, "registration", "moved.", matrix=rows))
        place = matrix @ channels[second].matrix
        channels[second] = ScanFile.save(channels[second].load(), place, folder / "moved.npy")
    steps.append(Step(second, "slices", "5 mm slices: small lesions may be missed.", True))
    reference = channels[params.study.reference or ""]
    mask = np.zeros(reference.load().shape, np.uint8)
    mask[1:] = 1
    if params.brain is not None:
        mask = params.brain.load()
    sheet = folder / "preparation.html" if params.sheet else ""
    if sheet:
        sheet.write_text("<h1>Prepared inputs</h1>", encoding="utf-8")
    brain = ScanFile.save(mask, reference.matrix, folder / "brain.npy")
    print(f"{steps[0].outcome}, {int(mask.sum())} voxels")
    return PrepareResult(channels, brain, tuple(steps), str(sheet), {}, {"registration": 1.0})


def check(params: CheckParams, monitor: Monitor) -> CheckResult:
    """The severity that a volume has in its name is found, about the channel that it is for.

    Patients are compared, and transforms told of.
    """
    scans = params.study.channels
    found = [
        Finding(
            (channel,), severity, f"{channel} is {severity}.", by_preparation="raw" in scan.name
        )
        for severity in reversed(SEVERITIES)
        for channel, scan in scans.items()
        if severity in scan.name
    ]
    if len({scan.origin.patient for scan in scans.values()}) > 1:
        found.append(Finding(tuple(scans), "amber", "The patients differ.", asks=True))
    moved = {c: scan.origin.transform for c, scan in scans.items() if scan.origin.transform}
    found += [Finding((c,), "green", f"{c} is moved by {name}.") for c, name in moved.items()]
    return CheckResult(tuple(found))


def segment(params: SegmentParams, monitor: Monitor) -> SegmentResult:
    """An enhancing and a core block, a lesion each; in a box only what lies there."""
    behave(monitor)
    asked, options = params.choice.members, params.options
    print(f"members {asked}, mirroring {options.mirroring}, overlap {options.overlap}")
    reference = params.study.channels[params.study.reference or ""]
    labelmap = np.zeros(reference.load().shape, np.uint8)
    labelmap[CORE], labelmap[ENHANCING] = 1, 4
    if params.options.box is not None and BEHAVIOUR != "spill":
        part = params.options.box.part_of(labelmap.shape, reference.matrix)
        inside = np.zeros(labelmap.shape, bool)
        inside[part] = params.options.box.mask(part, reference.matrix)
        labelmap[~inside] = 0
    path = Path(params.output_dir) / "labelmap.npy"
    scan = ScanFile.save(labelmap, reference.matrix, path)
    maps = ()
    if params.probabilities:
        dtype = np.uint8 if params.compact else np.float32
        maps = tuple(
            probability(labelmap, labels, dtype, reference, Path(params.output_dir) / f"p{n}.npy")
            for n, labels in enumerate(((4,), (1, 4)))
        )
    seconds = {"segmenting": 2.0}
    return SegmentResult(describe(), scan, maps, lesions(reference), seconds, "cpu")


def probability(labelmap, labels, dtype, reference: ScanFile, path: Path) -> ScanFile:
    """0.8 inside; one voxel further along k 0.3."""
    inside = np.isin(labelmap, labels)
    around = np.roll(inside, 1, axis=2) & (labelmap == 0)
    full = 255 if dtype is np.uint8 else 1.0
    values = np.select([inside, around], [0.8 * full, 0.3 * full]).astype(dtype)
    return ScanFile.save(values, reference.matrix, path)


def lesions(reference: ScanFile) -> tuple[Lesion, Lesion]:
    """Both blocks."""
    return (
        lesion(1, LABELS[1], 4.0, reference, ENHANCING),
        lesion(2, LABELS[0], 1.5, reference, CORE),
    )


def lesion(
    number: int, label: Label, volume: float, reference: ScanFile, box: tuple[slice, ...]
) -> Lesion:
    """A block of one class, with its diameters along i and j."""
    low, high = ([getattr(part, end) - 0.5 for part in box] for end in ("start", "stop"))
    middle = [(a + b) / 2 for a, b in zip(low, high, strict=True)]
    slice_of = box[2].start

    def world(*index: float) -> tuple[float, float, float]:
        return triple((reference.matrix @ [*index, 1.0])[:3].tolist())

    measures = {
        "volume_ml": volume,
        "max_diameter_mm": 9.0,
        "long_axis": Ruler(world(low[0], middle[1], slice_of), world(high[0], middle[1], slice_of)),
        "short_axis": Ruler(
            world(middle[0], low[1], slice_of), world(middle[0], high[1], slice_of)
        ),
        "mean_probability": 0.8,
    }
    part = LesionPart(label=label.value, name=label.name, **measures)
    place = ("right", "anterior")
    return Lesion(id=number, centroid_ras=world(*middle), place=place, parts=(part,), **measures)


def components(params: ComponentsParams, monitor: Monitor) -> ComponentsResult:
    behave(monitor)
    if BEHAVIOUR == "plain":
        raise BadModelError("This model has no components.")
    found = fake_components.components(describe(), CORE, params)
    true, strange = lesions(params.study.channels[params.study.reference or ""])
    judged = replace(true, likeness=0.95), replace(strange, likeness=0.3)
    return replace(found, lesions=judged)


def behaving(job):
    """A job that behaves as told before it does its work."""

    def run(params, monitor: Monitor):
        behave(monitor)
        return job(params)

    return run


HANDLERS = {
    HELLO.name: hello,
    MODELS.name: models,
    INSTALL_MODEL.name: install_model,
    REMOVE_MODEL.name: remove_model,
    LOAD_MODEL.name: load_model,
    CHECK.name: check,
    PREPARE.name: prepare,
    SEGMENT.name: segment,
    MEASURE.name: partial(measure.run, None),
    COMPONENTS.name: components,
    EXPORT_DICOM.name: behaving(fake_reports.export_dicom),
    FOLLOW_UP.name: behaving(fake_reports.follow_up),
    REPORT.name: behaving(fake_reports.report),
}
"""The jobs by the names of their tasks."""


def main() -> None:
    if BEHAVIOUR == "incomplete":
        sys.exit("ModuleNotFoundError: No module named 'safetensors'")
    if BEHAVIOUR == "newer":
        worker.PROTOCOL_VERSION += 1
        worker.__version__ = "9.9"
    source, sink = streams.claim_standard_streams()
    worker.Worker(
        HANDLERS,
        source,
        Babble(sink) if BEHAVIOUR == "babble" else sink,
        exit_process=(lambda code: None) if BEHAVIOUR else os._exit,
    ).serve()
    os._exit(0)


if __name__ == "__main__":
    main()
