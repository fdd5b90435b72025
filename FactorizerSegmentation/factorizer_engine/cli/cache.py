"""`factorizer cache`: what preparations have found, kept so that a re-run starts at once."""

from __future__ import annotations

from typing import Annotated

import typer

from factorizer_engine.cli.terminal import TERMINAL
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.files import MEGABYTE
from factorizer_engine.protocol.locations import preparation_cache_dir


def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Delete all of it.")] = False,
) -> None:
    """Say where the results of earlier preparations are kept, and how much space they take."""
    from factorizer_engine.preparation.cache import StepCache

    folder = preparation_cache_dir()
    kept = StepCache(folder)
    if clear:
        try:
            kept.clear()
        except OSError as error:
            raise BadInputError(
                f"A file in {folder} could not be deleted; close other programs that use it.",
                repr(error),
            ) from error
    TERMINAL.print(f"{kept.size() / MEGABYTE:.1f} MB in {folder}")
