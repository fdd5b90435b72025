"""Errors of the Slicer side that a user is meant to read."""

from __future__ import annotations


class SceneError(Exception):
    """What is in the scene cannot be used; the text is one plain sentence for the user."""
