"""The `factorizer` command."""

from factorizer_engine.cli.app import main

__all__ = ["main"]
