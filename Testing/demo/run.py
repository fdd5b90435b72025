"""The demo from scans to report."""

from __future__ import annotations

import datetime
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
from rich.console import Console

from demo import scene
from demo.analysis import Settings, analyse
from demo.pictures import most_focal, take_pictures
from demo.report import Run, region_volumes, scan_of, write_run
from demo.sample import brain_tumour, dice_scores
from demo.stages import Stages
from factorizer_engine.images.files import write_nifti, write_seg_nrrd
from factorizer_engine.lesions.tables import write_lesions_csv
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.tasks.components import ComponentsResult
from factorizer_engine.protocol.tasks.segment import SegmentResult
from host.core import start_core

BACKGROUND = "T1ce"
"""The scan that the pictures are drawn upon."""
OWN_FILES = (
    "scene.mrb",
    "segmentation.*",
    "evidence-*.nii.gz",
    "heatmap-*.nii.gz",
    "lesions.csv",
    "report.html",
    "pictures/*.png",
)


def run_demo(output: Path, settings: Settings, console: Console) -> Run:
    """Segment the sample case, explain the result, and write everything to `output`.

    Raises:
        EngineError: If the engine fails or the folder cannot be written; one sentence.
        SceneFileError: If a file of the scene cannot be read or written; one sentence.
    """
    sample = brain_tumour()
    _prepare_folder(output)
    core = start_core()
    with Stages(console) as stages, tempfile.TemporaryDirectory() as exchange:
        with stages.stage("Loading the scans"):
            scans = scene.load_scans(core.scene, sample)
            files = scene.save_scans(scans, Path(exchange))
        result, components = analyse(files, settings, Path(exchange), stages)
        labelmap = scan_of(result.labelmap)
        with stages.stage("Filling the scene"):
            reference = scans[result.model.channels[0].name]
            nodes = scene.add_results(core.scene, reference, result, components)
        with stages.stage("Drawing the pictures"):
            point = scene.widest_point(labelmap.array, labelmap.affine)
            leading = most_focal(nodes.steps, reference, labelmap.array)
            take_pictures(scans[BACKGROUND], nodes, leading, point, output / "pictures")
        with stages.stage("Writing the files"):
            contents = _write_files(output, result, components, reference.GetName())
            scene.save_scene(core.scene, output / "scene.mrb")
        truth = np.asanyarray(nib.Nifti1Image.from_filename(sample.label).dataobj)
        run = Run(
            sample=sample,
            result=result,
            components=components,
            scores=dice_scores(labelmap.array, truth),
            region_volumes=region_volumes(result.lesions),
            timings=stages.seconds,
            date=f"{datetime.date.today():%d %B %Y}",
            files={"scene.mrb": "the scene, for 3D Slicer", **contents},
        )
        write_run(run, output / "report.html")
    return run


def _prepare_folder(output: Path) -> None:
    """Make the folder and remove what an earlier demo wrote there, and nothing else."""
    try:
        (output / "pictures").mkdir(parents=True, exist_ok=True)
        for pattern in OWN_FILES:
            for path in output.glob(pattern):
                path.unlink()
    except OSError as error:
        message = f"The folder {output} cannot be written to; choose another one with --output."
        raise BadInputError(message, str(error)) from error


def _write_files(
    output: Path, result: SegmentResult, components: ComponentsResult, reference_name: str
) -> dict[str, str]:
    """Write the results on the scan's grid; returns what each file holds."""
    labelmap = scan_of(result.labelmap)
    write_nifti(labelmap, output / "segmentation.nii.gz")
    write_seg_nrrd(labelmap, result.model.labels, output / "segmentation.seg.nrrd", reference_name)
    write_lesions_csv(result.lesions, result.model.labels, output / "lesions.csv")
    contents = {
        "segmentation.seg.nrrd": "the segments with coded terminology, for 3D Slicer",
        "segmentation.nii.gz": "the label map: "
        + ", ".join(f"{label.value} {label.name}" for label in result.model.labels),
        "lesions.csv": "every connected lesion with its measures",
    }
    maps = {
        "evidence": (components.evidence, "what {} contributes where"),
        "heatmap": (components.heatmaps, "where {} is active"),
    }
    for kind, (files, what) in maps.items():
        for number, (component, file) in enumerate(
            zip(components.components, files, strict=True), start=1
        ):
            name = f"{kind}-{number}.nii.gz"
            write_nifti(scan_of(file), output / name)
            contents[name] = what.format(component.name)
    contents["pictures/"] = "slices as Slicer draws them"
    return contents
