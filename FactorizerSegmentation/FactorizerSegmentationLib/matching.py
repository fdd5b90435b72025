"""Which volume is which channel, told from names such as "1004 Ax T1 post GAD"."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence

from factorizer_engine.protocol import ChannelInfo


def matchNames(
    names: Mapping[Hashable, str], channels: Sequence[ChannelInfo]
) -> dict[str, Hashable]:
    """Channel name to the key of the volume that is meant; unclear channels are left out.

    A name is taken for the channel whose longest spelling it contains, so "T1 post" is not a plain
    "T1". Where two volumes claim a channel equally well, nothing is guessed.
    """
    claims: dict[str, list[tuple[int, Hashable]]] = {}
    for key, name in names.items():
        channel, extra = _bestChannel(name, channels)
        if channel is not None:
            claims.setdefault(channel, []).append((extra, key))
    matches = {}
    for channel, found in claims.items():
        fewest = min(extra for extra, _key in found)
        best = [key for extra, key in found if extra == fewest]
        if len(best) == 1:
            matches[channel] = best[0]
    return matches


def _bestChannel(name: str, channels: Sequence[ChannelInfo]) -> tuple[str | None, int]:
    """The channel that `name` names, and how many other letters the name has."""
    best = {
        channel.name: max(_length(name, spelling) for spelling in (channel.name, *channel.aliases))
        for channel in channels
    }
    longest = max(best.values(), default=0)
    found = [channel for channel, length in best.items() if length == longest]
    if longest == 0 or len(found) != 1:
        return None, 0
    return found[0], sum(map(len, _words(name))) - longest


def _length(name: str, spelling: str) -> int:
    """Letters of `spelling` if `name` contains it as whole words, else 0."""
    words, wanted = _words(name), "".join(_words(spelling))
    for start in range(len(words)):
        for end in range(start + 1, len(words) + 1):
            if "".join(words[start:end]) == wanted:
                return len(wanted)
    return 0


def _words(text: str) -> list[str]:
    """Lower-case words; a capital after a small letter starts a new one ("axialFlair")."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    return re.findall(r"[a-z0-9]+", spaced.lower())
