"""`factorizer components --describe`: what components mean, measured on labelled cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from factorizer_engine.cli.labelled import LabelledCases
from factorizer_engine.cli.session import assign_study, candidates
from factorizer_engine.cli.terminal import TERMINAL, make_table
from factorizer_engine.protocol.components import is_stable
from factorizer_engine.protocol.files import write_csv, write_text
from factorizer_engine.protocol.models import ModelDescription
from factorizer_engine.protocol.profiles import Profile, Profiles
from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.protocol.runs import ModelChoice

if TYPE_CHECKING:
    from factorizer_engine.bundles.bundle import Bundle
    from factorizer_engine.inference.segmenter import Segmenter

_SHOWN = 20
"""Rows of the table in the terminal: the components that speak most."""


def describe(
    data: Path,
    folder: Path,
    choice: ModelChoice,
    cases: Sequence[str],
    inputs: Sequence[str],
    input_dir: Path | None,
    keep: bool,
) -> None:
    """Write components.json and components.csv, and perhaps an atlas; print a table.

    Args:
        data: Training configuration, folder of a run, or folder of a dataset.
        folder: For the files.
        choice: The model, on which device.
        cases: Names of cases; without any those that the split trains on, or all.
        inputs, input_dir: Scans in which an atlas shows the components, as `segment` takes them;
            without any there is none.
        keep: Whether the descriptions and the atlas are put into the model, too.

    A model with networks of their own for studies that lack scans is described twice: these with
    another part of the scans in each case.
    """
    from factorizer_engine.bundles.profiles import (
        OF_FEWER,
        OWN,
        check_can_keep,
        keep_profiles,
        profiles_text,
    )

    labelled = LabelledCases.open(data, cases, "train", choice)
    segmenter = labelled.predictor.segmenter
    bundle = segmenter.bundle
    if keep:
        check_can_keep(bundle)
    example = _example(inputs, input_dir, bundle.description)
    with TERMINAL.progress() as move:
        studies = _studies_with_fewer(bundle)
        whole, part = Monitor(move).parts(2) if studies else (Monitor(move), None)
        profiles, fewer = _measured(labelled, whole), None
        if part is not None:
            fewer = _measured(labelled.of(segmenter.for_fewer()), part, studies)
            # Measured, see docs/evidence/components.md#false-alarms.
            fewer = replace(fewer, tells_false_alarms=False)
    for file, measured in ((OWN, profiles), (OF_FEWER, fewer)):
        if measured is not None:
            write_text(folder / file.name, profiles_text(measured))
            write_csv(folder / file.with_suffix(".csv").name, _rows(measured, segmenter))
    atlas = _drawn_atlas(segmenter, profiles, example) if example else {}
    for name, picture in atlas.items():
        write_text(folder / name, picture)
    if keep:
        parts = [_card_section(profiles, segmenter)]
        if fewer is not None:
            parts.append(_card_of_fewer(fewer, segmenter))
        if atlas:
            parts.append(_card_of_atlas(atlas))
        keep_profiles(bundle, profiles, "\n\n".join(parts), fewer, atlas or None)
    TERMINAL.print(_table(profiles, segmenter))
    where = f" and in {bundle.description.path}" if keep else ""
    count = len(profiles.cases)
    TERMINAL.print(f"All of them, over {count} case{'s' * (count > 1)}, are in {folder}{where}")


def _measured(
    labelled: LabelledCases, monitor: Monitor, studies: Sequence[Sequence[str]] = ()
) -> Profiles:
    """What the components of the segmenter's networks mean; see `LabelledCases.segmented`."""
    from factorizer_engine.components.profiling import combine, profile_case

    segmenter = labelled.predictor.segmenter
    found = [
        profile_case(segmenter, one.result, one.case, one.truth, one.monitor)
        for one in labelled.segmented(monitor, studies)
    ]
    return combine(found, segmenter.bundle.description)


def _studies_with_fewer(bundle: Bundle) -> list[tuple[str, ...]]:
    """The parts of a model's channels for which it has networks of their own."""
    parts = [subset.channels for subset in bundle.description.subsets if subset.regions]
    return [part for part in parts if bundle.answering(part) is not bundle]


def _example(
    inputs: Sequence[str], input_dir: Path | None, model: ModelDescription
) -> dict[str, Path | str]:
    """By channel, the scans that were given."""
    if not inputs and input_dir is None:
        return {}
    return assign_study(candidates(inputs, input_dir), model)


