"""A stream for the made-up engine that is hard to listen to."""

from __future__ import annotations


class Babble:
    """A stream in which lines come among others that are no protocol, every byte by itself."""

    def __init__(self, sink) -> None:
        self._sink = sink

    def write(self, line: bytes) -> None:
        for byte in "Überraschung: no JSON\n{}\n".encode() + line:
            self._sink.write(bytes([byte]))

    def flush(self) -> None:
        pass
