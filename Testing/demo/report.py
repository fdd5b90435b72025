"""The demo's run as a report: that of every result, and how well this one agrees with experts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from demo.sample import REGION_LABELS, Sample
from factorizer_engine.images.files import read_scans
from factorizer_engine.images.scan import Scan
from factorizer_engine.lesions.reports.content import Explanation, Report
from factorizer_engine.lesions.reports.page import write_report
from factorizer_engine.protocol.lesions import Lesion
from factorizer_engine.protocol.tasks.components import ComponentsResult
from factorizer_engine.protocol.tasks.segment import SegmentResult
from factorizer_engine.protocol.volumes import ScanFile

NETWORK = (
    "Network: Ashtari et al., Factorizer: a scalable interpretable approach to context modeling "
    "for medical image segmentation, Medical Image Analysis 84:102706, 2023."
)


@dataclass(frozen=True)
class Run:
    """Everything that happened.

    Attributes:
        sample: The case.
        result: What the engine found.
        components: What drove it.
        scores: Dice by region name against the experts' label.
        region_volumes: Volume by region name in mL.
        timings: Seconds by stage of the whole demo.
        date: When, as people write it.
        files: File name to what it holds.
    """

    sample: Sample
    result: SegmentResult
    components: ComponentsResult
    scores: dict[str, float]
    region_volumes: dict[str, float]
    timings: dict[str, float]
    date: str
    files: dict[str, str] = field(default_factory=dict)


def write_run(run: Run, path: Path) -> None:
    """Write the page about a run."""
    model = run.result.model
    explained = run.components
    write_report(
        Report(
            title=run.sample.title,
            made=f"{model.title} {model.version} · {run.date}",
            labelmap=scan_of(run.result.labelmap),
            labels=model.labels,
            lesions=run.result.lesions,
            scans=read_scans(run.sample.channels),
            explanation=Explanation(
                explained.components,
                [scan_of(file) for file in explained.evidence],
                model.regions,
                explained.note,
            ),
            facts={
                "Agreement with the experts": _agreement(run),
                "How it was made": _origin(run),
                "Files": run.files,
            },
            credit=(f"{run.sample.credit} {run.sample.reference}", NETWORK),
        ),
        path,
    )


def region_volumes(lesions: tuple[Lesion, ...]) -> dict[str, float]:
    """Volume of each region in mL, summed over the lesions of the labels that make it up."""
    return {
        region: sum(
            part.volume_ml for lesion in lesions for part in lesion.parts if part.label in values
        )
        for region, values in REGION_LABELS.items()
    }


def scan_of(file: ScanFile) -> Scan:
    """The volume in a file of the engine."""
    return Scan.of(file.load(), file.matrix, file.name)


def _agreement(run: Run) -> dict[str, str]:
    return {
        region.title: f"Dice {run.scores[region.name]:.2f}, "
        f"{run.region_volumes[region.name]:.1f} mL"
        for region in run.result.model.regions
        if region.name in run.scores
    }


def _origin(run: Run) -> dict[str, str]:
    model = run.result.model
    engine = ", ".join(f"{stage} {spent:.1f} s" for stage, spent in run.result.timings.items())
    return {
        "Case": f"{run.sample.title}, unseen in training ({', '.join(run.sample.channels)})",
        "Model": f"{model.name} {model.version} – {model.summary}",
        "Device": run.result.device,
        **{stage: f"{spent:.1f} s" for stage, spent in run.timings.items()},
        "In the engine": engine,
    }
