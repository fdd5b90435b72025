"""`factorizer cache`: what preparations have found, kept so that a re-run starts at once."""

from __future__ import annotations

from typing import Annotated

import typer

from factorizer_engine.cli.terminal import TERMINAL
from factorizer_engine.protocol.files import MEGABYTE
from factorizer_engine.protocol.kept import clear_kept, kept_bytes
from factorizer_engine.protocol.locations import preparation_cache_dir


def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Delete all of it.")] = False,
) -> None:
    """Say where the results of earlier preparations are kept, and how much space they take."""
    folder = preparation_cache_dir()
    if clear:
        clear_kept(folder)
    TERMINAL.print(f"{kept_bytes(folder) / MEGABYTE:.1f} MB in {folder}")
