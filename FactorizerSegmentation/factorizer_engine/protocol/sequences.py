"""How common MR sequences are written. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Spellings:
    """Other spellings of a sequence, lower case.

    Attributes:
        aliases: Those that a channel of this name gets.
        more: Those that names of files use beside them.
    """

    aliases: tuple[str, ...]
    more: tuple[str, ...] = ()


SEQUENCES = {
    "FLAIR": Spellings(
        ("t2f", "t2flair", "t2-flair", "t2_flair", "fla"), ("flr", "darkfluid", "fluidattenuated")
    ),
    "T1": Spellings(
        ("t1n", "t1w", "t1-native", "t1_native", "mprage"),
        ("t1weighted", "t1pre", "t1flair"),
    ),
    "T1ce": Spellings(
        ("t1c", "t1gd", "t1-gd", "t1+c", "t1post", "t1_post", "t1contrast", "t1km"),
        (
            "t1gad", "t1enhanced", "t1cew", "t1wce", "t1wgd", "t1wpost", "t1wc",
            "t1wks", "t1ks", "ct1",
        ),
    ),
    "T2": Spellings(("t2w", "t2-weighted")),
    "DWI": Spellings(("trace", "b1000", "dwi-b1000")),
    "ADC": Spellings(("adc-map", "adcmap")),
}  # fmt: skip
"""The common sequences, by their usual name."""


def sequence_named(name: str) -> str | None:
    """The usual name of the sequence that a channel's name spells, or None."""
    wanted = name.lower()
    for usual, known in SEQUENCES.items():
        if wanted in (usual.lower(), *known.aliases, *known.more):
            return usual
    return None
