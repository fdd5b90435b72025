"""Which file or volume is which channel, by its name. Standard library only."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from factorizer_engine.protocol.cases import mixed_cases
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.languages import in_english
from factorizer_engine.protocol.sequences import SEQUENCES

if TYPE_CHECKING:
    from factorizer_engine.protocol.models import Channel

Item = TypeVar("Item", str, Path)

#: Aliases that count only where a bundle lists them.
_ONLY_WHERE_LISTED = {"fla", "mprage", "adcmap", "dwib1000"}

#: Spellings of common sequences, beside those that a bundle lists. Letters and digits only.
_SPELLINGS = {
    name.lower(): {
        re.sub(r"[^a-z0-9]", "", text) for text in (name.lower(), *known.aliases, *known.more)
    }
    - _ONLY_WHERE_LISTED
    for name, known in SEQUENCES.items()
}

#: Words that say of a T1 that contrast agent was given, wherever they stand in the name.
_CONTRAST = {
    "ce", "gd", "gad", "gado", "gadolinium", "gadovist", "km", "post", "postcontrast",
    "contrast", "enhanced", "enh", "cm", "ks", "inj",
    "dotarem", "magnevist", "prohance", "gadavist", "hance", "multihance", "clariscan", "omniscan",
    "gadobutrol", "gadoterate", "elucirem", "vueway",
}  # fmt: skip

#: Words that turn one of these around, standing before it or alone.
_NO_CONTRAST = {
    "no", "non", "pre", "before", "without", "wo", "ohne", "precontrast", "noncontrast",
    "native",
}  # fmt: skip

#: "C-", "Gd-" or "contrast-free" after the name of a sequence.
_AGENT_FREE = re.compile(
    r"(?<![a-z0-9])(ce?|gd|gad|gado|cm|km|ks)-(?![a-z0-9])|(contrast|gd|gad|cm|km)[\W_]*(free|frei)"
)

#: "Ce-none", as BIDS has it.
_BIDS_WITHOUT = re.compile(r"(?<![a-z0-9])ce-(none|no|pre)(?![a-z0-9])")

#: "With and without", "pre/post": scans of both kinds, or what was made of them.
_WITH_OR_WITHOUT = (
    r"with|without|w/o|w|wo|pre|post|before|after|mit|ohne|vor|nach|avec|sans|con|sin|senza"
)
_BOTH = re.compile(
    rf"(?<![a-z0-9])({_WITH_OR_WITHOUT})[\W_]*(and|und|et|e|y|&|\+|/|-)[\W_]*"
    rf"({_WITH_OR_WITHOUT})(?![a-z0-9])"
)

#: "Post" that speaks of a treatment or of a place, not of contrast agent.
_POST_TREATMENT = re.compile(
    r"(pre|post)[\W_]*(operati(on|v|ve)|op|surg(ery|ical)|resection|biopsy|treatment|therapy|rtx?|"
    r"radiation|radiotherapy|chemo|crt|fossa)(?![a-z0-9])"
)

#: Word for names that speak of scans with and without contrast agent.
_BOTH_KINDS = "withandwithout"

#: Sequences and maps, beside the usual ones, whose names hold or accompany those of others.
_OTHERS = {
    "swi", "swan", "t2star", "t2starw", "t2gre", "t1map", "t2map", "t1mapping", "t2mapping",
    "pd", "pdw", "dti", "dsc", "dce", "pwi", "perfusion", "perf", "asl", "cbf", "cbv", "mtt",
    "tmax", "qsm", "mra", "mrv", "tof", "fmri", "bold", "b0", "pet", "ct", "localizer", "scout",
    "mip", "minip", "loc", "survey", "flairstar", _BOTH_KINDS,
    "hemo", "haemo", "medic", "ciss", "fiesta", "myelo", "stir", "relaxometry", "mismatch",
}  # fmt: skip

#: Words that mark the difference of two scans.
_DIFFERENCES = {"sub", "subtr", "subtraction", "subtracted", "difference", "minus"}

#: Words that mark results rather than scans.
_NOT_SCANS = {
    "seg", "dseg", "segmentation", "label", "labels", "labelmap", "mask", "msk", "brainmask",
    "lesion", "lesions", "roi", "pred", "prediction", "probabilities", "gt", "truth",
}  # fmt: skip

#: Ends of words that say the same, as in "lesionmask".
_NOT_SCANS_ENDS = ("mask", "seg", "segmentation", "labelmap")

_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd", ".hdr", ".img", ".dcm")

#: Of descriptions, tables, transforms and pictures, which converters write beside scans.
_BESIDE_SCANS = (
    ".json", ".txt", ".csv", ".tsv", ".bval", ".bvec", ".xml", ".html", ".pdf", ".md", ".log",
    ".mat", ".tfm", ".png", ".jpg",
)  # fmt: skip

#: How many names a message lists.
_SHOWN = 6

_NNUNET_SUFFIX = re.compile(r"_(\d{4})$")


def match_channels(
    items: Sequence[Item], channels: Sequence[Channel], optional: bool = False
) -> dict[str, Item]:
    """Find the item for every channel by its name.

    A complete set of nnU-Net suffixes (`_0000`, `_0001`, ... in channel order) decides. Otherwise
    names are compared, word by word, with channel names, their aliases and the usual spellings of
    MR sequences. The longest spelling counts, so "T1" does not take "T1ce" or "T1_Gd", nor "T2" a
    "T2_FLAIR". Where a file's own name says nothing, that of its folder is read along with it. One
    item for one channel needs no name, unless its name is that of a result or of another sequence.

    Args:
        items: Paths, or names of volumes.
        channels: What is wanted, in network order.
        optional: Whether channels may be left out, which they are unless the name of an item that
            is left over may mean them.

    Returns:
        The item by channel name, in network order.

    Raises:
        BadInputError: If a channel fits several of the items, or none, or if names speak of
            different patients or dates; lists the candidates.
    """
    candidates = channel_candidates(items, channels)
    if optional and not any(candidates.values()):
        numbered = _by_suffix(items, channels, partly=True) or {}
        candidates = {name: (numbered[name],) if name in numbered else () for name in candidates}
    problems = []
    for name, found in candidates.items():
        if len(found) > 1:
            problems.append(f"{name} could be {' or '.join(_shown(item) for item in found)}")
    taken = {id(item) for found in candidates.values() for item in found}
    left_over = [item for item in items if id(item) not in taken]
    missing = [
        channel.name
        for channel in channels
        if not candidates[channel.name]
        and (not optional or any(_may_be(item, channel) for item in filter(_is_scan, left_over)))
    ]
    if missing:
        rest = [_shown(item) for item in left_over]
        more = f" and {len(rest) - _SHOWN} more" if len(rest) > _SHOWN else ""
        seen = f" among {', '.join(rest[:_SHOWN])}{more}" if rest else ""
        problems.append(f"nothing{seen} looks like {' or '.join(missing)}")
    if problems:
        raise BadInputError(f"Please say which scan is which: {'; '.join(problems)}.")
    _check_one_case([found[0] for found in candidates.values() if found])
    return {name: found[0] for name, found in candidates.items() if found}


def channel_candidates(
    items: Sequence[Item], channels: Sequence[Channel]
) -> dict[str, tuple[Item, ...]]:
    """All items that fit each channel, by channel name in network order.

    An interface can fill in the channels with exactly one candidate and leave the rest open. Where
    there are others, files that are no scans by their endings fit none.
    """
    items = [
        item for item in items if not _path(item).name.lower().endswith(_BESIDE_SCANS)
    ] or items
    numbered = _by_suffix(items, channels)
    if numbered is not None:
        return {name: (item,) for name, item in numbered.items()}
    found: dict[str, list[Item]] = {channel.name: [] for channel in channels}
    for item in items:
        name = guess_channel(item, channels)
        if name is not None:
            found[name].append(item)
    if len(items) == len(channels) == 1 and _may_be(items[0], channels[0]):
        found[channels[0].name] = list(items)
    return {name: tuple(fitting) for name, fitting in found.items()}


def guess_channel(item: str | Path, channels: Sequence[Channel]) -> str | None:
    """The channel that a name speaks of, or None if it speaks of none or of several."""
    path = _path(item)
    words = _words(path.name)
    if _is_result(words) or _is_difference(words):
        return None
    found = _channels_in(words, channels)
    if not found and path.parent.name:
        found = _channels_in([*_words(path.parent.name), *words], channels)
    return found.pop() if len(found) == 1 else None


def _may_be(item: str | Path, channel: Channel) -> bool:
    """Whether a name leaves open that it is the channel's: it is no result, no other sequence."""
    words = _words(Path(item).name)
    if _is_result(words):
        return False
    kind, own = _kind(channel), _spellings(channel)
    others = {text for other, texts in _SPELLINGS.items() if other != kind for text in texts} - own
    spoken = {text for _, _, text in _runs(words)}
    return kind is None or bool(spoken & own) or not spoken & others


