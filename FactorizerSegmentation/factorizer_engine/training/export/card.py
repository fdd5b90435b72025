"""The model card, written from the run's own records only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jinja2 import Environment

from factorizer_engine.protocol.models import ModelDescription
from factorizer_engine.training.config import FewerSection
from factorizer_engine.training.data.splits import Split, together
from factorizer_engine.training.export.tables import (
    calibration_table,
    case_table,
    clicked_cases_table,
    clicks_table,
    lesion_rows_table,
    robustness_table,
    subsets_table,
    summary_table,
)
from factorizer_engine.training.records.records import Run

_OPTIMIZERS = {"adamw": "AdamW", "muon": "Muon for matrices and AdamW for other weights"}

_TEMPLATE = """\
# {{ title }}

{{ description }}

Research only; not a medical device. Results must be checked by a physician.

## What it does

| | |
|---|---|
| Inputs | {{ channels | join(", ") }} |
| Outputs | {{ outputs }} |
| Voxel size | {{ spacing }} |
| Window | {{ window | join(" x ") }} voxels |
| Network | {{ network }}, {{ members }} |
{% if coarse %}
| First stage | {{ coarse.name }} {{ coarse.version }} |
| Looked at again | {{ cascade.margin_mm }} mm around a probability of {{ cascade.threshold }} |
| Share of this stage there | {{ cascade.share }} of the averaged logits |
{% endif %}
| A voxel belongs to a region | from a probability of {{ inference.threshold }} |
{% if inference.mirror_axes %}
| Mirroring | averaged over copies mirrored along axes {{ inference.mirror_axes | join(", ") }} |
{% endif %}
{% if by_clicks %}
| Begins | with the first click; it finds nothing by itself |
{% endif %}
{% if removed %}
| Removed | pieces of {{ removed }} |
{% endif %}
{% if replaced %}
| Not painted | {{ replaced }} in all |
{% endif %}
{% if cleaning.min_fragment_ml %}
| Joined with a neighbour | pieces of a label below {{ cleaning.min_fragment_ml }} mL |
{% endif %}
{% if machine %}
| Time for a case | {{ "%.1f" | format(case_seconds) }} s, median of \
{{ evaluation.cases | length }}, reading included, on {{ machine.device }}, \
{{ machine.threads }} thread(s) |
{% if machine.peak_memory_gb %}
| Memory | {{ "%.1f" | format(machine.peak_memory_gb) }} GB at most, in the same run |
{% endif %}
{% endif %}

## What it was trained on

{{ data_description }}

{{ cases }} cases of `{{ dataset }}`: {{ split.train | length }} trained on, \
{{ split.validation | length }} used to choose weights and settings, \
{{ split.held_out | length }} held out.

| use | cases |
|---|---|
| training | {{ split.train | join(", ") }} |
| choice of weights and settings | {{ split.validation | join(", ") or "none" }} |
| held out | {{ split.held_out | join(", ") or "none" }} |
{% if elsewhere %}
| of other data, seen by the weights that it began with | {{ elsewhere | join(", ") }} |
{% endif %}
{% if excluded %}
| left out entirely | {{ excluded | join(", ") }} |
{% endif %}

## How
{% for network in networks %}

{% if networks | length > 1 %}
### Network {{ loop.index }}

{% endif %}
| | |
|---|---|
| Steps | {{ network.steps }} of {{ network.samples }} windows |
| Time | {{ network.time }} on {{ network.device }}, {{ network.processes }} process(es) |
{% if network.pretrained %}
| Began with | weights of another run, {{ network.pretrained }} |
{% endif %}
| Optimiser | {{ network.optimizer }}, learning rate {{ network.optimization.learning_rate }}, \
weight decay {{ network.optimization.weight_decay }}, \
cosine over {{ network.optimization.schedule }} |
| Precision | {{ network.optimization.precision }} |
| Weights | {{ weights }}, exponential average (decay {{ network.optimization.ema_decay }}) |
| Engine | version {{ network.engine }}, commit {{ network.commit or "unknown" }}, \
PyTorch {{ network.torch }} |
| Started | {{ network.started }} |
{% for part in network.resumed %}
| Resumed | {{ part.at }}, commit {{ part.commit or "unknown" }} |
{% endfor %}
{% if not network.finished %}

**Intermediate weights: the run had not ended when this was written.**
{% endif %}
{% endfor %}

## How well it does

{% for network in networks if network.validation and not by_clicks %}
{{ "Network %d on" % loop.index if networks | length > 1 else "On" }} the cases used to choose \
{{ "its" if networks | length > 1 else "the" }} weights (so this is optimistic; in model space), \
mean Dice {{ "%.3f" | format(network.validation.dice) }} at step {{ network.validation.step }}: \
{{ network.validation_regions }}.

