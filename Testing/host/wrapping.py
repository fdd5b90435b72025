"""What the host's own versions of Slicer's widget classes share."""

from __future__ import annotations

from host.record import record


class Field:
    """A plain property of a host widget, kept in `_<name>`; `_changed(name)` is called after it.

    A setter `setName` exists too, but only if the record of the class has one.
    """

    def __init__(self, default) -> None:
        self._default = default

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name
        setter = f"set{name[0].upper()}{name[1:]}"
        if setter in record().members(owner.__name__) and setter not in vars(owner):
            setattr(owner, setter, lambda instance, value: setattr(instance, name, value))

    def __get__(self, instance, owner=None):
        if instance is None:
            return self
        return instance.__dict__.get("_" + self._name, self._default)

    def __set__(self, instance, value) -> None:
        if self._default is not None:
            value = type(self._default)(value)
        instance.__dict__["_" + self._name] = value
        instance._changed(self._name)


def wraps_slicer_class(cls: type) -> type:
    """Class decorator: `cls` stands for a C++ class, so it takes no new attributes.

    Signals with C++ pointer arguments are declared as `Signal(object)`; their recorded signatures
    are understood by `connect`.
    """
    cls._wrapsSlicerClass = True
    aliases = dict(getattr(cls, "_signalAliases", {}))
    for signature in record().signals(cls.__name__):
        name, _, arguments = signature.partition("(")
        if "*" in arguments:
            count = arguments.count(",") + 1
            own = f"{name}({','.join(['PyObject'] * count)})"
            if cls.staticMetaObject.indexOfSignal(own) >= 0:
                aliases[signature] = own
    cls._signalAliases = aliases
    return cls
