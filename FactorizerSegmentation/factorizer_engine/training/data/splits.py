"""Who is trained on, selected on and held out; decided once and kept in a file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.files import write_json
from factorizer_engine.protocol.wording import counted
from factorizer_engine.training.config import SplitSection

_USES = {"train": "training", "validation": "validation", "held_out": "those that are held out"}


@dataclass(frozen=True)
class Split:
    """Case names of one fold; the three lists are disjoint."""

    train: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()

    @classmethod
    def of(cls, cases: Mapping[str, Iterable[str]]) -> Split:
        """The split in a file: names by use."""
        return cls(**{use: tuple(names) for use, names in cases.items()})


def together(splits: Iterable[Split]) -> Split:
    """What several trainings used together; held out is only what none of them saw."""
    splits = list(splits)
    train = {case for split in splits for case in split.train}
    validation = {case for split in splits for case in split.validation} - train
    held_out = {case for split in splits for case in split.held_out} - train - validation
    return Split(*(tuple(sorted(cases)) for cases in (train, validation, held_out)))


def stratified_folds(volumes: Mapping[str, float], folds: int, seed: int) -> list[list[str]]:
    """Deal cases into folds so that each holds small, middling and large lesions alike.

    Cases are sorted by lesion volume and dealt in blocks of `folds`, each block in random order.

    Args:
        volumes: Case name to lesion volume, any unit.
    """
    generator = np.random.default_rng(seed)
    ordered = sorted(volumes, key=lambda name: (volumes[name], name))
    result: list[list[str]] = [[] for _ in range(folds)]
    for start in range(0, len(ordered), folds):
        order = generator.permutation(folds)
        for name, fold in zip(ordered[start : start + folds], order, strict=False):
            result[fold].append(name)
    return [sorted(fold) for fold in result]


def patient_of(case: str, expression: str) -> str:
    """What the names of a patient's cases begin with and have in common; without it, the name."""
    found = re.match(expression, case)
    return found[0] if found else case


def folds_of_patients(
    volumes: Mapping[str, float], folds: int, seed: int, expression: str
) -> list[list[str]]:
    """Deal patients into folds, with all their cases, by the volume of their first one.

    Otherwise a network would be measured on people whom it has learned by heart.

    Args:
        volumes: Case name to lesion volume, any unit.
        expression: See `SplitSection.patient`.
    """
    cases: dict[str, list[str]] = {}
    for name in sorted(volumes):
        cases.setdefault(patient_of(name, expression), []).append(name)
    first = {names[0]: names for names in cases.values()}
    dealt = stratified_folds({name: volumes[name] for name in first}, folds, seed)
    return [sorted(case for name in fold for case in first[name]) for fold in dealt]


def make_split(section: SplitSection, volumes: Mapping[str, float], write: bool = True) -> Split:
    """The split of `section.fold`; read from `section.file` if that exists, else made and written.

    Args:
        volumes: Lesion volume in mL of every case that may be used.
        write: Whether a split that is made is also kept.

    Raises:
        BadInputError: If named cases do not exist, the file belongs to other cases, or nothing is
            left to train on.
    """
    path = Path(section.file)
    for name in (*section.held_out, *(section.validation or ())):
        if name not in volumes:
            raise BadInputError(f"The split names the case '{name}', which is not in the dataset.")
    both = sorted({*section.held_out} & {*(section.validation or ())})
    if both:
        raise BadInputError(f"The case '{both[0]}' cannot be held out and used for validation.")
    content = _read(path) if path.is_file() else _make(section, volumes)
    if write and not path.is_file():
        write_json(path, content)
    split = _fold_of(content, section)
    _check_same(path.name, {*split.train, *split.validation, *split.held_out}, set(volumes))
    if not split.train:
        raise BadInputError("No case is left to train on; the dataset needs at least two.")
    _check_apart(split, section.patient)
    return split