def _is_scan(item: str | Path) -> bool:
    """Whether a name is not that of another kind of file; volumes and DICOM need no ending."""
    name = Path(item).name
    return name.lower().endswith(_ENDINGS) or not Path(name).suffix


def _by_suffix(
    items: Sequence[Item], channels: Sequence[Channel], partly: bool = False
) -> dict[str, Item] | None:
    """Items by nnU-Net suffix, if every channel has exactly one and all are of one case.

    Args:
        partly: Channels may be left out.
    """
    numbered: dict[int, Item] = {}
    cases = set()
    for item in items:
        stem = _stem(Path(item).name)
        suffix = _NNUNET_SUFFIX.search(stem)
        if suffix is None:
            continue
        number = int(suffix.group(1))
        if number in numbered:
            return None
        numbered[number] = item
        cases.add(stem[: suffix.start()])
    every = set(range(len(channels)))
    if len(cases) != 1 or not (set(numbered) == every or (partly and set(numbered) < every)):
        return None
    return {channels[index].name: numbered[index] for index in sorted(numbered)}


def _channels_in(words: Sequence[str], channels: Sequence[Channel]) -> set[str]:
    """Names of the channels that `words` speak of; spellings inside longer ones do not count."""
    matches = []
    for channel in channels:
        spellings = _spellings(channel)
        for start, stop, text in _runs(words):
            if text in spellings:
                matches.append((start, stop, channel.name))
    if _speaks_of_others(words, channels):
        return set()
    found = {
        name
        for start, stop, name in matches
        if not any(
            other != name and a <= start and stop <= b and (a, b) != (start, stop)
            for a, b, other in matches
        )
    }
    return _with_contrast(found, words, channels)


