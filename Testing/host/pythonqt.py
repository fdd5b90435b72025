"""PySide6 made to look like PythonQt: properties read and assigned, signals by signature.

Slicer's Python sees Qt through PythonQt. `install()` changes the PySide6 classes in place, guided
by the record of a real Slicer: a property is an attribute (`label.text`, never `label.text()`), its
setter stays (`setText`), signals connect by string, and misspelt attributes raise. The module `qt`
offers just the recorded classes. The whole process is changed, so host code uses the same idioms.
"""

from __future__ import annotations

import sys
import types

import shiboken6
from PySide6 import QtCore, QtGui, QtNetwork, QtSvg, QtUiTools, QtWidgets

from host import signals
from host.record import record

QT_MODULES = (QtCore, QtGui, QtWidgets, QtNetwork, QtSvg, QtUiTools)
STAYS_METHOD = {("QTimer", "singleShot")}
"""Where the record has a property and PythonQt a method of the same name, and the method wins."""

_set_attribute = shiboken6.Object.__setattr__


class QtProperty:
    """A Qt property as attribute, made of the class's own getter and setter."""

    def __init__(self, name: str, getter, setter) -> None:
        self._name = name
        self._getter = getter
        self._setter = setter

    def __get__(self, instance, owner=None):
        return self if instance is None else self._getter(instance)

    def __set__(self, instance, value) -> None:
        if self._setter is None:
            raise AttributeError(
                f"Property '{self._name}' of {type(instance).__name__} object is not writable"
            )
        self._setter(instance, value)


def install() -> types.ModuleType:
    """Change the PySide6 classes and publish the module `qt`; returns it; again does no harm.

    Must run before the first widget is made.
    """
    if "qt" in sys.modules:
        return sys.modules["qt"]
    qt = types.ModuleType("qt", "The recorded classes of Slicer's qt module.")
    for name, entry in record().classes.items():
        cls = _pyside_class(name)
        if entry.module == "qt" and cls is not None:
            setattr(qt, name, cls)
    classes = [cls for cls in _all_classes() if issubclass(cls, QtCore.QObject)]
    for cls in classes:
        _turn_signals(cls)
    for cls in classes:
        _turn_properties(cls)
    for cls in classes:
        cls.__setattr__ = _strict_setattr
    _install_connect(classes)
    _install_names()
    _install_truth(classes)
    _install_events()
    qt.Signal, qt.Slot, qt.SIGNAL, qt.SLOT = (
        QtCore.Signal,
        QtCore.Slot,
        QtCore.SIGNAL,
        QtCore.SLOT,
    )
    qt.qVersion = QtCore.qVersion
    sys.modules["qt"] = qt
    return qt


def _pyside_class(name: str):
    for module in QT_MODULES:
        if hasattr(module, name):
            return getattr(module, name)
    return None


def _all_classes() -> list[type]:
    found = {
        cls
        for module in QT_MODULES
        for cls in vars(module).values()
        if isinstance(cls, type) and issubclass(cls, shiboken6.Object)
    }
    return sorted(found, key=lambda cls: len(cls.__mro__))


def _turn_signals(cls: type) -> None:
    """Replace the class's own signals; the first recorded overload is what the name means."""
    recorded = record().classes.get(cls.__name__)
    first: dict[str, str] = {}
    for signature in recorded.signals if recorded else ():
        first.setdefault(signature.partition("(")[0], signature)
    for name, native in list(vars(cls).items()):
        if type(native) is not QtCore.Signal:
            continue
        overloads = [overload.strip() for overload in str(native).split(";")]
        wanted = signals.normalized(first.get(name, ""))
        chosen = wanted if _has_signal(cls, wanted) else overloads[0]
        setattr(cls, name, signals.SignalDescriptor(native, signals.normalized(chosen)))


def _has_signal(cls: type, signature: str) -> bool:
    return bool(signature) and cls.staticMetaObject.indexOfSignal(signature) >= 0


def _turn_properties(cls: type) -> None:
    """Turn getters into attributes: of the class's own properties, and where it overrides one."""
    recorded = record().classes.get(cls.__name__)
    own = set(recorded.properties) if recorded else set()
    inherited = {
        name for base in cls.__mro__[1:] for name, v in vars(base).items() if type(v) is QtProperty
    }
    for name in sorted(own | (inherited & set(vars(cls)))):
        words = (name, *(word + _capitalized(name) for word in ("is", "to")))
        getter = next(filter(None, (_original(cls, word) for word in words)), None)
        if getter is not None and (cls.__name__, name) not in STAYS_METHOD:
            setter = _original(cls, "set" + _capitalized(name))
            setattr(cls, name, QtProperty(name, getter, setter))


def _original(cls: type, name: str):
    """The unbound native method of that name, even where a base already has it as attribute."""
    for base in cls.__mro__:
        value = vars(base).get(name)
        if isinstance(value, types.MethodDescriptorType):
            return value
    return None


