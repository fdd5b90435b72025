"""Scans: reading, checking, geometry, matching to channels, pre-processing and writing."""
