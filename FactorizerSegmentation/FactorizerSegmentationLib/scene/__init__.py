"""MRML in and out: volumes to scans; results to segments, heatmaps, tables and slice views."""