def _check_apart(split: Split, expression: str) -> None:
    """Refuse a patient of whom some cases are trained on, and others measured."""
    uses: dict[str, tuple[str, str]] = {}
    for use, names in asdict(split).items():
        for name in names:
            patient = patient_of(name, expression)
            other, its_use = uses.setdefault(patient, (name, use))
            if its_use != use:
                raise BadInputError(
                    f"The cases {other} and {name} are of one patient, {patient}, but the split "
                    f"puts one to {_USES[its_use]} and the other to {_USES[use]}; keep them "
                    "together, or say by split.patient what the names of a patient's cases have "
                    "in common."
                )


def _check_same(file: str, named: set[str], present: set[str]) -> None:
    missing, new = sorted(named - present), sorted(present - named)
    differences = []
    if missing:
        of_all = f"{len(missing)} of the {counted(len(named), 'case')} that it names"
        differences.append(f"the dataset lacks {of_all} (such as {missing[0]})")
    if new:
        differences.append(f"it does not name {counted(len(new), 'case')} (such as {new[0]})")
    if differences:
        raise BadInputError(
            f"The split file {file} is of another dataset: {' and '.join(differences)}. Name "
            "another file under split.file, which is made then."
        )


def read_split(section: SplitSection) -> Split:
    """The split of `section.fold` that `section.file` keeps.

    Raises:
        BadInputError: If the file cannot be read or contradicts the section.
    """
    return _fold_of(_read(Path(section.file)), section)


def _fold_of(content: dict, section: SplitSection) -> Split:
    name = Path(section.file).name
    held_out = tuple(content["held_out"])
    if section.held_out and set(section.held_out) != set(held_out):
        raise BadInputError(
            f"The split file {name} holds out other cases than the configuration; "
            "delete one of the two."
        )
    if not section.fold < len(content["folds"]):
        raise BadInputError(f"The split file {name} has no fold {section.fold}.")
    validation = tuple(content["folds"][section.fold])
    if section.validation is not None and set(section.validation) != set(validation):
        raise BadInputError(
            f"The split file {name} validates on other cases than the configuration; "
            "delete one of the two."
        )
    if section.validation is None and "folds" in section.model_fields_set:
        _check_count(name, len(content["folds"]), section.folds)
    members = {case for fold in content["folds"] for case in fold} | set(content["always_train"])
    both = sorted(members & {*held_out})
    if both:
        raise BadInputError(
            f"The split file {name} holds out the case {both[0]} and uses it for training, too; "
            "take it out of one of the two."
        )
    return Split(tuple(sorted(members - set(validation))), validation, held_out)


def _check_count(name: str, there: int, wanted: int) -> None:
    """Refuse a file that was made for another number of folds."""
    if there != wanted:
        raise BadInputError(
            f"The split file {name} has {counted(there, 'fold')} and not {wanted}; delete it, or "
            "write its number of folds under split.folds."
        )


def _make(section: SplitSection, volumes: Mapping[str, float]) -> dict:
    usable = {n: v for n, v in volumes.items() if n not in section.held_out}
    if section.validation is not None:
        folds = [sorted(section.validation)]
        always = sorted(set(usable) - set(section.validation))
    else:
        folds = folds_of_patients(
            usable, _count_of_folds(section, usable), section.seed, section.patient
        )
        always = []
    return {
        "seed": section.seed,
        "stratified_by": "lesion volume",
        "folds": folds,
        "always_train": always,
        "held_out": sorted(section.held_out),
        "lesion_volume_ml": {name: round(float(v), 2) for name, v in sorted(volumes.items())},
    }


def _count_of_folds(section: SplitSection, cases: Iterable[str]) -> int:
    """As many folds as are wanted; of fewer patients, if nobody has said how many, one of each.

    Raises:
        BadInputError: If somebody has, since some folds would be empty.
    """
    patients = len({patient_of(name, section.patient) for name in cases})
    if patients >= section.folds:
        return section.folds
    if "folds" in section.model_fields_set:
        raise BadInputError(
            f"{counted(patients, 'patient')} are too few for {section.folds} folds; write "
            "fewer under split.folds."
        )
    return max(2, patients)


def _read(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {key: content[key] for key in ("folds", "always_train", "held_out")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInputError(f"The split file {path} cannot be understood.", str(error)) from error