{% endfor %}
{% if evaluation %}
On {{ evaluation_cases }}, at the native resolution ({{ evaluation.note }}):

{{ table }}

{{ per_case }}
{% elif clicks %}
It was measured by clicks, as follows.
{% else %}
Not evaluated on held-out cases yet.
{% endif %}
{% if calibration %}

## What a probability means

Share of the voxels with a probability that do belong to the region, on {{ calibration_cases }} \
({{ calibration.note }}), and the expected calibration error (Guo et al., 2017):

{{ calibration_table }}
{% if lesion_rows_table %}

Rows of the lesion list of these cases, by the mean probability that it tells of a class in a \
lesion, and the share of that class's voxels that are right:

{{ lesion_rows_table }}
{% endif %}
{% endif %}
{% if clicks %}

## Clicks

A simulated user corrects one region at a time, always in the middle of the largest error. Mean \
Dice after so many clicks on {{ clicks_cases }} ({{ clicks.note }}):

{{ clicks_table }}

After five clicks:

{{ clicked_cases_table }}
{% endif %}
{% if subsets %}

## With fewer sequences

A sequence that was not taken is zero for the network. Mean Dice on {{ subsets_cases }} \
({{ subsets.note }}), and in brackets the paired difference to all sequences with its 95 % interval:

{{ subsets_table }}

{% if fewer %}
{{ fewer }}

{% endif %}
{{ subsets_rule }}
{% endif %}
{% if robustness %}

## On scans that differ from these

Dice (mean ± standard deviation) on {{ robustness_cases }}, their scans changed by a program \
({{ robustness.note }}):

{{ robustness_table }}

"Label itself" is what the reference label keeps on the way to the changed scans' grid and back.

{% for entry in robustness.perturbations.values() if entry.title != "unchanged" %}
- {{ entry.title }}: {{ entry.description }}
{% endfor %}
{% endif %}
{% if licence or citations %}

## Licence and citation