def _drawn_atlas(
    segmenter: Segmenter, profiles: Profiles, example: Mapping[str, Path | str]
) -> dict[str, str]:
    """Pictures by file name."""
    from factorizer_engine.components.atlas import draw_atlas
    from factorizer_engine.images.files import read_scans

    result = segmenter.segment(read_scans(example))
    return {
        f"atlas-{block.replace('.', '-')}.svg": picture
        for block, picture in draw_atlas(segmenter, result, profiles)
    }


def _names(segmenter: Segmenter) -> list[str]:
    return [region.name for region in segmenter.bundle.description.regions]


def _named(profile: Profile, segmenter: Segmenter) -> str:
    from factorizer_engine.components.definition import component_name, mixers_of

    name = component_name(profile.term, mixers_of(segmenter.networks[0]))
    several = len(segmenter.networks) > 1
    return f"Network {profile.term.network + 1}, {name}" if several else name


def _rows(profiles: Profiles, segmenter: Segmenter) -> list[list[str]]:
    first = profiles.components[0]
    groups = {
        "correlation with intensity": "intensities",
        "correlation with edges": "edges",
        "correlation with place": "places",
        "standard deviations above the head's mean in": "inside",
        "contribution to": "contributions",
        "agreement of cases on": "agreement",
    }
    columns = [
        (f"{title} {name}", group, name)
        for title, group in groups.items()
        for name in getattr(first, group)
    ]
    rows = [["component", "meaning", "stability", "level", *(title for title, *_ in columns)]]
    for profile in profiles.components:
        figures = [getattr(profile, group).get(name, "") for _, group, name in columns]
        fixed = [_named(profile, segmenter), profile.meaning, profile.stability, profile.level]
        rows.append([str(value) for value in (*fixed, *figures)])
    return rows


def _strongest(profiles: Profiles) -> list[Profile]:
    """The components that speak most, the strongest first."""
    speaking = [profile for profile in profiles.components if profile.contributions]
    return sorted(speaking, key=lambda p: -max(map(abs, p.contributions.values())))[:_SHOWN]


def _card_section(profiles: Profiles, segmenter: Segmenter) -> str:
    count = len(profiles.cases)
    lines = [
        f"Measured over {count} case{'s' * (count > 1)} by `factorizer components --describe`; all "
        f"{len(profiles.components)} are in `configs/components.json`. These speak most: the mean",
        "change of each region's logit inside the true region, and how well maps correlate before "
        "and after a shift of the windows.",
        "",
        *_card_table(profiles, segmenter),
    ]
    return "\n".join(lines)


def _card_of_fewer(profiles: Profiles, segmenter: Segmenter) -> str:
    lines = [
        "Of the networks that answer where scans are missing, measured likewise with such studies, "
        "another part of the scans in each case; all "
        f"{len(profiles.components)} are in `configs/components-fewer.json`. In a study nothing is "
        "said of scans that it lacks.",
        "",
        *_card_table(profiles, segmenter),
    ]
    return "\n".join(lines)


def _card_of_atlas(atlas: Mapping[str, str]) -> str:
    from factorizer_engine.bundles.profiles import ATLAS

    lines = ["Where the components of the first network are active in an example, block by block:"]
    lines += [f"![Components, {Path(name).stem}]({ATLAS.name}/{name})" for name in atlas]
    return "\n\n".join(lines)


def _card_table(profiles: Profiles, segmenter: Segmenter) -> list[str]:
    names = _names(segmenter)
    lines = [
        f"| component | meaning | {' | '.join(names)} | stability |",
        "|---|---|" + "---|" * (len(names) + 1),
    ]
    for profile in _strongest(profiles):
        changes = (f"{profile.contributions.get(name, 0.0):+.2f}" for name in names)
        cells = [_named(profile, segmenter), profile.meaning, *changes, f"{profile.stability:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _table(profiles: Profiles, segmenter: Segmenter) -> Table:
    names = _names(segmenter)
    columns = (f"{name} (logit)" for name in names)
    table = make_table("Components", "Component", "Meaning", *columns, "Stable")
    for profile in _strongest(profiles):
        changes = [f"{profile.contributions.get(name, 0.0):+.2f}" for name in names]
        stable = "yes" if is_stable(profile.stability) else f"no ({profile.stability:.2f})"
        table.add_row(_named(profile, segmenter), profile.meaning, *changes, stable)
    return table
