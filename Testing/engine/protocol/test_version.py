"""The version of the protocol follows its messages."""

from __future__ import annotations

import dataclasses
import hashlib
import typing
from collections.abc import Iterator

from factorizer_engine.protocol.progress import Progress
from factorizer_engine.protocol.tasks.registry import TASKS
from factorizer_engine.protocol.wire import ERROR_TYPES, PROTOCOL_VERSION, Greeting

MESSAGES = (5, "7a5a3c2a349f0b2e")
"""The version, and the digest of what its messages are made of."""


def classes_in(kind: object) -> Iterator[type]:
    """The dataclasses of which a type is made, itself among them."""
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        yield kind
        for hint in typing.get_type_hints(kind).values():
            yield from classes_in(hint)
    for argument in typing.get_args(kind):
        yield from classes_in(argument)


def digest() -> str:
    """One of all tasks, errors and messages, with their fields and the types of these."""
    tasks = [(name, task.params.__name__, task.result.__name__) for name, task in TASKS.items()]
    tops = [kind for task in TASKS.values() for kind in (task.params, task.result)]
    classes = {kind for top in (*tops, Greeting, Progress) for kind in classes_in(top)}
    fields = [
        (kind.__name__, [(field.name, field.type) for field in dataclasses.fields(kind)])
        for kind in sorted(classes, key=lambda kind: kind.__name__)
    ]
    text = repr((sorted(tasks), sorted(ERROR_TYPES), fields))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def test_who_changes_messages_raises_the_version():
    """An engine refuses what it does not know, so programs of both versions need to be told."""
    assert (PROTOCOL_VERSION, digest()) == MESSAGES, "raise PROTOCOL_VERSION, and note both here"
