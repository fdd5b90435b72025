"""State-dict keys of the published versions 0.0.1 and 0.0.2, brought to today's names.

The old networks named the two halves of a block after keywords of their configuration files
("nmf" and "mlp" in the published ones); what a half is, its own parameters tell.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

LEGACY_EPS = 1e-8
"""The solvers' eps in 0.0.1 and 0.0.2; today's default is 1e-16."""

_STAGE = re.compile(r"(?P<stage>(?:en|de)coder\.blocks\.\d+)\.blocks\.(?P<depth>\d+)\.(?P<rest>.+)")
_BLOCK = re.compile(
    r"(?P<stage>(?:en|de)coder\.blocks\.\d+)\.block\.blocks\.(?P<depth>\d+)\.(?P<rest>blocks\..+)"
)
_HALF = re.compile(r"blocks\.(?P<name>\w+)\.fn\.(?P<index>[01])\.(?P<rest>.+)")


def legacy_version(keys: Iterable[str]) -> str | None:
    """ "0.0.1" or "0.0.2" if the keys have that version's names, None if they have today's."""
    keys = list(keys)
    if any(_STAGE.fullmatch(key) for key in keys):
        return "0.0.1"
    return "0.0.2" if any(_BLOCK.fullmatch(key) for key in keys) else None


def convert_legacy_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors under today's keys. A state dict with today's keys is returned as it is.

    Strided convolutions stay without bias where the old network has none, and heads stay
    `heads.{j}`.
    """
    version = legacy_version(state)
    if version is None:
        return dict(state)
    mixers = _mixer_names(state)
    pattern = _STAGE if version == "0.0.1" else _BLOCK
    return {_renamed(key, pattern, mixers, state): tensor for key, tensor in state.items()}


def _renamed(
    key: str, pattern: re.Pattern[str], mixers: set[str], state: Mapping[str, Tensor]
) -> str:
    match = pattern.fullmatch(key)
    if match is None:
        return key
    stage, depth, rest = match["stage"], int(match["depth"]), match["rest"]
    if pattern is _STAGE and f"{stage}.blocks.0.weight" in state:
        # A strided convolution is the first entry of the stage's list, before its blocks.
        if depth == 0:
            return f"{stage}.downsample.{rest}"
        depth -= 1
    half = _HALF.fullmatch(rest)
    if half is None:
        return f"{stage}.block.{rest.replace('adapter.0.', 'adapter.')}"
    is_mixer = half["name"] in mixers
    if half["index"] == "0":
        module = "norm1" if is_mixer else "norm2"
    else:
        module = "fact" if is_mixer else "mlp"
    return f"{stage}.block.blocks.{depth}.{module}.{half['rest']}"


def _mixer_names(keys: Iterable[str]) -> set[str]:
    return {
        match[1] for key in keys if (match := re.search(r"\.blocks\.(\w+)\.fn\.1\.in_proj\.", key))
    }
