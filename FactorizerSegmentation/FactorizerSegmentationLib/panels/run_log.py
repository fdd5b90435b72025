"""What the engine and its runs have said, to be read and copied."""

from __future__ import annotations

import time

import qt

from factorizer_engine.protocol.tasks.hello import HelloResult


class RunLog:
    """A list of lines with their times, and a button that copies them.

    Args:
        textEdit: A QPlainTextEdit, read-only.
        copyButton: Copies everything.
    """

    def __init__(self, textEdit, copyButton) -> None:
        self._textEdit = textEdit
        self._engine = ""
        copyButton.connect("clicked()", self._onCopy)

    def add(self, text: str) -> None:
        """Note what has happened just now, in one line or more."""
        self._textEdit.appendPlainText(f"{time.strftime('%H:%M:%S')}  {text}")

    def addEngine(self, hello: HelloResult) -> None:
        """Note what the engine is made of, when it is another one than before."""
        versions = ", ".join(f"{name} {version}" for name, version in hello.versions.items())
        engine = f"engine {hello.engine}: {versions}".rstrip(": ")
        if engine != self._engine:
            self._engine = engine
            self.add(engine)

    def _onCopy(self) -> None:
        qt.QApplication.clipboard().setText(self._textEdit.toPlainText())
