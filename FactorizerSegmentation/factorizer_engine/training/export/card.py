"""The model card, written from the run's own records only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, Template

from factorizer_engine.bundles.settings import FewerSettings
from factorizer_engine.protocol.models import ModelDescription
from factorizer_engine.protocol.wording import counted, enumerated
from factorizer_engine.training.export import tables
from factorizer_engine.training.export.knowledge import Knowledge
from factorizer_engine.training.records.records import Run

_OPTIMIZERS = {"adamw": "AdamW", "muon": "Muon for matrices and AdamW for other weights"}


def write_card(
    runs: Sequence[Run],
    weights: str,
    measured: Run,
    knowledge: Knowledge,
    coarse: ModelDescription | None = None,
    fewer: Sequence[Run] = (),
) -> str:
    """The Markdown card of a model.

    Args:
        runs: Whose networks it is made of.
        weights: Which of their weights, "best" or "final".
        measured: The first run, with what was measured of this model.
        knowledge: Which cases it has seen, its first stage and those networks included.
        coarse: The first stage of a cascade.
        fewer: Whose networks answer where scans are missing.
    """
    config, split = measured.config, knowledge.split
    own = {case for run in runs for use in asdict(run.split).values() for case in use}
    elsewhere = {*split.train, *split.validation} - own
    return _template(knowledge).render(
        tables=tables,
        config=config,
        record=measured.record,
        regions=measured.regions,
        coarse=coarse,
        cleaning=config.bundle.postprocessing,
        split={use: [n for n in names if n in own] for use, names in asdict(split).items()},
        elsewhere=sorted(elsewhere),
        excluded=[name for name in config.data.exclude if name not in elsewhere],
        networks=[_training_of(run, weights) for run in runs],
        weights={"best": "best on validation", "final": "last step"}[weights],
        case_seconds=next(iter(measured.measured_seconds.values()), 0.0),
        evaluation=measured.evaluation,
        robustness=measured.robustness,
        subsets=measured.subsets,
        fewer=fewer_networks(config.bundle.fewer, fewer, weights) if fewer else "",
        subsets_rule=subsets_rule(config.data.needs, config.bundle.seen_from, coarse),
        calibration=measured.calibration,
        clicks=measured.clicks,
    )


def _template(knowledge: Knowledge) -> Template:
    """The card, to be filled; its filter `cases` tells whether cases were seen before."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"outputs": _outputs, "spacing": _spacing, "below": _below}
    environment.filters["cases"] = lambda measured: _cases(knowledge, measured["cases"])
    return environment.get_template("card.md.jinja")


def _outputs(regions: Mapping[str, Sequence[int]]) -> str:
    return ", ".join(
        f"{name} (labels {' + '.join(map(str, values))})" for name, values in regions.items()
    )


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
        "beginning": _beginning(run),
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


def _beginning(run: Run) -> str:
    """Whose weights a run began with; "" if with random ones."""
    model = run.record.get("model")
    if model is not None:
        return (
            f"weights of the model {model['name']} {model['version']}; its card tells which cases "
            "they had seen, and its licence and citations hold for this model, too"
        )
    pretrained = run.config.network.pretrained
    return f"weights of another run, {Path(pretrained).name}" if pretrained else ""


def _below(volumes: Mapping[str, float]) -> str:
    return ", ".join(f"{region} below {volume:g} mL" for region, volume in volumes.items())


def fewer_networks(settings: FewerSettings, runs: Sequence[Run], weights: str) -> str:
    """Who answers where scans are missing, and how long those networks were trained."""
    trained = [_training_of(run, weights) for run in runs]
    text = " and ".join(f"{t['steps']} steps in {t['time']}" for t in trained)
    sentences = [
        f"Where sequences are missing, networks answer that learned from such studies ({text}, the "
        "same cases)."
    ]
    for parts, who in (
        (settings.own, "The network for all sequences answers alone with {}."),
        (settings.both, "The logits of both are averaged with {}."),
    ):
        if parts:
            sentences.append(who.format(" or ".join(" + ".join(part) for part in parts)))
    for look in settings.again:
        given, seen = (" + ".join(part) for part in (look.given, look.seen))
        sentences.append(
            f"With {given} they look twice, then at {seen} alone, and the logits are averaged."
        )
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


def _cases(knowledge: Knowledge, names: Iterable[str]) -> str:
    """How many cases, which, and whether training had anything to do with them."""
    names = list(names)
    known = [n for n in names if n in knowledge.cases]
    text = f"{counted(len(names), 'case')} ({', '.join(names)})"
    if not known:
        were = "were" if len(names) != 1 else "was"
        unseen = f"{text} that {were} neither trained on nor selected on"
        if not knowledge.untold:
            return unseen
        whose = "their own cards tell" if len(knowledge.untold) > 1 else "its own card tells"
        them = "them" if len(names) != 1 else "it"
        return f"{unseen} here; whether {enumerated(knowledge.untold)} had seen {them}, {whose}"
    return f"{text}, **of which training or the choice of weights used {', '.join(known)}**"


def _spacing(spacing: tuple[float, ...] | None) -> str:
    return "as scanned" if spacing is None else " x ".join(f"{s:g}" for s in spacing) + " mm"
