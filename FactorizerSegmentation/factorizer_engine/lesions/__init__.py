"""Lesions: measured in a label map, and written as tables."""
