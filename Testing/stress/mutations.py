"""Files with random damage."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

_TAILS = (400, 4_000, 1 << 30)
"""Damage is put among the first so many bytes, where headers are."""
_WORDS = (4 * b"\xff", 4 * b"\0", b"\0\0\xc0\x7f", b"\xff\xff\xff\x7f")
_VALUES: tuple[Any, ...] = (
    
        None,
        True,
        -1,
        0,
        10**30,
        1e308,
        float("nan"),
        -0.5,
        "",
        "x",
        "../x",
        [],
        {},
        [[[]]],
        [1, 2],
    "$@x", "@network_def", "$import os", "$__import__('os').system('true')",
    {"_target_": "Factorizer"},
)  # fmt: skip


def damaged_bytes(content: bytes, chance: random.Random) -> bytes:
    """A file with bytes changed, taken out or put in, or cut short."""
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 5, 20))):
        place = chance.randrange(max(1, min(len(data), chance.choice(_TAILS))))
        kind = chance.choices(("byte", "word", "out", "in", "cut"), (5, 2, 1, 1, 1))[0]
        if kind == "byte":
            data[place : place + 1] = bytes([chance.randrange(256)])
        elif kind == "word":
            data[place : place + 4] = chance.choice(_WORDS)
        elif kind == "out":
            del data[place : place + chance.randrange(1, 50)]
        elif kind == "in":
            data[place:place] = chance.randbytes(chance.randrange(1, 20))
        else:
            del data[place + 1 :]
    return bytes(data)


def damaged_values(content: Any, chance: random.Random) -> Any:
    """A configuration with values taken out, repeated, or of another kind."""
    changed = copy.deepcopy(content)
    for _ in range(chance.choice((1, 1, 2, 3))):
        places = list(_places(changed))
        if not places:
            break
        holder, key = chance.choice(places)
        kind = chance.choices(("out", "other", "many"), (2, 6, 1))[0]
        if kind == "out":
            del holder[key]
        elif kind == "other":
            holder[key] = copy.deepcopy(chance.choice(_VALUES))
        else:
            holder[key] = [holder[key]] * chance.choice((2, 50))
    return changed


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every value inside another: what holds it, and its key."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])