{{ licence }}
{% for citation in citations %}
- {{ citation }}
{% endfor %}
{% endif %}
"""


def write_card(
    runs: Sequence[Run],
    weights: str,
    measured: Run,
    coarse: ModelDescription | None = None,
    fewer: Sequence[Run] = (),
) -> str:
    """The Markdown card of a model.

    Args:
        runs: Whose networks it is made of.
        weights: Which of their weights, "best" or "final".
        measured: The first run, with what was measured of this model.
        coarse: The first stage of a cascade.
        fewer: Whose networks answer where scans are missing.
    """
    config, record, evaluation = measured.config, measured.record, measured.evaluation
    cleaning = config.bundle.postprocessing
    robustness, calibration = measured.robustness, measured.calibration
    clicks = measured.clicks
    split = together(run.seen for run in (*runs, *fewer))
    own = {case for run in runs for use in asdict(run.split).values() for case in use}
    elsewhere = {*split.train, *split.validation} - own
    values: dict[str, Any] = {
        "title": config.bundle.title or config.name,
        "description": config.bundle.description,
        "data_description": config.bundle.data_description,
        "licence": config.bundle.licence,
        "citations": config.bundle.citations,
        "channels": record["channels"],
        "outputs": ", ".join(
            f"{name} (labels {' + '.join(map(str, values))})"
            for name, values in measured.regions.items()
        ),
        "spacing": _spacing(config.preprocessing.spacing),
        "window": config.window,
        "network": config.network.type,
        "members": "one network" if len(runs) == 1 else f"ensemble of {len(runs)} networks",
        "inference": config.bundle.inference,
        "by_clicks": config.by_clicks,
        "coarse": coarse,
        "cascade": config.bundle.cascade,
        "cleaning": cleaning,
        "removed": _below(cleaning.min_volume_ml),
        "replaced": _below(cleaning.replace_small),
        "dataset": record["dataset"],
        "cases": record["cases"],
        "split": {use: [n for n in names if n in own] for use, names in asdict(split).items()},
        "elsewhere": sorted(elsewhere),
        "excluded": [name for name in config.data.exclude if name not in elsewhere],
        "networks": [_training_of(run, weights) for run in runs],
        "weights": {"best": "best on validation", "final": "last step"}[weights],
        "evaluation": evaluation,
        "table": summary_table(evaluation) if evaluation else "",
        "per_case": case_table(evaluation) if evaluation else "",
        "evaluation_cases": _cases(split, evaluation["cases"]) if evaluation else "",
        "robustness_cases": _cases(split, robustness["cases"]) if robustness else "",
        "machine": (evaluation or {}).get("machine"),
        "case_seconds": next(iter(measured.measured_seconds.values()), 0.0),
        "subsets": measured.subsets,
        "subsets_cases": _cases(split, measured.subsets["cases"]) if measured.subsets else "",
        "subsets_table": (
            subsets_table(measured.subsets, config.bundle.seen_from) if measured.subsets else ""
        ),
        "fewer": fewer_networks(config.bundle.fewer, fewer, weights) if fewer else "",
        "subsets_rule": subsets_rule(config.data.needs, config.bundle.seen_from, coarse),
        "calibration": calibration,
        "calibration_cases": _cases(split, calibration["cases"]) if calibration else "",
        "calibration_table": calibration_table(calibration) if calibration else "",
        "lesion_rows_table": lesion_rows_table((calibration or {}).get("rows", ())),
        "clicks": clicks,
        "clicks_cases": _cases(split, clicks["cases"]) if clicks else "",
        "clicks_table": clicks_table(clicks) if clicks else "",
        "clicked_cases_table": clicked_cases_table(clicks) if clicks else "",
        "robustness": robustness,
        "robustness_table": robustness_table(robustness) if robustness else "",
    }
    environment = Environment(trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    return environment.from_string(_TEMPLATE).render(values)


def _training_of(run: Run, weights: str) -> dict[str, Any]:
    """How one network was trained."""
    settings, record = run.config.optimization, run.record
    validation = run.best_validation if weights == "best" else run.last_validation
    last = max((r["step"] for r in run.history), default=0)
    seconds = record.get("seconds") or max((r.get("seconds", 0) for r in run.history), default=0)
    keys = ("device", "processes", "engine", "commit", "torch", "started")
    return {
        "steps": record.get("steps", last),
        "samples": settings.batch_size * record["processes"],
        "time": f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{seconds:.0f} seconds",
        "pretrained": run.config.network.pretrained and Path(run.config.network.pretrained).name,
        "optimization": settings,
        "optimizer": _OPTIMIZERS[settings.optimizer],
        "finished": record.get("finished", False),
        "resumed": record.get("resumed", []),
        "validation": validation,
        "validation_regions": ", ".join(
            f"{name} {validation[name]:.3f}" for name in run.regions if validation
        ),
        **{key: record.get(key) for key in keys},
    }


def _below(volumes: Mapping[str, float]) -> str:
    return ", ".join(f"{region} below {volume:g} mL" for region, volume in volumes.items())


def fewer_networks(section: FewerSection, runs: Sequence[Run], weights: str) -> str:
    """Who answers where scans are missing, and how long those networks were trained."""
    trained = [_training_of(run, weights) for run in runs]
    text = " and ".join(f"{t['steps']} steps in {t['time']}" for t in trained)
    sentences = [
        f"Where sequences are missing, networks answer that learned from such studies ({text}, the "
        "same cases)."
    ]
    for parts, who in (
        (section.own, "The network for all sequences answers alone with {}."),
        (section.both, "The logits of both are averaged with {}."),
    ):
        if parts:
            sentences.append(who.format(" or ".join(" + ".join(part) for part in parts)))
    return " ".join(sentences)


def subsets_rule(
    needs: Mapping[str, Sequence[str]], seen_from: float, coarse: ModelDescription | None = None
) -> str:
    """What is done with regions that cannot be seen, by the first stage of a cascade either."""
    sentences = [f"{region} needs {' and '.join(names)}." for region, names in needs.items()]
    if coarse is not None:
        sentences.append(f"What {coarse.name} does not look for cannot be seen here either.")
    return " ".join(
        [
            *sentences,
            f"What cannot be seen, or has a mean Dice below {seen_from:g}, is not looked for, and "
            "sequences with which nothing is seen are refused.",
        ]
    )


def _cases(split: Split, names: Iterable[str]) -> str:
    """How many cases, which, and whether training had anything to do with them."""
    names = list(names)
    known = [n for n in names if n in (*split.train, *split.validation)]
    text = f"{len(names)} case{'s' if len(names) != 1 else ''} ({', '.join(names)})"
    if not known:
        were = "were" if len(names) != 1 else "was"
        return f"{text} that {were} neither trained on nor selected on"
    return f"{text}, **of which training or the choice of weights used {', '.join(known)}**"


def _spacing(spacing: tuple[float, ...] | None) -> str:
    return "as scanned" if spacing is None else " x ".join(f"{s:g}" for s in spacing) + " mm"
