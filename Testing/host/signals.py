"""Signals and slots as PythonQt has them: by string signature, with as many arguments as fit."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable

import shiboken6
from PySide6 import QtCore

_connections: dict[int, list[tuple[str, object, Callable]]] = {}
"""By C++ address of the sender: (signature, what was connected, what Qt calls)."""

native_connect = QtCore.QObject.connect
native_disconnect = QtCore.QObject.disconnect


def normalized(signature: str) -> str:
    """A signal's signature without spaces, const and references, as Qt compares them."""
    signature = signature.removeprefix("2")  # what SIGNAL() puts in front
    return QtCore.QMetaObject.normalizedSignature(signature).data().decode()


def signature_of(sender: QtCore.QObject, signal: str) -> str | None:
    """The sender's own spelling of a signal's signature; None if it has no such signal."""
    wanted = normalized(signal)
    aliases = getattr(type(sender), "_signalAliases", {})
    wanted = aliases.get(wanted, wanted)
    return wanted if sender.metaObject().indexOfSignal(wanted) >= 0 else None


def connect(sender: QtCore.QObject, signal: str, receiver, method: str | None = None) -> bool:
    """Connect a signal, given as "name(types)", to a callable; False if there is no such signal.

    With `method`, `receiver` is a QObject and `method` the signature of one of its slots or
    signals. Unlike PySide, the connection keeps a bound method's object alive.
    """
    signature = signature_of(sender, signal)
    if signature is None:
        return False
    target = getattr(receiver, method.partition("(")[0]) if method else receiver
    count = _argument_count(signature)
    adaptor = _adaptor(_survived(sender, signature, target), count, _accepted_count(target))
    known = _connections.setdefault(_address(sender), [])
    if not known:
        _forget_when_destroyed(sender)
    known.append((signature, target, adaptor))
    native_connect(sender, QtCore.SIGNAL(signature), adaptor)
    return True


def disconnect(
    sender: QtCore.QObject, signal: str, receiver=None, method: str | None = None
) -> bool:
    """Undo `connect`; without receiver all connections made to that signature."""
    signature = signature_of(sender, signal)
    if signature is None:
        return False
    target = getattr(receiver, method.partition("(")[0]) if method else receiver
    known = _connections.get(_address(sender), [])
    found = [c for c in known if c[0] == signature and (target is None or c[1] == target)]
    for connection in found:
        known.remove(connection)
        native_disconnect(sender, QtCore.SIGNAL(signature), connection[2])
    return bool(found)


class BoundSignal:
    """`object.signal`: the first overload that Slicer has, as PythonQt offers it."""

    def __init__(self, sender: QtCore.QObject, signature: str) -> None:
        self._sender = sender
        self._signature = signature

    def connect(self, target, method: str | None = None) -> bool:
        return connect(self._sender, self._signature, _slot(target), method)

    def disconnect(self, target=None, method: str | None = None) -> bool:
        return disconnect(self._sender, self._signature, _slot(target), method)

    def emit(self, *arguments) -> None:
        self._native().emit(*arguments)

    __call__ = emit

    def _native(self) -> QtCore.SignalInstance:
        name = self._signature.partition("(")[0]
        for cls in type(self._sender).__mro__:
            descriptor = cls.__dict__.get(name)
            if isinstance(descriptor, SignalDescriptor):
                return descriptor.native.__get__(self._sender, type(self._sender))
        raise AttributeError(name)


class SignalDescriptor:
    """Replaces a PySide signal on its class; remembers it as `native`."""

    def __init__(self, native: QtCore.Signal, signature: str) -> None:
        self.native = native
        self.signature = signature

    def __get__(self, instance, owner=None):
        return self if instance is None else BoundSignal(instance, self.signature)

    def __set__(self, instance, value) -> None:
        if isinstance(value, QtCore.SignalInstance):
            return  # PySide wants to remember what it has just made
        name = self.signature.partition("(")[0]
        raise AttributeError(f"Signal '{name}' can not be overwritten on {type(instance).__name__}")


def _slot(target):
    """Another signal may be the receiver too."""
    return target.emit if isinstance(target, BoundSignal) else target


def _survived(sender: QtCore.QObject, signature: str, target: Callable) -> Callable:
    """Calls a slot after which the sender still has to be there: Qt goes on with it.

    Where it is not Slicer may crash. The last reference takes a sender without parent along.
    """
    address, mayGo = _address(sender), signature.startswith("destroyed(")

    def call(*arguments) -> None:
        target(*arguments)
        if address not in _connections and not mayGo:
            raise RuntimeError(f"What sends {signature} was deleted while it was sending it.")

    return call


def _adaptor(target: Callable, count: int, accepted: int) -> Callable:
    """A function of exactly `count` arguments that passes on as many as are accepted."""
    names = ", ".join(f"a{index}" for index in range(count))
    passed = ", ".join(f"a{index}" for index in range(min(count, accepted)))
    return eval(f"lambda {names}: target({passed})", {"target": target})  # noqa: S307


def _accepted_count(target: Callable) -> int:
    """How many arguments a slot gets: those of a Python function are counted, others get all."""
    function = getattr(target, "__func__", target)
    if not isinstance(function, types.FunctionType):
        return 99  # as a partial
    code = function.__code__
    if code.co_flags & inspect.CO_VARARGS:
        return 99
    return code.co_argcount - (function is not target)


def _argument_count(signature: str) -> int:
    arguments = signature.partition("(")[2].rstrip(")")
    return arguments.count(",") + 1 if arguments else 0


def _address(instance: QtCore.QObject) -> int:
    return shiboken6.getCppPointer(instance)[0]


def _forget_when_destroyed(sender: QtCore.QObject) -> None:
    address = _address(sender)
    native_connect(sender, QtCore.SIGNAL("destroyed()"), lambda: _connections.pop(address, None))
