"""Clicks and scribbles to a better result."""
