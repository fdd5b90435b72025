"""Model bundles: read, verify, install, import and write them. Nothing in a bundle is executed."""

from factorizer_engine.bundles.loading import load_bundle
from factorizer_engine.bundles.model import Bundle

__all__ = ["Bundle", "load_bundle"]