def _runs(words: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """Every run of up to four words: first, last plus one, and the words without spaces."""
    for start in range(len(words)):
        for stop in range(start + 1, min(start + 5, len(words) + 1)):
            yield start, stop, "".join(words[start:stop])


def _with_contrast(found: set[str], words: Sequence[str], channels: Sequence[Channel]) -> set[str]:
    """Read "T1 ... contrast" as T1 with contrast agent, and "T2 ... FLAIR" as FLAIR."""
    kinds = {_kind(channel): channel.name for channel in channels}
    plain, enhanced = kinds.get("t1"), kinds.get("t1ce")
    if plain in found and _contrast_in(words):
        found = (found - {plain}) | ({enhanced} if enhanced is not None else set())
    if kinds.get("flair") in found:
        found = found - {kinds.get("t2")}
    return found


def says_contrast(name: str) -> bool | None:
    """Whether a name says that contrast agent was given (True) or not (False).

    None if it says neither, or both.
    """
    words = _words(name)
    if _BOTH_KINDS in words:
        return None
    if _contrast_in(words):
        return True
    return False if _NO_CONTRAST.intersection(words) else None


def _contrast_in(words: Sequence[str]) -> bool:
    return any(
        word in _CONTRAST and not (index and words[index - 1] in _NO_CONTRAST)
        for index, word in enumerate(words)
    )


def _is_result(words: Sequence[str]) -> bool:
    return any(word in _NOT_SCANS or word.endswith(_NOT_SCANS_ENDS) for word in words)


def _is_difference(words: Sequence[str]) -> bool:
    """Whether a name marks a difference of scans; "sub" before a number or first is a subject."""
    for index, word in enumerate(words):
        following = words[index + 1] if index + 1 < len(words) else ""
        is_subject = following and (following[0].isdigit() or not (index or _names(following)))
        if word in _DIFFERENCES and not (word == "sub" and is_subject):
            return True
    return False


def _check_one_case(items: Sequence[str | Path]) -> None:
    """Refuse items whose names speak of different patients or dates."""
    names = {str(item): [*_words(_path(item).parent.name), *_words(_shown(item))] for item in items}
    mixed = mixed_cases(names, _names)
    if mixed is not None:
        first, second, what = mixed
        raise BadInputError(
            f"Please say which scan is which, by CHANNEL=FILE: {_shown(first)} and "
            f"{_shown(second)} look like scans of different {what}."
        )


def _names(word: str) -> bool:
    """Whether a word is the name of a usual sequence."""
    return any(word in spellings for spellings in _SPELLINGS.values())


def _speaks_of_others(words: Sequence[str], channels: Sequence[Channel]) -> bool:
    """Whether words name a sequence that is none of the channels, and not inside one of theirs."""
    own = {text for channel in channels for text in _spellings(channel)}
    others = _OTHERS.union(*_SPELLINGS.values()) - own
    ours = [(start, stop) for start, stop, text in _runs(words) if text in own]
    return any(
        text in others and not any(a <= start and stop <= b for a, b in ours)
        for start, stop, text in _runs(words)
    )


def _kind(channel: Channel) -> str | None:
    """Which common sequence a channel is, by its name."""
    name = _compact(channel.name)
    for kind, spellings in _SPELLINGS.items():
        if name == kind or name in spellings:
            return kind
    return None


def _spellings(channel: Channel) -> set[str]:
    own = {_compact(text) for text in (channel.name, *channel.aliases)}
    return own | _SPELLINGS.get(_kind(channel) or "", set())


def _compact(text: str) -> str:
    return "".join(_words(text))


def _words(name: str) -> list[str]:
    """Lower-case runs of letters and digits; a capital after a small letter starts a new one.

    "+C" and "-C", the scanners' marks for contrast agent and none, "w/o", "post-op" and the star of
    "T2*" become words of their own.
    """
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", in_english(_stem(name))).lower()
    parted = _BOTH.sub(f" {_BOTH_KINDS} ", _POST_TREATMENT.sub(" treated ", parted))
    parted = re.sub(r"\+ ?c(?![a-z0-9])", " contrast ", parted)
    parted = _BIDS_WITHOUT.sub(" without contrast ", parted)
    parted = re.sub(r"(t1w?) ?- ?c(?![a-z0-9])", r"\1 without contrast ", parted)
    parted = _AGENT_FREE.sub(" without contrast ", parted)
    parted = re.sub(r"\bw[/ ]o\b", " without ", parted)
    parted = re.sub(r"(t2|flair)w? ?\*", r" \1star ", parted)
    return re.findall(r"[a-z0-9]+", parted)


def _path(item: str | Path) -> Path:
    """The item as a path; the slash of "w/o" parts no folders."""
    return Path(re.sub(r"(?i)\bw/o\b", "without", str(item)))


def _stem(name: str) -> str:
    for ending in _ENDINGS:
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return name


def _shown(item: str | Path) -> str:
    return _path(item).name
