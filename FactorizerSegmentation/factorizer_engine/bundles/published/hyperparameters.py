"""Network settings in the hyper-parameters that Lightning stored with a checkpoint.

They were Python objects of the training code; here they are dictionaries, lists and inert records.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

from factorizer_engine.bundles.reading.expressions import CLASS_NAMES
from factorizer_engine.bundles.reading.unpickling import Record, record_name

_NUMBERS = ("in_channels", "out_channels", "num_iters", "rank", "head_dim", "num_heads")
_MAX_DEPTH = 12


def stated_settings(hyper_parameters: Any) -> dict[str, Any]:
    """Arguments of the network as far as the hyper-parameters state them, under today's names.

    `spacing` and `overlap` of the training code's inferer are included if they are found.
    """
    mappings = list(_mappings(hyper_parameters, 0))
    network = next((m for m in mappings if "in_channels" in m), hyper_parameters)
    stated: dict[str, Any] = {}
    for mapping in _mappings(network, 0):
        for key, value in mapping.items():
            if (setting := _setting(key, value)) is not None:
                stated.setdefault(*setting)
    for mapping in mappings:
        spacing = mapping.get("spacing")
        if _is_numbers(spacing) and len(spacing) == 3:
            stated.setdefault("spacing", [float(s) for s in spacing])
        if isinstance(mapping.get("overlap"), float):
            stated.setdefault("overlap", mapping["overlap"])
    return stated


def _setting(key: Any, value: Any) -> tuple[str, Any] | None:
    """(today's name, plain value) of a network argument, or None for what is not one."""
    if key in _NUMBERS and _is_number(value):
        return key, value
    if key in ("ratio", "mlp_ratio") and _is_number(value):
        return "mlp_ratio", value
    if key in ("spatial_size", "encoder_width", "strides") and _is_numbers(value):
        return key, list(value)
    if key == "patch_size" and _is_number(value):
        return key, value
    if key == "patch_size" and _is_numbers(value):
        return key, value[0] if len(set(value)) == 1 else list(value)
    if key == "shifts" and isinstance(value, (list, tuple)):
        if all(s is None or _is_number(s) or _is_numbers(s) for s in value):
            return key, [list(s) if isinstance(s, tuple) else s for s in value]
    if key == "solver" and isinstance(value, str):
        return key, value
    if key == "act" and (name := _class_name(value)) in CLASS_NAMES:
        return key, name
    if key in ("tensorize", "reshape") and (name := _class_name(value)):
        is_shifted = "shift" in name.lower() or name.startswith("SW")
        return "reshape", "SWMatricize" if is_shifted else "Matricize"
    return None


def _class_name(value: Any) -> str:
    """Bare name of the class that a record, or the head of [class, arguments], stands for."""
    if isinstance(value, (list, tuple)) and value:
        value = value[0]
    return (record_name(value) or "").rpartition(".")[2]


def _mappings(value: Any, depth: int) -> Iterator[Mapping[Any, Any]]:
    """All dictionaries in a structure of containers and records, outermost first."""
    if depth > _MAX_DEPTH:
        return
    if isinstance(value, Mapping):
        yield value
        children = list(value.values())
    elif isinstance(value, (list, tuple)):
        children = list(value)
    elif isinstance(value, Record):
        pairs = [item for item in value.items if isinstance(item, tuple) and len(item) == 2]
        children = [value.state, *value.args, {k: v for k, v in pairs if isinstance(k, str)}]
    else:
        return
    for child in children:
        yield from _mappings(child, depth + 1)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_numbers(value: Any) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    return isinstance(value, (list, tuple)) and bool(value) and all(map(_is_number, value))
