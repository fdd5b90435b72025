"""Loads .ui files as Slicer does: its own widget classes, scene connections included."""

from __future__ import annotations

import logging
import xml.etree.ElementTree as ElementTree

import qt
from PySide6 import QtCore, QtUiTools

from host import ctk_widgets, qmrml_widgets


class QUiLoader(QtUiTools.QUiLoader):
    """Slicer's loader: `load(QFile)` returns the widget."""

    def createWidget(self, className: str, parent=None, name: str = ""):
        classes = {**ctk_widgets.CLASSES, **qmrml_widgets.CLASSES}
        if className in classes:
            widget = classes[className](parent)
        else:
            widget = super().createWidget(className, parent, name)
            if widget is None:
                logging.warning("QFormBuilder was unable to create a widget of %s.", className)
                widget = qt.QWidget(parent)
        widget.objectName = name
        return widget

    def load(self, file, parent=None):
        root = ElementTree.fromstring(file.readAll().data())
        connections = _take_connections(root)
        _declare_plain(root)
        buffer = QtCore.QBuffer()
        buffer.setData(ElementTree.tostring(root))
        buffer.open(QtCore.QIODevice.ReadOnly)
        widget = super().load(buffer, parent)
        if widget is None:
            return None
        every = [widget, *widget.findChildren(QtCore.QObject)]
        for child in every:
            _apply_dynamic_properties(child)
        byName = {child.objectName: child for child in every}
        for connection in connections:
            _make(connection, byName)
        return widget


def _take_connections(root: ElementTree.Element) -> list[dict[str, str]]:
    """Connections are made by hand: Qt does not know the C++ types of the scene's signals."""
    parent = root.find("connections")
    if parent is None:
        return []
    root.remove(parent)
    return [{part.tag: part.text or "" for part in connection} for connection in parent]


def _declare_plain(root: ElementTree.Element) -> None:
    """Drop the declared C++ bases: the class name alone decides, as in Slicer."""
    declared = root.find("customwidgets")
    if declared is not None:
        for custom in declared:
            extends = custom.find("extends")
            if extends is not None:
                extends.text = "QWidget"


def _apply_dynamic_properties(widget) -> None:
    """What the form sets on a host widget arrives as dynamic property; pass it to the class."""
    for name in widget.dynamicPropertyNames():
        name = name.data().decode()
        if name in type(widget).__dict__ and "_wrapsSlicerClass" in type(widget).__dict__:
            setattr(widget, name, widget.property(name))


def _make(connection: dict[str, str], byName: dict[str, object]) -> None:
    sender, receiver = byName.get(connection["sender"]), byName.get(connection["receiver"])
    slot = connection["slot"].partition("(")[0]
    if sender is None or receiver is None or not hasattr(receiver, slot):
        logging.warning("The form's connection %s cannot be made.", connection)
        return
    sender.connect(connection["signal"], getattr(receiver, slot))


def install() -> None:
    """Replace `qt.QUiLoader`."""
    qt.QUiLoader = QUiLoader
