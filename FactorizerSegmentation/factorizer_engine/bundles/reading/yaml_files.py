"""YAML whose keys stand there once, as otherwise the last one would count without a word."""

from __future__ import annotations

from typing import Any

import yaml

from factorizer_engine.protocol.unique_keys import RepeatedKeyError


class _Loader(yaml.SafeLoader):
    """Refuses keys that stand in a mapping twice; those that "<<" brings along may be replaced."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        own = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if (key.tag, key.value) in own:
                    line = key.start_mark.line + 1
                    raise RepeatedKeyError(f"'{key.value}' stands there twice, also in line {line}")
                own.add((key.tag, key.value))
        return super().construct_mapping(node, deep)


def read_yaml(text: str) -> Any:
    """What a text in YAML holds.

    Raises:
        RepeatedKeyError: If it names something twice.
        yaml.YAMLError: If it is no YAML.
    """
    return yaml.load(text, _Loader)