def _capitalized(name: str) -> str:
    return name[:1].upper() + name[1:]


def _strict_setattr(instance, name: str, value) -> None:
    """Refuse new attributes on wrapped C++ objects, as PythonQt does; subclasses may have them."""
    cls = type(instance)
    plain = cls.__module__.startswith("PySide6") or "_wrapsSlicerClass" in vars(cls)
    if plain and not name.startswith("_"):
        known = getattr(cls, name, None)
        if known is None and not hasattr(cls, name) and name not in instance.__dict__:
            raise AttributeError(
                f"'{name}' does not exist on {cls.__name__} and creating new attributes on C++ "
                "objects is not allowed"
            )
        if isinstance(known, (types.MethodDescriptorType, types.FunctionType)):
            raise AttributeError(f"Slot '{name}' can not be overwritten on {cls.__name__} object")
    _set_attribute(instance, name, value)


def _install_connect(classes: list[type]) -> None:
    """`object.connect("signal(types)", callable)` and its static form."""
    natives = [(cls, cls.__getattribute__) for cls in classes]
    for cls, native in natives:
        cls.__getattribute__ = _with_connect(native)
    QtCore.QObject.connect = staticmethod(signals.connect)
    QtCore.QObject.disconnect = staticmethod(signals.disconnect)


def _with_connect(native):
    # PySide answers these two names itself, before it looks at the class.
    def get_attribute(instance, name):
        if name in ("connect", "disconnect"):
            return _bound(name, instance)
        return native(instance, name)

    return get_attribute


def _bound(name: str, instance: QtCore.QObject):
    def call(*arguments):
        # PySide's own code names the sender even on an instance, and needs the native result.
        if isinstance(arguments[0], QtCore.QObject):
            return getattr(signals, f"native_{name}")(*arguments)
        return getattr(signals, name)(instance, *arguments)

    return call


def _install_names() -> None:
    """Names that PythonQt has and PySide has not, or has with another result."""
    QtCore.QObject.className = lambda self: self.metaObject().className()
    QtCore.QObject.deleteLater = _delete_later
    QtCore.QObject.name = QtProperty(
        "name", QtCore.QObject.objectName._getter, QtCore.QObject.setObjectName
    )
    QtWidgets.QLayout.setMargin = lambda self, margin: self.setContentsMargins(
        margin, margin, margin, margin
    )
    for dialog in ("getOpenFileName", "getSaveFileName"):
        setattr(QtWidgets.QFileDialog, dialog, _first_of(getattr(QtWidgets.QFileDialog, dialog)))
    for dialog in ("getText", "getItem"):
        setattr(QtWidgets.QInputDialog, dialog, _first_of(getattr(QtWidgets.QInputDialog, dialog)))


_native_delete_later = QtCore.QObject.deleteLater


def _delete_later(instance) -> None:
    """Without keeping alive until then what nobody refers to any more, as PySide's own would do.

    With a widget that goes at once, PySide would take others for deleted that it has led to.
    """
    if instance.isWidgetType():
        _native_delete_later(instance)
    else:
        direct = QtCore.Qt.DirectConnection
        QtCore.QMetaObject.invokeMethod(instance, "deleteLater", direct)


def _install_truth(classes: list[type]) -> None:
    """What an object is worth in `if object:`: deleted or empty ones (layouts, menus) are false."""
    QtCore.QObject.__bool__ = lambda self: shiboken6.isValid(self)
    for cls in classes:
        recorded = record().classes.get(cls.__name__)
        if recorded is not None and "isEmpty" in recorded.methods:
            cls.__bool__ = _is_there_and_filled


def _is_there_and_filled(instance) -> bool:
    return shiboken6.isValid(instance) and not instance.isEmpty()


def _install_events() -> None:
    """Event filters see no more than in Slicer, and what goes wrong in them is told.

    Only pressed and released keys come as key events: others are mere QEvents. And PySide forgets
    an exception in a filter if Python itself lets the events be worked on.
    """
    native = QtGui.QKeyEvent.__getattribute__
    told = (QtCore.QEvent.KeyPress, QtCore.QEvent.KeyRelease)

    def get_attribute(event, name):
        if name in vars(QtGui.QKeyEvent) and native(event, "type")() not in told:
            raise AttributeError(f"QEvent has no attribute named '{name}'")
        return native(event, name)

    def init_subclass(cls) -> None:
        if "eventFilter" in vars(cls):
            cls.eventFilter = _telling(cls.eventFilter)

    QtGui.QKeyEvent.__getattribute__ = get_attribute
    QtCore.QObject.__init_subclass__ = classmethod(init_subclass)


def _telling(override):
    """An event filter whose exceptions are told, after which the event goes its way."""

    def filtered(instance, watched, event) -> bool:
        try:
            return override(instance, watched, event)
        except Exception:
            sys.excepthook(*sys.exc_info())
            return False

    return filtered


def _first_of(function):
    return staticmethod(lambda *arguments: function(*arguments)[0])
