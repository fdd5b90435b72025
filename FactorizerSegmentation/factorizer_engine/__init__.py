"""The Factorizer engine: networks, model bundles, scans, inference, components and training.

Nothing here knows 3D Slicer. The names in `__all__` are the stable interface for Python: they keep
their meaning from version to version, while everything below may move. They are looked up when
they are first used, so that importing the package itself stays cheap; using one imports torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from factorizer_engine.bundles.registry import resolve_model
    from factorizer_engine.components import explain
    from factorizer_engine.images.files import read_scan, write_nifti
    from factorizer_engine.images.scan import Scan
    from factorizer_engine.inference.segmenter import Segmenter
    from factorizer_engine.protocol.errors import EngineError
    from factorizer_engine.protocol.runs import RunOptions

__version__ = "0.1.0"

__all__ = [
    "EngineError",
    "RunOptions",
    "Scan",
    "Segmenter",
    "explain",
    "read_scan",
    "resolve_model",
    "write_nifti",
]

_PLACES = {
    "EngineError": "protocol.errors",
    "RunOptions": "protocol.runs",
    "Scan": "images.scan",
    "Segmenter": "inference.segmenter",
    "explain": "components",
    "read_scan": "images.files",
    "resolve_model": "bundles.registry",
    "write_nifti": "images.files",
}
"""Where the names of `__all__` are defined."""


def __getattr__(name: str) -> object:
    """Look up a name of `__all__` when it is first used (PEP 562)."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
