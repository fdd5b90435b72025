"""Reads the `$` expressions and `@` references of a MONAI configuration as data.

MONAI evaluates `$` expressions as Python. Here they are only parsed: a literal becomes its value
and the name of a known class becomes that name. Everything else is refused, so a configuration can
describe a network and nothing more.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from typing import Any

from factorizer_engine.protocol.errors import BadModelError

CLASS_NAMES = frozenset(
    "Factorizer SegResNet DynUNet LayerNorm Matricize SWMatricize NMF MatrixFactorization "
    "PositionalEmbedding AxialPositionalEmbedding RotaryPositionalEmbedding "
    "SinusoidalPositionalEmbedding Identity ReLU ReLU6 LeakyReLU ELU CELU GELU SiLU Softplus "
    "Sigmoid".split()
)
"""Classes that a bundle may name."""

_NAMESPACES = ("factorizer", "ft", "factorizer_engine", "nn", "torch.nn", "monai.networks.nets")
_REFERENCE = re.compile(r"@([A-Za-z_]\w*(?:(?:::|#)\w+)*)")
_MAX_DEPTH = 64
_MAX_VALUES = 100_000


class References:
    """Resolves values of one configuration.

    Args:
        content: The whole configuration, as read from its file.
    """

    def __init__(self, content: Mapping[str, Any]) -> None:
        self._content = content
        self._pending: list[str] = []
        self._count = 0

    def resolve(self, value: Any) -> Any:
        """`value` with every reference and expression in it replaced by plain data.

        Classes come back as their bare names; a component that is not instantiated
        (`_mode_: partial`) comes back as the pair [name, arguments].

        Raises:
            BadModelError: If a reference is not defined or an expression is not allowed.
        """
        return self._resolve(value, 0)

    def _resolve(self, value: Any, depth: int) -> Any:
        self._count += 1
        if depth > _MAX_DEPTH or self._count > _MAX_VALUES:
            raise BadModelError("The model's configuration is nested too deeply to be read.")
        if isinstance(value, Mapping):
            resolved = {str(k): self._resolve(v, depth + 1) for k, v in value.items()}
            return _partial(resolved) if "_target_" in resolved else resolved
        if isinstance(value, (list, tuple)):
            return [self._resolve(v, depth + 1) for v in value]
        if isinstance(value, str):
            return self._resolve_text(value, depth)
        return value

    def _resolve_text(self, text: str, depth: int) -> Any:
        if text.startswith("$"):
            return parse_expression(text, lambda name: self._look_up(name, depth))
        if match := _REFERENCE.fullmatch(text):
            return self._look_up(match[1], depth)
        if text.startswith("%"):
            raise BadModelError(
                f"The model's configuration copies from elsewhere ({text}), which is not "
                "supported; write the value in its place."
            )
        return text

    def _look_up(self, name: str, depth: int) -> Any:
        if name in self._pending:
            raise BadModelError(f"The model's configuration refers to itself through @{name}.")
        value: Any = self._content
        for part in re.split(r"::|#", name):
            try:
                value = value[int(part)] if isinstance(value, list) else value[part]
            except (KeyError, IndexError, TypeError, ValueError):
                raise BadModelError(
                    f"The model's configuration refers to @{name}, which it does not define."
                ) from None
        self._pending.append(name)
        try:
            return self._resolve(value, depth + 1)
        finally:
            self._pending.pop()


def parse_expression(text: str, look_up: Callable[[str], Any] | None = None) -> Any:
    """The value that a `$` expression writes out: a literal, a known class's name, or a reference.

    Args:
        text: The expression with its leading "$".
        look_up: Gives the value of an `@` reference.

    Raises:
        BadModelError: If the expression is anything else; the message quotes it.
    """
    references: list[str] = []

    def name_reference(match: re.Match[str]) -> str:
        references.append(match[1])
        return f"__reference_{len(references) - 1}__"

    source = _REFERENCE.sub(name_reference, text[1:].strip())
    placeholders = {f"__reference_{i}__": name for i, name in enumerate(references)}

    def value_of(node: ast.expr) -> Any:
        if isinstance(node, ast.Constant) and isinstance(
            node.value, (str, int, float, bool, type(None))
        ):
            return node.value
        if isinstance(node, (ast.List, ast.Tuple)):
            return [value_of(item) for item in node.elts]
        if isinstance(node, ast.Dict):
            keys = [value_of(key) for key in node.keys if key is not None]
            if len(keys) == len(node.values):  # no {**another}
                return dict(zip(map(str, keys), map(value_of, node.values), strict=True))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
            number = value_of(node.operand)
            if isinstance(number, (int, float)) and not isinstance(number, bool):
                return -number if isinstance(node.op, ast.USub) else number
        if isinstance(node, ast.Name) and node.id in placeholders and look_up is not None:
            return look_up(placeholders[node.id])
        if isinstance(node, (ast.Name, ast.Attribute)):
            return class_name(ast.unparse(node))
        raise _refused(text)

    try:
        return value_of(ast.parse(source, mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise _refused(text) from None
    except BadModelError as error:
        if isinstance(error, _UnknownNameError):
            raise _refused(text) from None
        raise


def bare_target(component: Mapping[str, Any]) -> str:
    """The name of a component's class, without the modules around it; "" if it has none."""
    return str(component.get("_target_", "")).rpartition(".")[2]


def transform_name(step: Mapping[str, Any]) -> str:
    """The name of a MONAI transform, whether it is the one for arrays or that for dictionaries."""
    return bare_target(step).removesuffix("d")


def class_name(dotted: str) -> str:
    """The bare name of a known class, from a name such as "factorizer.SWMatricize".

    Raises:
        BadModelError: If bundles may not name this class.
    """
    namespace, _, name = dotted.rpartition(".")
    known_place = not namespace or any(
        namespace == known or namespace.startswith(known + ".") for known in _NAMESPACES
    )
    if name in CLASS_NAMES and known_place:
        return name
    raise _UnknownNameError(
        f"The model needs {dotted}, which models may not use; "
        "only Factorizer networks and their parts can be loaded."
    )


class _UnknownNameError(BadModelError):
    """A name outside the allow-list."""


def _refused(text: str) -> BadModelError:
    return BadModelError(
        f"The model's configuration contains the expression {text!r}, which is not allowed; "
        "models are read as data and never run as programs."
    )


def _partial(component: dict[str, Any]) -> Any:
    mode = component.pop("_mode_", "default")
    component.pop("_requires_", None)
    if mode in ("callable", "partial"):
        return [class_name(component.pop("_target_")), component]
    return component
