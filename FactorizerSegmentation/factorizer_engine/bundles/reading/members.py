"""Which files of a models folder are networks, and which were left there by training."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from factorizer_engine.protocol.errors import BadModelError

WEIGHTS_SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt")
_WORDS_OF_TRAINING = re.compile(
    r"epochs?|iter(ation)?s?|steps?|global|checkpoints?|ckpt|last|latest|final|best|key|metric|"
    r"optim(izer)?|resume|autosave|backup|bak|old|copy|tmp|temp|swa|ema|pretrained|init|initial"
)
_WORDS_OF_MEMBERS = re.compile(r"folds?|members?|seeds?|cv|split")
_WORDS_OF_NETWORKS = re.compile(r"models?|net(work)?|checkpoint|ckpt")
_MOST_MEMBERS = 20


def find_members(models: Path, shown_name: str) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """The weights of the network, or of the ensemble by name, and notes on what is left out.

    MONAI keeps the one network of a bundle in `model.*`, whatever lies beside it. An ensemble has a
    file for each network; checkpoints of one training are none.

    Args:
        models: The models folder of the bundle.
        shown_name: What to call the bundle in messages.

    Raises:
        BadModelError: If there are several checkpoints of training and nothing tells which to use.
    """
    found = sorted(p for p in models.glob("*") if p.suffix.lower() in WEIGHTS_SUFFIXES)
    alone = [p for s in WEIGHTS_SUFFIXES for p in found if p.name.lower() == f"model{s}"]
    safe = [p for p in found if p.suffix.lower() == WEIGHTS_SUFFIXES[0]]
    members = alone[:1] or _without_leftovers(safe or found)
    if len(members) > 1 and _are_of_one_training([p for p in members if _is_of_training(p)]):
        raise BadModelError(
            f"The model {shown_name} has several checkpoints of its training, {_names(members)}; "
            "keep the one to be used in its models folder, as model.pt."
        )
    left_out = [p for p in found if p not in members and p.stem not in {m.stem for m in members}]
    note = f"Files in the models folder that are not used: {_names(left_out)}."
    return tuple(members), (note,) if left_out else ()


def _without_leftovers(files: Sequence[Path]) -> list[Path]:
    """The files without those that training left beside what is named as a network of its own."""
    plain = [p for p in files if not _is_of_training(p)]
    if not plain:
        return list(files)
    numbers = {None, *map(_member_number, plain)}
    return [p for p in files if p in plain or _member_number(p) not in numbers]


def _is_of_training(file: Path) -> bool:
    return any(map(_WORDS_OF_TRAINING.fullmatch, _words(file)))


def _are_of_one_training(files: Sequence[Path]) -> bool:
    """Whether some of the files are checkpoints of one network.

    Networks of an ensemble are numbered: of `best_fold0` and `best_fold1` each is the best of its
    fold; `fold0_epoch10` and `fold0_epoch20` are two of one.
    """
    numbers = [_member_number(p) for p in files]
    return None in numbers or len(set(numbers)) < len(numbers)


def _member_number(file: Path) -> int | None:
    """The number of a network in its ensemble, as the name of its file says it."""
    words = _words(file)
    for index, (word, text) in enumerate(zip(words, words[1:], strict=False)):
        number = int(text) if text.isdigit() else None
        if number is not None and _WORDS_OF_MEMBERS.fullmatch(word):
            return number
        is_last = index == len(words) - 2
        if number is not None and is_last and _WORDS_OF_NETWORKS.fullmatch(word):
            return number if number < _MOST_MEMBERS else None
    return None


def _words(file: Path) -> list[str]:
    return re.findall(r"[a-z]+|\d+", file.stem.lower())


def _names(files: Sequence[Path]) -> str:
    return ", ".join(p.name for p in files)
