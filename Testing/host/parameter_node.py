"""`slicer.parameterNodeWrapper`: typed parameters kept in a MRML node, bound to widgets.

Follows what was recorded: which types and widgets go together, what raises, and that every write
fires the node's ModifiedEvent. As in Slicer values are remembered, and read from the node again
only when it has fired that event.
"""

from __future__ import annotations

import enum
import sys
import types
import typing
from dataclasses import dataclass
from pathlib import Path

import slicer

BOOL_WIDGETS = ("QCheckBox", "ctkCheckBox", "QPushButton", "ctkCheckablePushButton")
NUMBER_WIDGETS = {
    "QSpinBox": ((int,), False),
    "QSlider": ((int,), True),
    "QDoubleSpinBox": ((float,), False),
    "ctkDoubleSpinBox": ((float,), False),
    "ctkSliderWidget": ((float, int), True),
}
"""Widget class: the types that it accepts, and whether they need `WithinRange`."""


@dataclass(frozen=True)
class WithinRange:
    """The number lies between `minimum` and `maximum`, inclusive."""

    minimum: float
    maximum: float

    def validate(self, value) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(
                f"Value must be within range [{self.minimum}, {self.maximum}], is {value}"
            )


@dataclass(frozen=True)
class Choice:
    """The value is one of `choices`."""

    choices: list

    def validate(self, value) -> None:
        if value not in self.choices:
            raise ValueError(f"Value must be one of {self.choices}, is {value}")


@dataclass(frozen=True)
class Default:
    """The value of a parameter that was not set."""

    value: object


class Parameter:
    """One annotated attribute of a wrapped class."""

    def __init__(self, name: str, annotation, default) -> None:
        self.name = name
        hints = getattr(annotation, "__metadata__", ())
        self.kind = getattr(annotation, "__origin__", annotation) if hints else annotation
        self.validators = [hint for hint in hints if hasattr(hint, "validate")]
        self.isNode = isinstance(self.kind, type) and issubclass(self.kind, slicer.vtkMRMLNode)
        defaults = [hint.value for hint in hints if isinstance(hint, Default)]
        self.default = defaults[0] if defaults else default
        if self.default is None and not self.isNode:
            self.default = self._emptyValue()
        for validator in self.validators:
            validator.validate(self.default)

    @property
    def range(self) -> WithinRange | None:
        """The bounds, if there are any."""
        return next((v for v in self.validators if isinstance(v, WithinRange)), None)

    def read(self, node):
        if self.isNode:
            return node.GetNodeReference(self.name)
        text = node.GetParameter(self.name)
        if text == "" and self.name not in node.GetParameterNames():
            return self.default
        if self.kind is bool:
            return text == "True"
        if issubclass(self.kind, enum.Enum):
            return self.kind[text]
        return self.kind(text)

    def write(self, node, value) -> None:
        if self.isNode:
            if value is not None and not isinstance(value, self.kind):
                raise TypeError(f"{self.name} takes a {self.kind.__name__}")
            node.SetNodeReferenceID(self.name, value.GetID() if value is not None else None)
            return
        value = self._checked(value)
        node.SetParameter(self.name, value.name if isinstance(value, enum.Enum) else str(value))

    def _checked(self, value):
        if self.kind is float and isinstance(value, int):
            value = float(value)
        if not isinstance(value, self.kind):
            raise TypeError(f"{self.name} takes {self.kind.__name__}, not {type(value).__name__}")
        for validator in self.validators:
            validator.validate(value)
        return value

    def _emptyValue(self):
        if isinstance(self.kind, type) and issubclass(self.kind, enum.Enum):
            return next(iter(self.kind))
        if self.kind in (int, float, bool, str, Path):
            return self.kind()
        raise NotImplementedError(f"The host has no serializer for {self.kind}.")


def parameterNodeWrapper(cls: type) -> type:
    """Class decorator: annotated attributes live in the node given to the constructor."""
    hints = typing.get_type_hints(cls, include_extras=True)
    parameters = {
        name: Parameter(name, annotation, cls.__dict__.get(name))
        for name, annotation in hints.items()
    }

    def construct(self, parameterNode, prefix=None) -> None:
        if not isinstance(parameterNode, slicer.vtkMRMLScriptedModuleNode):
            raise TypeError("A vtkMRMLScriptedModuleNode is needed.")
        self.parameterNode = parameterNode
        self._bindings = {}
        for parameter in parameters.values():
            if not parameter.isNode and parameter.name not in parameterNode.GetParameterNames():
                parameter.write(parameterNode, parameter.default)
        _remember(self)
        parameterNode.AddObserver("ModifiedEvent", lambda caller, event: _remember(self))

    cls.__init__ = construct
    for parameter in parameters.values():
        setattr(cls, parameter.name, _attribute(parameter))
    cls.allParameters = parameters
    cls.connectGui = _connectGui
    cls.connectParametersToGui = _connectParametersToGui
    cls.disconnectGui = lambda self, tag: self._bindings.pop(tag).release()
    return cls


def _remember(wrapper) -> None:
    """Read all values from the node."""
    known = wrapper.allParameters.values()
    wrapper._values = {it.name: it.read(wrapper.parameterNode) for it in known}


def _attribute(parameter: Parameter) -> property:
    def write(wrapper, value) -> None:
        parameter.write(wrapper.parameterNode, value)
        wrapper._values[parameter.name] = parameter.read(wrapper.parameterNode)

    return property(lambda wrapper: wrapper._values[parameter.name], write)


