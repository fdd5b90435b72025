"""The model card, written from the run's own records only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment

from factorizer_engine.training.records import Run
from factorizer_engine.training.robustness import mean_of_label

_METRICS = {
    "dice": ("Dice", "{:.3f}"),
    "hd95_mm": ("HD95 (mm)", "{:.1f}"),
    "surface_dice": ("Surface Dice", "{:.3f}"),
    "lesion_f1": ("Lesion F1", "{:.3f}"),
    "volume_error_ml": ("Volume error (mL)", "{:+.1f}"),
}

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
| A voxel belongs to a region | from a probability of {{ inference.threshold }} |
{% if inference.mirror_axes %}
| Mirroring | averaged over copies mirrored along axes {{ inference.mirror_axes | join(", ") }} |
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
{% if excluded %}
| left out entirely | {{ excluded | join(", ") }} |
{% endif %}

## How

| | |
|---|---|
| Steps | {{ steps }} of {{ samples }} windows |
| Time | {{ time }} on {{ device }}, {{ processes }} process(es) |
{% if pretrained %}
| Began with | weights of another run, {{ pretrained }} |
{% endif %}
| Optimiser | {{ optimizer }}, learning rate {{ optimization.learning_rate }}, \
weight decay {{ optimization.weight_decay }}, cosine over {{ optimization.schedule }} |
| Precision | {{ optimization.precision }} |
| Weights | {{ weights }}, exponential average (decay {{ optimization.ema_decay }}) |
| Engine | version {{ engine }}, commit {{ commit or "unknown" }}, PyTorch {{ torch }} |
| Started | {{ started }} |
{% for part in resumed %}
| Resumed | {{ part.at }}, commit {{ part.commit or "unknown" }} |
{% endfor %}
{% if not finished %}

**Intermediate weights: the run had not ended when this was written.**
{% endif %}

## How well it does

{% if validation %}
On the cases used to choose the weights (so this is optimistic; in model space), mean Dice \
{{ "%.3f" | format(validation.dice) }} at step {{ validation.step }}: {{ validation_regions }}.

{% endif %}
{% if evaluation %}
On {{ evaluation_cases }}, at the native resolution ({{ evaluation.note }}):

{{ table }}

{{ per_case }}
{% else %}
Not evaluated on held-out cases yet.
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


def write_card(runs: Sequence[Run], weights: str) -> str:
    """The Markdown card of the model made of `runs` with their "best" or "final" weights."""
    run = runs[0]
    config, record, evaluation = run.config, run.record, run.evaluation
    cleaning = config.bundle.postprocessing
    validation = run.best_validation if weights == "best" else run.last_validation
    last = max((r["step"] for r in run.history), default=0)
    seconds = record.get("seconds") or max((r.get("seconds", 0) for r in run.history), default=0)
    values: dict[str, Any] = {
        "title": config.bundle.title or config.name,
        "description": config.bundle.description,
        "data_description": config.bundle.data_description,
        "licence": config.bundle.licence,
        "citations": config.bundle.citations,
        "channels": record["channels"],
        "outputs": ", ".join(
            f"{name} (labels {' + '.join(map(str, values))})"
            for name, values in run.regions.items()
        ),
        "spacing": _spacing(config.preprocessing.spacing),
        "window": config.window,
        "network": config.network.type,
        "members": "one network" if len(runs) == 1 else f"ensemble of {len(runs)} networks",
        "inference": config.bundle.inference,
        "cleaning": cleaning,
        "removed": _below(cleaning.min_volume_ml),
        "replaced": _below(cleaning.replace_small),
        "dataset": record["dataset"],
        "cases": record["cases"],
        "split": run.split,
        "excluded": config.data.exclude,
        "steps": record.get("steps", last),
        "samples": config.optimization.batch_size * record["processes"],
        "time": f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{seconds:.0f} seconds",
        "pretrained": config.network.pretrained and Path(config.network.pretrained).name,
        "optimization": config.optimization,
        "optimizer": _OPTIMIZERS[config.optimization.optimizer],
        "weights": {"best": "best on validation", "final": "last step"}[weights],
        "finished": record.get("finished", False),
        "validation": validation,
        "validation_regions": ", ".join(
            f"{name} {validation[name]:.3f}" for name in run.regions if validation
        ),
        "evaluation": evaluation,
        "table": summary_table(evaluation) if evaluation else "",
        "per_case": case_table(evaluation) if evaluation else "",
        "evaluation_cases": _cases(run, evaluation["cases"]) if evaluation else "",
        "robustness_cases": _cases(run, run.robustness["cases"]) if run.robustness else "",
        "machine": (evaluation or {}).get("machine"),
        "case_seconds": next(iter(run.measured_seconds.values()), 0.0),
        "robustness": run.robustness,
        "robustness_table": robustness_table(run.robustness) if run.robustness else "",
    }
    keys = ("device", "processes", "engine", "commit", "torch", "started")
    values["resumed"] = record.get("resumed", [])
    values |= {key: record.get(key) for key in keys}
    environment = Environment(trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    return environment.from_string(_TEMPLATE).render(values)


def _below(volumes: Mapping[str, float]) -> str:
    return ", ".join(f"{region} below {volume:g} mL" for region, volume in volumes.items())


def summary_table(evaluation: dict[str, Any]) -> str:
    """Mean and standard deviation of every metric per region, as a Markdown table."""
    titles = [title for title, _ in _METRICS.values()]
    rows = ["| | " + " | ".join(titles) + " |", "|---" * (len(titles) + 1) + "|"]
    for region, metrics in evaluation["summary"].items():
        cells = []
        for name, (_, form) in _METRICS.items():
            value = metrics[name]
            cells.append(
                "-"
                if value["mean"] is None
                else f"{form.format(value['mean'])} ± {form.replace('+', '').format(value['sd'])}"
            )
        rows.append(f"| {region} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def case_table(evaluation: dict[str, Any]) -> str:
    """Dice of every case and region, as a Markdown table."""
    regions = list(evaluation["summary"])
    rows = ["| case | " + " | ".join(f"Dice {r}" for r in regions) + " |"]
    rows.append("|---" * (len(regions) + 1) + "|")
    for case, values in evaluation["cases"].items():
        cells = " | ".join(f"{values[region]['dice']:.3f}" for region in regions)
        rows.append(f"| {case} | {cells} |")
    return "\n".join(rows)


def robustness_table(robustness: dict[str, Any]) -> str:
    """Dice under every perturbation, as a Markdown table; also of the label where it loses."""
    regions = robustness["regions"]
    rows = ["| scans | " + " | ".join(f"Dice {r}" for r in regions) + " |"]
    rows.append("|---" * (len(regions) + 1) + "|")
    for entry in robustness["perturbations"].values():
        cells = []
        for region in regions:
            of_label = mean_of_label(entry, region)
            limit = f" (label itself {of_label:.3f})" if of_label < 0.9995 else ""
            cells.append(f"{entry['mean'][region]:.3f} ± {entry['sd'][region]:.3f}{limit}")
        rows.append(f"| {entry['title']} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _cases(run: Run, names: Iterable[str]) -> str:
    """How many cases, which, and whether training had anything to do with them."""
    names = list(names)
    known = [n for n in names if n in (*run.split.train, *run.split.validation)]
    text = f"{len(names)} case{'s' if len(names) != 1 else ''} ({', '.join(names)})"
    if not known:
        were = "were" if len(names) != 1 else "was"
        return f"{text} that {were} neither trained on nor selected on"
    return f"{text}, **of which training or the choice of weights used {', '.join(known)}**"


def _spacing(spacing: tuple[float, ...] | None) -> str:
    return "as scanned" if spacing is None else " x ".join(f"{s:g}" for s in spacing) + " mm"