def _connectGui(self, gui) -> int:
    """Bind every widget with a SlicerParameterName; `gui` comes from childWidgetVariables."""
    widgets = {}
    for widget in vars(gui).values():
        name = widget.property("SlicerParameterName")
        if name:
            widgets[name] = widget
    return self.connectParametersToGui(widgets)


def _connectParametersToGui(self, mapping) -> int:
    """Bind parameters, by name, to widgets; returns a tag for `disconnectGui`."""
    for name in mapping:
        if name not in self.allParameters:
            known = ", ".join(self.allParameters)
            raise ValueError(f"Cannot find a parameter named {name}; there are {known}")
    tag = max(self._bindings, default=0) + 1
    pairs = [(self.allParameters[name], widget) for name, widget in mapping.items()]
    self._bindings[tag] = Binding(self.parameterNode, pairs)
    return tag


class Binding:
    """Keeps a node's parameters and their widgets the same, in both directions."""

    def __init__(self, node, pairs) -> None:
        self._node = node
        self._connectors = [(parameter, connector(parameter, w)) for parameter, w in pairs]
        self._updating = False
        self._releases = []
        for parameter, link in self._connectors:
            if link.signal:
                slot = self._writer(parameter, link)
                link.widget.connect(link.signal, slot)
                self._releases.append((link, slot))
        self._tag = node.AddObserver("ModifiedEvent", lambda caller, event: self._show())
        self._show()

    def release(self) -> None:
        self._node.RemoveObserver(self._tag)
        for link, slot in self._releases:
            link.widget.disconnect(link.signal, slot)

    def _writer(self, parameter: Parameter, link: Connector):
        def write(*ignored) -> None:
            if not self._updating:
                parameter.write(self._node, link.read())

        return write

    def _show(self) -> None:
        if self._updating:
            return
        self._updating = True
        try:
            for parameter, link in self._connectors:
                link.show(parameter.read(self._node))
        finally:
            self._updating = False


@dataclass
class Connector:
    """How one widget shows and gives a value."""

    widget: object
    attribute: str
    signal: str

    def read(self):
        return getattr(self.widget, self.attribute)

    def show(self, value) -> None:
        if self.read() != value:
            setattr(self.widget, self.attribute, value)


class ComboConnector(Connector):
    """An enumeration or a choice in a combo box."""

    def __init__(self, widget, values: list) -> None:
        super().__init__(widget, "", "currentIndexChanged(int)")
        self._values = values
        widget.clear()
        for value in values:
            widget.addItem(getattr(value, "name", str(value)))

    def read(self):
        return self._values[self.widget.currentIndex]

    def show(self, value) -> None:
        self.widget.currentIndex = self._values.index(value)


class PathConnector(Connector):
    """A pathlib.Path in a ctk path widget."""

    def read(self):
        return Path(super().read())

    def show(self, value) -> None:
        setattr(self.widget, self.attribute, str(value))


class NodeConnector(Connector):
    """A node in a qMRMLNodeComboBox."""

    def read(self):
        return self.widget.currentNode()

    def show(self, value) -> None:
        if self.read() is not value:
            self.widget.setCurrentNode(value)


def connector(parameter: Parameter, widget) -> Connector:
    """The connector for a parameter's type and a widget's exact class."""
    name, kind = widget.className(), parameter.kind
    if name in BOOL_WIDGETS and kind is bool:
        if name == "QPushButton":
            widget.checkable = True
        return Connector(widget, "checked", "toggled(bool)")
    if name in NUMBER_WIDGETS and kind in NUMBER_WIDGETS[name][0]:
        return _numberConnector(parameter, widget, NUMBER_WIDGETS[name][1])
    if name in ("QComboBox", "ctkComboBox"):
        choices = next((v.choices for v in parameter.validators if isinstance(v, Choice)), None)
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            choices = list(kind)
        if choices is not None:
            return ComboConnector(widget, choices)
    if name in ("QLineEdit", "QTextEdit") and kind is str:
        attribute = "text" if name == "QLineEdit" else "plainText"
        signal = "textChanged(QString)" if name == "QLineEdit" else "textChanged()"
        return Connector(widget, attribute, signal)
    if name == "QLabel" and kind is str:
        return Connector(widget, "text", "")
    if name == "ctkPathLineEdit" and kind is Path:
        return PathConnector(widget, "currentPath", "currentPathChanged(QString)")
    if name == "ctkDirectoryButton" and kind is Path:
        return PathConnector(widget, "directory", "directoryChanged(QString)")
    if name == "qMRMLNodeComboBox" and parameter.isNode:
        return NodeConnector(widget, "", "currentNodeChanged(vtkMRMLNode*)")
    raise RuntimeError(f"No connector for {name} and {kind}.")


def _numberConnector(parameter: Parameter, widget, needsRange: bool) -> Connector:
    if parameter.range is not None:
        widget.minimum, widget.maximum = parameter.range.minimum, parameter.range.maximum
    elif needsRange:
        raise RuntimeError(f"{parameter.name} needs WithinRange for {widget.className()}.")
    whole = parameter.kind is int
    signal = "valueChanged(int)" if widget.className() in ("QSpinBox", "QSlider") else ""
    if widget.className() == "ctkSliderWidget" and whole:
        widget.decimals = 0
    connection = Connector(widget, "value", signal or "valueChanged(double)")
    if whole:
        connection.read = lambda: int(widget.value)
    return connection


def install() -> None:
    """Publish `slicer.parameterNodeWrapper`."""
    module = types.ModuleType("slicer.parameterNodeWrapper")
    for item in (parameterNodeWrapper, WithinRange, Choice, Default):
        setattr(module, item.__name__, item)
    sys.modules[module.__name__] = module
    slicer.parameterNodeWrapper = module
